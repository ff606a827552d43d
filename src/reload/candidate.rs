//! What might become the next generation: of the files as they are, or of the set before the current one.
//!
//! Everything here reads and compares, and changes nothing: a dry run and the transaction begin alike.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::UnixTime;

use super::changes::Changes;
use super::guard::Guard;
use super::preview::{Against, Preview};
use crate::config::{Faults, Settings, Why};
use crate::generation::Generation;
use crate::load::{self, Before, Digest, Loaded, Refused};
use crate::session::Live;
use crate::trust::{TrustDomain, TrustDomains};

/// What an attempt starts from.
#[derive(Clone)]
pub(super) struct Basis {
    pub(super) config: PathBuf,
    pub(super) settings: Settings,
    pub(super) current: Arc<Generation>,
    /// What the files were that the generation was made of; `None` if it is not of any one set of files.
    pub(super) digest: Option<Digest>,
    /// What the files were when an operator went back from them.
    pub(super) held: Option<Digest>,
    pub(super) previous: Option<Previous>,
}

/// The last generation that differed from the current one in more than revocation.
#[derive(Clone)]
pub(super) struct Previous {
    pub(super) generation: Arc<Generation>,
    pub(super) digest: Option<Digest>,
}

/// Where a candidate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Files,
    Previous,
}

/// A whole set that is valid by itself.
pub(super) struct Candidate {
    pub(super) generation: Generation,
    pub(super) made_of: MadeOf,
    pub(super) changes: Changes,
    /// The current generation with the candidate's newer revocations, if it brings any.
    pub(super) revised: Option<Generation>,
}

pub(super) enum MadeOf {
    Files { settings: Box<Settings>, digest: Digest },
    Previous { number: u64, files: Digest, is_of_files: bool },
}

pub(super) enum Found {
    Unchanged,
    /// The files are those that an operator went back from.
    Held,
    Candidate(Box<Candidate>),
    /// Valid newer revocations among what was refused stand in `revised`.
    Refused {
        refused: Refused,
        revised: Option<Generation>,
    },
}

impl Source {
    /// The command that takes a set whatever it ends.
    pub(super) fn forcing(self) -> &'static str {
        match self {
            Self::Files => "portcullis reload --force",
            Self::Previous => "portcullis rollback --force",
        }
    }
}

impl Basis {
    pub(super) fn find(&self, source: Source, now: UnixTime) -> Found {
        match source {
            Source::Files => self.of_files(now),
            Source::Previous => self.of_previous(now),
        }
    }

    pub(super) fn guard(&self) -> Guard {
        Guard { max_cut_percent: self.settings.reload.max_cut_percent }
    }

    fn of_files(&self, now: UnixTime) -> Found {
        let digest = self.held.or(self.digest);
        let before = Before { settings: &self.settings, generation: &self.current, digest };
        match load::next(&self.config, &before, now) {
            Ok(None) if self.held.is_some() => Found::Held,
            Ok(None) => Found::Unchanged,
            Ok(Some(Loaded { settings, generation, digest })) => {
                let made_of = MadeOf::Files { settings: Box::new(settings), digest };
                self.candidate(generation, made_of)
            }
            Err(refused) => {
                let revised = load::newer_revocations(&self.settings, &self.current, now);
                Found::Refused { refused, revised }
            }
        }
    }

    /// The set before, with the newest revocation lists of both and the deny list of now: no revocation is undone, and no
    /// list goes back.
    fn of_previous(&self, now: UnixTime) -> Found {
        let files = load::digest(&self.config);
        let refused = |faults| Found::Refused { refused: Refused { faults, digest: files }, revised: None };
        let mut faults = Faults::default();
        let Some(previous) = &self.previous else {
            faults.add("rollback", Why::NothingBefore);
            return refused(faults);
        };
        // A list that the files have by now comes along: once they are held, nobody looks at it.
        let newer = load::newer_revocations(&self.settings, &self.current, now);
        let (old, base) = (&previous.generation, newer.as_ref().unwrap_or(&self.current));
        find_outdated(old, &base.trust, now, &mut faults);
        let trust = match old.trust.with_lists_of(&base.trust, now) {
            Ok(trust) => Some(trust),
            Err(found) => {
                found.into_iter().for_each(|fault| faults.add("trust", fault));
                None
            }
        };
        let with = |trust| faults.take("listener", old.with_trust(self.current.number + 1, Arc::new(trust)));
        let (Some(mut next), true) = (trust.and_then(with), faults.is_empty()) else {
            return refused(faults);
        };
        next.deny = base.deny.clone();
        let is_of_files = previous.digest == Some(files) && Changes::between(old, &next).is_empty();
        self.candidate(next, MadeOf::Previous { number: old.number, files, is_of_files })
    }

    fn candidate(&self, generation: Generation, made_of: MadeOf) -> Found {
        let changes = Changes::between(&self.current, &generation);
        let revised = revised(&self.current, &generation);
        Found::Candidate(Box::new(Candidate { generation, made_of, changes, revised }))
    }
}

impl Candidate {
    /// What it would do to these sessions.
    pub(super) fn preview(&self, current: &Generation, live: &[Live], now: UnixTime) -> Preview {
        let against = Against { current, revised: self.revised.as_ref() };
        Preview::of(&self.generation, against, live, now)
    }
}

/// The current generation with what `candidate` newly revokes and nothing else of it.
fn revised(current: &Generation, candidate: &Generation) -> Option<Generation> {
    let trust = current.trust.with_revocations_of(&candidate.trust);
    let mut revised = current.with_trust(current.number + 1, Arc::new(trust)).ok()?;
    revised.deny = candidate.deny.clone();
    (!Changes::between(current, &revised).is_empty()).then_some(revised)
}

/// What was good when it was loaded, and may not be now; dates of CAs and lists are looked at elsewhere.
fn find_outdated(old: &Generation, current: &TrustDomains, now: UnixTime, faults: &mut Faults) {
    for (place, listener) in old.listeners.iter().enumerate() {
        if now.as_secs() > listener.not_after {
            let why = Why::Expired { not_after: listener.not_after };
            faults.add(format!("listener[{place}].certificate"), why);
        }
    }
    for (place, domain) in old.trust.domains().iter().enumerate() {
        if domain.revocation_lists().is_none() && is_revocable(domain, current) {
            faults.add(format!("trust[{place}].danger_no_revocation"), Why::RevocationSwitchedOff);
        }
    }
}

/// Whether lists are in force for a CA of `domain`.
fn is_revocable(domain: &TrustDomain, current: &TrustDomains) -> bool {
    let enforced = current.domains().iter().filter(|other| other.revocation_lists().is_some());
    let mut known = enforced.flat_map(TrustDomain::authorities);
    known.any(|known| domain.authorities().any(|ours| ours.fingerprint == known.fingerprint))
}
