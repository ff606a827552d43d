//! Any text is a command or a fault, and a JSON payload is exactly one JSON text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::protocol::json::{DecodeLimits, decode};
use portcullis::protocol::{Command, Payload, PayloadForm, WirePayload};

fuzz_target!(|text: &str| {
    let Ok(Command::Publish { payload, .. }) = decode(text, &DecodeLimits { max_payload: 1024 }) else {
        return;
    };
    assert!(payload.len() <= 1024);
    if payload.form() == PayloadForm::Json {
        let seen_afresh = Payload::opaque(payload.bytes());
        assert!(matches!(seen_afresh.wire(), WirePayload::Json(text) if text == payload.bytes()));
    }
});
