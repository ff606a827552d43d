//! Why a frame is no command, and what of it can be named in the answer.

use std::borrow::Cow;
use std::fmt;

use super::fields::Field;
use crate::protocol::{
    ErrorCode, ErrorEvent, HeaderError, MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES, MAX_JSON_DEPTH, Op, OpId,
    Sid,
};

/// A refused frame: the fault, and as much of the operation's name as could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeError {
    pub fault: DecodeFault,
    about: Box<About>,
}

/// What the peer was speaking of.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct About {
    pub(super) id: Option<OpId>,
    pub(super) op: Option<Op>,
    pub(super) sid: Option<Sid>,
    pub(super) topic: Option<Box<str>>,
}

impl DecodeError {
    pub(super) fn new(fault: DecodeFault, about: About) -> Self {
        Self { fault, about: Box::new(about) }
    }

    pub fn code(&self) -> ErrorCode {
        self.fault.code()
    }

    pub fn id(&self) -> Option<OpId> {
        self.about.id
    }

    pub fn op(&self) -> Option<Op> {
        self.about.op
    }

    /// The answer to the peer.
    pub fn into_event(self) -> ErrorEvent {
        let About { id, op, sid, topic } = *self.about;
        let reason = Cow::Owned(self.fault.to_string());
        ErrorEvent { id, op, sid, topic, ..ErrorEvent::new(self.fault.code(), reason) }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.about.op {
            Some(op) => write!(f, "`{op}` refused"),
            None => f.write_str("message refused"),
        }
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.fault)
    }
}

/// What is wrong with a frame. Every variant is the peer's fault; none repeats what a payload holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeFault {
    #[error("not valid JSON at line {line}, column {column}")]
    Syntax { line: usize, column: usize },
    #[error("a message is one JSON object")]
    NotAnObject,
    #[error("unknown field{}", quoted(.name))]
    UnknownField { name: Option<Box<str>> },
    #[error("field `{0}` stands twice")]
    DuplicateField(Field),
    #[error("field `{0}` is missing")]
    MissingField(Field),
    #[error("`{op}` has no field `{field}`")]
    ForeignField { op: Op, field: Field },
    #[error("field `{field}` must be {expected}")]
    BadField { field: Field, expected: &'static str },
    #[error("unknown operation")]
    UnknownOp,
    #[error("only one of `data` and `data_base64` may stand in a message")]
    BothPayloads,
    #[error("`data` nests deeper than {MAX_JSON_DEPTH}")]
    TooDeep,
    #[error("`data` escapes half a surrogate pair, which is no text")]
    LoneSurrogate,
    #[error("the payload has more than {limit} bytes")]
    PayloadTooLarge { limit: usize },
    #[error("header `{}`: {fault}", .name.as_deref().unwrap_or("…"))]
    Header { name: Option<Box<str>>, fault: HeaderError },
    #[error("a header name stands twice; give its values as an array")]
    DuplicateHeader,
    #[error("`chain` has at most {MAX_CHAIN_CERTIFICATES} certificates and {MAX_CHAIN_BYTES} bytes of DER")]
    ChainTooLarge,
}

impl DecodeFault {
    /// The code that the peer is answered with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::PayloadTooLarge { .. } => ErrorCode::TooLarge,
            Self::UnknownOp => ErrorCode::Unsupported,
            Self::Syntax { .. }
            | Self::NotAnObject
            | Self::UnknownField { .. }
            | Self::DuplicateField(_)
            | Self::MissingField(_)
            | Self::ForeignField { .. }
            | Self::BadField { .. }
            | Self::BothPayloads
            | Self::TooDeep
            | Self::LoneSurrogate
            | Self::Header { .. }
            | Self::DuplicateHeader
            | Self::ChainTooLarge => ErrorCode::BadMessage,
        }
    }
}

/// A name from the peer, if it is short and plain enough to be repeated to a developer.
pub(super) fn printable(name: &str) -> Option<Box<str>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    ((1..=32).contains(&name.len()) && name.bytes().all(plain)).then(|| name.into())
}

fn quoted(name: &Option<Box<str>>) -> String {
    name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default()
}
