//! What a client says, as bytes: the NATS protocol, `portcullis.json.v1`, or nothing at all to the floor.

use super::frame::{BINARY, Frame, TEXT};
use super::reader::{Lines, Reader};

/// Where every message of one publisher goes unless a scenario needs more topics.
pub const TOPIC: &str = "bench.orders.created";

const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":true,\"headers\":true,\
    \"no_responders\":true,\"protocol\":1,\"lang\":\"bench\",\"version\":\"1\",\"name\":\"bench\"}\r\n";
const PING: &str = "PING\r\n";

/// How a server is spoken to.
#[derive(Clone, Copy, PartialEq)]
pub enum Dialect {
    Nats,
    Json,
    /// A connection's whole meaning is its path.
    Floor,
}

/// What a connection is for.
#[derive(Clone)]
pub enum Purpose {
    /// Reads what the server says first, and no more.
    Greeting,
    Publish(String),
    Subscribe(String),
    /// Asks, and reads the answers that come to this pattern.
    Request(String),
}

impl Dialect {
    pub fn reader(self) -> Reader {
        match self {
            Self::Nats | Self::Floor => Reader::Nats(Lines::default()),
            Self::Json => Reader::Json { prefix: Vec::new() },
        }
    }

    /// The head of the HTTP request.
    pub fn request(self, purpose: &Purpose) -> String {
        let (path, more) = match (self, purpose) {
            (Self::Nats, _) => ("/nats".into(), ""),
            (Self::Json, _) => ("/".into(), "Sec-WebSocket-Protocol: portcullis.json.v1\r\n"),
            (Self::Floor, Purpose::Greeting) => ("/".into(), ""),
            (Self::Floor, Purpose::Publish(topic)) => (format!("/publish/{topic}"), ""),
            (Self::Floor, Purpose::Subscribe(topic)) => (format!("/subscribe/{topic}"), ""),
            (Self::Floor, Purpose::Request(_)) => ("/echo".into(), ""),
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        )
    }

    /// What follows the server's greeting, and is answered once; `None` where there is nothing to say.
    pub fn opening(self, purpose: &Purpose) -> Option<Vec<u8>> {
        let subscription = match purpose {
            Purpose::Greeting => return None,
            Purpose::Publish(_) => None,
            Purpose::Subscribe(pattern) | Purpose::Request(pattern) => Some(pattern),
        };
        match self {
            Self::Floor => None,
            Self::Json => {
                let pattern = subscription?;
                let text = format!(r#"{{"op":"sub","id":1,"sid":7,"topic":"{pattern}"}}"#);
                Some(Frame::new(TEXT, text.as_bytes()).bytes)
            }
            Self::Nats => {
                let lines = subscription.map(|pattern| format!("SUB {pattern} 1\r\n")).unwrap_or_default();
                Some(Frame::new(BINARY, format!("{CONNECT}{lines}{PING}").as_bytes()).bytes)
            }
        }
    }

    /// One message in a frame of its own, and the place of its payload in it.
    pub fn publication(self, topic: &str, reply: Option<&str>, size: usize) -> (Frame, usize) {
        match self {
            Self::Nats | Self::Floor => {
                let (line, text) = lines_of(topic, reply, size);
                (Frame::new(BINARY, text.as_bytes()), line)
            }
            Self::Json => {
                assert!(reply.is_none(), "no scenario asks in JSON");
                let data = "x".repeat(size - 2);
                let text = format!(r#"{{"op":"pub","topic":"{topic}","data":"{data}"}}"#);
                let payload_at = text.len() - data.len() - 2;
                (Frame::new(TEXT, text.as_bytes()), payload_at)
            }
        }
    }

    /// Several messages in one frame, which only NATS has.
    pub fn publications_in_one_frame(self, topic: &str, size: usize, count: usize) -> Frame {
        assert!(self != Self::Json, "a JSON message is a frame");
        Frame::new(BINARY, lines_of(topic, None, size).1.repeat(count).as_bytes())
    }
}

/// The length of the line, and the line with its payload.
fn lines_of(topic: &str, reply: Option<&str>, size: usize) -> (usize, String) {
    let reply = reply.map(|reply| format!("{reply} ")).unwrap_or_default();
    let line = format!("PUB {topic} {reply}{size}\r\n");
    (line.len(), format!("{line}{}\r\n", "x".repeat(size)))
}
