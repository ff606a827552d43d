//! How often a service may ask for a new certificate: one signature of a CA each, and one line of the audit log.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use crate::identity::ServiceName;

/// Renewals of one service a second, and at once after a while without.
const PER_SECOND: NonZeroU32 = NonZeroU32::MIN;
const AT_ONCE: NonZeroU32 = NonZeroU32::new(4).expect("four is not zero");
/// Services whose renewals are remembered at once. A bucket that has filled up again is forgotten.
const MOST_SERVICES: usize = 16_384;

/// The buckets of the services that asked lately.
pub struct RenewalRates(DefaultKeyedRateLimiter<ServiceName>);

impl Default for RenewalRates {
    fn default() -> Self {
        Self(DefaultKeyedRateLimiter::hashmap(Quota::per_second(PER_SECOND).allow_burst(AT_ONCE)))
    }
}

impl RenewalRates {
    /// Takes one renewal's worth, or tells how long to wait for it.
    pub fn take(&self, service: &ServiceName) -> Result<(), Duration> {
        if self.0.len() >= MOST_SERVICES {
            self.0.retain_recent();
            if self.0.len() >= MOST_SERVICES {
                return Err(Duration::from_secs(1));
            }
        }
        self.0.check_key(service).map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_asks_too_often_waits_and_no_other() {
        let rates = RenewalRates::default();
        let service = |name| ServiceName::parse(name).unwrap();
        assert!((0..AT_ONCE.get()).all(|_| rates.take(&service("billing")).is_ok()));
        assert!(rates.take(&service("billing")).is_err_and(|wait| wait <= Duration::from_secs(1)));
        assert_eq!(rates.take(&service("checkout")), Ok(()));
    }

    #[test]
    fn only_so_many_services_are_remembered() {
        let rates = RenewalRates::default();
        let takes = |number| rates.take(&ServiceName::parse(&format!("s{number}")).unwrap()).is_ok();
        let taken = (0..MOST_SERVICES + 1_000).filter(|number| takes(*number)).count();
        assert!(taken >= MOST_SERVICES && rates.0.len() <= MOST_SERVICES, "{taken} {}", rates.0.len());
    }
}
