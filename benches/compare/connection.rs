//! A client that costs as little as TLS allows: it never blocks, reads much at once, and copies nothing it only counts.

use std::io::{self, BufRead, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::dialect::{Dialect, Purpose};
use super::frame::{CLOSE, Deframer, Frame, PING, PONG};
use super::reader::{Event, Message, Reader};

/// One WebSocket over TLS.
pub struct Connection {
    pub socket: TcpStream,
    tls: ClientConnection,
    stage: Stage,
    frames: Deframer,
    reader: Reader,
    /// What a server's answer to a `PING` of its own is encoded as.
    dialect: Dialect,
    opening: Option<Vec<u8>>,
    /// The system takes no more for now.
    is_blocked: bool,
}

/// How far it has come.
enum Stage {
    /// TLS, and the answer to the upgrade as far as it is there.
    Upgrade(Vec<u8>),
    /// Waits for what the server says first.
    Greeting,
    /// Waits for the answer to its first words.
    Opening,
    Ready,
}

/// What one chunk of plaintext asked for.
#[derive(Default)]
struct Asked {
    is_greeted: bool,
    is_answered: bool,
    pings: usize,
    /// Of the WebSocket, with the payload to give back.
    control: Option<Vec<u8>>,
}

impl Connection {
    /// Connects; the handshake goes on with `receive`.
    pub fn open(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        dialect: Dialect,
        purpose: &Purpose,
    ) -> io::Result<Self> {
        let socket = std::net::TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        tls.set_buffer_limit(None);
        // Kept until the handshake is over, and sent with its last flight.
        tls.writer().write_all(dialect.request(purpose).as_bytes())?;
        let mut connection = Self {
            socket: TcpStream::from_std(socket),
            tls,
            stage: Stage::Upgrade(Vec::new()),
            frames: Deframer::default(),
            reader: dialect.reader(),
            dialect,
            opening: dialect.opening(purpose),
            is_blocked: false,
        };
        connection.flush()?;
        Ok(connection)
    }

    pub fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready)
    }

    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Sends frames as one or more TLS records, as soon as the system takes them.
    pub fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.tls.writer().write_all(frames)?;
        self.flush()
    }

    /// Hands what is encrypted to the system, as far as it takes it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.is_blocked = false;
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads all that has come.
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        on_message: &mut impl FnMut(&Message<'_>),
    ) -> io::Result<()> {
        loop {
            let count = match self.socket.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut records = &buffer[..count];
            while !records.is_empty() {
                self.tls.read_tls(&mut records)?;
                self.tls.process_new_packets().map_err(io::Error::other)?;
                self.read_plaintext(on_message)?;
            }
            self.flush()?;
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    fn read_plaintext(&mut self, on_message: &mut impl FnMut(&Message<'_>)) -> io::Result<()> {
        loop {
            let mut reader = self.tls.reader();
            let chunk = match reader.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let used = chunk.len();
            let mut bytes = chunk;
            if let Stage::Upgrade(head) = &mut self.stage {
                let Some(rest) = read_head(head, bytes)? else {
                    reader.consume(used);
                    continue;
                };
                bytes = rest;
                self.stage = Stage::Greeting;
            }
            let asked = read_frames(&mut self.frames, &mut self.reader, bytes, on_message)?;
            reader.consume(used);
            self.answer(asked)?;
        }
    }

    fn answer(&mut self, asked: Asked) -> io::Result<()> {
        if asked.is_greeted && matches!(self.stage, Stage::Greeting) {
            self.stage = match self.opening.take() {
                Some(opening) => {
                    self.tls.writer().write_all(&opening)?;
                    Stage::Opening
                }
                None => Stage::Ready,
            };
        }
        if asked.is_answered && matches!(self.stage, Stage::Opening) {
            self.stage = Stage::Ready;
        }
        if asked.pings > 0 && self.dialect == Dialect::Nats {
            let pongs = Frame::new(super::frame::BINARY, "PONG\r\n".repeat(asked.pings).as_bytes());
            self.tls.writer().write_all(&pongs.bytes)?;
        }
        if let Some(payload) = asked.control {
            self.tls.writer().write_all(&Frame::new(PONG, &payload).bytes)?;
        }
        Ok(())
    }
}

/// What follows the head of the answer to the upgrade, once it is whole.
fn read_head<'a>(head: &mut Vec<u8>, bytes: &'a [u8]) -> io::Result<Option<&'a [u8]>> {
    let known = head.len();
    head.extend(bytes);
    let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(io::Error::other(String::from_utf8_lossy(head)));
    }
    Ok(Some(&bytes[end + 4 - known..]))
}

fn read_frames(
    frames: &mut Deframer,
    reader: &mut Reader,
    mut bytes: &[u8],
    on_message: &mut impl FnMut(&Message<'_>),
) -> io::Result<Asked> {
    let mut asked = Asked::default();
    let mut fault = None;
    while let Some(part) = frames.next(&mut bytes) {
        match part.opcode {
            CLOSE => {
                return Err(io::Error::other(format!("closed: {}", String::from_utf8_lossy(part.bytes))));
            }
            PING => asked.control.get_or_insert_default().extend(part.bytes),
            PONG => {}
            _ => reader.feed(&part, &mut |event| match event {
                Event::Message(message) => on_message(&message),
                Event::Greeting => asked.is_greeted = true,
                Event::Answer => asked.is_answered = true,
                Event::Ping => asked.pings += 1,
                Event::Fault(text) => fault = Some(String::from_utf8_lossy(text).into_owned()),
            }),
        }
    }
    fault.map_or(Ok(asked), |fault| Err(io::Error::other(fault)))
}
