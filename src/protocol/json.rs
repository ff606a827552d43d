//! The dialect `portcullis.json.v1`: one JSON object per WebSocket text message (`docs/protocol.md`).
//!
//! Invariant: a JSON payload passes through byte for byte, and nothing a publisher sends can become a field of the frame
//! that carries it to a subscriber. So `data` is spliced only where a parser has seen exactly one JSON text.

mod decode;
mod encode;
mod fault;
mod fields;
pub(super) mod lexical;

pub use decode::{DecodeLimits, decode, decode_proof};
pub use encode::{MESSAGE_HEAD, encode, message_envelope, message_tail, response_head, response_tail};
pub use fault::{DecodeError, DecodeFault};
pub use fields::Field;

/// The WebSocket subprotocol of this dialect.
pub const SUBPROTOCOL: &str = "portcullis.json.v1";
