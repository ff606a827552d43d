//! A message on its way to many: encoded once for each form in which somebody receives it, whatever their number.
//!
//! Most messages are small, have no headers, and go the way that the one before went. Of such a one nothing is encoded but its
//! sizes: what its frame repeats from message to message stands in an [`Outline`], and its payload is copied from where it was
//! read to where it will be written.

use std::ops::Range;

use bytes::Bytes;

use crate::protocol::{Form, Message, Payload, Sid, WirePayload, json, nats};
use crate::websocket;

/// Encodings of at least so many bytes are shared by all who receive them; smaller ones are copied, which costs less than to
/// count who still needs them.
pub const SHARED_FROM: usize = 4 * 1024;
/// Room for what usually stands around a payload.
const ENVELOPE: usize = 256;

/// What the frames of one sender's messages on one topic have in common, by form.
#[derive(Default)]
pub struct Outlines([Option<Outline>; Form::COUNT]);

/// What stands before the payload: what all messages have in common, and what the one before had.
struct Outline {
    /// What stands before the subscription's id.
    head: Box<[u8]>,
    /// What stands between the sizes and the payload.
    envelope: Box<[u8]>,
    /// The sizes and the envelope, of a payload of so many bytes if that alone decides.
    line: Vec<u8>,
    line_fits: Option<usize>,
    /// Everything, for the subscription with this id.
    prefix: Vec<u8>,
    prefix_fits: Option<Sid>,
}

/// One message, and as much of its encodings as was asked for so far.
pub struct Encodings<'m> {
    message: &'m Message<'m>,
    /// Those of the lane that the message goes down, if it goes down one.
    outlines: Option<&'m mut Outlines>,
    /// Whether they fit it, as far as that was asked.
    is_outlined: [Option<bool>; Form::COUNT],
    forms: [Option<Encoded>; Form::COUNT],
    scratch: &'m mut Vec<u8>,
}

/// How one message is encoded in one form without an outline.
enum Encoded {
    /// As a whole: what stands before the subscription's id and what stands behind it, in the scratch.
    Whole { head: Range<usize>, tail: Range<usize> },
    /// The same, its end shared.
    Shared { head: Range<usize>, tail: Bytes },
}

impl Outlines {
    /// Appends what the subscription `sid` reads of each message of a run, and how long each is there. They differ from `message`
    /// in their payload alone, are too small to be shared and have neither headers nor somebody who waits for an answer.
    pub fn write_run<'p>(
        &mut self,
        mut message: Message<'p>,
        payloads: impl Iterator<Item = Payload<'p>>,
        form: Form,
        sid: &Sid,
        (out, lengths): (&mut Vec<u8>, &mut Vec<u32>),
    ) {
        let mut composed = None;
        for payload in payloads {
            let (start, length) = (out.len(), payload.len());
            message.payload = payload;
            let shared = if is_outlined(&message, form) {
                let outline = self.0[form.index()].get_or_insert_with(|| Outline::new(&message, form));
                if composed != Some(length) {
                    outline.compose(&message, form, sid);
                    composed = Some(length);
                }
                outline.frame(&message, form).write(out)
            } else {
                Encodings::new(&message, None, &mut Vec::new()).of(form, sid).write(out)
            };
            debug_assert!(shared.is_none(), "the message is small");
            // What one message may have is counted in kilobytes here.
            lengths.push(u32::try_from(out.len() - start).unwrap_or(u32::MAX));
        }
    }

    /// Appends a run that was written for the subscription `from` as the subscription `to` reads it, where all is the same but the
    /// id.
    pub fn readdress(
        &self,
        (run, lengths): (&[u8], &[u32]),
        form: Form,
        from: &Sid,
        to: &Sid,
        (out, out_lengths): (&mut Vec<u8>, &mut Vec<u32>),
    ) {
        let is_text = form == Form::Json;
        let outline = self.0[form.index()].as_ref();
        let head =
            if is_text { json::MESSAGE_HEAD.len() } else { outline.map_or(0, |outline| outline.head.len()) };
        let (from, to) = (spelled(from, form).len(), spelled(to, form));
        let mut rest = run;
        for length in lengths {
            let Some((written, behind)) = rest.split_at_checked(*length as usize) else { return };
            let message =
                written.get(if is_text { websocket::header_of(written) } else { 0 }..).unwrap_or_default();
            let parts = message.get(..head).zip(message.get(head + from..)).unwrap_or_default();
            let start = out.len();
            Frame::new(is_text, [parts.0, to, parts.1], None).write(out);
            out_lengths.push(u32::try_from(out.len() - start).unwrap_or(u32::MAX));
            rest = behind;
        }
    }

    /// What the subscription `sid` reads of a message that its outline fits.
    fn frame<'e>(&'e mut self, message: &'e Message<'_>, form: Form, sid: &Sid) -> Frame<'e> {
        let outline = self.0[form.index()].get_or_insert_with(|| Outline::new(message, form));
        outline.compose(message, form, sid);
        outline.frame(message, form)
    }
}

impl<'m> Encodings<'m> {
    /// Encodes into `scratch`, which holds nothing that is needed. The outlines are of other messages of the same sender on the
    /// same topic; without them nothing is made that such messages could use.
    pub fn new(
        message: &'m Message<'m>,
        outlines: Option<&'m mut Outlines>,
        scratch: &'m mut Vec<u8>,
    ) -> Self {
        scratch.clear();
        Self {
            message,
            outlines,
            is_outlined: [None; Form::COUNT],
            forms: [const { None }; Form::COUNT],
            scratch,
        }
    }

