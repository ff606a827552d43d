//! Frames from the gateway to a client: never masked, never fragmented (RFC 6455, section 5.1).

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Most bytes of a control frame's payload (RFC 6455, section 5.5).
pub const MAX_CONTROL_BYTES: usize = 125;
/// Most bytes of a close frame's reason: what the code leaves of a control frame.
pub const MAX_CLOSE_REASON_BYTES: usize = MAX_CONTROL_BYTES - 2;

/// Longest header of a frame that is not masked.
pub const MAX_HEADER_BYTES: usize = 10;

/// Appends a text message made of `parts`, which together must be UTF-8.
pub fn text(out: &mut Vec<u8>, parts: &[&[u8]]) {
    frame(out, OpCode::Data(Data::Text), parts);
}

/// Appends the header of a text message of so many bytes, which are to follow.
pub fn text_header(out: &mut Vec<u8>, length: usize) {
    header(out, OpCode::Data(Data::Text), length);
}

/// Bytes of the header of a message of so many bytes.
pub fn header_len(length: usize) -> usize {
    FrameHeader::default().len(length as u64)
}

/// Bytes of the header that a whole message begins with.
pub fn header_of(message: &[u8]) -> usize {
    match message.get(1) {
        Some(126) => 4,
        Some(127) => MAX_HEADER_BYTES,
        _ => 2,
    }
}

/// Appends a binary message made of `parts`.
pub fn binary(out: &mut Vec<u8>, parts: &[&[u8]]) {
    frame(out, OpCode::Data(Data::Binary), parts);
}

/// The header of a binary message of so many bytes, which are to follow.
pub fn binary_header(length: usize, out: &mut [u8; MAX_HEADER_BYTES]) -> &[u8] {
    let header = FrameHeader { opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
    let bytes = header.len(length as u64);
    header.format(length as u64, &mut &mut out[..]).expect("there is room for the longest");
    out.get(..bytes).unwrap_or_default()
}

/// Appends a ping; what goes beyond [`MAX_CONTROL_BYTES`] is cut off.
pub fn ping(out: &mut Vec<u8>, payload: &[u8]) {
    control(out, Control::Ping, payload);
}

/// Appends a pong; what goes beyond [`MAX_CONTROL_BYTES`] is cut off.
pub fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    control(out, Control::Pong, payload);
}

/// Appends a close frame; a reason is cut at the last character that fits in [`MAX_CLOSE_REASON_BYTES`].
pub fn close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let fits = |end: &usize| *end <= MAX_CLOSE_REASON_BYTES;
    let end =
        reason.char_indices().map(|(start, character)| start + character.len_utf8()).take_while(fits).last();
    let reason = reason.as_bytes().get(..end.unwrap_or(0)).unwrap_or_default();
    frame(out, OpCode::Control(Control::Close), &[&code.to_be_bytes(), reason]);
}

fn control(out: &mut Vec<u8>, control: Control, payload: &[u8]) {
    let payload = payload.get(..MAX_CONTROL_BYTES).unwrap_or(payload);
    frame(out, OpCode::Control(control), &[payload]);
}

fn frame(out: &mut Vec<u8>, opcode: OpCode, parts: &[&[u8]]) {
    let length = parts.iter().map(|part| part.len()).sum();
    out.reserve(MAX_HEADER_BYTES + length);
    header(out, opcode, length);
    for part in parts {
        out.extend_from_slice(part);
    }
}

fn header(out: &mut Vec<u8>, opcode: OpCode, length: usize) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    header.format(length as u64, out).expect("a Vec takes every write");
}
