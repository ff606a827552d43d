//! A client that costs as little as possible: frames encoded beforehand, and incoming ones only counted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: portcullis.json.v1\r\n\r\n";
const MASK: [u8; 4] = [0x5a, 0x17, 0xc3, 0x88];
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const READ: usize = 64 * 1024;

/// A session whose `hello` was read.
pub struct Session {
    stream: TlsStream<TcpStream>,
    incoming: BytesMut,
}

/// What a gateway sent.
pub enum Frame {
    Text(BytesMut),
    Close { code: u16, reason: String },
    Control,
}

impl Session {
    pub async fn open(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        Self::try_open(address, config).await.expect("a session")
    }

    /// A full handshake, the upgrade, and the first frame.
    pub async fn try_open(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream = TlsConnector::from(config.clone()).connect(name, socket).await?;
        stream.write_all(REQUEST).await?;
        let mut incoming = BytesMut::new();
        let end = loop {
            if let Some(end) = incoming.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut incoming).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = incoming.split_to(end);
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(io::Error::other(String::from_utf8_lossy(&head)));
        }
        let mut session = Self { stream, incoming };
        match session.frame().await? {
            Frame::Text(hello) if hello.starts_with(br#"{"op":"hello""#) => Ok(session),
            Frame::Close { code, reason } => Err(io::Error::other(format!("closed: {code} {reason}"))),
            Frame::Text(_) | Frame::Control => Err(io::Error::other("the first frame is no `hello`")),
        }
    }

    /// Sends one message that is answered by exactly one.
    pub async fn ask(&mut self, text: &str) {
        self.send(text).await.expect("sent");
        match self.frame().await.expect("an answer") {
            Frame::Text(answer) if answer.starts_with(br#"{"op":"ok""#) => {}
            Frame::Text(answer) => panic!("{}", String::from_utf8_lossy(&answer)),
            Frame::Close { code, reason } => panic!("closed: {code} {reason}"),
            Frame::Control => panic!("a control frame instead of an answer"),
        }
    }

    /// Sends one message.
    pub async fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(&frame(text)).await?;
        self.stream.flush().await
    }

    /// Waits for the next frame.
    pub async fn frame(&mut self) -> io::Result<Frame> {
        next_frame(&mut self.stream, &mut self.incoming).await
    }

    /// The certificate that the gateway showed.
    pub fn gateway_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.stream.get_ref().1.peer_certificates()?.first()
    }

    pub fn split(self) -> (Counter, WriteHalf<TlsStream<TcpStream>>) {
        let (stream, sink) = tokio::io::split(self.stream);
        (Counter { stream, incoming: self.incoming }, sink)
    }
}

/// The receiving end.
pub struct Counter {
    stream: ReadHalf<TlsStream<TcpStream>>,
    incoming: BytesMut,
}

impl Counter {
    /// Waits for bytes, and tells how many messages they completed.
    pub async fn count(&mut self) -> usize {
        self.incoming.reserve(READ);
        assert_ne!(self.stream.read_buf(&mut self.incoming).await.expect("frames"), 0, "closed");
        let mut messages = 0;
        while let Some((opcode, message)) = take_frame(&mut self.incoming) {
            assert_ne!(opcode, CLOSE, "the gateway closed: {}", String::from_utf8_lossy(&message));
            messages += usize::from(opcode == TEXT);
        }
        messages
    }

    /// Waits for the next frame.
    pub async fn frame(&mut self) -> io::Result<Frame> {
        next_frame(&mut self.stream, &mut self.incoming).await
    }
}

async fn next_frame(stream: &mut (impl AsyncRead + Unpin), incoming: &mut BytesMut) -> io::Result<Frame> {
    loop {
        match take_frame(incoming) {
            Some((TEXT, text)) => return Ok(Frame::Text(text)),
            Some((CLOSE, payload)) => {
                let (code, reason) = payload.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
                let reason = String::from_utf8_lossy(reason).into_owned();
                return Ok(Frame::Close { code: u16::from_be_bytes(*code), reason });
            }
            Some(_) => return Ok(Frame::Control),
            None if stream.read_buf(incoming).await? == 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            None => {}
        }
    }
}

/// A client's frame for a text of at most 64 KiB.
pub fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![TEXT];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..126), _) => frame.push(0x80 | length),
        (_, Ok(length)) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        _ => panic!("no scenario has a message of {} bytes", text.len()),
    }
    frame.extend(MASK);
    frame.extend(text.bytes().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The first whole frame of a gateway, never masked and never fragmented: its first byte and its payload.
fn take_frame(incoming: &mut BytesMut) -> Option<(u8, BytesMut)> {
    let (first, short) = (*incoming.first()?, *incoming.get(1)?);
    let (head, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(*incoming.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*incoming.get(2..)?.first_chunk()?)).ok()?),
        short => (2, usize::from(short)),
    };
    if incoming.len() < head + length {
        return None;
    }
    incoming.advance(head);
    Some((first, incoming.split_to(length)))
}
