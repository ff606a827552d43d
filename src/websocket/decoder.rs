//! Frames from a client to the gateway: checked, unmasked and put together to messages.

use std::fmt;
use std::ops::Range;

use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::head::Head;
use super::{MAX_CONTROL_BYTES, mask};

/// What a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes of one message, all fragments together.
    pub max_message: usize,
    /// Frames of one message: empty fragments cost no bytes, so the bound on bytes does not stop a flood of them.
    pub max_fragments: usize,
}

/// One thing that a client said. It lies where it was read, or where its fragments were put together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'d> {
    Text(&'d str),
    Binary(&'d [u8]),
    /// Must be answered by a pong with the same payload.
    Ping(&'d [u8]),
    Pong(&'d [u8]),
    /// The last frame of a client; whatever follows is to be discarded. No `code` if the frame was empty.
    Close {
        code: Option<u16>,
        reason: &'d str,
    },
}

/// Kind and length: the content is nobody's business in a log.
impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
            Self::Ping(bytes) => write!(f, "Ping({} bytes)", bytes.len()),
            Self::Pong(bytes) => write!(f, "Pong({} bytes)", bytes.len()),
            Self::Close { code, reason } => write!(f, "Close({code:?}, {} bytes)", reason.len()),
        }
    }
}

/// Puts a client's frames together. After a fault the connection ends; the decoder is of no further use.
#[derive(Debug)]
pub struct Decoder {
    limits: FrameLimits,
    partial: Option<Partial>,
    /// A message that is found piece by piece.
    open: Option<Open>,
}

/// What a call of [`Decoder::decode`] found.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded<'d> {
    /// Bytes of the input that are done with, once `incoming` is.
    pub used: usize,
    /// The next message or control frame, or nothing if more bytes are needed first.
    pub incoming: Option<Incoming<'d>>,
}

/// Where something whole lies, until the decoder or the bytes are touched again.
#[derive(Debug, Clone)]
pub struct Found {
    opcode: OpCode,
    /// In the input; nothing if its fragments were put together.
    place: Option<Range<usize>>,
}

/// What [`Decoder::find_piece`] found.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Bytes of a binary message, in the input. There may be none.
    Bytes(Range<usize>),
    /// A text message or a control frame.
    Whole(Found),
}

impl Decoder {
    pub fn new(limits: FrameLimits) -> Self {
        Self { limits, partial: None, open: None }
    }

    /// The next message or control frame at the beginning of `input`: [`Self::find`] and [`Self::get`].
    pub fn decode<'d>(&'d mut self, input: &'d mut [u8]) -> Result<Decoded<'d>, FrameFault> {
        let (used, found) = self.find(input)?;
        let incoming = found.map(|found| self.get(found, input)).transpose()?;
        Ok(Decoded { used, incoming })
    }

    /// Looks for the next message or control frame at the beginning of `input`, of which whole frames lose their mask. How many
    /// bytes are done with, once what was found is. Memory is taken for fragments alone, and only for those that have arrived.
    // Inlined, because what it returns, written in parts and read as a whole, makes the processor wait.
    #[inline(always)]
    pub fn find(&mut self, input: &mut [u8]) -> Result<(usize, Option<Found>), FrameFault> {
        self.partial.take_if(|partial| partial.is_whole);
        let mut used = 0;
        loop {
            let Some(rest) = input.get_mut(used..) else { return Ok((used, None)) };
            let Some(head) = Head::read(rest)? else { return Ok((used, None)) };
            self.check(&head)?;
            let Some(payload) = head.unmask(rest) else { return Ok((used, None)) };
            let part = self.accept(&head, rest.get(payload.clone()).unwrap_or_default())?;
            let payload = used + payload.start..used + payload.end;
            used = payload.end;
            let place = match part {
                Part::More => continue,
                Part::Last => None,
                Part::All => Some(payload),
            };
            return Ok((used, Some(Found { opcode: head.opcode, place })));
        }
    }

    /// Like [`Self::find`], for a dialect whose messages are pieces of a stream: of a binary message whatever has arrived is found,
    /// so that it may be of any length, and holds no memory.
    #[inline(always)]
    pub fn find_piece(&mut self, input: &mut [u8]) -> Result<(usize, Option<Piece>), FrameFault> {
        let mut start = 0;
        if self.open.as_ref().is_none_or(|open| open.left == 0) {
            self.partial.take_if(|partial| partial.is_whole);
            let Some(head) = Head::read(input)? else { return Ok((0, None)) };
            if !self.begins_piece(&head)? {
                return self.find_whole(input);
            }
            start = head.bytes;
        }
        let Some(open) = &mut self.open else { return Ok((0, None)) };
        let length = open.unmask(input.get_mut(start..).unwrap_or_default());
        if open.left == 0 && open.is_final {
            self.open = None;
        }
        let end = start + length;
        Ok((end, (end > 0).then_some(Piece::Bytes(start..end))))
    }

