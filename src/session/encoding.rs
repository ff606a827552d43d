//! A message on its way to many: encoded once for each form in which somebody receives it, whatever their number.

use std::ops::Range;

use bytes::Bytes;

use crate::protocol::{Form, Message, Sid, json, nats};
use crate::websocket;

/// Encodings of at least so many bytes are shared by all who receive them; smaller ones are copied, which costs less than to
/// count who still needs them.
const SHARED_FROM: usize = 4 * 1024;

/// One message, and as much of its encodings as was asked for so far.
pub struct Encodings<'m> {
    message: &'m Message<'m>,
    forms: [Option<Encoded>; Form::COUNT],
    scratch: &'m mut Vec<u8>,
}

/// What all frames of one form have in common.
struct Encoded {
    /// What stands before the subscription's id, in the scratch.
    head: Range<usize>,
    tail: Tail,
}

/// What stands behind the subscription's id.
enum Tail {
    Scratch(Range<usize>),
    Shared(Bytes),
}

impl<'m> Encodings<'m> {
    /// Encodes into `scratch`, which holds nothing that is needed.
    pub fn new(message: &'m Message<'m>, scratch: &'m mut Vec<u8>) -> Self {
        scratch.clear();
        Self { message, forms: [const { None }; Form::COUNT], scratch }
    }

    pub fn message(&self) -> &Message<'m> {
        self.message
    }

    /// What the subscription `sid` reads in this form.
    pub fn of<'e>(&'e mut self, form: Form, sid: &'e Sid) -> Frame<'e> {
        let Self { message, forms, scratch } = self;
        let encoded = forms[form.index()].get_or_insert_with(|| Encoded::new(message, form, scratch));
        let tail = match &encoded.tail {
            Tail::Scratch(place) => Part::Copied(&scratch[place.clone()]),
            Tail::Shared(bytes) => Part::Shared(bytes),
        };
        Frame { form, head: &scratch[encoded.head.clone()], sid, tail }
    }
}

impl Encoded {
    fn new(message: &Message<'_>, form: Form, scratch: &mut Vec<u8>) -> Self {
        let start = scratch.len();
        match form {
            Form::Json => scratch.extend_from_slice(json::MESSAGE_HEAD),
            Form::Nats(form) => nats::message_head(message, form, scratch),
        }
        let head = start..scratch.len();
        let is_large = message.payload.bytes().len() >= SHARED_FROM;
        let mut own = Vec::new();
        let out = if is_large { &mut own } else { &mut *scratch };
        out.reserve(message.payload.bytes().len() + ENVELOPE);
        match form {
            Form::Json => json::message_tail(message, out),
            Form::Nats(form) => nats::message_tail(message, form, out),
        }
        let tail = if is_large { Tail::Shared(own.into()) } else { Tail::Scratch(head.end..scratch.len()) };
        Self { head, tail }
    }
}

/// Room for what usually stands around a payload.
const ENVELOPE: usize = 256;

/// What one subscription reads.
pub struct Frame<'e> {
    form: Form,
    head: &'e [u8],
    sid: &'e Sid,
    tail: Part<'e>,
}

enum Part<'e> {
    Copied(&'e [u8]),
    Shared(&'e Bytes),
}

impl Frame<'_> {
    /// How many bytes it has, or a few less.
    pub fn len(&self) -> usize {
        self.head.len() + self.sid.as_str().len() + self.quote().len() * 2 + self.tail().len()
    }

    /// Appends it, except for an end that is shared, which it returns.
    pub fn write(&self, out: &mut Vec<u8>) -> Option<Bytes> {
        if self.form == Form::Json {
            websocket::text_header(out, self.len());
        }
        for part in [self.head, self.quote(), self.sid.as_str().as_bytes(), self.quote()] {
            out.extend_from_slice(part);
        }
        match self.tail {
            Part::Copied(bytes) => {
                out.extend_from_slice(bytes);
                None
            }
            Part::Shared(bytes) => Some(bytes.clone()),
        }
    }

    /// What stands around a `sid` that is no number in JSON.
    fn quote(&self) -> &'static [u8] {
        if self.form == Form::Json && !self.sid.is_number() { b"\"" } else { b"" }
    }

    fn tail(&self) -> &[u8] {
        match self.tail {
            Part::Copied(bytes) => bytes,
            Part::Shared(bytes) => bytes,
        }
    }
}
