//! Bytes out: what is said in the peer's dialect, gathered until the stream takes it.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{BUSY, HIGH_WATER, retained};
use crate::protocol::nats::{self, Voice};
use crate::protocol::{Dialect, Event, OpId, json};
use crate::session::outbound::Piece;
use crate::session::{CloseReason, Transport};
use crate::websocket;

/// The writing end.
pub(in crate::session) struct Writer {
    encoding: Encoding,
    /// Whole frames; in the NATS dialect control frames alone, which go ahead.
    frames: Vec<u8>,
    /// Bytes of the NATS stream, which become one message when they are written.
    stream: Vec<u8>,
    /// What stands in between, by its place among the bytes of messages.
    shared: Vec<(usize, Bytes)>,
    scratch: Vec<u8>,
    /// Since when nothing could be written although something waits.
    stuck_since: Option<Instant>,
}

/// How things are said.
enum Encoding {
    /// Each in a text message of its own.
    Json,
    /// As pieces of one stream.
    Nats(Box<Voice>),
}

impl Writer {
    pub(in crate::session) fn new(dialect: Dialect) -> Self {
        let encoding = match dialect {
            Dialect::Json => Encoding::Json,
            Dialect::Nats => Encoding::Nats(Box::default()),
        };
        Self {
            encoding,
            frames: Vec::new(),
            stream: Vec::new(),
            shared: Vec::new(),
            scratch: Vec::new(),
            stuck_since: None,
        }
    }

    /// Queues an event of the gateway.
    pub(in crate::session) fn event(&mut self, event: &Event) {
        match &mut self.encoding {
            Encoding::Json => {
                self.scratch.clear();
                json::encode(event, &mut self.scratch);
                websocket::text(&mut self.frames, &[&self.scratch]);
                self.scratch = Vec::new();
            }
            Encoding::Nats(voice) => voice.say(event, &mut self.stream),
        }
    }

    /// Queues messages that are encoded already.
    pub(in crate::session) fn messages(&mut self, piece: Piece<'_>) {
        let out = match self.encoding {
            Encoding::Json => &mut self.frames,
            Encoding::Nats(_) => &mut self.stream,
        };
        if let Some(shared) = piece.append_to(out) {
            self.shared.push((out.len(), shared));
        }
    }

    /// Queues the answer to a request, whose end is encoded already. Only who speaks JSON asks in a way that needs it.
    pub(in crate::session) fn response(&mut self, id: OpId, tail: &[u8]) {
        self.scratch.clear();
        json::response_head(id, &mut self.scratch);
        websocket::text(&mut self.frames, &[&self.scratch, tail]);
    }

    /// The NATS dialect's own, where that is spoken, with the stream to append to.
    pub(in crate::session) fn nats(&mut self) -> Option<(&mut Voice, &mut Vec<u8>)> {
        match &mut self.encoding {
            Encoding::Json => None,
            Encoding::Nats(voice) => Some((voice, &mut self.stream)),
        }
    }

    pub(in crate::session) fn ping(&mut self) {
        websocket::ping(&mut self.frames, b"");
    }

    pub(in crate::session) fn pong(&mut self, payload: &[u8]) {
        websocket::pong(&mut self.frames, payload);
    }

    /// Queues the end of it all.
    pub(super) fn close(&mut self, reason: CloseReason, retry_after: Option<Duration>) {
        if let (Encoding::Nats(_), Some(text)) = (&self.encoding, reason.nats_error()) {
            nats::write_error(text, &mut self.stream);
        }
        let Some((code, text)) = reason.close_frame() else { return };
        // Behind all that was said.
        self.frame_stream();
        match retry_after {
            Some(wait) => {
                let text = format!("{text} retry_after_ms={}", wait.as_millis());
                websocket::close(&mut self.frames, code, &text);
            }
            None => websocket::close(&mut self.frames, code, text),
        }
    }

