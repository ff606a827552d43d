//! What ends soon: the gateway's own certificates, those of CAs, revocation lists. Told early, often enough and not too often.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use rustls::pki_types::UnixTime;

use crate::generation::Generation;
use crate::identity::TrustName;
use crate::identity::certificate::IssuerId;
use crate::trust::TrustDomain;
use crate::trust::crl::{CrlAge, CrlLife};

const DAY_SECONDS: u64 = 24 * 3600;
/// Before its end, a certificate is warned about for this long.
const WARN_AHEAD_SECONDS: u64 = DAY_SECONDS;
/// Between two warnings.
const PAUSE: Duration = Duration::from_secs(3600);

/// Remembers when and about what was warned last.
#[derive(Default)]
pub struct Warnings {
    /// With the number of the generation.
    last: Option<(Instant, u64)>,
    lists: HashMap<ListKey, Instant>,
}

/// One list in one state: a newer one is another, and so is one that has become stale.
type ListKey = (TrustName, IssuerId, CrlAge, Box<[Box<str>]>, bool);

/// A revocation list that needs a successor now.
pub struct RevocationAlarm<'g> {
    domain: &'g TrustDomain,
    list: CrlLife<'g>,
    is_stale: bool,
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

/// When the first revocation list goes stale that then vouches for nobody any more, Unix seconds.
pub fn refusing_from(generation: &Generation) -> Option<u64> {
    let domains = generation.trust.domains().iter().filter(|domain| !domain.accepts_stale_lists());
    domains.filter_map(|domain| domain.revocation_lists()?.earliest_next_update()).min()
}

/// The revocation lists that have less left than a quarter of their life or a day, whichever is shorter, and those that
/// are stale.
pub fn revocation_alarms(generation: &Generation, now: UnixTime) -> Vec<RevocationAlarm<'_>> {
    let now = now.as_secs();
    let mut alarms = Vec::new();
    for domain in generation.trust.domains() {
        for list in domain.revocation_lists().into_iter().flat_map(|lists| lists.lives()) {
            let is_stale = now >= list.next_update;
            let quarter = list.next_update.saturating_sub(list.age.this_update) / 4;
            let left = list.next_update.saturating_sub(now);
            if is_stale || left < quarter.min(DAY_SECONDS) {
                alarms.push(RevocationAlarm { domain, list, is_stale });
            }
        }
    }
    alarms
}

impl fmt::Display for RevocationAlarm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trust, list) = (self.domain.name(), &self.list);
        let issuer = self.domain.authority_name(list.issuer).unwrap_or_default();
        write!(f, "trust domain {trust}: the revocation list of {issuer:?}")?;
        if !list.points.is_empty() {
            write!(f, " for {:?}", list.points)?;
        }
        let verb = if self.is_stale { "is stale since" } else { "goes stale at" };
        write!(f, ", number {}, {verb} {} (Unix seconds)", list.age.number, list.next_update)
    }
}

impl RevocationAlarm<'_> {
    fn key(&self) -> ListKey {
        let list = &self.list;
        (self.domain.name().clone(), list.issuer, list.age, list.points.into(), self.is_stale)
    }

    fn tell(&self) {
        match (self.is_stale, self.domain.accepts_stale_lists()) {
            (false, false) => tracing::error!(
                "{self}; publish a new one: from then on its clients are refused and their sessions closed"
            ),
            (true, false) => tracing::error!(
                "{self}: its clients are refused, and their sessions are being closed from now on; publish a new one"
            ),
            (_, true) => tracing::error!(
                "{self}; publish a new one: what is revoked since is not known, and `danger_accept_stale_crl` lets it in"
            ),
        }
    }
}

impl Warnings {
    /// Warns of certificates that have less than a day left, once for each generation, then every hour; and of
    /// revocation lists that need a successor, once for each list, then every hour.
    pub fn warn(&mut self, generation: &Generation, now: UnixTime) {
        for alarm in self.due(revocation_alarms(generation, now), Instant::now()) {
            alarm.tell();
        }
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
    }

    /// Those of the alarms that were not told within the hour. Forgets the lists that need none any more.
    fn due<'g>(&mut self, alarms: Vec<RevocationAlarm<'g>>, now: Instant) -> Vec<RevocationAlarm<'g>> {
        let mut told = HashMap::new();
        let mut due = Vec::new();
        for alarm in alarms {
            let last = self.lists.get(&alarm.key()).filter(|last| now.duration_since(**last) < PAUSE);
            told.insert(alarm.key(), last.copied().unwrap_or(now));
            if last.is_none() {
                due.push(alarm);
            }
        }
        self.lists = told;
        due
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
    fn a_list_is_alarmed_about_in_the_last_quarter_of_its_life_and_at_most_a_day_ahead() {
        let files = Files::new();
        let now = unix_now().as_secs();
        for (before, after, ahead) in [(3_600, 3_600, 1_800), (3_600, 600_000, DAY_SECONDS)] {
            files.write("crl.der", files.authority.list_between(8, now - before, now + after));
            let generation = files.load().generation;
            let end = revocation_end(&generation).expect("a list");
            assert_eq!(end, now + after);
            let alarms = |seconds| {
                let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
                revocation_alarms(&generation, at).iter().map(|alarm| alarm.to_string()).collect::<Vec<_>>()
            };
            assert_eq!(alarms(end - ahead), [""; 0]);
            let list = "trust domain internal: the revocation list of \"CN=root\", number 08,";
            assert_eq!(alarms(end - ahead + 1), [format!("{list} goes stale at {end} (Unix seconds)")]);
            assert_eq!(alarms(end - 1), [format!("{list} goes stale at {end} (Unix seconds)")]);
            assert_eq!(alarms(end), [format!("{list} is stale since {end} (Unix seconds)")]);
        }
    }

    #[test]
    fn an_alarm_is_told_once_an_hour_for_each_list_and_again_when_it_is_stale() {
        let files = Files::new();
        let mut told = Warnings::default();
        let start = Instant::now();
        let mut due = |generation: &Generation, seconds, minutes: u64| {
            let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            told.due(revocation_alarms(generation, at), start + Duration::from_secs(60 * minutes)).len()
        };
        let first = files.load().generation;
        let end = revocation_end(&first).expect("a list");
        assert_eq!(due(&first, unix_now().as_secs(), 0), 0);
        assert_eq!([0, 1, 59, 60, 61].map(|minutes| due(&first, end - 9, minutes)), [1, 0, 0, 1, 0]);
        assert_eq!([62, 63].map(|minutes| due(&first, end, minutes)), [1, 0], "what it means has changed");
        files.publish_list(8, &[]);
        let second = files.load().generation;
        assert_eq!([64, 65].map(|minutes| due(&second, end - 9, minutes)), [1, 0], "another list");
        assert_eq!(due(&second, unix_now().as_secs(), 66), 0);
        assert_eq!(due(&second, end - 9, 67), 1, "it was well in between");
    }

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
