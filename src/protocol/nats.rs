//! The NATS client protocol, so that the official clients of every language work unchanged: a stream of lines and payloads, in
//! pieces that binary WebSocket messages carry (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).
//!
//! Invariant: who a session is stands in its certificate. Nothing in `CONNECT` changes it, credentials least of all, and nothing
//! that a client publishes can become a line of the protocol or a header of the gateway's own.

mod connect;
mod decode;
mod encode;
mod headers;
mod info;
mod shape;
mod violation;
mod voice;

pub use connect::Connect;
pub use decode::{Decoder, Found, Operation, StreamFault};
pub use encode::{
    FROM, message_envelope, message_head, message_sizes, message_tail, no_responders, write_error,
};
pub use headers::HeaderFault;
pub use voice::{MOST_LISTENING, Voice};

/// The WebSocket subprotocol of this dialect.
pub const SUBPROTOCOL: &str = "nats";
/// Longest line of the protocol, in bytes, as of nats-server.
pub const MAX_CONTROL_LINE: usize = 4096;
/// Where a client asks the gateway who it is taken for.
pub const WHOAMI: &str = "$SYS.REQ.SESSION.WHOAMI";
/// Where a client proves a renewed certificate.
pub const REAUTH: &str = "$SYS.REQ.SESSION.REAUTH";
/// What the gateway tells a session that subscribes to it, begins with this.
pub const SESSION_EVENTS: &str = "$SYS.SESSION.";

/// In which form a client of this dialect receives messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With the verified sender in a header.
    Stamped,
    /// With the headers that the publisher gave.
    AsPublished,
    /// Without any header: the client said that it knows none.
    Headerless,
}

/// Appends a number in decimal.
fn number(number: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests;
