//! A client that speaks raw frames and waits for what it expects.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::PATIENCE;

/// One session, seen from the service's side.
pub struct Peer {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    pub response: Response,
    /// What the gateway said first; `null` before it was read.
    pub hello: Value,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    Frame(u16, String),
    /// Without a close frame.
    Gone,
}

impl Closed {
    /// What a close frame says.
    pub(super) fn of(payload: &[u8]) -> Self {
        let (code, reason) = payload.split_at(2);
        let reason = String::from_utf8(reason.to_vec()).expect("UTF-8");
        Self::Frame(u16::from_be_bytes([code[0], code[1]]), reason)
    }

    /// What a paced end says, whenever it asks to come back.
    pub fn paced(self) -> Self {
        match self {
            Self::Frame(code, text) => {
                let (reason, hint) = text.split_once(" retry_after_ms=").expect("a hint");
                let hint: u64 = hint.parse().expect("milliseconds");
                assert!((1_000..63_000).contains(&hint), "{hint}");
                Self::Frame(code, reason.into())
            }
            Self::Gone => Self::Gone,
        }
    }
}

impl Peer {
    pub(super) fn new(socket: WebSocketStream<TlsStream<TcpStream>>, response: Response) -> Self {
        Self { socket, response, hello: Value::Null }
    }

    /// Sends one text message as it is.
    pub async fn send(&mut self, text: impl Into<String>) {
        let sending = self.socket.send(Message::text(text.into()));
        timeout(PATIENCE, sending).await.expect("sent in time").expect("sent");
    }

    /// Sends many text messages without waiting for anything in between.
    pub async fn send_all(&mut self, texts: impl IntoIterator<Item = String>) {
        let sending = async {
            for text in texts {
                self.socket.feed(Message::text(text)).await?;
            }
            self.socket.flush().await
        };
        timeout(PATIENCE, sending).await.expect("sent in time").expect("sent");
    }

    pub async fn send_frame(&mut self, message: Message) -> Result<(), Error> {
        timeout(PATIENCE, self.socket.send(message)).await.expect("sent in time")
    }

    /// Sends a message and gives its answer: the next `ok`, `err` or `res`.
    pub async fn ask(&mut self, text: impl Into<String>) -> Value {
        self.send(text).await;
        self.next().await
    }

    /// Sends a message that must succeed.
    pub async fn ok(&mut self, text: impl Into<String>) -> Value {
        self.send(text).await;
        self.expect("ok").await
    }

    /// Sends a message that must fail, and gives the `code` of its error.
    pub async fn refused(&mut self, text: impl Into<String>) -> String {
        self.send(text).await;
        self.expect("err").await["code"].as_str().expect("a code").to_owned()
    }

    /// The next text message, parsed.
    pub async fn next(&mut self) -> Value {
        serde_json::from_str(&self.next_text().await).expect("JSON")
    }

    /// The next text message, byte for byte.
    pub async fn next_text(&mut self) -> String {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a message in time") {
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("a text message was expected, not {other:?}"),
            }
        }
    }

    /// The next message, which must have this `op`.
    pub async fn expect(&mut self, op: &str) -> Value {
        let message = self.next().await;
        assert_eq!(message["op"], op, "{message}");
        message
    }

    /// Makes sure that nothing was sent to this session before: the answer to a question comes next.
    pub async fn nothing_came(&mut self) {
        let answer = self.ask(r#"{"op":"whoami","id":9007199254740991}"#).await;
        assert_eq!(answer["id"], 9_007_199_254_740_991_u64, "{answer}");
    }

    /// Reads on until the session ends.
    pub async fn closed(&mut self) -> Closed {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("an end in time") {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Closed::Frame(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Close(None))) => return Closed::Frame(1005, String::new()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Closed::Gone,
            }
        }
    }

    /// Closes from this side.
    pub async fn close(&mut self) {
        self.socket.close(None).await.expect("closed");
    }

    /// The stream below, for bytes that are no proper frames.
    pub fn into_stream(self) -> TlsStream<TcpStream> {
        self.socket.into_inner()
    }
}
