//! `-ERR` on a session that goes on. Official clients take any text but one of these three for the end of the connection, and some
//! of them for the end of all attempts.

use super::headers::HeaderFault;
use crate::protocol::{ErrorCode, ErrorEvent, Op};
use crate::topic::MAX_TOPIC_BYTES;

/// The text that tells of a failed operation; none where the protocol does not tell.
pub(super) fn violation(error: &ErrorEvent) -> Option<String> {
    let (topic, group) = (error.topic.as_deref().unwrap_or_default(), error.group.as_deref());
    let subject = match error.op {
        // A subscription that has ended by itself is ended again by most clients.
        Some(Op::Unsubscribe) => return None,
        Some(Op::Subscribe) => subscription(topic, group),
        _ => match &error.reply {
            Some(reply) => {
                format!("Permissions Violation for Publish with Reply of \"{}\"", printable(reply))
            }
            None => publish(topic),
        },
    };
    let why = match error.code {
        ErrorCode::Forbidden => return Some(subject),
        ErrorCode::NoResponders
        | ErrorCode::Timeout
        | ErrorCode::Unavailable
        | ErrorCode::ReauthFailed
        | ErrorCode::BadMessage
        | ErrorCode::TooLarge
        | ErrorCode::RateLimited
        | ErrorCode::LimitExceeded
        | ErrorCode::Unsupported => printable(&error.reason),
    };
    Some(format!("{subject}: {why}"))
}

/// The text that tells of a message with headers that may not be.
pub(super) fn of_headers(topic: &str, fault: HeaderFault) -> String {
    format!("{}: {}", publish(topic), printable(&fault.to_string()))
}

/// The text that tells of a subscription that is refused, or was taken away.
pub(super) fn subscription(pattern: &str, group: Option<&str>) -> String {
    let pattern = printable(pattern);
    match group {
        // Clients look the subscription up by both.
        Some(group) => {
            format!(
                "Permissions Violation for Subscription to \"{pattern}\" using queue \"{}\"",
                printable(group)
            )
        }
        None => format!("Permissions Violation for Subscription to \"{pattern}\""),
    }
}

fn publish(topic: &str) -> String {
    format!("Permissions Violation for Publish to \"{}\"", printable(topic))
}

/// A text without what would end it or the line early: what a client wrote between quotes, and words of our own.
fn printable(text: &str) -> String {
    let plain = |character: char| match character {
        '\'' => '\u{2019}',
        '"' => '\u{201d}',
        other if other.is_control() => '?',
        other => other,
    };
    text.chars().take(MAX_TOPIC_BYTES).map(plain).collect()
}