    #[cold]
    fn find_whole(&mut self, input: &mut [u8]) -> Result<(usize, Option<Piece>), FrameFault> {
        let (used, found) = self.find(input)?;
        Ok((used, found.map(Piece::Whole)))
    }

    /// Whether a frame is found piece by piece, and not as a whole.
    fn begins_piece(&mut self, head: &Head) -> Result<bool, FrameFault> {
        let fragments = match (&self.open, head.opcode) {
            (_, OpCode::Control(_)) => return Ok(false),
            (Some(open), OpCode::Data(Data::Continue)) => open.fragments,
            (Some(_), OpCode::Data(_)) => return Err(FrameFault::MessageInterrupted),
            (None, OpCode::Data(Data::Binary)) if self.partial.is_none() => 0,
            (None, OpCode::Data(_)) => return Ok(false),
        };
        if fragments >= self.limits.max_fragments {
            return Err(FrameFault::TooManyFragments { limit: self.limits.max_fragments });
        }
        let &Head { length, mask, is_final, .. } = head;
        self.open = Some(Open { left: length, mask, is_final, fragments: fragments + 1 });
        Ok(true)
    }

    /// What was found in `input`.
    pub fn get<'d>(&'d self, found: Found, input: &'d [u8]) -> Result<Incoming<'d>, FrameFault> {
        let bytes = found.place.map(|place| input.get(place).unwrap_or_default());
        match (found.opcode, bytes, &self.partial) {
            (OpCode::Data(kind), Some(bytes), _) => whole(kind, bytes),
            (OpCode::Control(kind), Some(bytes), _) => control_frame(kind, bytes),
            (_, None, Some(partial)) => whole(partial.kind, &partial.bytes),
            (_, None, None) => Err(FrameFault::NothingToContinue),
        }
    }

    /// Holds what comes from now on against other limits.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// Whether a message has begun whose end has not come yet.
    pub fn is_mid_message(&self) -> bool {
        self.partial.is_some() || self.open.is_some()
    }

    /// Judges a frame by its header alone, before its payload is waited for.
    fn check(&self, head: &Head) -> Result<(), FrameFault> {
        let data = match head.opcode {
            OpCode::Control(_) => return head.check_control(),
            OpCode::Data(data) => data,
        };
        let (held, fragments) = match (&self.partial, data) {
            (None, Data::Continue) => return Err(FrameFault::NothingToContinue),
            (Some(_), Data::Text | Data::Binary) => return Err(FrameFault::MessageInterrupted),
            (None, _) => (0, 0),
            (Some(partial), _) => (partial.bytes.len(), partial.fragments),
        };
        let declared = head.length.saturating_add(held as u64);
        if declared > self.limits.max_message as u64 {
            return Err(FrameFault::TooLarge { declared, limit: self.limits.max_message });
        }
        if fragments >= self.limits.max_fragments {
            return Err(FrameFault::TooManyFragments { limit: self.limits.max_fragments });
        }
        Ok(())
    }

    /// Takes in a frame with its unmasked payload, which is kept only if it is a fragment.
    fn accept(&mut self, frame: &Head, payload: &[u8]) -> Result<Part, FrameFault> {
        let kind = match frame.opcode {
            OpCode::Control(_) => return Ok(Part::All),
            OpCode::Data(kind) => kind,
        };
        if frame.is_final && self.partial.is_none() {
            return Ok(Part::All);
        }
        let partial = self.partial.get_or_insert_with(|| Partial::new(kind));
        partial.append(payload)?;
        partial.is_whole = frame.is_final;
        Ok(if frame.is_final { Part::Last } else { Part::More })
    }
}

impl Found {
    /// Whether it is a message, and no control frame.
    pub fn is_message(&self) -> bool {
        matches!(self.opcode, OpCode::Data(_))
    }

    /// Where it lies in the input, unless it was put together from fragments.
    pub fn place(&self) -> Option<Range<usize>> {
        self.place.clone()
    }
}

/// What a frame is of its message.
enum Part {
    All,
    More,
    Last,
}

/// A fragmented message so far.
struct Partial {
    kind: Data,
    bytes: Vec<u8>,
    fragments: usize,
    /// Whether it was handed out, so that it is not kept.
    is_whole: bool,
    /// How much of a text is known to be UTF-8; at most the beginning of one character is not.
    valid: usize,
}

