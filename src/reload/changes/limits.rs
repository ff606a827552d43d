//! Which keys of `[limits]` differ.

use std::time::Duration;

use super::LimitChange;
use crate::limits::Limits;

pub(super) fn changes(before: &Limits, after: &Limits) -> Vec<LimitChange> {
    if before == after {
        return Vec::new();
    }
    let differs = |((key, before), (_, after)): (Limit, Limit)| {
        (before != after).then(|| LimitChange { key: key.into(), before, after })
    };
    table(before).into_iter().zip(table(after)).filter_map(differs).collect()
}

/// A key and its value; `None` is unlimited.
type Limit = (&'static str, Option<u64>);

/// Every limit under its key in the configuration. Taken apart by name, so that one that is added is not forgotten.
fn table(limits: &Limits) -> Vec<Limit> {
    let Limits {
        open_deadline,
        max_opening,
        max_opening_per_address,
        max_connections_per_address,
        max_sessions_per_service,
        max_sessions,
        max_request_head,
        max_payload,
        max_fragments,
        max_control_frames_per_second,
        max_faults,
        messages_per_second,
        max_subscriptions,
        max_requests,
        max_reply_rights,
        max_inboxes_per_service,
        request_timeout,
        max_request_timeout,
        max_queue_messages,
        max_queue_bytes,
        ping_interval,
        idle_timeout,
        write_timeout,
        drain_timeout,
        max_session_age,
        reauth_lead,
        stale_crl_window,
    } = limits;
    let count = |value: &usize| Some(u64::try_from(*value).unwrap_or(u64::MAX));
    let wait = |value: &Duration| Some(u64::try_from(value.as_millis()).unwrap_or(u64::MAX));
    vec![
        ("open_deadline_ms", wait(open_deadline)),
        ("max_opening", count(max_opening)),
        ("max_opening_per_address", count(max_opening_per_address)),
        ("max_connections_per_address", count(max_connections_per_address)),
        ("max_sessions_per_service", count(max_sessions_per_service)),
        ("max_sessions", count(max_sessions)),
        ("max_request_head_bytes", count(max_request_head)),
        ("max_payload_bytes", count(max_payload)),
        ("max_fragments", count(max_fragments)),
        ("max_control_frames_per_second", Some(u64::from(*max_control_frames_per_second))),
        ("max_faults", Some(u64::from(*max_faults))),
        ("messages_per_second", messages_per_second.map(u64::from)),
        ("max_subscriptions", count(max_subscriptions)),
        ("max_requests", count(max_requests)),
        ("max_reply_rights", count(max_reply_rights)),
        ("max_inboxes_per_service", count(max_inboxes_per_service)),
        ("request_timeout_ms", wait(request_timeout)),
        ("max_request_timeout_ms", wait(max_request_timeout)),
        ("max_queue_messages", count(max_queue_messages)),
        ("max_queue_bytes", count(max_queue_bytes)),
        ("ping_interval_ms", wait(ping_interval)),
        ("idle_timeout_ms", wait(idle_timeout)),
        ("write_timeout_ms", wait(write_timeout)),
        ("drain_timeout_ms", wait(drain_timeout)),
        ("max_session_age_ms", max_session_age.as_ref().and_then(wait)),
        ("reauth_lead_ms", wait(reauth_lead)),
        ("stale_crl_window_ms", wait(stale_crl_window)),
    ]
}
