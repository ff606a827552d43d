//! Messages as a subscriber of this dialect reads them: `MSG` and `HMSG`.
//!
//! Everything but the subscription's id is the same for all who receive a message in the same form: what stands before the id
//! and what stands behind it are encoded once.

use super::{Form, number};
use crate::protocol::{Message, Sid};

/// The first line of a header block.
const VERSION: &str = "NATS/1.0\r\n";
/// The header that names the verified sender.
pub const FROM: &str = "Portcullis-From";

/// Appends what stands before the subscription's id.
pub fn message_head(message: &Message<'_>, form: Form, out: &mut Vec<u8>) {
    out.extend_from_slice(if has_headers(message, form) { b"HMSG " } else { b"MSG " });
    out.extend_from_slice(message.topic.as_str().as_bytes());
    out.push(b' ');
}

/// Appends what stands behind the subscription's id.
pub fn message_tail(message: &Message<'_>, form: Form, out: &mut Vec<u8>) {
    message_sizes(message, form, out);
    message_envelope(message, form, out);
    out.extend_from_slice(message.payload.bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends what of a message's line changes from message to message: where an answer goes, and the sizes.
pub fn message_sizes(message: &Message<'_>, form: Form, out: &mut Vec<u8>) {
    out.push(b' ');
    if let Some(reply) = &message.reply {
        out.extend_from_slice(reply.as_str().as_bytes());
        out.push(b' ');
    }
    let headers = header_bytes(message, form);
    if headers > 0 {
        number(headers, out);
        out.push(b' ');
    }
    number(headers + message.payload.len(), out);
}

/// Appends the end of a message's line, and its headers.
pub fn message_envelope(message: &Message<'_>, form: Form, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
    if has_headers(message, form) {
        write_headers(message, form, out);
    }
}

fn has_headers(message: &Message<'_>, form: Form) -> bool {
    match form {
        Form::Stamped => true,
        Form::AsPublished => !message.headers.is_empty(),
        Form::Headerless => false,
    }
}

/// Bytes of the header block; none of a message that has no block.
fn header_bytes(message: &Message<'_>, form: Form) -> usize {
    if !has_headers(message, form) {
        return 0;
    }
    let line = |name: &str, value: &str| name.len() + ": ".len() + value.len() + "\r\n".len();
    let stamp = if form == Form::Stamped { line(FROM, message.from.as_str()) } else { 0 };
    let lines: usize = message.headers.iter().map(|(name, value)| line(name, value)).sum();
    VERSION.len() + stamp + lines + "\r\n".len()
}

fn write_headers(message: &Message<'_>, form: Form, out: &mut Vec<u8>) {
    out.extend_from_slice(VERSION.as_bytes());
    if form == Form::Stamped {
        write_line(FROM, message.from.as_str(), out);
    }
    for (name, value) in message.headers.iter() {
        write_line(name, value, out);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_line(name: &str, value: &str, out: &mut Vec<u8>) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends a message of the gateway's own for one subscription.
pub(super) fn own_message(subject: &str, sid: &Sid, payload: &[u8], out: &mut Vec<u8>) {
    for part in ["MSG ", subject, " ", sid.as_str(), " "] {
        out.extend_from_slice(part.as_bytes());
    }
    number(payload.len(), out);
    for part in [&b"\r\n"[..], payload, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Appends what a request that nobody receives is answered with: an empty message with status 503, for the client's subscription
/// `sid` on `reply`.
pub fn no_responders(reply: &str, sid: &Sid, out: &mut Vec<u8>) {
    const STATUS: &str = "NATS/1.0 503\r\n\r\n";
    for part in ["HMSG ", reply, " ", sid.as_str(), " 16 16\r\n", STATUS, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends an error.
pub fn write_error(text: &str, out: &mut Vec<u8>) {
    for part in ["-ERR '", text, "'\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}
