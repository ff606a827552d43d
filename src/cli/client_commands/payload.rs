//! Payloads between a terminal and the wire.

use std::io::{self, BufRead, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::Failure;
use crate::client::{Body, Headers, Message};

/// Longest line taken from standard input; the gateway's own limit is far lower.
const MAX_LINE_BYTES: u64 = 8 << 20;
/// Lines read ahead of the gateway.
const LINES_AHEAD: usize = 16;

/// How DATA is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON if it is one JSON text, else the bytes as they are.
    Text,
    /// Base64 of the bytes.
    Base64,
}

pub(super) fn body(form: Form, data: Vec<u8>) -> Result<Body, Failure> {
    match form {
        Form::Base64 => STANDARD.decode(data.trim_ascii()).map(Body::from).map_err(|_| Failure::Base64),
        Form::Text if data.is_empty() => Ok(Body::Empty),
        Form::Text => match serde_json::from_slice::<Box<RawValue>>(&data) {
            Ok(json) => Ok(json.into()),
            Err(error) => {
                if looks_like_json(&data) {
                    eprintln!("note: the data is sent as bytes, it is no JSON text: {error}");
                }
                Ok(data.into())
            }
        },
    }
}

/// Whether a person who typed this most likely meant an object, an array or a string.
pub(super) fn looks_like_json(data: &[u8]) -> bool {
    matches!(data.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'))
}

/// The lines of standard input without their ends, from a thread of their own: a read from a terminal cannot be
/// cancelled, and nobody has to wait for this thread.
pub(super) fn stdin_lines() -> mpsc::Receiver<Result<Vec<u8>, Failure>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(line) = next_line(&mut input).transpose() {
            let is_last = line.is_err();
            if sender.blocking_send(line).is_err() || is_last {
                break;
            }
        }
    });
    receiver
}

pub(super) fn next_line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let read = input.take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line).map_err(Failure::Input)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        line.pop_if(|byte| *byte == b'\r');
    }
    match line.len() as u64 > MAX_LINE_BYTES {
        true => Err(Failure::LongLine { most: MAX_LINE_BYTES }),
        false => Ok(Some(line)),
    }
}

#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    #[serde(skip_serializing_if = "Headers::is_empty")]
    headers: &'a Headers,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a str>,
}

/// One message as one line of JSON, spelled like the protocol's own.
pub(super) fn write_line(message: &Message, out: &mut impl Write) -> io::Result<()> {
    let (data, data_base64) = match &message.body {
        Body::Empty => (None, None),
        Body::Json(text) => (Some(on_one_line(text)), None),
        Body::Bytes(bytes) => (None, Some(STANDARD.encode(bytes))),
    };
    let line = Line {
        topic: message.topic.as_str(),
        from: message.from.as_ref().map(|from| from.as_str()),
        data,
        data_base64,
        headers: &message.headers,
        reply: message.reply.as_ref().map(|reply| reply.as_str()),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// JSON has line ends only between its tokens, so that a space in their place means the same.
fn on_one_line(text: &RawValue) -> Box<RawValue> {
    match text.get().contains(['\n', '\r']) {
        false => text.to_owned(),
        true => {
            RawValue::from_string(text.get().replace(['\n', '\r'], " ")).unwrap_or_else(|_| text.to_owned())
        }
    }
}

/// The payload alone and a line end.
pub(super) fn write_raw(body: &Body, out: &mut impl Write) -> io::Result<()> {
    out.write_all(body.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}
