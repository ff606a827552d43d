//! What ends soon: the gateway's own certificates, those of CAs, revocation lists. Told early, often enough and not too often.

use std::time::{Duration, Instant};

use rustls::pki_types::UnixTime;

use crate::generation::Generation;
use crate::trust::TrustDomain;

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

/// When the first certificate of a configured CA ends, anchor or intermediate, Unix seconds.
pub fn authority_end(generation: &Generation) -> Option<u64> {
    generation.trust.domains().iter().filter_map(TrustDomain::authority_end).min()
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
        for (domain, name, end) in ending_authorities(generation, now) {
            let seconds = end.saturating_sub(now.as_secs());
            tracing::warn!(
                seconds,
                trust = %domain.name(),
                ca = ?name,
                "the certificate of a CA ends soon, then its clients are refused; configure the next one"
            );
        }
        if let Some(seconds) = left(revocation_end(generation)).filter(|left| *left < WARN_AHEAD_SECONDS) {
            tracing::warn!(
                seconds,
                "a revocation list goes stale soon, then its clients are refused; publish a new one"
            );
        }
    }
}

/// The CAs that have less than a day left. Their names come from certificates: show them escaped.
fn ending_authorities(
    generation: &Generation,
    now: UnixTime,
) -> impl Iterator<Item = (&TrustDomain, &str, u64)> {
    let until = now.as_secs().saturating_add(WARN_AHEAD_SECONDS);
    let of = |domain| TrustDomain::authority_ends(domain).map(move |(name, end)| (domain, name, end));
    generation.trust.domains().iter().flat_map(of).filter(move |(_, _, end)| *end < until)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::unix_now;
    use crate::load::tests::Files;

    #[test]
    fn a_ca_is_warned_about_in_its_last_day() {
        let generation = Files::new().load().generation;
        let end = authority_end(&generation).expect("a CA");
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let found = |now| -> Vec<_> {
            ending_authorities(&generation, now).map(|(_, name, end)| (name.to_owned(), end)).collect()
        };
        assert!(end > unix_now().as_secs() + WARN_AHEAD_SECONDS);
        assert_eq!(found(at(end - WARN_AHEAD_SECONDS)), []);
        assert_eq!(found(at(end - WARN_AHEAD_SECONDS + 1)), [("CN=root".to_owned(), end)]);
    }
}
