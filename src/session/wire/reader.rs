//! Bytes in: frames, and from them what the peer says in its dialect.

use std::ops::Range;
use std::task::{Context, Poll};

use super::{BUSY, retained};
use crate::limits::Limits;
use crate::protocol::json::{self, DecodeError, DecodeLimits};
use crate::protocol::nats::{self, StreamFault};
use crate::protocol::{Command, Dialect};
use crate::session::{CloseReason, Transport};
use crate::websocket::{Decoder, Found, FrameFault, FrameLimits, Incoming, Piece};

/// The reading end.
pub(in crate::session) struct Reader {
    buffer: Vec<u8>,
    /// How much of the buffer is done with.
    start: usize,
    decoder: Decoder,
    decoding: Decoding,
    max_payload: usize,
    /// Whether something may be there that was not looked at yet.
    fresh: bool,
    /// Nothing more comes: the stream ended or failed.
    at_end: bool,
    /// Whether the last read brought much.
    busy: bool,
}

/// How messages are read.
enum Decoding {
    /// Each is one command.
    Json,
    /// They are pieces of one stream.
    Nats(Box<Stream>),
}

/// A stream of operations, and what is left of its bytes that were found last.
#[derive(Default)]
struct Stream {
    decoder: nats::Decoder,
    /// Where they lie in the buffer.
    left: Range<usize>,
    /// They themselves, if the fragments of a text were put together.
    copied: Option<Vec<u8>>,
}

