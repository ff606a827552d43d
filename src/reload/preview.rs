//! What a generation would do to the sessions that live now: the very verdicts that they would come to, taken before
//! anything is installed.
//!
//! A preview and the swap behind it are not one step. Who comes or goes in between is not in the count, which may so be
//! wrong by a few; nobody is judged by a preview, and each session judges itself by what is installed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use serde::{Deserialize, Serialize};

use crate::generation::Generation;
use crate::identity::ServiceName;
use crate::policy::Grants;
use crate::report::chain;
use crate::session::{CloseReason, Live};
use crate::verdict::judge_again;

/// Sessions that a preview names; the others are counted.
const NAMED: usize = 100;

/// Who would be cut, and whose rights would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Sessions that lived when it was made.
    pub live: usize,
    /// Those of them that the current generation overrules already: they are on their way out, and count nowhere else.
    pub leaving: usize,
    /// Those that would end, by service and reason.
    pub cuts: Vec<Cut>,
    /// The first of them.
    pub sessions: Vec<CutSession>,
    /// Sessions whose rights would be others, by service.
    pub rights_changed: Vec<Affected>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    pub service: String,
    pub reason: CloseReason,
    pub sessions: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutSession {
    pub session: String,
    pub service: String,
    pub reason: CloseReason,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    pub service: String,
    pub sessions: usize,
}

/// The generations that a candidate is held against.
#[derive(Clone, Copy)]
pub struct Against<'g> {
    /// Whom it overrules is on the way out in any case.
    pub current: &'g Generation,
    /// The current one with the candidate's revocations alone, if it brings any: whom that overrules is revoked or denied,
    /// whatever else the candidate holds against it.
    pub revised: Option<&'g Generation>,
}

impl Preview {
    /// Judges every session of `live` by `candidate`. One whose certificates it lets end within the time in which a session
    /// is asked for a proof, and that had longer, is cut as well: a moment later. Costs a verification of the chain for each where the anchors
    /// changed: a second of CPU for some ten thousand.
    pub fn of(candidate: &Generation, against: Against<'_>, live: &[Live], now: UnixTime) -> Self {
        let mut preview = Self { live: live.len(), ..Self::default() };
        let mut cuts: BTreeMap<(&ServiceName, &'static str), (CloseReason, usize)> = BTreeMap::new();
        let mut rights: BTreeMap<&ServiceName, usize> = BTreeMap::new();
        let mut compared = Compared::default();
        let soon = now.as_secs().saturating_add(against.lead(candidate).as_secs());
        for session in live {
            let service = session.standing.identity.service();
            let judged = |by: &Generation| judge_again(by, &session.peer, &session.standing, now);
            let Ok(stands) = judged(against.current) else {
                preview.leaving += 1;
                continue;
            };
            let (reason, why) = match judged(candidate) {
                Ok(upheld) => {
                    let (before, end) = (stands.peer.deadline(), upheld.peer.deadline());
                    if end >= before || end > soon {
                        if compared.differ(&session.standing.grants, &upheld.standing.grants) {
                            *rights.entry(service).or_default() += 1;
                        }
                        continue;
                    }
                    let why = format!("its certificates end at {end} instead of {before}, Unix seconds");
                    (CloseReason::CredentialDeadline, why)
                }
                Err(overruled) => {
                    let by_revocation = against.revised.and_then(|revised| judged(revised).err());
                    let overruled = by_revocation.unwrap_or(overruled);
                    (overruled.reason(), chain(&overruled))
                }
            };
            cuts.entry((service, reason.label())).or_insert((reason, 0)).1 += 1;
            if preview.sessions.len() < NAMED {
                let (session, service) = (session.id.to_string(), service.to_string());
                preview.sessions.push(CutSession { session, service, reason, why });
            }
        }
        let cut = |((service, _), (reason, sessions)): ((&ServiceName, _), _)| Cut {
            service: service.to_string(),
            reason,
            sessions,
        };
        preview.cuts = cuts.into_iter().map(cut).collect();
        let affected =
            |(service, sessions): (&ServiceName, usize)| Affected { service: service.to_string(), sessions };
        preview.rights_changed = rights.into_iter().map(affected).collect();
        preview
    }

    /// Sessions that would end.
    pub fn cut(&self) -> usize {
        self.cuts.iter().map(|cut| cut.sessions).sum()
    }

    /// Those that would end because a certificate was revoked, or is on the deny list.
    pub fn revoked(&self) -> usize {
        self.cuts.iter().filter(|cut| cut.reason.is_revocation()).map(|cut| cut.sessions).sum()
    }

    /// Whose they are.
    pub fn revoked_services(&self) -> String {
        let revoked = self.cuts.iter().filter(|cut| cut.reason.is_revocation());
        revoked.map(|cut| format!("{} {}", cut.service, cut.sessions)).collect::<Vec<_>>().join(", ")
    }

    /// Those that would go on living, were it not for what the candidate cuts otherwise.
    pub fn staying(&self) -> usize {
        self.live.saturating_sub(self.leaving).saturating_sub(self.revoked())
    }

    /// Those that would end for anything else.
    pub fn cut_otherwise(&self) -> usize {
        self.cut() - self.revoked()
    }
}

impl Against<'_> {
    /// Whoever has no more than this left is asked for a proof at once, and cut without one.
    fn lead(&self, candidate: &Generation) -> Duration {
        self.current.limits.reauth_lead.max(candidate.limits.reauth_lead)
    }
}

/// Whether grants differ in what they allow, remembered for sessions that share theirs. What was compared is kept, so that
/// no other comes to stand in its place in memory.
#[derive(Default)]
struct Compared(HashMap<(*const Grants, *const Grants), (Arc<Grants>, bool)>);

impl Compared {
    fn differ(&mut self, before: &Arc<Grants>, after: &Arc<Grants>) -> bool {
        if Arc::ptr_eq(before, after) {
            return false;
        }
        let pair = (Arc::as_ptr(before), Arc::as_ptr(after));
        self.0.entry(pair).or_insert_with(|| (after.clone(), !before.allows_as(after))).1
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for cut in &self.cuts {
            writeln!(f, "{:14}- {} {} ({})", "cut", cut.sessions, cut.service, cut.reason.label())?;
        }
        for affected in &self.rights_changed {
            writeln!(f, "{:14}~ {} {}", "rights", affected.sessions, affected.service)?;
        }
        for session in &self.sessions {
            let (why, reason) = (session.why.escape_default(), session.reason.label());
            writeln!(f, "{:14}- {} {} {reason}: {why}", "session", session.session, session.service)?;
        }
        let named = self.sessions.len();
        if self.cut() > named {
            writeln!(f, "{:14}  … and {} more", "", self.cut() - named)?;
        }
        write!(f, "{:14}  {} of {} live sessions end", "in all", self.cut(), self.live)?;
        match self.leaving {
            0 => writeln!(f),
            leaving => writeln!(f, ", and {leaving} that are on their way out already"),
        }
    }
}

#[cfg(test)]
mod tests;
