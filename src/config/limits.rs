//! `[limits]`: the keys with their units, and the range in which each makes sense.

use std::time::Duration;

use serde::Deserialize;

use super::{Faults, Why};
use crate::limits::Limits;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    open_deadline_ms: Option<u64>,
    max_opening: Option<u64>,
    max_opening_per_address: Option<u64>,
    max_connections_per_address: Option<u64>,
    max_sessions_per_service: Option<u64>,
    max_sessions: Option<u64>,
    max_request_head_bytes: Option<u64>,
    max_payload_bytes: Option<u64>,
    max_fragments: Option<u64>,
    max_control_frames_per_second: Option<u32>,
    max_faults: Option<u32>,
    messages_per_second: Option<u32>,
    max_subscriptions: Option<u64>,
    max_requests: Option<u64>,
    max_reply_rights: Option<u64>,
    max_inboxes_per_service: Option<u64>,
    request_timeout_ms: Option<u64>,
    max_request_timeout_ms: Option<u64>,
    max_queue_messages: Option<u64>,
    max_queue_bytes: Option<u64>,
    ping_interval_ms: Option<u64>,
    idle_timeout_ms: Option<u64>,
    write_timeout_ms: Option<u64>,
    drain_timeout_ms: Option<u64>,
    max_session_age_ms: Option<u64>,
    reauth_lead_ms: Option<u64>,
    stale_crl_window_ms: Option<u64>,
}

/// An hour: no wait of the gateway is longer by a mistake of a unit.
const LONGEST_MS: u64 = 3_600_000;
/// A day, for what may take as long.
const DAY_MS: u64 = 86_400_000;
/// A week, for what people have to mend.
const WEEK_MS: u64 = 7 * DAY_MS;
const YEAR_MS: u64 = 366 * DAY_MS;
const MANY: u64 = 10_000_000;

pub(super) fn limits(file: &File, faults: &mut Faults) -> Limits {
    let mut limits = Limits::default();
    {
        let mut count = |key, value, least, most, to: &mut usize| {
            if let Some(value) = in_range(key, value, least, most, faults) {
                *to = usize::try_from(value).unwrap_or(usize::MAX);
            }
        };
        count("max_opening", file.max_opening, 1, MANY, &mut limits.max_opening);
        count(
            "max_opening_per_address",
            file.max_opening_per_address,
            1,
            MANY,
            &mut limits.max_opening_per_address,
        );
        count(
            "max_connections_per_address",
            file.max_connections_per_address,
            1,
            MANY,
            &mut limits.max_connections_per_address,
        );
        count(
            "max_sessions_per_service",
            file.max_sessions_per_service,
            1,
            MANY,
            &mut limits.max_sessions_per_service,
        );
        count("max_sessions", file.max_sessions, 1, MANY, &mut limits.max_sessions);
        // hyper's parser wants at least 8 KiB.
        count(
            "max_request_head_bytes",
            file.max_request_head_bytes,
            8_192,
            1 << 20,
            &mut limits.max_request_head,
        );
        count("max_payload_bytes", file.max_payload_bytes, 1, 64 << 20, &mut limits.max_payload);
        count("max_fragments", file.max_fragments, 1, 1 << 20, &mut limits.max_fragments);
        count("max_subscriptions", file.max_subscriptions, 1, MANY, &mut limits.max_subscriptions);
        count("max_requests", file.max_requests, 1, MANY, &mut limits.max_requests);
        count("max_reply_rights", file.max_reply_rights, 1, MANY, &mut limits.max_reply_rights);
        count(
            "max_inboxes_per_service",
            file.max_inboxes_per_service,
            1,
            MANY,
            &mut limits.max_inboxes_per_service,
        );
        count("max_queue_messages", file.max_queue_messages, 1, MANY, &mut limits.max_queue_messages);
        count("max_queue_bytes", file.max_queue_bytes, 4_096, 4 << 30, &mut limits.max_queue_bytes);
    }
    let mut wait = |key, value, most, to: &mut Duration| {
        if let Some(value) = in_range(key, value, 10, most, faults) {
            *to = Duration::from_millis(value);
        }
    };
    wait("open_deadline_ms", file.open_deadline_ms, LONGEST_MS, &mut limits.open_deadline);
    wait("request_timeout_ms", file.request_timeout_ms, LONGEST_MS, &mut limits.request_timeout);
    wait("max_request_timeout_ms", file.max_request_timeout_ms, DAY_MS, &mut limits.max_request_timeout);
    wait("ping_interval_ms", file.ping_interval_ms, LONGEST_MS, &mut limits.ping_interval);
    wait("idle_timeout_ms", file.idle_timeout_ms, DAY_MS, &mut limits.idle_timeout);
    wait("write_timeout_ms", file.write_timeout_ms, LONGEST_MS, &mut limits.write_timeout);
    wait("drain_timeout_ms", file.drain_timeout_ms, LONGEST_MS, &mut limits.drain_timeout);
    wait("reauth_lead_ms", file.reauth_lead_ms, WEEK_MS, &mut limits.reauth_lead);
    // Below a second a session would do little else than prove.
    if let Some(age) = in_range("max_session_age_ms", file.max_session_age_ms, 1_000, YEAR_MS, faults) {
        limits.max_session_age = Some(Duration::from_millis(age));
    }
    // Zero is a window too: at once.
    if let Some(window) = in_range("stale_crl_window_ms", file.stale_crl_window_ms, 0, WEEK_MS, faults) {
        limits.stale_crl_window = Duration::from_millis(window);
    }
    let mut rate = |key, value: Option<u32>| {
        in_range(key, value.map(u64::from), 1, u64::from(u32::MAX), faults)
            .and_then(|value| u32::try_from(value).ok())
    };
    if let Some(most) = rate("max_control_frames_per_second", file.max_control_frames_per_second) {
        limits.max_control_frames_per_second = most;
    }
    if let Some(most) = rate("max_faults", file.max_faults) {
        limits.max_faults = most;
    }
    if let Some(most) = rate("messages_per_second", file.messages_per_second) {
        limits.messages_per_second = Some(most);
    }
    if limits.ping_interval >= limits.idle_timeout {
        faults.add("limits.ping_interval_ms", Why::NotShorter { longer: "idle_timeout_ms" });
    }
    if limits.request_timeout > limits.max_request_timeout {
        faults.add("limits.request_timeout_ms", Why::Longer { most: "max_request_timeout_ms" });
    }
    // The largest message, headers and all, must fit into an empty queue, or it would end every session it goes to.
    if limits.max_queue_bytes < limits.max_queued_message() {
        faults.add("limits.max_payload_bytes", Why::QueueTooSmall { needed: limits.max_queued_message() });
    }
    limits
}

fn in_range(key: &str, value: Option<u64>, least: u64, most: u64, faults: &mut Faults) -> Option<u64> {
    let value = value?;
    if (least..=most).contains(&value) {
        return Some(value);
    }
    faults.add(format!("limits.{key}"), Why::OutOfRange { least, most });
    None
}
