//! Any bytes are operations or a fault, the same whether they come at once or in two pieces, wherever they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::protocol::nats::{Decoder, StreamFault};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let (one, other) = bytes.split_at(usize::from(cut) % (bytes.len() + 1));
    assert_eq!(decode(&[one, other]), decode(&[bytes]));
});

/// What was asked for, and why nothing can be read behind it.
fn decode(pieces: &[&[u8]]) -> (Vec<String>, Option<StreamFault>) {
    let (mut decoder, mut all) = (Decoder::default(), Vec::new());
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let (used, found) = match decoder.find(rest, 4096) {
                Ok(found) => found,
                Err(fault) => return (all, Some(fault)),
            };
            match found.map(|found| decoder.get(found, rest).map(|operation| format!("{operation:?}"))) {
                Some(Ok(operation)) => all.push(operation),
                Some(Err(fault)) => return (all, Some(fault)),
                None => {}
            }
            rest = &rest[used..];
        }
    }
    (all, None)
}
