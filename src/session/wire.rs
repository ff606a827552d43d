//! The two ends of a session's stream: bytes in with frames cut from them, frames out gathered into few writes.
//!
//! Invariant: the input holds at most one message above what is processed, the output stays near [`HIGH_WATER`], and
//! neither keeps a burst's memory for longer than until the next quiet frame, which keepalive brings.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, timeout};

use super::CloseReason;
use crate::limits::Limits;
use crate::protocol::{Event, Message, Sid, json};
use crate::websocket::{self, Decoder, FrameFault, FrameLimits, Incoming};

/// Room that waits for a peer of which little comes: most sessions are idle, and each has it.
const READ_WAITING: usize = 512;
/// Room made for what is there beyond that. A turn of the session's loop that brings more was a busy one.
const READ_CHUNK: usize = 4 * 1024;
/// Bytes after which a turn reads no more, and the room that waits for a busy peer: one TLS record.
const READ_TURN: usize = 16 * 1024;
/// Bytes of output above which nothing more is read, executed or taken from the queue. With a message on top it is
/// still below the 64 KiB that rustls encrypts at once.
const HIGH_WATER: usize = 48 * 1024;
/// Room that an empty buffer keeps while little passes through it, and while much does.
const RETAINED: usize = READ_WAITING;
const RETAINED_BUSY: usize = 32 * 1024;

/// How long a peer has to read the close frame and to answer it.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long a revoked session waits between its close frame and the rest of its end, which costs as much again and is in no
/// hurry: one list may end thousands, and by then the others have their close frames.
const LET_OTHERS_GO: Duration = Duration::from_millis(500);

/// The reading end.
pub(super) struct Reader<S> {
    half: ReadHalf<S>,
    buffer: BytesMut,
    decoder: Decoder,
    /// Whether the buffer may hold a whole frame that was not looked at yet.
    fresh: bool,
    /// Nothing more comes: the stream ended or failed.
    at_end: bool,
    /// Whether the last turn brought much.
    busy: bool,
    /// The most that the buffer could hold since it was made; its own `capacity` shrinks as bytes are taken off.
    room: usize,
}

/// The writing end.
pub(super) struct Writer<S> {
    half: WriteHalf<S>,
    buffer: Vec<u8>,
    /// How much of the buffer is written already.
    sent: usize,
    scratch: Vec<u8>,
    unflushed: bool,
    /// Since when nothing could be written although something waits.
    stuck_since: Option<Instant>,
}

/// Splits `stream`, of which `early` was read already.
pub(super) fn split<S: AsyncRead + AsyncWrite>(
    stream: S,
    early: BytesMut,
    limits: &Limits,
) -> (Reader<S>, Writer<S>) {
    let (read, write) = tokio::io::split(stream);
    let decoder = Decoder::new(frame_limits(limits));
    let reader = Reader {
        half: read,
        fresh: !early.is_empty(),
        buffer: early,
        decoder,
        at_end: false,
        busy: false,
        room: 0,
    };
    let writer = Writer {
        half: write,
        buffer: Vec::new(),
        sent: 0,
        scratch: Vec::new(),
        unflushed: false,
        stuck_since: None,
    };
    (reader, writer)
}

fn frame_limits(limits: &Limits) -> FrameLimits {
    FrameLimits { max_message: limits.max_message(), max_fragments: limits.max_fragments }
}

impl<S: AsyncRead> Reader<S> {
    /// Waits for bytes, and reads what is there. Whether any came, or the stream is at its end. Cancel safe.
    ///
    /// TLS hands out one record at a time, and a turn of the loop for each would cost more than the message in it.
    pub(super) async fn read(&mut self) -> bool {
        let mut read = self.read_once(if self.busy { READ_TURN } else { READ_WAITING }).await;
        while !self.at_end
            && read < READ_TURN
            && let Some(more) = if_ready(self.read_once(READ_CHUNK)).await
        {
            read += more;
        }
        self.busy = read >= READ_CHUNK;
        read > 0
    }

    async fn read_once(&mut self, room: usize) -> usize {
        self.buffer.reserve(room);
        self.room = self.room.max(self.buffer.capacity());
        // How a stream ends makes no difference: what came before is still looked at.
        let read = self.half.read_buf(&mut self.buffer).await.unwrap_or(0);
        self.at_end = read == 0;
        self.fresh |= read > 0;
        read
    }

    /// Whether reading makes sense: not while whole frames wait to be looked at, and not beyond the end.
    pub(super) fn may_read(&self) -> bool {
        !self.fresh && !self.at_end
    }

    /// Cuts the next message or control frame from the input; fails when there is none and the stream is at its end.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, CloseReason> {
        if self.fresh {
            let incoming = self.decoder.decode(&mut self.buffer).map_err(|fault| reason_of(&fault))?;
            if incoming.is_some() {
                return Ok(incoming);
            }
            self.fresh = false;
            if self.buffer.is_empty() && self.room > retained(self.busy) {
                (self.buffer, self.room) = (BytesMut::new(), 0);
            }
        }
        if self.at_end { Err(CloseReason::PeerGone) } else { Ok(None) }
    }

    pub(super) fn set_limits(&mut self, limits: &Limits) {
        self.decoder.set_limits(frame_limits(limits));
    }
}

