//! Where wall-clock time enters: certificates and revocation lists live by it, everything else by [`Instant`].
//!
//! [`Instant`]: std::time::Instant

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;

/// Now, as certificates count it.
pub fn unix_now() -> UnixTime {
    UnixTime::since_unix_epoch(since_epoch(SystemTime::now()))
}

/// Now, as the protocol counts it.
pub fn unix_ms(time: SystemTime) -> u64 {
    u64::try_from(since_epoch(time).as_millis()).unwrap_or(u64::MAX)
}

/// How long from `now` until the second `unix_seconds` is over; zero once it is. A certificate is good in the whole second
/// that its notAfter names (RFC 5280, section 4.1.2.5), for a handshake and so for a session.
pub fn until_over(unix_seconds: u64, now: SystemTime) -> Duration {
    // Certificates without a sensible end say the year 9999; a timer takes no more than some decades.
    const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    Duration::from_secs(unix_seconds.saturating_add(1)).saturating_sub(since_epoch(now)).min(LONGEST)
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_counts_to_its_end_and_the_far_future_is_bounded() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(until_over(999, now), Duration::ZERO);
        assert_eq!(until_over(1_000, now), Duration::from_secs(1));
        assert_eq!(until_over(1_007, now), Duration::from_secs(8));
        assert!(until_over(u64::MAX, now) < Duration::from_secs(u64::from(u32::MAX)));
    }
}
