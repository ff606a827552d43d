//! A session's bytes over TLS: many records by one system call, both ways.

use std::cell::RefCell;
use std::io::{self, BufRead, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::moderation;
use crate::session::Transport;

/// Bytes read from a socket at once: several TLS records, or hundreds of small ones.
const READ: usize = 64 * 1024;

thread_local! {
    /// What was read and is decrypted at once. One for each thread, because hardly a session has something to read.
    static CIPHERTEXT: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// TLS over a socket, after its handshake.
pub struct TlsTransport {
    socket: TcpStream,
    tls: ServerConnection,
    records: Records,
    /// Nothing more comes.
    at_end: bool,
    is_closing: bool,
}

impl TlsTransport {
    /// Goes on with a stream, to which `first` is to be written before anything else.
    pub fn new(stream: TlsStream<TcpStream>, first: &[u8]) -> Self {
        let (socket, mut tls) = stream.into_inner();
        // What is taken over is bounded by the session, which takes nothing over while something waits.
        tls.set_buffer_limit(None);
        let mut transport =
            Self { socket, tls, records: Records::default(), at_end: false, is_closing: false };
        // A peer that is not told of its session has none.
        transport.at_end = transport.buffer(&[IoSlice::new(first)]).is_err();
        transport
    }

    /// Moves what is decrypted to `into`.
    fn drain(&mut self, into: &mut Vec<u8>) -> usize {
        let (mut reader, mut moved) = (self.tls.reader(), 0);
        // An error is the end, or that nothing is there now.
        while let Ok(plaintext @ [_, ..]) = reader.fill_buf() {
            let length = plaintext.len();
            into.extend_from_slice(plaintext);
            reader.consume(length);
            moved += length;
        }
        moved
    }

    /// Decrypts records; the rest of one that is not whole stays in the connection.
    ///
    /// One by one: of many small ones rustls would move all that is left behind each, and keep a buffer for each.
    fn decrypt(&mut self, mut ciphertext: &[u8], into: &mut Vec<u8>) -> Result<(), Ended> {
        while !ciphertext.is_empty() {
            let mut record;
            (record, ciphertext) = ciphertext.split_at(self.records.next(ciphertext));
            while !record.is_empty() {
                self.tls.read_tls(&mut record).map_err(|_| Ended)?;
                let state = self.tls.process_new_packets();
                // What came before a record that is none was said all the same.
                if state.as_ref().map_or(true, |state| state.plaintext_bytes_to_read() > 0) {
                    self.drain(into);
                }
                if state.map_or(true, |state| state.peer_has_closed()) {
                    return Err(Ended);
                }
            }
        }
        Ok(())
    }
}

/// Where the records of a stream end. Only rustls knows what they are, and it finds them by itself: what is mistaken for one here
/// costs time and nothing else.
#[derive(Default)]
struct Records {
    /// A header (RFC 8446, section 5.2), as far as it has come.
    header: [u8; 5],
    known: usize,
    /// What the record lacks behind its header.
    missing: usize,
}

impl Records {
    /// How many of these bytes, some at least, belong to the record that they begin or go on with. All of them if they begin none.
    fn next(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        if self.missing == 0 {
            for (place, byte) in self.header.iter_mut().skip(self.known).zip(bytes) {
                *place = *byte;
                used += 1;
            }
            self.known += used;
            if self.known < self.header.len() {
                return used;
            }
            self.known = 0;
            self.missing = match self.header {
                [23, 3, 3, high, low] => u16::from_be_bytes([high, low]).into(),
                _ => bytes.len() - used,
            };
        }
        let of_record = self.missing.min(bytes.len() - used);
        self.missing -= of_record;
        used + of_record
    }
}

/// Nothing more comes from the peer.
struct Ended;

impl Transport for TlsTransport {
    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<usize> {
        // What came along with the last bytes of the handshake or of the upgrade request.
        let moved = self.drain(into);
        if moved > 0 {
            return Poll::Ready(moved);
        }
        let before = into.len();
        while !self.at_end {
            // Not `try_read`: only this notices by a short read that nothing more is there, without asking the system again.
            let came = CIPHERTEXT.with_borrow_mut(|ciphertext| {
                let mut read = ReadBuf::new(ciphertext);
                let came = ready!(Pin::new(&mut self.socket).poll_read(context, &mut read));
                moderation::arrived(read.filled().len());
                Poll::Ready(match read.filled() {
                    ciphertext if came.is_ok() && !ciphertext.is_empty() => self.decrypt(ciphertext, into),
                    _ => Err(Ended),
                })
            });
            self.at_end = ready!(came).is_err();
            let moved = into.len() - before;
            if moved > 0 {
                return Poll::Ready(moved);
            }
        }
        Poll::Ready(0)
    }

    fn buffer(&mut self, plaintext: &[IoSlice<'_>]) -> io::Result<()> {
        let taken = match self.tls.writer().write_vectored(plaintext) {
            // Behind a fatal alert nothing is said (RFC 8446, section 6.2), but the alert is.
            Err(_) if self.is_waiting() => return Ok(()),
            taken => taken?,
        };
        if taken < plaintext.iter().map(|part| part.len()).sum() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    fn is_waiting(&self) -> bool {
        self.tls.wants_write()
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.tls.write_tls(&mut Socket { socket: &mut self.socket, context }) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            written => Poll::Ready(written),
        }
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.is_closing, true) {
            self.tls.send_close_notify();
        }
        while self.is_waiting() {
            if ready!(self.poll_write(context))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// Writes what the system takes now, and has the task woken when it takes more.
struct Socket<'s, 'c, 'w> {
    socket: &'s mut TcpStream,
    context: &'c mut Context<'w>,
}

impl Write for Socket<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.socket).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        // One record is the rule, and sent for less than by `writev`.
        if let [one] = bytes {
            return self.write(one);
        }
        or_would_block(Pin::new(&mut *self.socket).poll_write_vectored(self.context, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn or_would_block(written: Poll<io::Result<usize>>) -> io::Result<usize> {
    match written {
        Poll::Ready(written) => written,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

#[cfg(test)]
mod tests;