fn retained(busy: bool) -> usize {
    if busy { RETAINED_BUSY } else { RETAINED }
}

/// Polls once: what the future gives, if it gives it without waiting.
async fn if_ready<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn reason_of(fault: &FrameFault) -> CloseReason {
    match fault.close_code() {
        1007 => CloseReason::InvalidUtf8,
        1009 => CloseReason::TooLarge,
        1008 => CloseReason::ProtocolAbuse,
        _ => CloseReason::ProtocolError,
    }
}

impl<S: AsyncWrite> Writer<S> {
    /// Queues an event of the gateway.
    pub(super) fn event(&mut self, event: &Event) {
        self.scratch.clear();
        json::encode(event, &mut self.scratch);
        websocket::text(&mut self.buffer, &[&self.scratch]);
        self.scratch.shrink_to(RETAINED);
    }

    /// Queues a message for one subscription; its shared part was encoded once for all.
    pub(super) fn message(&mut self, sid: &Sid, message: &Message) {
        self.scratch.clear();
        json::message_head(sid, &mut self.scratch);
        websocket::text(&mut self.buffer, &[&self.scratch, message.json().of_message()]);
    }

    pub(super) fn ping(&mut self) {
        websocket::ping(&mut self.buffer, b"");
    }

    pub(super) fn pong(&mut self, payload: &[u8]) {
        websocket::pong(&mut self.buffer, payload);
    }

    /// Whether something waits to be written or flushed.
    pub(super) fn is_waiting(&self) -> bool {
        self.unflushed || !self.buffer.is_empty()
    }

    /// Whether more may be queued.
    pub(super) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Bytes that may be queued; the last message may go beyond.
    pub(super) fn room(&self) -> usize {
        HIGH_WATER.saturating_sub(self.buffer.len() - self.sent)
    }

    /// When the peer counts as stuck.
    pub(super) fn stalls_at(&self, patience: Duration) -> Option<Instant> {
        // What waits since this very moment counts too, or the session would sleep past the peer's deadline.
        self.is_waiting().then(|| self.stuck_since.unwrap_or_else(Instant::now) + patience)
    }

    pub(super) fn has_stalled(&self, now: Instant, patience: Duration) -> bool {
        self.stalls_at(patience).is_some_and(|stalls| now >= stalls)
    }

    /// Writes what it can, and flushes when all is written. Cancel safe.
    pub(super) async fn write(&mut self) -> Result<(), CloseReason> {
        self.stuck_since.get_or_insert_with(Instant::now);
        self.write_some().await.map_err(|_| CloseReason::PeerGone)?;
        self.stuck_since = None;
        Ok(())
    }

    async fn write_some(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let written = self.half.write(self.buffer.get(self.sent..).unwrap_or_default()).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.sent += written;
            self.unflushed = true;
            // Something went out: the peer's patience begins anew.
            self.stuck_since = Some(Instant::now());
            if self.sent < self.buffer.len() {
                return Ok(());
            }
            self.empty();
        }
        self.half.flush().await?;
        self.unflushed = false;
        Ok(())
    }

    /// Forgets what was written. Its room stays while it is used: to give it back and take it again for every burst
    /// costs more than the burst.
    fn empty(&mut self) {
        let is_busy = self.buffer.len() >= self.buffer.capacity() / 4;
        self.sent = 0;
        self.buffer.clear();
        self.buffer.shrink_to(retained(is_busy));
    }
}

/// Sends the close frame behind what is still in the writer, ends TLS properly, and waits a moment for the peer to do
/// the same: a socket closed with unread bytes is reset, and a reset swallows what was sent. `written` hears when the
/// close frame is with the socket.
pub(super) async fn say_goodbye<S: AsyncRead + AsyncWrite>(
    mut reader: Reader<S>,
    mut writer: Writer<S>,
    reason: CloseReason,
    retry_after: Option<Duration>,
    written: impl FnOnce(),
) {
    if let Some((code, text)) = reason.close_frame() {
        match retry_after {
            Some(wait) => {
                let text = format!("{text} retry_after_ms={}", wait.as_millis());
                websocket::close(&mut writer.buffer, code, &text);
            }
            None => websocket::close(&mut writer.buffer, code, text),
        }
    }
    let farewell = async {
        while writer.is_waiting() {
            writer.write_some().await?;
        }
        written();
        if reason.is_revocation() {
            sleep(LET_OTHERS_GO).await;
        }
        writer.half.shutdown().await?;
        // On the heap: in the future it would be room that every session keeps for its end.
        let mut rest = vec![0; 1024];
        while reader.half.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // The peer may be gone or deaf: there is nobody left to tell.
    let _ = timeout(GOODBYE, farewell).await;
}

#[cfg(test)]
mod tests;
