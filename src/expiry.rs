//! What ends soon: the gateway's own certificates, revocation lists. Told early, often enough and not too often.

use std::time::{Duration, Instant};

use rustls::pki_types::UnixTime;

use crate::generation::Generation;

/// Before its end, something is warned about for this long.
const WARN_AHEAD_SECONDS: u64 = 24 * 3600;
/// Between two warnings.
const PAUSE: Duration = Duration::from_secs(3600);

/// Remembers when and about which generation was warned last.
#[derive(Default)]
pub struct Warnings {
    last: Option<(Instant, u64)>,
}

/// When the first certificate of the gateway's own ends, Unix seconds.
pub fn certificate_end(generation: &Generation) -> Option<u64> {
    generation.listeners.iter().map(|listener| listener.not_after).min()
}

/// When the first revocation list goes stale, Unix seconds.
pub fn revocation_end(generation: &Generation) -> Option<u64> {
    let lists = generation.trust.domains().iter().filter_map(|domain| domain.revocation_lists());
    lists.filter_map(|lists| lists.earliest_next_update()).min()
}

impl Warnings {
    /// Warns of what has less than a day left: once for each generation, then every hour.
    pub fn warn(&mut self, generation: &Generation, now: UnixTime) {
        if self.last.is_some_and(|(when, number)| number == generation.number && when.elapsed() < PAUSE) {
            return;
        }
        self.last = Some((Instant::now(), generation.number));
        let left = |end: Option<u64>| end.map(|end| end.saturating_sub(now.as_secs()));
        if let Some(seconds) = left(certificate_end(generation)).filter(|left| *left < WARN_AHEAD_SECONDS) {
            tracing::warn!(seconds, "the gateway's own certificate ends soon; issue a new one");
        }
        if let Some(seconds) = left(revocation_end(generation)).filter(|left| *left < WARN_AHEAD_SECONDS) {
            tracing::warn!(
                seconds,
                "a revocation list goes stale soon, then its clients are refused; publish a new one"
            );
        }
    }
}
