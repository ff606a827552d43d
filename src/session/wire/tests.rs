//! How much is read and written at once, and what room stays afterwards.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::Context;

use tokio::io::{Empty, ReadBuf, empty};

use super::*;

/// Gives one piece at each read, as TLS gives one record; `PAUSE` is a moment in which nothing is there. Its other half
/// takes everything.
struct Pieces(VecDeque<Vec<u8>>, Empty);

const PAUSE: Vec<u8> = Vec::new();

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // With no piece left the stream has ended.
        let Some(mut piece) = self.0.pop_front() else { return Poll::Ready(Ok(())) };
        if piece == PAUSE {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let rest = piece.split_off(piece.len().min(into.remaining()));
        into.put_slice(&piece);
        if !rest.is_empty() {
            self.0.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.1).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A text message of so many bytes, masked with zeros.
fn piece(bytes: usize) -> Vec<u8> {
    let length = u16::try_from(bytes).expect("a message of the tests is short");
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(frame.len() + bytes, b'x');
    frame
}

fn wire(pieces: impl IntoIterator<Item = Vec<u8>>) -> (Reader<Pieces>, Writer<Pieces>) {
    split(Pieces(pieces.into_iter().collect(), empty()), BytesMut::new(), &Limits::default())
}

fn messages(reader: &mut Reader<Pieces>) -> usize {
    let next = || match reader.next() {
        Ok(incoming) => incoming,
        Err(reason) => {
            assert_eq!(reason, CloseReason::PeerGone, "good frames, and then the end");
            None
        }
    };
    std::iter::from_fn(next).count()
}

#[tokio::test]
async fn records_that_are_there_are_read_in_one_turn() {
    let (mut reader, _writer) = wire((0..10).map(|_| piece(200)));
    reader.read().await;
    assert_eq!(messages(&mut reader), 10);
}

#[tokio::test]
async fn a_turn_ends_although_more_is_there() {
    let (mut reader, _writer) = wire((0..100).map(|_| piece(1_000)));
    reader.read().await;
    assert_eq!(messages(&mut reader), READ_TURN.div_ceil(1_008));
}

#[tokio::test]
async fn what_came_before_the_end_is_still_looked_at() {
    let (mut reader, _writer) = wire([piece(200)]);
    reader.read().await;
    assert_eq!(messages(&mut reader), 1);
    assert_eq!(reader.next(), Err(CloseReason::PeerGone));
}

#[tokio::test]
async fn a_quiet_frame_gives_the_room_of_a_burst_back() {
    let (mut reader, mut writer) = wire((0..10).map(|_| piece(1_000)).chain([PAUSE, piece(200)]));
    reader.read().await;
    assert_eq!(messages(&mut reader), 10);
    assert!((READ_CHUNK..=RETAINED_BUSY).contains(&reader.room));
    reader.read().await;
    assert_eq!((messages(&mut reader), reader.room), (1, 0));

    for _ in 0..1_000 {
        writer.pong(&[0; 100]);
    }
    writer.write().await.expect("written");
    assert!((RETAINED..=RETAINED_BUSY).contains(&writer.buffer.capacity()));
    writer.ping();
    writer.write().await.expect("written");
    assert!(!writer.is_waiting() && writer.buffer.capacity() <= RETAINED);
}
