//! What an attempt would come to, nothing of it done.

use super::candidate::{Basis, Found, MadeOf, Source};
use super::changes::Changes;
use super::outcome::{Attempt, Report};
use super::preview::{Against, Preview};
use super::texts;
use crate::clock::unix_now;
use crate::config::Faults;
use crate::gateway::Gateway;

pub(super) fn dry_run(basis: &Basis, gateway: &Gateway, source: Source, force: bool) -> Report {
    let now = unix_now();
    let current = &basis.current;
    let live = gateway.registry.sessions();
    let report = |attempt| Report::of(attempt, true, current.number);
    match basis.find(source, now) {
        Found::Unchanged => report(Attempt::Unchanged),
        Found::Held => report(Attempt::Held),
        Found::Refused { refused, revised: None } => {
            report(Attempt::Refused { faults: texts(&refused.faults) })
        }
        Found::Refused { refused, revised: Some(revised) } => Report {
            changes: Changes::between(current, &revised),
            preview: Preview::of(&revised, Against { current, revised: None }, &live, now),
            ..report(Attempt::RevocationsOnly { generation: revised.number, faults: texts(&refused.faults) })
        },
        Found::Candidate(candidate) => {
            let preview = candidate.preview(current, &live, now);
            let mut faults = Faults::default();
            if !force
                && candidate.changes.can_cut()
                && let Err(why) = basis.guard().check(&preview, source.forcing())
            {
                faults.add("reload.max_cut_percent", why);
            }
            let (generation, faults) = (candidate.generation.number, texts(&faults));
            let attempt = match (faults.is_empty(), &candidate.revised, &candidate.made_of) {
                (true, _, MadeOf::Files { .. }) => Attempt::Installed { generation },
                (true, _, MadeOf::Previous { number, .. }) => Attempt::RolledBack { generation, to: *number },
                (false, Some(_), _) => Attempt::RevocationsOnly { generation, faults },
                (false, None, _) => Attempt::Refused { faults },
            };
            Report { changes: candidate.changes, preview, ..report(attempt) }
        }
    }
}
