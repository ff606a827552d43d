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

/// A run of messages as the subscription with one `sid` reads it.
#[derive(Default)]
pub struct Block {
    /// None while nothing is written.
    sid: Option<Sid>,
    bytes: Vec<u8>,
    lengths: Vec<u32>,
}

impl Block {
    pub fn sid(&self) -> Option<&Sid> {
        self.sid.as_ref()
    }

    /// Empties it and keeps its room.
    pub fn clear(&mut self) {
        self.sid = None;
        self.bytes.clear();
        self.lengths.clear();
    }

    /// The first `messages`, and how long each is.
    pub fn first(&self, messages: usize) -> (&[u8], &[u32]) {
        match self.lengths.get(..messages) {
            Some(lengths) if messages < self.lengths.len() => {
                let end = lengths.iter().map(|length| *length as usize).sum();
                (self.bytes.get(..end).unwrap_or_default(), lengths)
            }
            _ => (&self.bytes, &self.lengths),
        }
    }

    fn push(&mut self, frame: &Frame<'_>) {
        let start = self.bytes.len();
        let shared = frame.write(&mut self.bytes);
        debug_assert!(shared.is_none(), "what is shared goes alone");
        // What one message may have is counted in kilobytes here.
        self.lengths.push(u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX));
    }
}

impl Outlines {
    /// Fills a block for the subscription `sid` with messages that differ from `message` in their payload alone, are too small to be
    /// shared and have neither headers nor somebody who waits for an answer.
    pub fn write_run<'p>(
        &mut self,
        mut message: Message<'p>,
        payloads: impl Iterator<Item = Payload<'p>>,
        form: Form,
        sid: &Sid,
        block: &mut Block,
    ) {
        block.clear();
        block.sid = Some(sid.clone());
        let mut composed = None;
        for payload in payloads {
            let length = payload.len();
            message.payload = payload;
            if is_outlined(&message, form) {
                let outline = self.0[form.index()].get_or_insert_with(|| Outline::new(&message, form));
                if composed != Some(length) {
                    outline.compose(&message, form, sid);
                    composed = Some(length);
                }
                block.push(&outline.composed_frame(&message, form));
            } else {
                block.push(&Encodings::new(&message, None, &mut Vec::new()).of(form, sid));
            }
        }
    }

    /// Fills a block for the subscription `sid` with the messages of another, where all is the same but the id.
    pub fn readdress(&self, written: &Block, form: Form, sid: &Sid, block: &mut Block) {
        block.clear();
        block.sid = Some(sid.clone());
        let is_text = form == Form::Json;
        let outline = self.0[form.index()].as_ref();
        let head =
            if is_text { json::MESSAGE_HEAD.len() } else { outline.map_or(0, |outline| outline.head.len()) };
        let before = written.sid.as_ref().map_or(0, |before| spelled(before, form).len());
        let mut rest = &written.bytes[..];
        for length in &written.lengths {
            let Some((whole, behind)) = rest.split_at_checked(*length as usize) else {
                debug_assert!(false, "a block is as long as its messages together");
                return;
            };
            let header = if is_text { websocket::header_of(whole) } else { 0 };
            let message = whole.get(header..).unwrap_or_default();
            let (head, tail) = message.get(..head).zip(message.get(head + before..)).unwrap_or_default();
            block.push(&Frame::new(is_text, [head, spelled(sid, form), tail], None));
            rest = behind;
        }
    }

    /// What the subscription `sid` reads of a message that its outline fits.
    fn frame<'e>(&'e mut self, message: &'e Message<'_>, form: Form, sid: &Sid) -> Frame<'e> {
        let outline = self.0[form.index()].get_or_insert_with(|| Outline::new(message, form));
        outline.compose(message, form, sid);
        outline.composed_frame(message, form)
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
    fn composed_frame<'e>(&'e self, message: &'e Message<'_>, form: Form) -> Frame<'e> {
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
