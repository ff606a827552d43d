//! Fewer wake-ups where they cost more than what they bring, as network cards moderate their interrupts. A worker that is
//! woken again and again for a few bytes has paid for the waking, for a read and for a write each time. If it naps for a moment
//! before it waits, more has come by then, for many sessions or for one, and is served at once.
//!
//! Invariant: a worker naps only while it would have nothing to do, only after it was seen to wait for hardly any time again and
//! again, and only as long as naps are seen to save work for each byte that comes, and not to slow down those who send: who waits for
//! what the worker has yet to do sends nothing meanwhile. Who is asked rarely, or answered one by one, is not kept waiting.

use std::cell::RefCell;
use std::time::{Duration, Instant};

/// How long it naps. Linux adds its timer slack, 50 µs.
const NAP: Duration = Duration::from_micros(150);
/// Wake-ups that are watched before it is judged whether naps may help.
const WATCHED: u32 = 64;
/// Wake-ups without naps that suffice to say that naps don't help. Where the first ones seem not to beside fewer, more are watched: what
/// those were like may have been chance, and to do without naps costs more than to try them again.
const SURE: u32 = 2 * WATCHED;
/// They may where it waited no longer than this, on average: what a nap adds to a message's way is paid for by many.
const SHORT_WAIT: Duration = Duration::from_micros(15);
/// Naps after which it is judged whether they help.
const TRIED: u32 = 16;
/// They do if a byte costs no more than this part of what it cost without them.
const SAVING: f64 = 0.85;
/// And if as much comes in the same time as this part of what came without them.
const PACE: f64 = 0.8;
/// How long what was seen without naps is believed.
const BELIEVED: Duration = Duration::from_millis(200);
/// How long it goes without naps after they were seen to be of no use.
const PAUSE: Duration = Duration::from_millis(100);

thread_local! {
    static WORKER: RefCell<Moderation> = const { RefCell::new(Moderation::new()) };
}

/// This worker has nothing to do and is about to wait. Naps if that is of use.
pub fn parks() {
    if WORKER.with_borrow_mut(|worker| worker.parks(Instant::now())) {
        std::thread::sleep(NAP);
    }
}

/// This worker has something to do again.
pub fn unparks() {
    WORKER.with_borrow_mut(|worker| worker.unparks(Instant::now()));
}

/// So many bytes came for a session that this worker serves.
pub fn arrived(bytes: usize) {
    WORKER.with_borrow_mut(|worker| worker.arrived(bytes));
}

/// What one worker knows of its wake-ups.
struct Moderation {
    stage: Stage,
    seen: Seen,
    parked: Option<Instant>,
    unparked: Option<Instant>,
}

/// What becomes of it.
#[derive(Clone, Copy)]
enum Stage {
    /// No naps: what they would have to be better than is learnt, as far as it is not known.
    Watching { known: Seen },
    /// Naps, which are held against what was seen without them.
    Napping { without: Seen, all: Seen, until: Instant },
    /// No naps, because they were of no use; what is seen meanwhile is learnt from too.
    Pausing { until: Instant },
}

/// Wake-ups since the stage began or was last judged.
#[derive(Clone, Copy)]
struct Seen {
    wakes: u32,
    waited: Duration,
    worked: Duration,
    bytes: usize,
}

impl Moderation {
    const fn new() -> Self {
        Self {
            stage: Stage::Watching { known: Seen::NOTHING },
            seen: Seen::NOTHING,
            parked: None,
            unparked: None,
        }
    }

    /// Whether to nap now.
    fn parks(&mut self, now: Instant) -> bool {
        if let Some(unparked) = self.unparked.take() {
            self.seen.worked += now.saturating_duration_since(unparked);
        }
        if let Some(next) = self.judge(now) {
            (self.stage, self.seen) = (next, Seen::NOTHING);
        }
        self.parked = Some(now);
        matches!(self.stage, Stage::Napping { .. })
    }

    fn unparks(&mut self, now: Instant) {
        self.seen.wakes = self.seen.wakes.saturating_add(1);
        if let Some(parked) = self.parked.take() {
            self.seen.waited += now.saturating_duration_since(parked);
        }
        self.unparked = Some(now);
    }

    fn arrived(&mut self, bytes: usize) {
        self.seen.bytes = self.seen.bytes.saturating_add(bytes);
    }

    /// The stage that begins now, if one does.
    fn judge(&self, now: Instant) -> Option<Stage> {
        let seen = &self.seen;
        match self.stage {
            Stage::Watching { known } if seen.wakes >= WATCHED => Some(Stage::behind(known.and(seen), now)),
            Stage::Napping { without, all, until } if seen.wakes >= TRIED => {
                let is_first = all.wakes == 0;
                let all = all.and(seen);
                let help = seen.cost() <= without.cost() * SAVING && all.pace() >= without.pace() * PACE;
                Some(match help {
                    false if is_first && without.wakes >= SURE => Stage::Pausing { until: now + PAUSE },
                    false if is_first => Stage::Watching { known: without },
                    true if now < until => Stage::Napping { without, all, until },
                    // They helped, and what they are to be better than may be another by now.
                    _ => Stage::Watching { known: Seen::NOTHING },
                })
            }
            Stage::Pausing { until } if now >= until && seen.wakes >= WATCHED => {
                Some(Stage::behind(*seen, now))
            }
            Stage::Watching { .. } | Stage::Napping { .. } | Stage::Pausing { .. } => None,
        }
    }
}

impl Stage {
    /// What follows when so much was seen without naps.
    fn behind(without: Seen, now: Instant) -> Self {
        let may_help = without.bytes > 0 && without.waited < SHORT_WAIT * without.wakes;
        match may_help {
            true => Self::Napping { without, all: Seen::NOTHING, until: now + BELIEVED },
            false => Self::Watching { known: Seen::NOTHING },
        }
    }
}

impl Seen {
    const NOTHING: Self = Self { wakes: 0, waited: Duration::ZERO, worked: Duration::ZERO, bytes: 0 };

    /// Seconds of work for each byte that came; without end if none did.
    fn cost(&self) -> f64 {
        self.worked.as_secs_f64() / self.bytes as f64
    }

    /// Bytes that came in a second.
    fn pace(&self) -> f64 {
        self.bytes as f64 / (self.waited + self.worked).as_secs_f64()
    }

    fn and(&self, more: &Self) -> Self {
        Self {
            wakes: self.wakes.saturating_add(more.wakes),
            waited: self.waited + more.waited,
            worked: self.worked + more.worked,
            bytes: self.bytes.saturating_add(more.bytes),
        }
    }
}

#[cfg(test)]
mod tests;
