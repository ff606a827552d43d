//! The gateway's side of RFC 6455 after the upgrade: bytes in, messages out, and back. No I/O happens here.
//!
//! Opcodes, close codes and the headers of what is written are `tungstenite`'s; the loop and the reading of headers are ours, because
//! a gateway needs what a general codec does not give: a length is checked before memory is taken for it, empty fragments are
//! counted, every fault has its close code, and messages are read where they lie. How often a peer sends control frames is for the
//! session to limit.

mod decoder;
mod encoder;
mod head;

pub use decoder::{Decoded, Decoder, Found, FrameFault, FrameLimits, Incoming, Piece};
pub use encoder::{
    MAX_CLOSE_REASON_BYTES, MAX_CONTROL_BYTES, MAX_HEADER_BYTES, binary, binary_header, close, header_len,
    header_of, ping, pong, text, text_header,
};

#[cfg(test)]
mod tests;

/// Applies a mask (RFC 6455, section 5.3); applying it twice changes nothing.
fn mask(data: &mut [u8], key: [u8; 4]) {
    let half = u32::from_ne_bytes(key);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = data.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    let (halves, rest) = rest.as_chunks_mut::<4>();
    for word in halves {
        *word = (u32::from_ne_bytes(*word) ^ half).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}
