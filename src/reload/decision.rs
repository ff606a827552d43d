//! What becomes of what was found: the one place where that is decided, for a dry run and for the transaction.

use super::candidate::{Candidate, Found, MadeOf, Source};
use super::guard::Guard;
use super::outcome::Attempt;
use super::preview::Preview;
use super::texts;
use crate::config::Faults;

/// What a valid set has to pass.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) guard: Guard,
    /// Whatever the guard says.
    pub(super) force: bool,
}

/// What an attempt comes to. `preview` is what the found set does to the sessions.
pub(super) fn decide(found: &Found, preview: &Preview, terms: Terms) -> Attempt {
    match found {
        Found::Unchanged => Attempt::Unchanged,
        Found::Held { revised: None, .. } => Attempt::Held,
        Found::Held { revised: Some(revised), .. } => {
            Attempt::RevocationsOnly { generation: revised.number, faults: Vec::new() }
        }
        Found::Refused { refused, revised } => {
            refuse(revised.as_ref().map(|revised| revised.number), texts(&refused.faults))
        }
        Found::Candidate(candidate) => decide_candidate(candidate, preview, terms),
    }
}

pub(super) fn decide_candidate(candidate: &Candidate, preview: &Preview, terms: Terms) -> Attempt {
    let source = match candidate.made_of {
        MadeOf::Files { .. } => Source::Files,
        MadeOf::Previous { .. } => Source::Previous,
    };
    if candidate.changes.can_cut()
        && !terms.force
        && let Err(why) = terms.guard.check(preview, source.forcing())
    {
        let mut faults = Faults::default();
        faults.add("reload.max_cut_percent", why);
        return refuse(candidate.revised.as_ref().map(|revised| revised.number), texts(&faults));
    }
    let generation = candidate.generation.number;
    match candidate.made_of {
        MadeOf::Files { .. } => Attempt::Installed { generation },
        MadeOf::Previous { number, .. } => Attempt::RolledBack { generation, to: number },
    }
}

/// A set that is not taken, but for its revocations if they make a generation.
pub(super) fn refuse(revised: Option<u64>, faults: Vec<String>) -> Attempt {
    match revised {
        Some(generation) => Attempt::RevocationsOnly { generation, faults },
        None => Attempt::Refused { faults },
    }
}
