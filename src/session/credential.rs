//! What bounds a session's life: the certificates it rests on, its age since it last proved them, and a revocation list
//! that may go stale. Reads no clock and draws no lots: both come in as arguments.

use std::time::Duration;

use tokio::time::Instant;

use crate::identity::peer::EndedBy;
use crate::limits::Limits;
use crate::protocol::ReauthCause;

/// Failed proofs in a row after which a session ends.
const MAX_FAILED_PROOFS: u32 = 3;
/// What a proof must add at least, or a session could prove itself in a loop.
const LEAST_GAIN_MS: u64 = 1_000;

/// One moment by the clock that runs on and by the one on the wall, Unix milliseconds. Whichever comes first counts: a
/// machine that slept, or whose clock was set, knows a deadline by the latter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) steady: Instant,
    pub(super) unix_ms: u64,
}

impl Moment {
    fn after(self, wait: Duration) -> Self {
        Self { steady: self.steady + wait, unix_ms: self.unix_ms.saturating_add(milliseconds(wait)) }
    }

    /// That moment of the wall clock, as seen from this one. What is past is now.
    fn at(self, unix_ms: u64) -> Self {
        // Certificates without a sensible end say the year 9999; a timer takes no more than some decades.
        const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
        let wait = Duration::from_millis(unix_ms.saturating_sub(self.unix_ms)).min(LONGEST);
        Self { steady: self.steady + wait, unix_ms }
    }

    fn has_come(self, now: Self) -> bool {
        now.steady >= self.steady || now.unix_ms >= self.unix_ms
    }
}

/// The end of a verified path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathEnd {
    /// Its last second, Unix seconds. It is good for the whole of it (RFC 5280, section 4.1.2.5).
    pub(super) second: u64,
    pub(super) by: EndedBy,
}

impl PathEnd {
    fn told_ms(self) -> u64 {
        self.second.saturating_mul(1_000)
    }

    fn over_ms(self) -> u64 {
        self.second.saturating_add(1).saturating_mul(1_000)
    }
}

/// Until when a session may live, and why no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline {
    /// What the peer is told, Unix milliseconds.
    pub(super) unix_ms: u64,
    pub(super) cause: ReauthCause,
    over: Moment,
}

/// What a session proved, from the moment of the proof.
#[derive(Debug)]
pub(super) struct Credential {
    path: PathEnd,
    path_over: Moment,
    proved: Moment,
    max_age: Option<Duration>,
    age_over: Option<Moment>,
    lead: Duration,
    /// Which part of the lead is used, from a half to the whole.
    share: f64,
    announce_at: Instant,
    is_announced: bool,
    failed_proofs: u32,
    /// Before which another proof comes too soon, where one could not be judged.
    patient_until: Option<Instant>,
}

impl Credential {
    /// Begins with a proof that was just taken. `lot` is uniform in [0, 1), drawn for this credential alone: sessions whose
    /// certificates were issued together are not asked for the next ones together.
    pub(super) fn taken(path: PathEnd, limits: &Limits, lot: f64, now: Moment) -> Self {
        let mut credential = Self {
            path,
            path_over: now.at(path.over_ms()),
            proved: now,
            max_age: limits.max_session_age,
            age_over: limits.max_session_age.map(|age| now.after(age)),
            lead: limits.reauth_lead,
            share: 0.5 + lot / 2.0,
            announce_at: now.steady,
            is_announced: false,
            failed_proofs: 0,
            patient_until: None,
        };
        credential.schedule(now);
        credential
    }

    /// Holds it against what a new generation says of the same certificate. A deadline that moved is announced again.
    pub(super) fn review(&mut self, path: PathEnd, limits: &Limits, now: Moment) {
        let before = self.deadline();
        if path.second != self.path.second {
            self.path_over = now.at(path.over_ms());
        }
        self.path = path;
        if limits.max_session_age != self.max_age {
            self.max_age = limits.max_session_age;
            self.age_over = self.max_age.map(|age| {
                // A new limit ends no session that was not asked for a proof.
                let earliest = now.after(limits.reauth_lead.min(age));
                let own = self.proved.after(age);
                if own.steady < earliest.steady { earliest } else { own }
            });
        }
        let has_new_lead = std::mem::replace(&mut self.lead, limits.reauth_lead) != limits.reauth_lead;
        let after = self.deadline();
        if (before.unix_ms, before.cause) != (after.unix_ms, after.cause) {
            self.is_announced = false;
            self.schedule(now);
        } else if has_new_lead && !self.is_announced {
            self.schedule(now);
        }
    }

