//! The 101 waits for the first words of the session, so that both go out by one system call.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Begins the one answer that something follows.
const SWITCHING: &[u8] = b"HTTP/1.1 101 ";

/// A stream whose 101 is held back. Whatever else is written goes out when it is flushed.
pub(super) struct Held<S> {
    stream: S,
    answer: Vec<u8>,
}

impl<S> Held<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, answer: Vec::new() }
    }

    /// The stream, and what was held back or not flushed.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.answer)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().answer.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, answer } = self.get_mut();
        if answer.starts_with(SWITCHING) {
            return Poll::Ready(Ok(()));
        }
        while !answer.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(context, answer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            answer.drain(..written);
        }
        Pin::new(stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_101_waits_and_everything_else_goes_out() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut held = Held::new(near);
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        let writing = async {
            held.write_all(interim).await.unwrap();
            held.flush().await.unwrap();
            held.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.unwrap();
            held.flush().await.unwrap();
            held.into_parts()
        };
        let mut came = vec![0; interim.len()];
        let ((near, answer), _) = tokio::join!(writing, far.read_exact(&mut came));
        assert_eq!(came, interim);
        assert_eq!(answer, b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
        drop(near);
        assert_eq!(far.read(&mut came).await.unwrap(), 0);
    }
}
