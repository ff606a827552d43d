//! Frames from a client to the gateway: checked, unmasked and put together to messages.

use std::fmt;
use std::io::Cursor;

use bytes::{Buf, Bytes, BytesMut};
use tungstenite::Utf8Bytes;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::{MAX_CONTROL_BYTES, mask};

/// Messages shorter than this are copied out of the read buffer. Longer ones take its memory over, without a copy, if they
/// fill at least half of it. Any other would keep the whole buffer alive for as long as it waits in a slow subscriber's
/// queue.
pub const COPY_BELOW: usize = 16 * 1024;

/// What a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes of one message, all fragments together.
    pub max_message: usize,
    /// Frames of one message: empty fragments cost no bytes, so the bound on bytes does not stop a flood of them.
    pub max_fragments: usize,
}

/// One thing that a client said.
#[derive(Clone, PartialEq, Eq)]
pub enum Incoming {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// Must be answered by a pong with the same payload.
    Ping(Bytes),
    Pong(Bytes),
    /// The last frame of a client; whatever follows is to be discarded. No `code` if the frame was empty.
    Close {
        code: Option<u16>,
        reason: Utf8Bytes,
    },
}

/// Kind and length: the content is nobody's business in a log.
impl fmt::Debug for Incoming {
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
}

impl Decoder {
    pub fn new(limits: FrameLimits) -> Self {
        Self { limits, partial: None }
    }

    /// Takes the next message or control frame off `buf`, or nothing if more bytes are needed first. Memory beyond `buf`
    /// is taken only for bytes that have arrived.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Incoming>, FrameFault> {
        while let Some(head) = Head::read(buf)? {
            self.check(&head)?;
            let Some(length) = head.unmask(buf) else { return Ok(None) };
            if let Some(incoming) = self.accept(&head.frame, length, buf)? {
                return Ok(Some(incoming));
            }
        }
        Ok(None)
    }

    /// Holds what comes from now on against other limits.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// Whether a message has begun whose end has not come yet.
    pub fn is_mid_message(&self) -> bool {
        self.partial.is_some()
    }

    /// Judges a frame by its header alone, before its payload is waited for.
    fn check(&self, head: &Head) -> Result<(), FrameFault> {
        head.check_form()?;
        let data = match head.frame.opcode {
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

    /// Takes a whole, unmasked payload of `length` bytes off `buf`.
    fn accept(
        &mut self,
        frame: &FrameHeader,
        length: usize,
        buf: &mut BytesMut,
    ) -> Result<Option<Incoming>, FrameFault> {
        let kind = match frame.opcode {
            OpCode::Control(control) => return control_frame(control, take(buf, length)).map(Some),
            OpCode::Data(kind) => kind,
        };
        if frame.is_final && self.partial.is_none() {
            return whole(kind, take(buf, length)).map(Some);
        }
        let mut partial = self.partial.take().unwrap_or_else(|| Partial::new(kind));
        partial.append(&buf.split_to(length))?;
        if frame.is_final {
            return whole(partial.kind, partial.bytes.freeze()).map(Some);
        }
        self.partial = Some(partial);
        Ok(None)
    }
}

/// A fragmented message so far.
struct Partial {
    kind: Data,
    bytes: BytesMut,
    fragments: usize,
    /// How much of a text is known to be UTF-8; at most the beginning of one character is not.
    valid: usize,
}

impl Partial {
    fn new(kind: Data) -> Self {
        Self { kind, bytes: BytesMut::new(), fragments: 0, valid: 0 }
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

/// A frame's header, whole.
struct Head {
    frame: FrameHeader,
    /// Bytes the header takes.
    bytes: usize,
    /// Bytes the payload is declared to take.
    length: u64,
}

impl Head {
    fn read(buf: &BytesMut) -> Result<Option<Self>, FrameFault> {
        let mut cursor = Cursor::new(&**buf);
        match FrameHeader::parse(&mut cursor) {
            Ok(None) => Ok(None),
            Ok(Some((frame, length))) => {
                let bytes = usize::try_from(cursor.position()).map_err(|_| FrameFault::Length)?;
                Ok(Some(Self { frame, bytes, length }))
            }
            Err(Error::Protocol(ProtocolError::InvalidOpcode(opcode))) => {
                Err(FrameFault::ReservedOpcode(opcode))
            }
            Err(_) => Err(FrameFault::Length),
        }
    }

    /// What holds for every frame of a client (RFC 6455, section 5.2).
    fn check_form(&self) -> Result<(), FrameFault> {
        let frame = &self.frame;
        if frame.rsv1 || frame.rsv2 || frame.rsv3 {
            return Err(FrameFault::ReservedBits);
        }
        if frame.mask.is_none() {
            return Err(FrameFault::NotMasked);
        }
        if self.length >> 63 != 0 || self.bytes != frame.len(self.length) {
            return Err(FrameFault::Length);
        }
        Ok(())
    }

    fn check_control(&self) -> Result<(), FrameFault> {
        if !self.frame.is_final {
            return Err(FrameFault::ControlFragmented);
        }
        if self.length > MAX_CONTROL_BYTES as u64 {
            return Err(FrameFault::ControlTooLong);
        }
        Ok(())
    }

    /// Once the payload has arrived, takes the header off `buf` and the mask off the payload, and tells its length.
    fn unmask(&self, buf: &mut BytesMut) -> Option<usize> {
        let length = usize::try_from(self.length).ok()?;
        let end = self.bytes.checked_add(length)?;
        mask(buf.get_mut(self.bytes..end)?, self.frame.mask?);
        buf.advance(self.bytes);
        Some(length)
    }
}

fn take(buf: &mut BytesMut, length: usize) -> Bytes {
    if length >= COPY_BELOW && length >= buf.capacity() / 2 {
        // What follows moves to memory of its own: in what is left of this one, even a message that fills half of it
        // would keep all of it.
        let rest = BytesMut::from(buf.get(length..).unwrap_or_default());
        let mut message = std::mem::replace(buf, rest);
        message.truncate(length);
        return message.freeze();
    }
    let copy = Bytes::copy_from_slice(buf.get(..length).unwrap_or_default());
    buf.advance(length);
    copy
}

fn whole(kind: Data, bytes: Bytes) -> Result<Incoming, FrameFault> {
    match kind {
        Data::Text => Utf8Bytes::try_from(bytes).map(Incoming::Text).map_err(|_| FrameFault::TextNotUtf8),
        _ => Ok(Incoming::Binary(bytes)),
    }
}

fn control_frame(control: Control, payload: Bytes) -> Result<Incoming, FrameFault> {
    match control {
        Control::Ping => Ok(Incoming::Ping(payload)),
        Control::Pong => Ok(Incoming::Pong(payload)),
        Control::Close => close_frame(payload),
        Control::Reserved(opcode) => Err(FrameFault::ReservedOpcode(opcode)),
    }
}

/// RFC 6455, sections 5.5.1 and 7.4.
fn close_frame(mut payload: Bytes) -> Result<Incoming, FrameFault> {
    if payload.is_empty() {
        return Ok(Incoming::Close { code: None, reason: Utf8Bytes::default() });
    }
    let code = payload.try_get_u16().map_err(|_| FrameFault::CloseTruncated)?;
    if !CloseCode::from(code).is_allowed() {
        return Err(FrameFault::CloseCode(code));
    }
    let reason = Utf8Bytes::try_from(payload).map_err(|_| FrameFault::CloseNotUtf8)?;
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
