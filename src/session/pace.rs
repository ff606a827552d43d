//! Spreads the ends of many sessions over time, and their return too, so that their services do not all come back at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Paced ends in a second, until the configuration says otherwise.
const USUAL_RATE: u32 = 1_000;
/// Soonest return of a session that was paced, and the width of the jitter on top.
const SOONEST: Duration = Duration::from_secs(1);
/// Longest wait in the queue that is added to a return.
const LONGEST: Duration = Duration::from_secs(60);

/// Hands out slots, each at least one spacing after the one before.
pub struct Pace {
    state: Mutex<State>,
}

struct State {
    spacing: Duration,
    next: Option<Instant>,
}

/// When a session may end, and what it is told about coming back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub at: Instant,
    pub retry_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { state: Mutex::new(State { spacing: Duration::from_secs(1) / USUAL_RATE, next: None }) }
    }
}

impl Pace {
    /// How many may end in a second from now on; at least one.
    pub fn set_rate(&self, per_second: u32) {
        let spacing = Duration::from_secs(1) / per_second.max(1);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).spacing = spacing;
    }

    /// When the session that asks may end: at once, unless others end now too. The further back it stands, the later it
    /// is told to return, so that sessions come back at half the rate at which they end. `random` is uniform.
    pub fn slot(&self, now: Instant, random: u32) -> Slot {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let at = state.next.map_or(now, |next| next.max(now));
        state.next = Some(at + state.spacing);
        let jitter = SOONEST.mul_f64(f64::from(random) / f64::from(u32::MAX));
        Slot { at, retry_after: SOONEST + (at - now).min(LONGEST) + jitter }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ends_at_once_and_the_others_one_after_the_other() {
        let (pace, now) = (Pace::default(), Instant::now());
        let spacing = Duration::from_millis(1);
        assert_eq!([0; 3].map(|_| pace.slot(now, 0).at), [now, now + spacing, now + 2 * spacing]);
        let later = now + Duration::from_secs(1);
        assert_eq!(pace.slot(later, 0).at, later);
    }

    #[test]
    fn the_configured_rate_holds_from_the_next_slot_on() {
        let (pace, now) = (Pace::default(), Instant::now());
        pace.set_rate(10);
        pace.slot(now, 0);
        assert_eq!(pace.slot(now, 0).at, now + Duration::from_millis(100));
    }

    #[test]
    fn who_ends_later_comes_back_later_still_and_nobody_at_the_same_moment() {
        let (pace, now) = (Pace::default(), Instant::now());
        pace.set_rate(1);
        let seconds = |seconds| Duration::from_secs(seconds);
        let waits = [0; 3].map(|_| pace.slot(now, 0).retry_after);
        assert_eq!(waits, [seconds(1), seconds(2), seconds(3)]);
        assert_eq!(Pace::default().slot(now, u32::MAX).retry_after, seconds(2), "jitter");
        let last = (0..200).map(|_| pace.slot(now, 0).retry_after).last();
        assert_eq!(last, Some(seconds(61)), "bounded");
    }
}
