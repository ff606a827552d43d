//! The words of `portcullis.json.v1` as the client writes and reads them (`docs/protocol.md`).
//!
//! Unknown fields and unknown operations from the gateway are passed over; what is known must be well-formed.

mod rejection;

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::message::{Body, Headers, Message, Reply};
use crate::identity::{NameError, Role, ServiceName};
use crate::topic::{Topic, TopicError};

pub use rejection::{ErrorCode, Rejection};

/// The subprotocol offered, and the only one accepted.
pub(super) const SUBPROTOCOL: &str = "portcullis.json.v1";

/// A subscription's number, chosen by this client, never used twice, the same on every connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Sid(pub(super) u64);

/// What the client says. Without `Debug`, because it holds payloads.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Command<'a> {
    Sub {
        sid: Sid,
        id: u64,
        topic: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<&'a str>,
        #[serde(skip_serializing_if = "is_true")]
        echo: bool,
    },
    Unsub {
        sid: Sid,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
    Pub {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        topic: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        data_base64: Option<String>,
        #[serde(skip_serializing_if = "Headers::is_empty")]
        headers: &'a Headers,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<&'a str>,
    },
    Req {
        id: u64,
        topic: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        data_base64: Option<String>,
        #[serde(skip_serializing_if = "Headers::is_empty")]
        headers: &'a Headers,
        timeout_ms: u64,
    },
    Res {
        reply: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        data_base64: Option<String>,
        #[serde(skip_serializing_if = "Headers::is_empty")]
        headers: &'a Headers,
    },
    Whoami {
        id: u64,
    },
    Reauth {
        id: u64,
        chain: Vec<String>,
        host: &'a str,
        scheme: &'a str,
        signature: String,
    },
}

fn is_true(value: &bool) -> bool {
    *value
}

impl Command<'_> {
    pub(super) fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// `data` and `data_base64` of a body: exactly one of them, or neither for an empty payload.
pub(super) fn payload_fields(body: &Body) -> (Option<&RawValue>, Option<String>) {
    match body {
        Body::Empty => (None, None),
        Body::Json(text) => (Some(text), None),
        Body::Bytes(bytes) => (None, Some(encode_base64(bytes))),
    }
}

pub(super) fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn decode_base64(text: &str) -> Result<Vec<u8>, WireError> {
    STANDARD.decode(text).map_err(|_| WireError::Base64)
}

/// What the gateway says.
#[derive(Debug)]
pub(super) enum Incoming {
    Hello(Box<Hello>),
    Message {
        sid: Sid,
        message: Message,
    },
    Response {
        id: u64,
        reply: Reply,
    },
    /// The whole object: what `ok` returns differs by operation.
    Ok {
        id: u64,
        text: String,
    },
    Error {
        id: Option<u64>,
        rejection: Rejection,
        challenge: Option<String>,
    },
    ReauthRequired {
        challenge: String,
        deadline: u64,
        cause: String,
    },
    RevokedSubscription {
        sid: Sid,
        reason: String,
    },
    Draining {
        deadline: u64,
    },
    /// An operation of a later version of the protocol.
    Unknown,
}

impl Incoming {
    pub(super) fn decode(text: &str) -> Result<Self, WireError> {
        let flat: Flat = serde_json::from_str(text)?;
        match flat.op.as_str() {
            "hello" => Ok(Self::Hello(serde_json::from_str(text)?)),
            "msg" => Self::message(flat),
            "res" => Self::response(flat),
            "ok" => Ok(Self::Ok { id: required(flat.id, "id")?, text: text.to_owned() }),
            "err" => Ok(Self::error(flat)),
            "reauth_required" => Ok(Self::ReauthRequired {
                challenge: required(flat.challenge, "challenge")?,
                deadline: required(flat.deadline, "deadline")?,
                cause: flat.cause.unwrap_or_default(),
            }),
            "revoked_sub" => Ok(Self::RevokedSubscription {
                sid: required(flat.sid, "sid")?,
                reason: flat.reason.unwrap_or_default(),
            }),
            "draining" => Ok(Self::Draining { deadline: required(flat.deadline, "deadline")? }),
            _ => Ok(Self::Unknown),
        }
    }

    fn message(flat: Flat) -> Result<Self, WireError> {
        let message = Message {
            topic: Topic::parse(&required(flat.topic, "topic")?)?,
            from: flat.from.as_deref().map(ServiceName::parse).transpose()?,
            body: body(flat.data, flat.data_base64)?,
            headers: flat.headers,
            reply: flat.reply.as_deref().map(Topic::parse).transpose()?,
        };
        Ok(Self::Message { sid: required(flat.sid, "sid")?, message })
    }

