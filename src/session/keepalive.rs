//! Whether the peer is still there: a ping after silence, the end after more of it.

use tokio::time::Instant;

use crate::limits::Limits;

/// When the peer was heard last, and whether it was asked since.
pub(super) struct Keepalive {
    heard: Instant,
    asked: bool,
    control_frames: u32,
    control_since: Instant,
}

impl Keepalive {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, asked: false, control_frames: 0, control_since: now }
    }

    /// Bytes came from the peer.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = false;
    }

    /// Counts a control frame. Whether there were more within one second than the limit allows.
    pub(super) fn is_flooded(&mut self, now: Instant, limits: &Limits) -> bool {
        if now.duration_since(self.control_since).as_secs() >= 1 {
            (self.control_since, self.control_frames) = (now, 0);
        }
        self.control_frames += 1;
        self.control_frames > limits.max_control_frames_per_second
    }

    /// Whether to send a ping now; asks once per silence.
    pub(super) fn wants_ping(&mut self, now: Instant, limits: &Limits) -> bool {
        !self.asked && now >= self.heard + limits.ping_interval && {
            self.asked = true;
            true
        }
    }

    pub(super) fn is_lost(&self, now: Instant, limits: &Limits) -> bool {
        now >= self.heard + limits.idle_timeout
    }

    pub(super) fn next_deadline(&self, limits: &Limits) -> Instant {
        let wait =
            if self.asked { limits.idle_timeout } else { limits.ping_interval.min(limits.idle_timeout) };
        self.heard + wait
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn silence_is_asked_about_once_and_then_ends_the_session() {
        let (limits, start) = (Limits::default(), Instant::now());
        let mut keepalive = Keepalive::new(start);
        assert_eq!(keepalive.next_deadline(&limits), start + limits.ping_interval);
        let asked = start + limits.ping_interval;
        assert!(keepalive.wants_ping(asked, &limits) && !keepalive.wants_ping(asked, &limits));
        assert_eq!(keepalive.next_deadline(&limits), start + limits.idle_timeout);
        assert!(
            !keepalive.is_lost(asked, &limits) && keepalive.is_lost(start + limits.idle_timeout, &limits)
        );
        keepalive.heard(asked);
        assert!(!keepalive.is_lost(start + limits.idle_timeout, &limits));
    }

    #[test]
    fn control_frames_are_counted_by_the_second() {
        let (limits, start) =
            (Limits { max_control_frames_per_second: 2, ..Limits::default() }, Instant::now());
        let mut keepalive = Keepalive::new(start);
        assert!(!keepalive.is_flooded(start, &limits) && !keepalive.is_flooded(start, &limits));
        assert!(keepalive.is_flooded(start, &limits));
        assert!(!keepalive.is_flooded(start + Duration::from_secs(1), &limits));
    }
}
