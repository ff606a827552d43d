//! The two ends of a session's stream: bytes in with what the peer says cut from them, bytes out gathered into few writes.
//!
//! Invariant: the input holds what one read brings and the messages that are being put together, the output stays near
//! [`HIGH_WATER`], and neither keeps a burst's memory for longer than until the next quiet frame, which keepalive brings.

mod reader;
mod writer;

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{sleep, timeout};

pub(super) use reader::{Reader, Said};
pub(super) use writer::Writer;

use super::{CloseReason, Transport};

/// Bytes of output above which nothing more is executed or taken from the queue.
const HIGH_WATER: usize = 48 * 1024;
/// Room that an empty buffer keeps while much passes through it. While little does it keeps none: most sessions are idle, and
/// each has its buffers.
const RETAINED_BUSY: usize = 64 * 1024;
/// A read or a write of as much was a busy one: a dozen small messages, as they come together when many wait for their answers.
/// Allocating a buffer for so few each time would cost more than they do themselves.
const BUSY: usize = 1024;

/// How long a peer has to read the close frame and to answer it.
const GOODBYE: Duration = Duration::from_secs(2);
/// Bytes of a peer that are read and discarded meanwhile: more than can be on their way when the close frame leaves.
const MOST_DISCARDED: usize = 8 * 1024 * 1024;
/// How long a revoked session waits between its close frame and the rest of its end, which costs as much again and is in no
/// hurry: one list may end thousands, and by then the others have their close frames.
const LET_OTHERS_GO: Duration = Duration::from_millis(500);

/// Waits until bytes come in or the stream ends, or, if `more` waits for the room of what is written, until some is. Whether any
/// came. Cancel safe.
///
/// Read even while much waits to be written: a peer that is behind with its messages is still heard. What is read waits in the
/// reader until there is room for its answers.
pub(super) async fn progress<T: Transport>(
    stream: &mut T,
    reader: &mut Reader,
    writer: &mut Writer,
    more: bool,
) -> Result<bool, CloseReason> {
    poll_fn(|context| {
        let mut has_written = false;
        while writer.is_waiting(stream) {
            match writer.poll_write(stream, context) {
                Poll::Ready(Ok(())) => has_written = true,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(CloseReason::PeerGone)),
                Poll::Pending => break,
            }
        }
        if reader.may_read()
            && let Poll::Ready(came) = reader.poll_read(stream, context)
        {
            return Poll::Ready(Ok(came));
        }
        if has_written && more { Poll::Ready(Ok(false)) } else { Poll::Pending }
    })
    .await
}

/// Writes what waits, as far as the peer takes it within the time of a goodbye.
pub(super) async fn write_out<T: Transport>(stream: &mut T, writer: &mut Writer) {
    let all = async {
        while writer.is_waiting(stream) {
            poll_fn(|context| writer.poll_write(stream, context)).await?;
        }
        io::Result::Ok(())
    };
    // What does not come of it is tried again with the close frame.
    let _ = timeout(GOODBYE, all).await;
}

/// Sends the close frame behind what is still in the writer, ends TLS properly, and waits a moment for the peer to do
/// the same: a socket closed with unread bytes is reset, and a reset swallows what was sent. `written` hears when the
/// close frame is with the socket.
pub(super) async fn say_goodbye<T: Transport>(
    stream: &mut T,
    writer: &mut Writer,
    reason: CloseReason,
    retry_after: Option<Duration>,
    written: impl FnOnce(),
) {
    writer.close(reason, retry_after);
    let farewell = async {
        while writer.is_waiting(stream) {
            poll_fn(|context| writer.poll_write(stream, context)).await?;
        }
        written();
        if reason.is_revocation() {
            sleep(LET_OTHERS_GO).await;
        }
        poll_fn(|context| stream.poll_shutdown(context)).await?;
        let (mut rest, mut discarded) = (Vec::new(), 0);
        while discarded < MOST_DISCARDED {
            let came = poll_fn(|context| stream.poll_read(context, &mut rest)).await;
            if came == 0 {
                break;
            }
            discarded += came;
            rest.clear();
        }
        io::Result::Ok(())
    };
    // The peer may be gone or deaf: there is nobody left to tell.
    let _ = timeout(GOODBYE, farewell).await;
}

fn retained(busy: bool) -> usize {
    if busy { RETAINED_BUSY } else { 0 }
}

#[cfg(test)]
mod tests;
