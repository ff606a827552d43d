//! Message rates: one bucket a service, shared by its sessions.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};

use super::Limits;
use crate::identity::ServiceName;

/// Buckets above which those of services without a session are forgotten.
const MOST: usize = 16_384;

/// The buckets of the services that have a session or had one: who comes back finds the bucket as it was left.
#[derive(Default)]
pub struct ServiceRates {
    buckets: Mutex<HashMap<ServiceName, Arc<Bucket>>>,
}

struct Bucket {
    per_second: Option<u32>,
    limiter: Option<DefaultDirectRateLimiter>,
}

/// A session's hold on the bucket of its service.
#[derive(Clone)]
pub struct ServiceRate(Arc<Bucket>);

impl ServiceRates {
    /// The bucket of `service`; a new one when it is not remembered, or when the configured rate changed.
    pub fn rate(&self, service: &ServiceName, limits: &Limits) -> ServiceRate {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(service)
            && bucket.per_second == limits.messages_per_second
        {
            return ServiceRate(bucket.clone());
        }
        if buckets.len() >= MOST {
            buckets.retain(|_, bucket| Arc::strong_count(bucket) > 1);
        }
        let per_second = limits.messages_per_second;
        let limiter = per_second
            .and_then(NonZeroU32::new)
            .map(|per_second| DefaultDirectRateLimiter::direct(Quota::per_second(per_second)));
        let bucket = Arc::new(Bucket { per_second, limiter });
        buckets.insert(service.clone(), bucket.clone());
        ServiceRate(bucket)
    }
}

impl ServiceRate {
    /// Takes one message's worth, or tells how long to wait for it.
    #[inline]
    pub fn take(&self) -> Result<(), Duration> {
        let Some(limiter) = &self.0.limiter else { return Ok(()) };
        limiter.check().map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_one_service_share_one_bucket_and_others_do_not() {
        let rates = ServiceRates::default();
        let limits = Limits { messages_per_second: Some(2), ..Limits::default() };
        let (billing, checkout) =
            (ServiceName::parse("billing").unwrap(), ServiceName::parse("checkout").unwrap());
        let (first, second) = (rates.rate(&billing, &limits), rates.rate(&billing, &limits));
        assert_eq!((first.take(), second.take()), (Ok(()), Ok(())));
        assert!(first.take().is_err_and(|wait| wait <= Duration::from_secs(1)));
        assert_eq!(rates.rate(&checkout, &limits).take(), Ok(()));
    }

    #[test]
    fn who_comes_back_finds_the_bucket_as_it_was_left() {
        let rates = ServiceRates::default();
        let limits = Limits { messages_per_second: Some(2), ..Limits::default() };
        let billing = ServiceName::parse("billing").unwrap();
        let taken = (0..10).filter(|_| rates.rate(&billing, &limits).take().is_ok()).count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn services_without_a_session_are_remembered_within_bounds() {
        let rates = ServiceRates::default();
        let limits = Limits { messages_per_second: Some(1), ..Limits::default() };
        let service = |number: usize| ServiceName::parse(&format!("service-{number}")).unwrap();
        let live = rates.rate(&service(0), &limits);
        assert!(live.take().is_ok());
        for number in 1..=MOST {
            rates.rate(&service(number), &limits);
        }
        assert!(rates.buckets.lock().unwrap().len() <= MOST);
        assert!(rates.rate(&service(0), &limits).take().is_err(), "one with a session is kept");
    }

    #[test]
    fn no_rate_means_no_bucket() {
        let rate = ServiceRates::default().rate(&ServiceName::parse("billing").unwrap(), &Limits::default());
        assert!((0..10_000).all(|_| rate.take().is_ok()));
    }
}
