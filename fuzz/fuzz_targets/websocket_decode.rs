//! Any bytes are messages or a fault, the same whether they come at once or one by one; and so are binary messages that are read as
//! they come.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::websocket::{Decoded, Decoder, FrameFault, FrameLimits, Incoming, Piece};

fuzz_target!(|bytes: &[u8]| {
    let whole = decode([bytes].into_iter());
    assert_eq!(decode(bytes.chunks(1)), whole);
    let pieces = stream([bytes].into_iter());
    assert_eq!(stream(bytes.chunks(1)), pieces);
    // Of binary messages the bound is not theirs.
    if whole.1.is_none() {
        let (binary, others): (Vec<_>, Vec<_>) =
            whole.0.into_iter().partition(|(kind, _)| kind.starts_with("Binary"));
        let binary: Vec<u8> = binary.into_iter().flat_map(|(_, bytes)| bytes).collect();
        assert!(pieces.0.starts_with(&binary));
        assert_eq!((pieces.1, pieces.2), (others, None));
    }
});

/// The bytes of binary messages, and what else was said.
fn stream<'a>(
    chunks: impl Iterator<Item = &'a [u8]>,
) -> (Vec<u8>, Vec<(String, Vec<u8>)>, Option<FrameFault>) {
    let mut decoder = Decoder::new(FrameLimits { max_message: 4096, max_fragments: 16 });
    let (mut buf, mut binary, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for chunk in chunks {
        buf.extend_from_slice(chunk);
        loop {
            let (used, found) = match decoder.find_piece(&mut buf) {
                Ok(found) => found,
                Err(fault) => return (binary, others, Some(fault)),
            };
            let is_something = found.is_some();
            match found {
                Some(Piece::Bytes(place)) => binary.extend_from_slice(&buf[place]),
                Some(Piece::Whole(found)) => match decoder.get(found, &buf) {
                    Ok(incoming) => others.push(owned(incoming)),
                    Err(fault) => return (binary, others, Some(fault)),
                },
                None => {}
            }
            buf.drain(..used);
            if !is_something {
                break;
            }
        }
    }
    (binary, others, None)
}

/// What was said, each with its kind and its bytes.
fn decode<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<(String, Vec<u8>)>, Option<FrameFault>) {
    let mut decoder = Decoder::new(FrameLimits { max_message: 4096, max_fragments: 16 });
    let (mut buf, mut all) = (Vec::new(), Vec::new());
    for chunk in chunks {
        buf.extend_from_slice(chunk);
        loop {
            let (used, said) = match decoder.decode(&mut buf) {
                Ok(Decoded { used, incoming }) => (used, incoming.map(owned)),
                Err(fault) => return (all, Some(fault)),
            };
            buf.drain(..used);
            let Some(said) = said else { break };
            all.push(said);
        }
    }
    (all, None)
}

fn owned(incoming: Incoming<'_>) -> (String, Vec<u8>) {
    let bytes = match incoming {
        Incoming::Text(text) => text.as_bytes(),
        Incoming::Binary(bytes) | Incoming::Ping(bytes) | Incoming::Pong(bytes) => bytes,
        Incoming::Close { reason, .. } => reason.as_bytes(),
    };
    (format!("{incoming:?}"), bytes.to_vec())
}
