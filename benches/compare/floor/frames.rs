//! A client's frames, unmasked and framed again as a server sends them.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, ReadBuf};

use crate::frame::{BINARY, push_length};

/// Room for what is gathered in one turn; a frame must fit in.
const ROOM: usize = 128 * 1024;

/// What has come and is not yet handed on.
pub struct Incoming {
    buffer: Vec<u8>,
    filled: usize,
}

impl Incoming {
    pub fn new() -> Self {
        Self { buffer: vec![0; ROOM], filled: 0 }
    }

    /// Waits for bytes, and reads until there are no more for now or no room. Tells how many; none at the end.
    pub async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        poll_fn(|context| {
            let before = self.filled;
            loop {
                let mut room = ReadBuf::new(&mut self.buffer[self.filled..]);
                let polled = Pin::new(&mut *stream).poll_read(context, &mut room);
                let count = room.filled().len();
                self.filled += count;
                match polled {
                    Poll::Ready(Ok(())) if count > 0 && self.filled < ROOM => {}
                    Poll::Pending if self.filled == before => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) | Poll::Pending => return Poll::Ready(Ok(self.filled - before)),
                }
            }
        })
        .await
    }

    /// Appends all whole frames as a server's to `frames`. A part of one stays for the next time.
    pub fn reframe(&mut self, frames: &mut Vec<u8>) {
        let mut used = 0;
        while let Some((opcode, head, length)) = read_head(&self.buffer[used..self.filled]) {
            if self.filled - used < head + length {
                break;
            }
            let (mask, payload) = self.buffer[used + head - 4..][..4 + length].split_at_mut(4);
            if opcode == BINARY {
                unmask(payload, [mask[0], mask[1], mask[2], mask[3]]);
                frames.push(0x80 | BINARY);
                push_length(frames, length, 0);
                frames.extend_from_slice(payload);
            }
            used += head + length;
        }
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
    }
}

/// Opcode, length of the head with its mask, and length of the payload.
fn read_head(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, short) = (*bytes.first()?, bytes.get(1)? & 0x7f);
    let (head, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        short => (2, usize::from(short)),
    };
    Some((first & 0x0f, head + 4, length))
}

/// In steps that the compiler turns into wide ones.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let (chunks, rest) = payload.as_chunks_mut::<4>();
    for chunk in chunks {
        *chunk = (u32::from_ne_bytes(*chunk) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    rest.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}
