//! A client that sends whatever bytes a test likes, and tells exactly how its connection ended.

use std::io;

use rustls::AlertDescription;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::{Closed, Harness, Issued, PATIENCE};

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// One TLS connection.
pub struct Raw {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With TLS's own goodbye.
    Clean,
    /// Without it.
    Truncated,
    Reset,
    Alert(AlertDescription),
    Other(String),
}

impl End {
    pub fn of(error: &io::Error) -> Self {
        let alert = error.get_ref().and_then(|inner| inner.downcast_ref());
        match (alert, error.kind()) {
            (Some(rustls::Error::AlertReceived(alert)), _) => Self::Alert(*alert),
            (_, io::ErrorKind::UnexpectedEof) => Self::Truncated,
            (_, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Self::Reset,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// An upgrade request, to be spoiled.
#[derive(Clone)]
pub struct Head {
    line: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// One that is in order.
    pub fn upgrade() -> Self {
        let headers = [
            ("Host", "localhost"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Protocol", "portcullis.json.v1"),
        ];
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Self { line: "GET / HTTP/1.1".into(), headers }
    }

    /// A request with a body, which is yet to be sent.
    pub fn post(path: &str, content_type: &str, length: usize) -> Self {
        let length = length.to_string();
        let headers = [("Host", "localhost"), ("Content-Type", content_type), ("Content-Length", &length)];
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Self { line: format!("POST {path} HTTP/1.1"), headers }
    }

    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.line = line.into();
        self
    }

    /// One more header.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The header with these values alone, each on a line of its own.
    pub fn with(mut self, name: &str, values: &[&str]) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.extend(values.iter().map(|value| (name.into(), value.to_string())));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{}\r\n{headers}\r\n", self.line).into_bytes()
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let (_, value) = values.next()?;
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        Some(value)
    }

    /// The last part of the problem's `type`, after everything that RFC 9457 asks of such an answer was checked.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document: Value = serde_json::from_slice(&self.body).expect("a problem document");
        assert_eq!(document["status"], self.status, "{document}");
        assert!(document["title"].is_string() && document["detail"].is_string(), "{document}");
        let kind = document["type"].as_str().expect("a type");
        kind.strip_prefix("urn:portcullis:problem:").expect("a type of the gateway").to_owned()
    }
}

impl Raw {
    pub fn over(stream: TlsStream<TcpStream>) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Before any HTTP.
    pub async fn open(harness: &Harness, issued: &Issued) -> Self {
        Self::over(harness.tls(issued).await.expect("a TLS handshake"))
    }

    /// After the 101 and the `hello`.
    pub async fn session(harness: &Harness, issued: &Issued) -> Self {
        let mut raw = Self::open(harness, issued).await;
        raw.upgrade().await;
        raw
    }

    /// Asks for the 101 and reads it and the `hello`.
    pub async fn upgrade(&mut self) -> Value {
        let answer = self.ask(&Head::upgrade()).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        let hello = self.text().await;
        assert_eq!(hello["op"], "hello", "{hello}");
        hello
    }

    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sending = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, sending).await.expect("sent in time")
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.expect("sent");
    }

    pub async fn ask(&mut self, head: &Head) -> Answer {
        self.send(&head.bytes()).await;
        self.answer().await
    }

    /// The next HTTP answer.
    pub async fn answer(&mut self) -> Answer {
        let end = loop {
            match self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.more().await.unwrap_or_else(|end| panic!("an answer was expected, not {end:?}")),
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).expect("ASCII");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let mut answer = Answer { status: status.parse().expect("a status"), headers, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        answer.body = self.take(length).await.expect("a body");
        answer
    }

    /// The next frame: its first byte and its payload.
    pub async fn frame(&mut self) -> Result<(u8, Vec<u8>), End> {
        let head = self.take(2).await?;
        assert_eq!(head[1] & 0x80, 0, "a gateway never masks");
        let length = match head[1] {
            126 => be_length(&self.take(2).await?),
            127 => be_length(&self.take(8).await?),
            short => usize::from(short),
        };
        Ok((head[0], self.take(length).await?))
    }

    /// The next frame, which must be a text of JSON.
    pub async fn text(&mut self) -> Value {
        let (first, payload) = self.frame().await.expect("a frame");
        assert_eq!(first, TEXT, "{:?}", String::from_utf8_lossy(&payload));
        serde_json::from_slice(&payload).expect("JSON")
    }

    /// Reads on until the session ends.
    pub async fn closed(&mut self) -> Closed {
        loop {
            match self.frame().await {
                Ok((CLOSE, payload)) => return Closed::of(&payload),
                Ok(_) => {}
                Err(_) => return Closed::Gone,
            }
        }
    }

    /// Reads on until the connection ends.
    pub async fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.more().await {
                return end;
            }
            self.buffer.clear();
        }
    }

    /// Ends the sending half: TLS's goodbye, then TCP's.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.expect("shut down");
    }

    pub fn stream(&self) -> &TlsStream<TcpStream> {
        &self.stream
    }

    pub fn into_stream(self) -> TlsStream<TcpStream> {
        self.stream
    }

    async fn take(&mut self, count: usize) -> Result<Vec<u8>, End> {
        while self.buffer.len() < count {
            self.more().await?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    async fn more(&mut self) -> Result<(), End> {
        let reading = self.stream.read_buf(&mut self.buffer);
        match timeout(PATIENCE, reading).await.expect("bytes or an end in time") {
            Ok(0) => Err(End::Clean),
            Ok(_) => Ok(()),
            Err(error) => Err(End::of(&error)),
        }
    }
}

/// A masked frame that is otherwise as its first byte says.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x1f, 0x2e, 0x3d, 0x4c];
    let length = payload.len();
    let mut out = vec![first];
    match u16::try_from(length) {
        Ok(short @ 0..=125) => out.push(0x80 | short as u8),
        Ok(medium) => {
            out.push(0x80 | 126);
            out.extend(medium.to_be_bytes());
        }
        Err(_) => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// A masked text frame.
pub fn text(text: &str) -> Vec<u8> {
    frame(TEXT, text.as_bytes())
}

fn be_length(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
}
