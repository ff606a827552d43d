//! A session's bytes over a stream in memory, without TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Transport;

/// Bytes read at once.
const READ: usize = 16 * 1024;

pub struct Plain<S> {
    stream: S,
    waiting: Vec<u8>,
}

impl<S> Plain<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, waiting: Vec::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport for Plain<S> {
    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<usize> {
        let mut room = [0; READ];
        let mut read = ReadBuf::new(&mut room);
        let ended = ready!(Pin::new(&mut self.stream).poll_read(context, &mut read)).is_err();
        into.extend_from_slice(if ended { &[] } else { read.filled() });
        Poll::Ready(if ended { 0 } else { read.filled().len() })
    }

    fn buffer(&mut self, plaintext: &[IoSlice<'_>]) -> io::Result<()> {
        plaintext.iter().for_each(|part| self.waiting.extend_from_slice(part));
        Ok(())
    }

    fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.waiting))?;
        self.waiting.drain(..written);
        Poll::Ready(Ok(written))
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.is_waiting() {
            ready!(self.poll_write(context))?;
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
