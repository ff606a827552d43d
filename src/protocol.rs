//! What a service says to the gateway ([`Command`]) and what the gateway says to a service ([`Event`]).
//!
//! Both are free of any wire format: each dialect decodes its bytes into the same commands and encodes the same events,
//! so that what lies behind (session, policy, routing) knows one meaning. Invariant: whatever a [`Command`] carries is
//! bounded and well-formed, except topics and groups, which stay as the peer wrote them: the session looks them up in its
//! cache of permits before anyone parses them.

mod event;
mod headers;
pub mod json;
mod message;
pub mod nats;
mod operation;
mod payload;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use event::{
    CHALLENGE_BYTES, Challenge, ErrorCode, ErrorEvent, Event, Grants, Limits, OkResult, ReauthCause,
    Reauthenticated, RevokedBecause, Standing, WhoAmI,
};
pub use headers::{HeaderError, Headers, HeadersBuilder, MAX_HEADER_BYTES, MAX_HEADERS};
pub use message::Message;
pub use operation::{MAX_INTEGER, MAX_SID_CHARS, Op, OpId, Sid};
pub use payload::{MAX_JSON_DEPTH, Payload, PayloadForm, WirePayload};

/// Most certificates in the chain of a [`Proof`].
pub const MAX_CHAIN_CERTIFICATES: usize = 10;
/// Most bytes of DER in the chain of a [`Proof`], all certificates together.
pub const MAX_CHAIN_BYTES: usize = 64 * 1024;
/// Longest signature of a [`Proof`], in bytes: an RSA key of 16384 bits.
pub const MAX_SIGNATURE_BYTES: usize = 2048;
/// Longest host name of a [`Proof`], in bytes (RFC 1035, section 2.3.4).
pub const MAX_HOST_BYTES: usize = 255;
/// Longest name of a signature scheme, in bytes.
pub const MAX_SCHEME_BYTES: usize = 64;
/// Longest token of a [`Proof`], in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The languages spoken after the 101.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Json,
    Nats,
}

impl Dialect {
    pub const ALL: [Self; 2] = [Self::Json, Self::Nats];

    /// Its WebSocket subprotocol.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => json::SUBPROTOCOL,
            Self::Nats => nats::SUBPROTOCOL,
        }
    }
}

/// The forms in which a session may receive messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    Nats(nats::Form),
}

impl Form {
    /// Every form, in the order of their places.
    pub const ALL: [Self; 4] = [
        Self::Json,
        Self::Nats(nats::Form::Stamped),
        Self::Nats(nats::Form::AsPublished),
        Self::Nats(nats::Form::Headerless),
    ];
    pub const COUNT: usize = Self::ALL.len();

    /// Its place among all forms.
    pub fn index(self) -> usize {
        match self {
            Self::Json => 0,
            Self::Nats(nats::Form::Stamped) => 1,
            Self::Nats(nats::Form::AsPublished) => 2,
            Self::Nats(nats::Form::Headerless) => 3,
        }
    }

    /// The form at a place; at none there is, the plainest.
    pub fn at(index: usize) -> Self {
        Self::ALL.get(index).copied().unwrap_or(Self::Json)
    }
}

/// One operation that a service asks for. Borrows from the frame it was decoded from.
#[derive(Debug, Clone, PartialEq)]
pub enum Command<'a> {
    /// Receive what is published on a pattern; `echo` includes the session's own messages. In a `group` each message goes
    /// to one member.
    Subscribe { id: Option<OpId>, sid: Sid, topic: Cow<'a, str>, group: Option<Cow<'a, str>>, echo: bool },
    /// End a subscription, at once or after `max` messages counted from its beginning.
    Unsubscribe { id: Option<OpId>, sid: Sid, max: Option<u64> },
    /// Publish to every session that matches.
    Publish {
        id: Option<OpId>,
        topic: Cow<'a, str>,
        payload: Payload<'a>,
        headers: Headers,
        reply: Option<Cow<'a, str>>,
    },
    /// Publish and wait for one answer; without `timeout` the gateway's default holds.
    Request {
        id: OpId,
        topic: Cow<'a, str>,
        payload: Payload<'a>,
        headers: Headers,
        timeout: Option<Duration>,
    },
    /// Answer a message that carried `reply`.
    Respond { id: Option<OpId>, reply: Cow<'a, str>, payload: Payload<'a>, headers: Headers },
    /// Ask who the gateway takes this session for.
    WhoAmI { id: OpId },
    /// Prove possession of a certificate on this very session.
    Reauthenticate { id: OpId, proof: Box<Proof> },
}

impl Command<'_> {
    /// Which operation this is.
    pub fn op(&self) -> Op {
        match self {
            Self::Subscribe { .. } => Op::Subscribe,
            Self::Unsubscribe { .. } => Op::Unsubscribe,
            Self::Publish { .. } => Op::Publish,
            Self::Request { .. } => Op::Request,
            Self::Respond { .. } => Op::Respond,
            Self::WhoAmI { .. } => Op::WhoAmI,
            Self::Reauthenticate { .. } => Op::Reauthenticate,
        }
    }

    /// The id under which the peer wants its answer.
    pub fn id(&self) -> Option<OpId> {
        match self {
            Self::Subscribe { id, .. }
            | Self::Unsubscribe { id, .. }
            | Self::Publish { id, .. }
            | Self::Respond { id, .. } => *id,
            Self::Request { id, .. } | Self::WhoAmI { id } | Self::Reauthenticate { id, .. } => Some(*id),
        }
    }
}

/// A proof of possession as the peer states it; nothing in it is verified yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof {
    /// DER certificates, leaf first: at least one, at most [`MAX_CHAIN_CERTIFICATES`] and [`MAX_CHAIN_BYTES`].
    pub chain: Vec<Vec<u8>>,
    /// The host name that the peer dialled.
    pub host: String,
    /// IANA name of a TLS 1.3 signature scheme, such as `ecdsa_secp256r1_sha256`.
    pub scheme: String,
    /// The signature over the challenge; ECDSA as DER.
    pub signature: Vec<u8>,
    /// A new token bound to the certificate.
    pub token: Option<String>,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("certificates", &self.chain.len())
            .field("host", &self.host)
            .field("scheme", &self.scheme)
            .field("has_token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}
