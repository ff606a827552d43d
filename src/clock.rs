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

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