    pub fn message(&self) -> &Message<'m> {
        self.message
    }

    /// What the subscription `sid` reads in this form.
    pub fn of<'e>(&'e mut self, form: Form, sid: &'e Sid) -> Frame<'e> {
        let Self { message, outlines, is_outlined: outlined, forms, scratch } = self;
        let place = form.index();
        if let Some(outlines) = outlines
            && *outlined[place].get_or_insert_with(|| is_outlined(message, form))
        {
            return outlines.frame(message, form, sid);
        }
        let (is_text, sid) = (form == Form::Json, spelled(sid, form));
        match forms[place].get_or_insert_with(|| Encoded::new(message, form, scratch)) {
            Encoded::Whole { head, tail } => {
                Frame::new(is_text, [&scratch[head.clone()], sid, &scratch[tail.clone()]], None)
            }
            Encoded::Shared { head, tail } => {
                Frame::new(is_text, [&scratch[head.clone()], sid, b""], Some(tail))
            }
        }
    }
}

fn spelled(sid: &Sid, form: Form) -> &[u8] {
    match form {
        Form::Json => sid.as_json().as_bytes(),
        Form::Nats(_) => sid.as_str().as_bytes(),
    }
}

impl Encoded {
    fn new(message: &Message<'_>, form: Form, scratch: &mut Vec<u8>) -> Self {
        let start = scratch.len();
        let is_large = message.payload.len() >= SHARED_FROM;
        match form {
            Form::Json => scratch.extend_from_slice(json::MESSAGE_HEAD),
            Form::Nats(form) => nats::message_head(message, form, scratch),
        }
        let head = start..scratch.len();
        let mut own = Vec::new();
        let out = if is_large { &mut own } else { &mut *scratch };
        out.reserve(message.payload.len() + ENVELOPE);
        match form {
            Form::Json => json::message_tail(message, out),
            Form::Nats(form) => nats::message_tail(message, form, out),
        }
        match is_large {
            true => Self::Shared { head, tail: own.into() },
            false => Self::Whole { tail: head.end..scratch.len(), head },
        }
    }
}

/// Whether an outline and a payload as it was sent are all there is to a message, and are not to be shared.
fn is_outlined(message: &Message<'_>, form: Form) -> bool {
    if message.payload.len() >= SHARED_FROM || !message.headers.is_empty() {
        return false;
    }
    match form {
        Form::Nats(_) => true,
        Form::Json => message.reply.is_none() && matches!(message.payload.wire(), WirePayload::Json(_)),
    }
}

impl Outline {
    fn new(message: &Message<'_>, form: Form) -> Self {
        let (mut head, mut envelope) = (Vec::new(), Vec::new());
        match form {
            Form::Json => {
                head.extend_from_slice(json::MESSAGE_HEAD);
                json::message_envelope(message, &mut envelope);
            }
            Form::Nats(form) => {
                nats::message_head(message, form, &mut head);
                nats::message_envelope(message, form, &mut envelope);
            }
        }
        Self {
            head: head.into(),
            envelope: envelope.into(),
            line: Vec::new(),
            line_fits: None,
            prefix: Vec::new(),
            prefix_fits: None,
        }
    }

    /// Puts together what stands before this message's payload, for the subscription `sid`. Nothing is written anew if the message
    /// before was as long and went to the same `sid`, which those of different sessions often are.
    fn compose(&mut self, message: &Message<'_>, form: Form, sid: &Sid) {
        let length = message.payload.len();
        if self.line_fits != Some(length) || message.reply.is_some() {
            self.line.clear();
            if let Form::Nats(form) = form {
                nats::message_sizes(message, form, &mut self.line);
            }
            self.line.extend_from_slice(&self.envelope);
            self.line_fits = message.reply.is_none().then_some(length);
            self.prefix_fits = None;
        }
        if self.prefix_fits.as_ref().is_none_or(|fits| fits.as_json() != sid.as_json()) {
            self.prefix.clear();
            for part in [&self.head, spelled(sid, form), &self.line] {
                self.prefix.extend_from_slice(part);
            }
            self.prefix_fits = Some(sid.clone());
        }
    }

    /// A message as the subscription reads it that the prefix was composed for.
    fn frame<'e>(&'e self, message: &'e Message<'_>, form: Form) -> Frame<'e> {
        let is_text = form == Form::Json;
        let end: &[u8] = if is_text { b"}" } else { b"\r\n" };
        Frame::new(is_text, [&self.prefix, message.payload.bytes(), end], None)
    }
}

/// What one subscription reads.
pub struct Frame<'e> {
    /// Whether it is a WebSocket message of its own.
    is_text: bool,
    parts: [&'e [u8]; 3],
    shared: Option<&'e Bytes>,
    /// Bytes of the parts.
    own: usize,
}

impl<'e> Frame<'e> {
    fn new(is_text: bool, parts: [&'e [u8]; 3], shared: Option<&'e Bytes>) -> Self {
        let own = parts.iter().map(|part| part.len()).sum();
        Self { is_text, parts, shared, own }
    }

    /// How many bytes it has, shared ones among them.
    pub fn len(&self) -> usize {
        let payload = self.payload_len();
        if self.is_text { websocket::header_len(payload) + payload } else { payload }
    }

    fn payload_len(&self) -> usize {
        self.own + self.shared.map_or(0, Bytes::len)
    }

    /// Appends it, except for an end that is shared, which it returns.
    pub fn write(&self, out: &mut Vec<u8>) -> Option<Bytes> {
        if self.is_text {
            websocket::text_header(out, self.payload_len());
        }
        out.reserve(self.own);
        for part in self.parts {
            out.extend_from_slice(part);
        }
        self.shared.cloned()
    }
}
