//! Spreads the ends of many sessions over time, so that their services do not all come back at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two paced ends: a gateway answers about a thousand full handshakes a second on one core.
const SPACING: Duration = Duration::from_millis(1);

/// Hands out moments, each at least `SPACING` after the one before.
#[derive(Default)]
pub struct Pace {
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// When the session that asks may end: at once, unless others end now too.
    pub fn slot(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = next.map_or(now, |next| next.max(now));
        *next = Some(slot + SPACING);
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ends_at_once_and_the_others_one_after_the_other() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert_eq!([pace.slot(now), pace.slot(now), pace.slot(now)], [now, now + SPACING, now + 2 * SPACING]);
        let later = now + Duration::from_secs(1);
        assert_eq!(pace.slot(later), later);
    }
}