    /// Whether something waits to be written.
    pub(in crate::session) fn is_waiting<T: Transport>(&self, stream: &T) -> bool {
        stream.is_waiting() || self.queued() > 0
    }

    /// Whether more may be queued.
    pub(in crate::session) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Bytes that may be queued; the last message may go beyond.
    pub(in crate::session) fn room(&self) -> usize {
        HIGH_WATER.saturating_sub(self.queued())
    }

    fn queued(&self) -> usize {
        let shared: usize = self.shared.iter().map(|(_, bytes)| bytes.len()).sum();
        self.frames.len() + self.stream.len() + shared
    }

    /// When the peer counts as stuck.
    pub(in crate::session) fn stalls_at<T: Transport>(
        &self,
        stream: &T,
        patience: Duration,
    ) -> Option<Instant> {
        // What waits since this very moment counts too, or the session would sleep past the peer's deadline.
        self.is_waiting(stream).then(|| self.stuck_since.unwrap_or_else(Instant::now) + patience)
    }

    /// Writes some of what waits.
    pub(super) fn poll_write<T: Transport>(
        &mut self,
        stream: &mut T,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // Nothing goes behind what the system did not take. What the stream was given before the session, the 101, was not tried
        // yet: more may join it.
        if self.stuck_since.is_none() || !stream.is_waiting() {
            self.hand_over(stream)?;
        }
        if stream.is_waiting() {
            // Until the first byte is out, and from then on anew.
            self.stuck_since.get_or_insert_with(Instant::now);
            let written = ready!(stream.poll_write(context))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.stuck_since = stream.is_waiting().then(Instant::now);
        }
        Poll::Ready(Ok(()))
    }

    /// Hands all that is queued over to the stream.
    fn hand_over<T: Transport>(&mut self, stream: &mut T) -> io::Result<()> {
        let mut header = [0; websocket::MAX_HEADER_BYTES];
        let header = match self.encoding {
            Encoding::Nats(_) if !self.stream.is_empty() => {
                let shared: usize = self.shared.iter().map(|(_, bytes)| bytes.len()).sum();
                websocket::binary_header(self.stream.len() + shared, &mut header)
            }
            _ => &[],
        };
        let (ahead, messages) = match self.encoding {
            Encoding::Json => (&[][..], &self.frames),
            Encoding::Nats(_) => (&self.frames[..], &self.stream),
        };
        if self.shared.is_empty() {
            let parts = [ahead, header, messages].map(IoSlice::new);
            stream.buffer(&parts)?;
        } else {
            let mut parts = vec![IoSlice::new(ahead), IoSlice::new(header)];
            let mut start = 0;
            for (place, bytes) in &self.shared {
                parts.push(IoSlice::new(messages.get(start..*place).unwrap_or_default()));
                parts.push(IoSlice::new(bytes));
                start = *place;
            }
            parts.push(IoSlice::new(messages.get(start..).unwrap_or_default()));
            stream.buffer(&parts)?;
        }
        self.forget();
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn room_kept(&self) -> usize {
        self.frames.capacity()
    }

    /// Makes the stream so far a message among the frames.
    fn frame_stream(&mut self) {
        if self.stream.is_empty() {
            return;
        }
        let mut whole = Vec::new();
        let mut start = 0;
        for (place, bytes) in self.shared.drain(..) {
            whole.extend_from_slice(self.stream.get(start..place).unwrap_or_default());
            whole.extend_from_slice(&bytes);
            start = place;
        }
        whole.extend_from_slice(self.stream.get(start..).unwrap_or_default());
        websocket::binary(&mut self.frames, &[&whole]);
        self.stream.clear();
    }

    /// Forgets what was handed over. Its room stays while it is used: to give it back and take it again for every burst
    /// costs more than the burst.
    fn forget(&mut self) {
        self.shared.clear();
        for buffer in [&mut self.frames, &mut self.stream] {
            let is_busy = buffer.len() >= BUSY;
            buffer.clear();
            buffer.shrink_to(retained(is_busy));
        }
    }
}
