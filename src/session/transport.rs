//! What carries a session's bytes: TLS over a socket, or in tests a stream in memory.
//!
//! Reading and writing are of one value and polled by one task, so that nothing has to be locked between them. Bytes are taken
//! over as a whole and read as they come, so that a session that is idle needs no room for either.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// A stream of plaintext, both ways.
pub trait Transport {
    /// Appends what has come to `into`: at least a byte, or the stream is at its end. How it ends makes no difference.
    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<usize>;

    /// Takes all of `plaintext` over, whatever waits already.
    fn buffer(&mut self, plaintext: &[IoSlice<'_>]) -> io::Result<()>;

    /// Whether something that was taken over is not with the system yet.
    fn is_waiting(&self) -> bool;

    /// Hands some of what waits to the system, and tells how much.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>>;

    /// Ends the sending half, after all that was taken over.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

#[cfg(test)]
pub(super) mod plain;
