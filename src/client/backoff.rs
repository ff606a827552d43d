//! How long to wait before the next attempt: exponential, jittered, and never sooner than the gateway asked for.
//!
//! Reads no clock and makes no randomness: both come in as arguments.

use std::time::Duration;

/// Longest wait that a gateway's `Retry-After` or `retry_after_ms` can impose, so that a wrong number does not
/// silence a service for days.
pub(super) const MAX_HINT: Duration = Duration::from_secs(3600);

/// Whether trying again soon can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// The fault may pass by itself.
    Usual,
    /// The gateway said no to this very certificate or service; only a new file or a new policy changes that.
    Slow,
}

/// Doubles from `min` to `max` with each failure.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0 }
    }

    /// A session proved itself: the next failure starts from `min` again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure. `random` is uniform over `u32`; the result lies in the upper half of the
    /// step, or in the quarter above `hint` if that is later.
    pub(super) fn next(&mut self, pace: Pace, hint: Option<Duration>, random: u32) -> Duration {
        let step = match pace {
            Pace::Usual => {
                self.min.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(self.max)
            }
            Pace::Slow => self.max,
        };
        self.failures = self.failures.saturating_add(1);
        let jittered = step / 2 + fraction(step / 2, random);
        hint.map_or(jittered, |hint| jittered.max(told(hint, random)))
    }
}

/// A wait that the gateway named, in the quarter above it.
pub(super) fn told(hint: Duration, random: u32) -> Duration {
    let hint = hint.min(MAX_HINT);
    hint + fraction(hint / 4, random)
}

/// `random / 2^32` of `whole`.
pub(super) fn fraction(whole: Duration, random: u32) -> Duration {
    whole.mul_f64(f64::from(random) / (f64::from(u32::MAX) + 1.0))
}

/// Uniform randomness for jitter. Without entropy there is no jitter, which delays nobody.
pub(super) fn random() -> u32 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u32::from_be_bytes(bytes),
        Err(_) => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIN: Duration = Duration::from_millis(200);
    const MAX: Duration = Duration::from_secs(30);

    #[test]
    fn doubles_up_to_the_maximum() {
        let mut backoff = Backoff::new(MIN, MAX);
        let waits: Vec<_> = (0..40).map(|_| backoff.next(Pace::Usual, None, 0).as_millis()).collect();
        assert_eq!(waits[..4], [100, 200, 400, 800]);
        assert_eq!(waits[39], 15_000);
    }

    #[test]
    fn a_verdict_on_the_certificate_waits_the_maximum_at_once() {
        assert!(Backoff::new(MIN, MAX).next(Pace::Slow, None, 0) >= MAX / 2);
    }

    #[test]
    fn reset_starts_over() {
        let mut backoff = Backoff::new(MIN, MAX);
        let first = backoff.next(Pace::Usual, None, 7);
        backoff.next(Pace::Usual, None, 7);
        backoff.reset();
        assert_eq!(backoff.next(Pace::Usual, None, 7), first);
    }

    proptest! {
        #[test]
        fn never_sooner_than_the_hint_nor_later_than_its_quarter(
            failures in 0..64_usize, random: u32, hint_ms in 0..10_000_000_u64,
        ) {
            let mut backoff = Backoff::new(MIN, MAX);
            for _ in 0..failures {
                backoff.next(Pace::Usual, None, random);
            }
            let hint = Duration::from_millis(hint_ms);
            let wait = backoff.next(Pace::Usual, Some(hint), random);
            prop_assert!(wait >= hint.min(MAX_HINT));
            prop_assert!(wait <= (hint.min(MAX_HINT) * 5 / 4).max(MAX));
        }
    }
}
