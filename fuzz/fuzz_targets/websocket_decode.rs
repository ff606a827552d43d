//! Any bytes are messages or a fault, the same whether they come at once or one by one.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use portcullis::websocket::{Decoder, FrameFault, FrameLimits, Incoming};

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(decode(bytes.chunks(1)), decode([bytes].into_iter()));
});

fn decode<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Incoming>, Option<FrameFault>) {
    let mut decoder = Decoder::new(FrameLimits { max_message: 4096, max_fragments: 16 });
    let (mut buf, mut all) = (BytesMut::new(), Vec::new());
    for chunk in chunks {
        buf.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(incoming)) => all.push(incoming),
                Ok(None) => break,
                Err(fault) => return (all, Some(fault)),
            }
        }
    }
    (all, None)
}
