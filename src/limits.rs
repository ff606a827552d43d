//! How much anybody may take: counts, sizes, waits and rates. The defaults stand here, each with its reason.
//!
//! Invariant: every queue, wait and size of the gateway has its bound in [`Limits`]; no library's default is relied on.

mod admission;
mod rates;
mod renewals;

use std::time::Duration;

pub use admission::{Admission, Admissions, Refused, ServicePlace};
pub use rates::{ServiceRate, ServiceRates};
pub use renewals::RenewalRates;

use crate::session::Batch;

/// What stands around a payload at most: fields, topic and headers.
const ENVELOPE: usize = 16 * 1024;

/// Every bound, as one reloadable value. Durations and bytes carry their unit in the configuration key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// From the accepted socket to the 101, all stages together.
    pub open_deadline: Duration,
    /// Connections that have not reached their 101 yet.
    pub max_opening: usize,
    /// Connections of one address that have not reached their 101 yet.
    pub max_opening_per_address: usize,
    /// Connections of one address, sessions included: of an IPv4 address, or of the /64 around an IPv6 address.
    pub max_connections_per_address: usize,
    /// Sessions of one service.
    pub max_sessions_per_service: usize,
    /// Sessions of all services.
    pub max_sessions: usize,
    /// Bytes of the upgrade request's line and headers together.
    pub max_request_head: usize,

    /// Bytes of one payload, decoded.
    pub max_payload: usize,
    /// Fragments of one WebSocket message.
    pub max_fragments: usize,
    /// Control frames a session may send in one second.
    pub max_control_frames_per_second: u32,
    /// Messages in a row that cannot be understood before the session ends.
    pub max_faults: u32,
    /// Messages per second of one service over all its sessions; `None` is unlimited.
    pub messages_per_second: Option<u32>,

    /// Subscriptions of one session.
    pub max_subscriptions: usize,
    /// Requests of one session that wait for their answer.
    pub max_requests: usize,
    /// Requests one session was given and may still answer.
    pub max_reply_rights: usize,
    /// Inboxes that belong to one service.
    pub max_inboxes_per_service: usize,
    /// Answer time of a request that names none, and of a published `reply`.
    pub request_timeout: Duration,
    /// Longest answer time that a request may name.
    pub max_request_timeout: Duration,

    /// Messages that wait for one session.
    pub max_queue_messages: usize,
    /// Bytes that wait for one session.
    pub max_queue_bytes: usize,

    /// Silence after which the gateway sends a ping.
    pub ping_interval: Duration,
    /// Silence after which a session is taken for dead.
    pub idle_timeout: Duration,
    /// How long bytes may wait for a peer that does not read.
    pub write_timeout: Duration,
    /// How long a session may live on after `draining`, and the whole stop may take.
    pub drain_timeout: Duration,

    /// Age of a session since it last proved its certificate, at which it must have done so again; `None` is any.
    pub max_session_age: Option<Duration>,
    /// The longest that a session is told to prove its certificate anew before its deadline.
    pub reauth_lead: Duration,
    /// Over how long the sessions of a stale revocation list end.
    pub stale_crl_window: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A handshake takes two round trips and 0.5 ms of CPU; ten seconds forgive a lossy link.
            open_deadline: Duration::from_secs(10),
            // Each holds some 40 KB while it opens; 1,000 is half a second of full handshakes on one core.
            max_opening: 1_000,
            // Half of all places, so that one address without a certificate cannot take them all, and the pods behind
            // one address may start together.
            max_opening_per_address: 500,
            // Many pods share a node's address; a runaway client does not get more.
            max_connections_per_address: 1_024,
            max_sessions_per_service: 4_096,
            // File descriptors are raised to fit; one session costs some 16 KiB when idle.
            max_sessions: 50_000,
            // Tokens of 8 KiB fit, header floods do not.
            max_request_head: 16 * 1024,

            // Common clients refuse messages above 1 MiB, and base64 adds a third.
            max_payload: 512 * 1024,
            // A sender streams in frames of 4 KiB and more; 1,024 hold the largest message.
            max_fragments: 1_024,
            // Keepalive needs one; a flood costs more than it says.
            max_control_frames_per_second: 50,
            max_faults: 32,
            messages_per_second: None,

            max_subscriptions: 1_000,
            max_requests: 1_024,
            max_reply_rights: 4_096,
            max_inboxes_per_service: 4_096,
            request_timeout: Duration::from_secs(10),
            max_request_timeout: Duration::from_secs(300),

            // Seconds of a fast stream; beyond it a reader does not catch up.
            max_queue_messages: 65_536,
            max_queue_bytes: 16 * 1024 * 1024,

            // Below the 60 s after which common middleboxes forget a flow.
            ping_interval: Duration::from_secs(25),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            // Below the 30 s that orchestrators give a process by default.
            drain_timeout: Duration::from_secs(20),

            // Certificates end by themselves.
            max_session_age: None,
            // Time enough for a client to fetch a certificate and to fail a few times.
            reauth_lead: Duration::from_secs(5 * 60),
            // Time enough to publish a list, and too little to live on without one.
            stale_crl_window: Duration::from_secs(3_600),
        }
    }
}

impl Limits {
    /// Bytes of one WebSocket message: a payload in base64 with its envelope, topic and headers.
    pub fn max_message(&self) -> usize {
        self.max_payload.div_ceil(3).saturating_mul(4).saturating_add(ENVELOPE)
    }

    /// Bytes that the largest message counts in a queue.
    pub fn max_queued_message(&self) -> usize {
        Batch::load(1, self.max_message()).bytes
    }
}
