//! Any bytes are messages or a fault, the same whether they come at once or one by one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::websocket::{Decoded, Decoder, FrameFault, FrameLimits, Incoming};

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(decode(bytes.chunks(1)), decode([bytes].into_iter()));
});

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
