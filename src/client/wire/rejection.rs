//! What the gateway says when an operation fails.

use std::fmt;
use std::time::Duration;

use crate::client::escaped::Escaped;

/// An `err` of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Which kind of refusal.
    pub code: ErrorCode,
    /// The gateway's words.
    pub reason: String,
    /// The `op` that failed, if the gateway could tell.
    pub operation: Option<String>,
    /// The topic or pattern that it is about, if it is about one.
    pub topic: Option<String>,
    /// When trying again may help.
    pub retry_after: Option<Duration>,
}

impl Rejection {
    /// Whether the same operation would be refused again until somebody changes something.
    pub(in crate::client) fn is_lasting(&self) -> bool {
        match self.code {
            ErrorCode::BadMessage
            | ErrorCode::Forbidden
            | ErrorCode::TooLarge
            | ErrorCode::LimitExceeded
            | ErrorCode::Unsupported => true,
            // A certificate that is good from some later second is told which one that is.
            ErrorCode::ReauthFailed => self.retry_after.is_none(),
            ErrorCode::NoResponders
            | ErrorCode::Timeout
            | ErrorCode::RateLimited
            | ErrorCode::Unavailable
            | ErrorCode::Other(_) => false,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)?;
        match &self.topic {
            Some(topic) => write!(f, " (topic {})", Escaped(topic)),
            None => Ok(()),
        }
    }
}

/// The `code` of an `err`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    BadMessage,
    Forbidden,
    NoResponders,
    Timeout,
    TooLarge,
    RateLimited,
    LimitExceeded,
    Unavailable,
    ReauthFailed,
    Unsupported,
    /// A code of a later version of the protocol.
    Other(String),
}

impl From<String> for ErrorCode {
    fn from(code: String) -> Self {
        match code.as_str() {
            "bad_message" => Self::BadMessage,
            "forbidden" => Self::Forbidden,
            "no_responders" => Self::NoResponders,
            "timeout" => Self::Timeout,
            "too_large" => Self::TooLarge,
            "rate_limited" => Self::RateLimited,
            "limit_exceeded" => Self::LimitExceeded,
            "unavailable" => Self::Unavailable,
            "reauth_failed" => Self::ReauthFailed,
            "unsupported" => Self::Unsupported,
            _ => Self::Other(code),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadMessage => "bad_message",
            Self::Forbidden => "forbidden",
            Self::NoResponders => "no_responders",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::LimitExceeded => "limit_exceeded",
            Self::Unavailable => "unavailable",
            Self::ReauthFailed => "reauth_failed",
            Self::Unsupported => "unsupported",
            Self::Other(code) => return write!(f, "{}", Escaped(code)),
        })
    }
}