    fn response(flat: Flat) -> Result<Self, WireError> {
        let reply = Reply {
            from: flat.from.as_deref().map(ServiceName::parse).transpose()?,
            body: body(flat.data, flat.data_base64)?,
            headers: flat.headers,
        };
        Ok(Self::Response { id: required(flat.id, "id")?, reply })
    }

    fn error(flat: Flat) -> Self {
        let rejection = Rejection {
            code: ErrorCode::from(flat.code.unwrap_or_default()),
            reason: flat.reason.unwrap_or_default(),
            operation: flat.failed_op,
            topic: flat.topic,
            retry_after: flat.retry_after_ms.map(Duration::from_millis),
        };
        Self::Error { id: flat.id, rejection, challenge: flat.challenge }
    }
}

fn required<T>(field: Option<T>, name: &'static str) -> Result<T, WireError> {
    field.ok_or(WireError::Missing { field: name })
}

fn body(data: Option<Box<RawValue>>, data_base64: Option<String>) -> Result<Body, WireError> {
    match (data, data_base64) {
        (None, None) => Ok(Body::Empty),
        (Some(text), None) => Ok(Body::Json(text)),
        (None, Some(text)) => Ok(Body::Bytes(decode_base64(&text)?.into())),
        (Some(_), Some(_)) => Err(WireError::TwoPayloads),
    }
}

/// Every field of every small operation in one struct, because `RawValue` fails inside tagged enums.
#[derive(Deserialize)]
struct Flat {
    op: String,
    id: Option<u64>,
    sid: Option<Sid>,
    topic: Option<String>,
    from: Option<String>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
    data_base64: Option<String>,
    #[serde(default)]
    headers: Headers,
    reply: Option<String>,
    code: Option<String>,
    reason: Option<String>,
    failed_op: Option<String>,
    retry_after_ms: Option<u64>,
    challenge: Option<String>,
    deadline: Option<u64>,
    cause: Option<String>,
}

/// Keeps `"data": null` apart from no `data` at all.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// The gateway's greeting.
#[derive(Debug, Deserialize)]
pub(super) struct Hello {
    #[serde(flatten)]
    pub(super) standing: Standing,
    /// What a proof that this side starts must sign.
    pub(super) challenge: Option<String>,
}

/// Who this client is to the gateway for the length of one session.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Standing {
    /// The service that the certificate was mapped to.
    #[serde(deserialize_with = "service")]
    pub service: ServiceName,
    /// Its roles.
    #[serde(default, deserialize_with = "roles")]
    pub roles: Vec<Role>,
    /// The session's id, 32 hex digits, as it stands in the gateway's audit log.
    pub session: String,
    /// Unix milliseconds at which the session ends unless the certificate is proved anew.
    pub deadline: Option<u64>,
    /// What the gateway allows.
    #[serde(default)]
    pub limits: Limits,
}

/// The limits of a session that the client itself heeds, and the others as the gateway names them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Limits {
    /// Largest payload, decoded, in bytes.
    pub max_payload: Option<usize>,
    /// Everything else.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// The gateway's answer to *who am I*.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct WhoAmI {
    /// The service that the certificate was mapped to.
    #[serde(deserialize_with = "service", serialize_with = "display")]
    pub service: ServiceName,
    /// Fingerprint and expiry of the certificate, roles, grants, limits, session: as the gateway names them.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

impl WhoAmI {
    pub(super) fn decode(text: &str) -> Result<Self, WireError> {
        let mut whoami: Self = serde_json::from_str(text)?;
        for envelope in ["op", "id", "challenge"] {
            whoami.details.remove(envelope);
        }
        Ok(whoami)
    }
}

/// What `ok` to a `reauth` returns.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ReauthOk {
    pub(super) deadline: Option<u64>,
    pub(super) challenge: Option<String>,
}

impl ReauthOk {
    pub(super) fn decode(text: &str) -> Result<Self, WireError> {
        Ok(serde_json::from_str(text)?)
    }
}

/// A message of the gateway that is not what the protocol says.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("not the JSON object expected")]
    Json(#[from] serde_json::Error),
    #[error("the field `{field}` is missing")]
    Missing { field: &'static str },
    #[error("a base64 field is not base64")]
    Base64,
    #[error("both `data` and `data_base64`")]
    TwoPayloads,
    #[error("a topic is not well-formed")]
    Topic(#[from] TopicError),
    #[error("the publisher's name is not well-formed")]
    Name(#[from] NameError),
}

fn service<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ServiceName, D::Error> {
    let text = String::deserialize(deserializer)?;
    ServiceName::parse(&text).map_err(serde::de::Error::custom)
}

fn roles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Role>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| Role::parse(text).map_err(serde::de::Error::custom)).collect()
}

fn display<S: serde::Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests;
