//! `-ERR`: the texts that clients of this dialect know.

use std::borrow::Cow;

use crate::protocol::{ErrorCode, ErrorEvent, Op};

/// The text of the `-ERR` that tells of a failed operation; none where the protocol does not tell.
pub fn violation(error: &ErrorEvent) -> Option<Cow<'static, str>> {
    let subscribes = matches!(error.op, Some(Op::Subscribe));
    let topic = error.topic.as_deref().unwrap_or_default();
    Some(match error.code {
        // A subscription that has ended by itself is ended again by most clients.
        ErrorCode::BadMessage if error.op == Some(Op::Unsubscribe) => return None,
        ErrorCode::BadMessage if subscribes => "Invalid Subject".into(),
        ErrorCode::BadMessage => "Invalid Publish Subject".into(),
        ErrorCode::Forbidden if subscribes => {
            format!("Permissions Violation for Subscription to \"{topic}\"").into()
        }
        ErrorCode::Forbidden => format!("Permissions Violation for Publish to \"{topic}\"").into(),
        ErrorCode::TooLarge => "Maximum Payload Violation".into(),
        ErrorCode::RateLimited => "Maximum Message Rate Exceeded".into(),
        ErrorCode::LimitExceeded if subscribes => "Maximum Subscriptions Exceeded".into(),
        ErrorCode::LimitExceeded => "Maximum Requests Exceeded".into(),
        ErrorCode::NoResponders => "No Responders".into(),
        ErrorCode::Timeout => "Timeout".into(),
        ErrorCode::Unavailable => "Unavailable".into(),
        ErrorCode::ReauthFailed => "Authorization Violation".into(),
        ErrorCode::Unsupported => "Unknown Protocol Operation".into(),
    })
}