/// One thing that a peer says.
pub(in crate::session) enum Said<'r> {
    Command(Result<Command<'r>, DecodeError>),
    /// What the NATS dialect says, commands among it.
    Nats(nats::Operation<'r>),
    /// Must be answered by a pong with the same payload.
    Ping(&'r [u8]),
    Pong,
    Close,
}

impl Reader {
    /// Reads a dialect, first from what came before.
    pub(in crate::session) fn new(early: Vec<u8>, dialect: Dialect, limits: &Limits) -> Self {
        let decoding = match dialect {
            Dialect::Json => Decoding::Json,
            Dialect::Nats => Decoding::Nats(Box::default()),
        };
        Self {
            fresh: !early.is_empty(),
            buffer: early,
            start: 0,
            decoder: Decoder::new(frame_limits(limits)),
            decoding,
            max_payload: limits.max_payload,
            at_end: false,
            busy: false,
        }
    }

    /// Reads what is there. Whether any came.
    pub(super) fn poll_read<T: Transport>(
        &mut self,
        stream: &mut T,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        if self.start > 0 {
            // The beginning of a frame of which the rest is to come.
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        stream.poll_read(context, &mut self.buffer).map(|read| {
            self.at_end = read == 0;
            self.fresh |= read > 0;
            self.busy = read >= BUSY;
            read > 0
        })
    }

    /// Whether reading makes sense: not while something whole waits to be looked at, and not beyond the end.
    pub(in crate::session) fn may_read(&self) -> bool {
        !self.fresh && !self.at_end
    }

    pub(in crate::session) fn set_limits(&mut self, limits: &Limits) {
        self.decoder.set_limits(frame_limits(limits));
        self.max_payload = limits.max_payload;
    }

    /// The next thing that the peer said; fails when there is none and the stream is at its end.
    pub(in crate::session) fn next(&mut self) -> Result<Option<Said<'_>>, CloseReason> {
        while self.fresh {
            if let Decoding::Nats(stream) = &mut self.decoding
                && let Some((found, place)) = stream.find(&self.buffer, self.max_payload)?
            {
                return self.operation(found, place);
            }
            let input = self.buffer.get_mut(self.start..).unwrap_or_default();
            let found = match &self.decoding {
                Decoding::Json => {
                    self.decoder.find(input).map(|(used, found)| (used, found.map(Piece::Whole)))
                }
                Decoding::Nats(_) => self.decoder.find_piece(input),
            };
            let (used, found) = found.map_err(|fault| reason_of(&fault))?;
            let frames = self.start..self.start + used;
            self.start = frames.end;
            match (found, &mut self.decoding) {
                (None, _) => {
                    self.rest();
                    break;
                }
                (Some(Piece::Bytes(place)), Decoding::Nats(stream)) => {
                    let place = frames.start + place.start..frames.start + place.end;
                    // A text of fragments may have left its copy.
                    (stream.left, stream.copied) = (place, None);
                }
                (Some(Piece::Whole(found)), Decoding::Nats(stream)) if found.is_message() => {
                    let place = found.place();
                    let input = self.buffer.get(frames.clone()).unwrap_or_default();
                    let text = self.decoder.get(found, input).map_err(|fault| reason_of(&fault))?;
                    stream.go_on_with(text, place, frames.start);
                }
                (Some(Piece::Whole(found)), _) => return self.said(found, frames).map(Some),
                // Whose messages are commands finds no pieces.
                (Some(Piece::Bytes(_)), Decoding::Json) => return Err(CloseReason::Internal),
            }
        }
        if self.at_end && !self.fresh { Err(CloseReason::PeerGone) } else { Ok(None) }
    }

    /// Nothing whole is there: a buffer that is used up is given back, unless more will come at once.
    fn rest(&mut self) {
        self.fresh = false;
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > retained(self.busy) {
                self.buffer = Vec::new();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.buffer.capacity()
    }

    /// In the shape in which [`Self::next`] returns it, so that it is not moved.
    #[inline]
    fn operation(
        &mut self,
        found: nats::Found,
        place: Range<usize>,
    ) -> Result<Option<Said<'_>>, CloseReason> {
        let Decoding::Nats(stream) = &mut self.decoding else { return Err(CloseReason::Internal) };
        let bytes = stream.copied.as_deref().unwrap_or(&self.buffer).get(place).unwrap_or_default();
        match stream.decoder.get(found, bytes) {
            Ok(operation) => Ok(Some(Said::Nats(operation))),
            Err(fault) => Err(stream_reason(&fault)),
        }
    }

    fn said(&self, found: Found, frames: Range<usize>) -> Result<Said<'_>, CloseReason> {
        let input = self.buffer.get(frames).unwrap_or_default();
        match self.decoder.get(found, input).map_err(|fault| reason_of(&fault))? {
            Incoming::Text(text) => {
                let limits = DecodeLimits { max_payload: self.max_payload };
                Ok(Said::Command(json::decode(text, &limits)))
            }
            Incoming::Binary(_) => Err(CloseReason::UnsupportedFrame),
            Incoming::Ping(payload) => Ok(Said::Ping(payload)),
            Incoming::Pong(_) => Ok(Said::Pong),
            Incoming::Close { .. } => Ok(Said::Close),
        }
    }
}

impl Stream {
    /// The next operation in what is left, and the bytes that it begins at.
    fn find(
        &mut self,
        buffer: &[u8],
        max_payload: usize,
    ) -> Result<Option<(nats::Found, Range<usize>)>, CloseReason> {
        if self.left.is_empty() {
            self.copied = None;
            return Ok(None);
        }
        let place = self.left.clone();
        let bytes = self.copied.as_deref().unwrap_or(buffer).get(place.clone()).unwrap_or_default();
        let (used, found) = self.decoder.find(bytes, max_payload).map_err(|fault| stream_reason(&fault))?;
        self.left.start += used;
        Ok(found.map(|found| (found, place)))
    }

    /// Goes on with a text: in the buffer, where it lies at `place` behind `start`, or, put together from fragments, in a copy.
    fn go_on_with(&mut self, message: Incoming<'_>, place: Option<Range<usize>>, start: usize) {
        let Incoming::Text(text) = message else { return };
        (self.left, self.copied) = match place {
            Some(place) => (start + place.start..start + place.end, None),
            None => (0..text.len(), Some(text.into())),
        };
    }
}

fn frame_limits(limits: &Limits) -> FrameLimits {
    FrameLimits { max_message: limits.max_message(), max_fragments: limits.max_fragments }
}

fn reason_of(fault: &FrameFault) -> CloseReason {
    match fault.close_code() {
        1007 => CloseReason::InvalidUtf8,
        1009 => CloseReason::TooLarge,
        1008 => CloseReason::ProtocolAbuse,
        _ => CloseReason::ProtocolError,
    }
}

fn stream_reason(fault: &StreamFault) -> CloseReason {
    match fault {
        StreamFault::PayloadTooLarge { .. } => CloseReason::TooLarge,
        StreamFault::UnknownOperation
        | StreamFault::LineTooLong
        | StreamFault::Arguments
        | StreamFault::PayloadEnd => CloseReason::ProtocolError,
    }
}
