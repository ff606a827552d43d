//! An [`Event`] becomes the text of one WebSocket message.
//!
//! Messages are encoded once for all their subscribers: a head with the subscription's id, and a tail they share.

use std::io::Write;
use std::sync::Arc;

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::protocol::{
    Challenge, ErrorEvent, Event, Headers, Message, OkResult, OpId, ReauthCause, Reauthenticated,
    RevokedBecause, Sid, Standing, WhoAmI, WirePayload,
};

/// Appends the whole text of an event.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    let wire = match event {
        Event::Ok { id, result: OkResult::Empty } => {
            out.extend_from_slice(br#"{"op":"ok","id":"#);
            write_json(id, out);
            return out.push(b'}');
        }
        Event::Ok { id, result: OkResult::WhoAmI(answer) } => Wire::WhoAmI { id: *id, answer },
        Event::Ok { id, result: OkResult::Reauthenticated(answer) } => Wire::Reauth { id: *id, answer },
        Event::Hello(standing) => Wire::Hello(standing),
        Event::Error(error) => Wire::Err(error),
        Event::ReauthRequired { challenge, deadline, cause } => {
            Wire::ReauthRequired { challenge, deadline: *deadline, cause: *cause }
        }
        Event::SubscriptionRevoked { sid, topic, reason, .. } => {
            Wire::RevokedSub { sid, topic: topic.as_str(), reason: *reason }
        }
        Event::Draining { deadline, alternatives } => Wire::Draining { deadline: *deadline, alternatives },
    };
    write_json(&wire, out);
}

/// What stands before a subscription's id in the frame of a message.
pub const MESSAGE_HEAD: &[u8] = br#"{"op":"msg","sid":"#;

/// Appends what stands before an answer's tail in the frame for the one who asked.
pub fn response_head(id: OpId, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"op":"res","id":"#);
    write_json(&id, out);
}

/// Appends what stands behind the subscription's id, which all who receive the message share.
pub fn message_tail(message: &Message<'_>, out: &mut Vec<u8>) {
    write_topic(message, out);
    if let Some(reply) = &message.reply {
        out.extend_from_slice(br#","reply":"#);
        write_json(reply.as_str(), out);
    }
    response_tail(message, out);
}

/// Appends what stands between the subscription's id and a payload of JSON, in a message with neither headers nor reply.
pub fn message_envelope(message: &Message<'_>, out: &mut Vec<u8>) {
    write_topic(message, out);
    write_sender(message, out);
    out.extend_from_slice(DATA);
}

/// The same for the answer to a request, which has neither topic nor reply.
pub fn response_tail(message: &Message<'_>, out: &mut Vec<u8>) {
    write_sender(message, out);
    write_headers(&message.headers, out);
    write_payload(message.payload.wire(), out);
    out.push(b'}');
}

fn write_topic(message: &Message<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#","topic":"#);
    write_json(message.topic.as_str(), out);
}

/// A name of a service has no character that JSON would escape.
fn write_sender(message: &Message<'_>, out: &mut Vec<u8>) {
    for part in [br#","from":""#, message.from.as_str().as_bytes(), b"\""] {
        out.extend_from_slice(part);
    }
}

const DATA: &[u8] = br#","data":"#;

fn write_payload(payload: WirePayload<'_>, out: &mut Vec<u8>) {
    match payload {
        WirePayload::Empty => {}
        WirePayload::Json(text) => {
            out.extend_from_slice(DATA);
            out.extend_from_slice(text);
        }
        WirePayload::Base64(bytes) => {
            out.extend_from_slice(br#","data_base64":""#);
            write!(out, "{}", Base64Display::new(bytes, &BASE64_STANDARD)).expect("a Vec takes every write");
            out.push(b'"');
        }
    }
}

/// An object in the order of each name's first place; several values of one name become an array.
fn write_headers(headers: &Headers, out: &mut Vec<u8>) {
    if headers.is_empty() {
        return;
    }
    out.extend_from_slice(br#","headers":{"#);
    let mut separator: &[u8] = b"";
    for (place, (name, _)) in headers.iter().enumerate() {
        if headers.iter().take(place).any(|(earlier, _)| earlier == name) {
            continue;
        }
        out.extend_from_slice(separator);
        separator = b",";
        write_json(name, out);
        out.push(b':');
        write_values(headers, name, out);
    }
    out.push(b'}');
}

fn write_values(headers: &Headers, name: &str, out: &mut Vec<u8>) {
    let values: Vec<&str> =
        headers.iter().filter(|(other, _)| *other == name).map(|(_, value)| value).collect();
    match values.as_slice() {
        [value] => write_json(value, out),
        values => write_json(values, out),
    }
}

fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("strings, integers and structs of them always serialize");
}

/// The events that are rare enough for a derive.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Wire<'a> {
    Hello(&'a Standing),
    #[serde(rename = "ok")]
    WhoAmI {
        id: OpId,
        #[serde(flatten)]
        answer: &'a WhoAmI,
    },
    #[serde(rename = "ok")]
    Reauth {
        id: OpId,
        #[serde(flatten)]
        answer: &'a Reauthenticated,
    },
    Err(&'a ErrorEvent),
    ReauthRequired {
        challenge: &'a Challenge,
        deadline: u64,
        cause: ReauthCause,
    },
    RevokedSub {
        sid: &'a Sid,
        topic: &'a str,
        reason: RevokedBecause,
    },
    Draining {
        deadline: u64,
        #[serde(skip_serializing_if = "is_empty")]
        alternatives: &'a Arc<[String]>,
    },
}

fn is_empty(alternatives: &Arc<[String]>) -> bool {
    alternatives.is_empty()
}

#[cfg(test)]
mod tests;