    /// Half of what is left stays for the answer, so that a certificate of one minute leaves room for one.
    fn schedule(&mut self, now: Moment) {
        let over = self.deadline().over.steady;
        let lead = self.lead.min(over.saturating_duration_since(now.steady) / 2);
        self.announce_at = over.checked_sub(lead.mul_f64(self.share)).unwrap_or(now.steady);
    }

    /// The earliest of the ends.
    pub(super) fn deadline(&self) -> Deadline {
        let path = self.path_deadline();
        self.age_deadline().filter(|age| age.over.steady < path.over.steady).unwrap_or(path)
    }

    fn path_deadline(&self) -> Deadline {
        let cause = match self.path.by {
            EndedBy::Certificate => ReauthCause::Expiring,
            EndedBy::RetiringAnchor => ReauthCause::AnchorRetiring,
        };
        Deadline { unix_ms: self.path.told_ms(), cause, over: self.path_over }
    }

    fn age_deadline(&self) -> Option<Deadline> {
        self.age_over.map(|over| Deadline { unix_ms: over.unix_ms, cause: ReauthCause::MaxAge, over })
    }

    /// The end that has come, if the session's time is over. Ends that were set before and after a step of the clock on the
    /// wall stand in one order by it and in another by the steady clock, so that either may be the first to come.
    pub(super) fn is_over(&self, now: Moment) -> Option<Deadline> {
        let ends = [Some(self.path_deadline()), self.age_deadline()];
        ends.into_iter().flatten().find(|end| end.over.has_come(now))
    }

    /// When to look at it next.
    pub(super) fn next_look(&self) -> Instant {
        let over = self.deadline().over.steady;
        if self.is_announced { over } else { over.min(self.announce_at) }
    }

    /// What to announce now, once for each deadline.
    pub(super) fn announce(&mut self, now: Moment) -> Option<Deadline> {
        let is_due = !self.is_announced && now.steady >= self.announce_at;
        is_due.then(|| {
            self.is_announced = true;
            self.deadline()
        })
    }

    /// Whether this one lets the session live notably longer than `other`.
    pub(super) fn outlasts(&self, other: &Self, now: Moment) -> bool {
        self.left_ms(now) >= other.left_ms(now).saturating_add(LEAST_GAIN_MS)
    }

    /// How long the session may live on.
    pub(super) fn left(&self, now: Moment) -> Duration {
        Duration::from_millis(self.left_ms(now))
    }

    fn left_ms(&self, now: Moment) -> u64 {
        let path = self.path.over_ms().saturating_sub(now.unix_ms);
        let age = self.age_over.map(|over| milliseconds(over.steady.saturating_duration_since(now.steady)));
        age.map_or(path, |age| age.min(path))
    }

    /// Counts a proof that failed. Whether it was one too many.
    pub(super) fn proof_failed(&mut self) -> bool {
        self.failed_proofs = self.failed_proofs.saturating_add(1);
        self.failed_proofs >= MAX_FAILED_PROOFS
    }

    /// Takes note of a proof that could not be judged, and was told to come again after `wait`. It is no failure, but
    /// whoever comes again at once makes it one. Whether that was one too many.
    pub(super) fn proof_postponed(&mut self, wait: Duration, now: Instant) -> bool {
        let is_early = self.patient_until.is_some_and(|until| now < until);
        // Half of it: a message that waited on its way is not held against its sender.
        self.patient_until = Some(now + wait / 2);
        is_early && self.proof_failed()
    }
}

/// When a session ends whose revocation list is stale: it lets nobody in from that second on, and those who are in leave
/// at moments of their own within a window, unless a fresh list comes before.
#[derive(Debug)]
pub(super) struct StaleList {
    /// Uniform in [0, 1), drawn once for the session.
    lot: f64,
    end: Option<StaleEnd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StaleEnd {
    since: u64,
    window: Duration,
    over: Moment,
}

impl StaleList {
    pub(super) fn new(lot: f64) -> Self {
        Self { lot, end: None }
    }

    /// `since` is the Unix second from which a list is stale that speaks for the session's path, now or in time to come.
    pub(super) fn review(&mut self, since: Option<u64>, window: Duration, now: Moment) {
        let known = self.end.map(|end| (end.since, end.window));
        let wanted = since.map(|since| (since, window));
        if known == wanted {
            return;
        }
        self.end = wanted.map(|(since, window)| {
            let over = since.saturating_mul(1_000).saturating_add(milliseconds(window.mul_f64(self.lot)));
            StaleEnd { since, window, over: now.at(over) }
        });
    }

    /// When the session ends, as things are.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.end.map(|end| end.over.steady)
    }

    /// Since when the list is stale, once the session's moment has come.
    pub(super) fn is_over(&self, now: Moment) -> Option<u64> {
        self.end.filter(|end| end.over.has_come(now)).map(|end| end.since)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
