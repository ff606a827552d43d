//! Message rates: one bucket a service, shared by its sessions.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};

use super::Limits;
use crate::identity::ServiceName;

/// The buckets of the services that have a session now.
#[derive(Default)]
pub struct ServiceRates {
    buckets: Mutex<HashMap<ServiceName, Weak<Bucket>>>,
}

struct Bucket {
    per_second: Option<u32>,
    limiter: Option<DefaultDirectRateLimiter>,
}

/// A session's hold on the bucket of its service.
#[derive(Clone)]
pub struct ServiceRate(Arc<Bucket>);

impl ServiceRates {
    /// The bucket of `service`; a new one when none of its sessions holds one, or when the configured rate changed.
    pub fn rate(&self, service: &ServiceName, limits: &Limits) -> ServiceRate {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(service).and_then(Weak::upgrade)
            && bucket.per_second == limits.messages_per_second
        {
            return ServiceRate(bucket);
        }
        buckets.retain(|_, bucket| bucket.strong_count() > 0);
        let per_second = limits.messages_per_second;
        let limiter = per_second
            .and_then(NonZeroU32::new)
            .map(|per_second| DefaultDirectRateLimiter::direct(Quota::per_second(per_second)));
        let bucket = Arc::new(Bucket { per_second, limiter });
        buckets.insert(service.clone(), Arc::downgrade(&bucket));
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
    fn no_rate_means_no_bucket() {
        let rate = ServiceRates::default().rate(&ServiceName::parse("billing").unwrap(), &Limits::default());
        assert!((0..10_000).all(|_| rate.take().is_ok()));
    }
}
