//! What the gateway says to a service. Times are Unix milliseconds.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use serde::{Serialize, Serializer};

use super::{Op, OpId, Sid};
use crate::identity::{Role, ServiceName};
use crate::topic::Pattern;

/// Bytes of a [`Challenge`].
pub const CHALLENGE_BYTES: usize = 32;

/// One thing that the gateway says. Cheap to clone for what is said often.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The first of a session.
    Hello(Box<Standing>),
    /// An operation succeeded.
    Ok { id: OpId, result: OkResult },
    /// An operation failed.
    Error(Box<ErrorEvent>),
    /// The session ends at `deadline` unless a proof comes before.
    ReauthRequired { challenge: Challenge, deadline: u64, cause: ReauthCause },
    /// The gateway took a subscription away; the session stays.
    SubscriptionRevoked { sid: Sid, topic: Pattern, group: Option<Box<str>>, reason: RevokedBecause },
    /// The gateway goes away at `deadline`; `alternatives` are addresses to go to.
    Draining { deadline: u64, alternatives: Arc<[String]> },
}

/// What an operation returns beside its success.
#[derive(Debug, Clone, PartialEq)]
pub enum OkResult {
    Empty,
    WhoAmI(Box<WhoAmI>),
    Reauthenticated(Reauthenticated),
}

/// As what a session stands before the gateway.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    #[serde(serialize_with = "as_text")]
    pub service: ServiceName,
    #[serde(serialize_with = "as_texts")]
    pub roles: Vec<Role>,
    /// The session's id, 32 hex digits.
    pub session: Arc<str>,
    /// The dialect spoken.
    pub protocol: &'static str,
    /// When the session ends unless a proof comes before.
    pub deadline: u64,
    pub limits: Limits,
    /// The name of the gateway that answers.
    pub gateway: Arc<str>,
    /// What a proof started by the client must sign.
    pub challenge: Challenge,
}

/// The limits of a session, for clients to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes of one payload, decoded.
    pub max_payload: usize,
    pub max_subscriptions: usize,
    pub max_in_flight_requests: usize,
    pub max_headers: usize,
    /// Bytes of all header names and values of one message.
    pub max_header_bytes: usize,
}

/// The answer to `whoami`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhoAmI {
    #[serde(flatten)]
    pub standing: Standing,
    /// SHA-256 of the leaf certificate, lower-case hex.
    pub fingerprint: Arc<str>,
    /// When the certificate expires.
    pub expires: u64,
    pub grants: Grants,
}

/// What the policy grants a service, as patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Grants {
    /// Patterns that the service may publish to.
    #[serde(serialize_with = "as_texts")]
    pub publish: Vec<Pattern>,
    /// Patterns that the service may subscribe to.
    #[serde(serialize_with = "as_texts")]
    pub subscribe: Vec<Pattern>,
}

/// The answer to an accepted proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reauthenticated {
    /// When the session ends now.
    pub deadline: u64,
    /// The next challenge; the one just used is spent.
    pub challenge: Challenge,
}

/// Why an operation failed, for the peer to read: never an internal message, never a payload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<OpId>,
    /// The operation that failed: `failed_op` on the wire, where `op` says `err`.
    #[serde(rename = "failed_op", skip_serializing_if = "Option::is_none")]
    pub op: Option<Op>,
    /// The topic or pattern as the peer wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<Box<str>>,
    /// The topic for answers, if it is that which is denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<Sid>,
    /// The group that a subscription named, for the dialect whose clients find it by that.
    #[serde(skip)]
    pub group: Option<Box<str>>,
    pub code: ErrorCode,
    pub reason: Cow<'static, str>,
    /// When trying again makes sense, in whole milliseconds, rounded up.
    #[serde(
        rename = "retry_after_ms",
        serialize_with = "as_milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_after: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,
}

impl ErrorEvent {
    /// An error that names no operation yet.
    pub fn new(code: ErrorCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id: None,
            op: None,
            topic: None,
            reply: None,
            sid: None,
            group: None,
            code,
            reason: reason.into(),
            retry_after: None,
            challenge: None,
        }
    }
}

/// The closed list of error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
}

impl ErrorCode {
    /// Every code, in the order of the protocol's table.
    pub const ALL: [Self; 10] = [
        Self::BadMessage,
        Self::Forbidden,
        Self::NoResponders,
        Self::Timeout,
        Self::TooLarge,
        Self::RateLimited,
        Self::LimitExceeded,
        Self::Unavailable,
        Self::ReauthFailed,
        Self::Unsupported,
    ];

    /// The code on the wire, and the metric label.
    pub fn as_str(self) -> &'static str {
        match self {
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
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Why a proof is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReauthCause {
    /// A certificate of the verified path expires.
    Expiring,
    /// The session reaches the configured maximum age.
    MaxAge,
    /// An anchor reaches its configured end.
    AnchorRetiring,
}

/// Why a subscription was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedBecause {
    /// The policy no longer grants it.
    PolicyChanged,
    /// A proof gave the session roles that do not grant it.
    RolesChanged,
}

/// Fresh random bytes for a proof to sign: used once, by one session. Padded standard base64 on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Challenge([u8; CHALLENGE_BYTES]);

impl Challenge {
    /// Takes bytes that come from a CSPRNG.
    pub fn new(bytes: [u8; CHALLENGE_BYTES]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; CHALLENGE_BYTES] {
        &self.0
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(&self.0, &BASE64_STANDARD).fmt(f)
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenge(..)")
    }
}

impl Serialize for Challenge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn as_text<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_texts<T: fmt::Display, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

fn as_milliseconds<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|duration| duration.as_nanos().div_ceil(1_000_000)).serialize(serializer)
}
