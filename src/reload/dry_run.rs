//! What an attempt would come to, nothing of it done.

use super::candidate::{Basis, Found, Source};
use super::changes::Changes;
use super::decision::{Terms, decide};
use super::outcome::Report;
use super::preview::{Against, Preview};
use crate::clock::unix_now;
use crate::gateway::Gateway;

pub(super) fn dry_run(basis: &Basis, gateway: &Gateway, source: Source, terms: Terms) -> Report {
    let now = unix_now();
    let current = &basis.current;
    let live = gateway.registry.sessions();
    let found = basis.find(source, now);
    let (changes, preview) = match &found {
        Found::Candidate(candidate) => (candidate.changes.clone(), candidate.preview(current, &live, now)),
        Found::Held { revised: Some(revised), .. } | Found::Refused { revised: Some(revised), .. } => {
            let against = Against { current, revised: None };
            (Changes::between(current, revised), Preview::of(revised, against, &live, now))
        }
        Found::Unchanged | Found::Held { revised: None, .. } | Found::Refused { revised: None, .. } => {
            Default::default()
        }
    };
    let attempt = decide(&found, &preview, terms);
    Report { dry_run: true, attempt, compared_with: current.number, changes, preview }
}
