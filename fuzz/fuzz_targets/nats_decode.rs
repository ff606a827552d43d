//! Any bytes are operations or a fault, the same whether they come at once or in two pieces, wherever they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::protocol::nats::{Decoder, Operation, StreamFault};
use portcullis::protocol::{Command, Headers, Payload};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let (one, other) = bytes.split_at(usize::from(cut) % (bytes.len() + 1));
    assert_eq!(decode(&[one, other]), decode(&[bytes]));
});

/// An operation, and what a short one is short for.
fn told(operation: &Operation<'_>) -> String {
    let Operation::Again { topic, payload } = operation else { return format!("{operation:?}") };
    let (topic, payload) = ((*topic).into(), Payload::opaque(*payload));
    let command = Command::Publish { id: None, topic, payload, headers: Headers::EMPTY, reply: None };
    format!("{:?}", Operation::Command(command))
}

/// What was asked for, and why nothing can be read behind it.
fn decode(pieces: &[&[u8]]) -> (Vec<String>, Option<StreamFault>) {
    let (mut decoder, mut all) = (Decoder::default(), Vec::new());
    // As official clients begin: only then what repeats is told shortly.
    let quiet: &[u8] = b"CONNECT {\"verbose\":false}\r\n";
    for piece in [&[quiet], pieces].concat() {
        let mut rest = piece;
        while !rest.is_empty() {
            let (used, found) = match decoder.find(rest, 4096) {
                Ok(found) => found,
                Err(fault) => return (all, Some(fault)),
            };
            match found.map(|found| decoder.get(found, rest).map(|operation| told(&operation))) {
                Some(Ok(operation)) => all.push(operation),
                Some(Err(fault)) => return (all, Some(fault)),
                None => {}
            }
            rest = &rest[used..];
        }
    }
    (all, None)
}
