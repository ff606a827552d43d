//! Any bytes are operations or a fault, the same whether they come at once or in two pieces, wherever they are cut, and whatever
//! came before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::protocol::nats::{Decoder, Operation, StreamFault};
use portcullis::protocol::{Command, Headers, Payload};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let (one, other) = bytes.split_at(usize::from(cut) % (bytes.len() + 1));
    let together = decode(&[bytes], false);
    assert_eq!(decode(&[one, other], false), together);
    assert_eq!(decode(&[bytes], true), together);
});

/// An operation, and what a short one is short for.
fn told(operation: &Operation<'_>) -> String {
    let Operation::Again { topic, payload } = operation else { return format!("{operation:?}") };
    let (topic, payload) = ((*topic).into(), Payload::opaque(*payload));
    let command = Command::Publish { id: None, topic, payload, headers: Headers::EMPTY, reply: None };
    format!("{:?}", Operation::Command(command))
}

/// A decoder as official clients begin: only then what repeats is told shortly.
fn quiet() -> Decoder {
    let mut decoder = Decoder::default();
    let connect = b"CONNECT {\"verbose\":false}\r\n";
    let (_, found) = decoder.find(connect, 4096).expect("good");
    decoder.get(found.expect("whole"), connect).expect("good");
    decoder
}

/// What was asked for, and why nothing can be read behind it. If `alone`, each operation by a decoder that has read no other, until the
/// client says something of itself.
fn decode(pieces: &[&[u8]], alone: bool) -> (Vec<String>, Option<StreamFault>) {
    let (mut decoder, mut all, mut is_as_begun) = (quiet(), Vec::new(), true);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let (used, found) = match decoder.find(rest, 4096) {
                Ok(found) => found,
                Err(fault) => return (all, Some(fault)),
            };
            match found.map(|found| decoder.get(found, rest).map(|operation| told(&operation))) {
                Some(Ok(operation)) => {
                    is_as_begun &= !operation.starts_with("Connect");
                    all.push(operation);
                    if alone && is_as_begun {
                        decoder = quiet();
                    }
                }
                Some(Err(fault)) => return (all, Some(fault)),
                None => {}
            }
            rest = &rest[used..];
        }
    }
    (all, None)
}