impl Partial {
    fn new(kind: Data) -> Self {
        Self { kind, bytes: Vec::new(), fragments: 0, is_whole: false, valid: 0 }
    }

    fn append(&mut self, fragment: &[u8]) -> Result<(), FrameFault> {
        self.fragments = self.fragments.saturating_add(1);
        self.bytes.extend_from_slice(fragment);
        if self.kind != Data::Text {
            return Ok(());
        }
        let fresh = self.bytes.get(self.valid..).unwrap_or_default();
        match std::str::from_utf8(fresh) {
            Ok(text) => self.valid += text.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(FrameFault::TextNotUtf8),
        }
        Ok(())
    }
}

impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partial({}, {} bytes, {} fragments)", self.kind, self.bytes.len(), self.fragments)
    }
}

/// A binary message of which pieces were found, and more is to come.
#[derive(Debug)]
struct Open {
    /// Bytes of its frame that are to come.
    left: u64,
    /// As it lies upon the first of them.
    mask: [u8; 4],
    is_final: bool,
    /// Frames of the message so far.
    fragments: usize,
}

impl Open {
    /// Takes the mask off what `input` has of the frame, and tells how much that is.
    fn unmask(&mut self, input: &mut [u8]) -> usize {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        mask(input.get_mut(..length).unwrap_or_default(), self.mask);
        self.left -= length as u64;
        if self.left > 0 {
            self.mask.rotate_left(length % 4);
        }
        length
    }
}

fn whole(kind: Data, bytes: &[u8]) -> Result<Incoming<'_>, FrameFault> {
    match kind {
        Data::Text => std::str::from_utf8(bytes).map(Incoming::Text).map_err(|_| FrameFault::TextNotUtf8),
        _ => Ok(Incoming::Binary(bytes)),
    }
}

fn control_frame(control: Control, payload: &[u8]) -> Result<Incoming<'_>, FrameFault> {
    match control {
        Control::Ping => Ok(Incoming::Ping(payload)),
        Control::Pong => Ok(Incoming::Pong(payload)),
        Control::Close => close_frame(payload),
        Control::Reserved(opcode) => Err(FrameFault::ReservedOpcode(opcode)),
    }
}

/// RFC 6455, sections 5.5.1 and 7.4.
fn close_frame(payload: &[u8]) -> Result<Incoming<'_>, FrameFault> {
    if payload.is_empty() {
        return Ok(Incoming::Close { code: None, reason: "" });
    }
    let (code, reason) = payload.split_first_chunk().ok_or(FrameFault::CloseTruncated)?;
    let code = u16::from_be_bytes(*code);
    if !CloseCode::from(code).is_allowed() {
        return Err(FrameFault::CloseCode(code));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| FrameFault::CloseNotUtf8)?;
    Ok(Incoming::Close { code: Some(code), reason })
}

/// How a client broke the WebSocket protocol or its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    #[error("a reserved bit is set, but no extension was agreed on")]
    ReservedBits,
    #[error("opcode {0:#x} is reserved")]
    ReservedOpcode(u8),
    #[error("a client's frame is not masked")]
    NotMasked,
    #[error("a length has its top bit set or is not in its shortest form")]
    Length,
    #[error("a control frame is fragmented")]
    ControlFragmented,
    #[error("a control frame has more than {MAX_CONTROL_BYTES} bytes")]
    ControlTooLong,
    #[error("a continuation has nothing to continue")]
    NothingToContinue,
    #[error("a message begins before the one before it ends")]
    MessageInterrupted,
    #[error("a close frame has one byte")]
    CloseTruncated,
    #[error("close code {0} may not be sent")]
    CloseCode(u16),
    #[error("a close reason is not UTF-8")]
    CloseNotUtf8,
    #[error("a text message is not UTF-8")]
    TextNotUtf8,
    #[error("a message of at least {declared} bytes is above the limit of {limit}")]
    TooLarge { declared: u64, limit: usize },
    #[error("a message has more than {limit} fragments")]
    TooManyFragments { limit: usize },
}

impl FrameFault {
    /// The close code that answers it (RFC 6455, section 7.4.1).
    pub fn close_code(&self) -> u16 {
        let code = match self {
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::NotMasked
            | Self::Length
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::NothingToContinue
            | Self::MessageInterrupted
            | Self::CloseTruncated
            | Self::CloseCode(_) => CloseCode::Protocol,
            Self::CloseNotUtf8 | Self::TextNotUtf8 => CloseCode::Invalid,
            Self::TooLarge { .. } => CloseCode::Size,
            Self::TooManyFragments { .. } => CloseCode::Policy,
        };
        code.into()
    }
}
