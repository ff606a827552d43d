//! A client of the NATS protocol that sends whatever bytes a test likes, and reads what the gateway says one by one.

use serde_json::Value;

use super::raw::{BINARY, CLOSE, Head, PING, Raw, frame};
use super::{Closed, Harness, Issued, Profile};

/// One session in the NATS dialect, seen from the service's side.
pub struct Nats {
    pub raw: Raw,
    stream: Vec<u8>,
    /// What the gateway said first.
    pub info: Value,
}

/// One thing that the gateway says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Info(Value),
    Message(Received),
    Pong,
    Ok,
    Err(String),
    Closed(Closed),
}

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub subject: String,
    pub sid: String,
    pub reply: Option<String>,
    /// The header block; none of a `MSG`.
    pub head: Option<String>,
    pub payload: String,
}

impl Received {
    /// The headers in their order, of a block without a status.
    pub fn headers(&self) -> Vec<(&str, &str)> {
        let head = self.head.as_deref().expect("headers");
        let lines = head.strip_prefix("NATS/1.0\r\n").expect("the version alone");
        let lines = lines.strip_suffix("\r\n").expect("an empty line at the end");
        lines.split_terminator("\r\n").map(|line| line.split_once(": ").expect("a header")).collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.payload).expect("JSON")
    }

    /// Where an answer goes.
    pub fn reply(&self) -> &str {
        self.reply.as_deref().expect("a reply")
    }
}

/// What most clients say of themselves.
pub const USUAL: &str =
    r#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1}"#;

impl Head {
    /// The upgrade request of an official client.
    pub fn nats() -> Self {
        Self::upgrade().line("GET /nats HTTP/1.1").with("Sec-WebSocket-Protocol", &[])
    }
}

impl Nats {
    /// A session of a newly issued certificate, with the options that official clients send.
    pub async fn connect(harness: &Harness, service: &str, roles: &[&str]) -> Self {
        Self::connect_with(harness, service, roles, USUAL).await
    }

    /// The same with this `CONNECT`.
    pub async fn connect_with(harness: &Harness, service: &str, roles: &[&str], connect: &str) -> Self {
        let issued = harness.pki.issue(&Profile::service(service, roles));
        let mut nats = Self::open(harness, &issued).await;
        nats.send(format!("{connect}\r\n")).await;
        nats
    }

    /// A session with this certificate that has said nothing yet.
    pub async fn open(harness: &Harness, issued: &Issued) -> Self {
        Self::over(Raw::open(harness, issued).await).await
    }

    /// The same over a TLS connection of the test's own making.
    pub async fn over(mut raw: Raw) -> Self {
        let answer = raw.ask(&Head::nats()).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(answer.header("sec-websocket-protocol"), None, "none was offered");
        Self::greeted(raw).await
    }

    /// After the 101, by whatever request.
    pub async fn greeted(mut raw: Raw) -> Self {
        // Some clients look for the whole of it in the first message.
        let (first, message) = raw.frame().await.expect("a frame");
        assert_eq!(first, BINARY);
        let mut nats = Self { raw, stream: message, info: Value::Null };
        match nats.parse() {
            Some(Said::Info(info)) => nats.info = info,
            other => panic!("INFO was expected, not {other:?}"),
        }
        nats
    }

    /// Sends bytes of the stream as one binary message.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.send_frames(&frame(BINARY, bytes.as_ref())).await;
    }

    /// Sends whole frames, or what is meant to be some.
    pub async fn send_frames(&mut self, frames: &[u8]) {
        self.raw.send(frames).await;
    }

    /// Subscribes, and waits until the gateway has it.
    pub async fn subscribe(&mut self, sid: &str, pattern: &str) {
        self.send(format!("SUB {pattern} {sid}\r\n")).await;
        self.nothing_came().await;
    }

    /// The next thing that is said.
    pub async fn said(&mut self) -> Said {
        loop {
            if let Some(said) = self.parse() {
                return said;
            }
            match self.raw.frame().await {
                Ok((BINARY, bytes)) => self.stream.extend(bytes),
                Ok((PING, _)) => {}
                Ok((CLOSE, payload)) => return Said::Closed(Closed::of(&payload)),
                Ok((other, _)) => panic!("a frame of type {other:#x}"),
                Err(_) => return Said::Closed(Closed::Gone),
            }
        }
    }

    /// The next thing that is said, which must be a message.
    pub async fn message(&mut self) -> Received {
        match self.said().await {
            Said::Message(message) => message,
            other => panic!("a message was expected, not {other:?}"),
        }
    }

    /// The next thing that is said, which must be an error.
    pub async fn error(&mut self) -> String {
        match self.said().await {
            Said::Err(text) => text,
            other => panic!("an error was expected, not {other:?}"),
        }
    }

    /// Sends what must be refused, and tells how.
    pub async fn refused(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.send(bytes).await;
        self.error().await
    }

    /// Makes sure that all that was sent before was taken, and that nothing came of it.
    pub async fn nothing_came(&mut self) {
        // What was queued before the first ping is with the peer by the second.
        for _ in 0..2 {
            self.send("PING\r\n").await;
            assert_eq!(self.said().await, Said::Pong);
        }
    }

    /// Reads on until the session ends: the errors on the way, and how it ended.
    pub async fn closed(&mut self) -> (Vec<String>, Closed) {
        let mut errors = Vec::new();
        loop {
            match self.said().await {
                Said::Err(text) => errors.push(text),
                Said::Closed(closed) => return (errors, closed),
                _ => {}
            }
        }
    }

    fn parse(&mut self) -> Option<Said> {
        let end = self.stream.windows(2).position(|window| window == b"\r\n")?;
        let line = String::from_utf8(self.stream[..end].to_vec()).expect("UTF-8");
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let (said, used) = match verb {
            "INFO" => (Said::Info(serde_json::from_str(rest).expect("JSON")), end),
            "PONG" => (Said::Pong, end),
            "+OK" => (Said::Ok, end),
            "-ERR" => {
                let text = rest.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                (Said::Err(text.expect("a text in quotes").into()), end)
            }
            "MSG" | "HMSG" => self.parse_message(verb == "HMSG", rest, end + 2)?,
            _ => panic!("{line}"),
        };
        self.stream.drain(..used + 2);
        Some(said)
    }

    /// A message whose line ends before `start`; and where it ends, without the last line end.
    fn parse_message(&self, has_head: bool, line: &str, start: usize) -> Option<(Said, usize)> {
        let mut args: Vec<_> = line.split(' ').collect();
        let mut size = || args.pop().and_then(|size| size.parse::<usize>().ok()).expect("a size");
        let total = size();
        let head = if has_head { size() } else { 0 };
        let bytes = self.stream.get(start..start + total + 2)?;
        assert!(bytes.ends_with(b"\r\n"), "a payload has the length that it says");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let (subject, sid, reply) = match args[..] {
            [subject, sid] => (subject, sid, None),
            [subject, sid, reply] => (subject, sid, Some(reply.to_owned())),
            _ => panic!("{line}"),
        };
        let message = Received {
            subject: subject.into(),
            sid: sid.into(),
            reply,
            head: has_head.then(|| text(&bytes[..head])),
            payload: text(&bytes[head..total]),
        };
        Some((Said::Message(message), start + total))
    }
}

/// A publication.
pub fn publish(topic: &str, payload: &str) -> String {
    format!("PUB {topic} {}\r\n{payload}\r\n", payload.len())
}

/// One that asks for an answer at `reply`.
pub fn ask(topic: &str, reply: &str, payload: &str) -> String {
    publish(&format!("{topic} {reply}"), payload)
}

/// One with a header block of these lines, each with its end.
pub fn publish_with(topic: &str, lines: &str, payload: &str) -> String {
    publish_block(topic, &format!("NATS/1.0\r\n{lines}\r\n"), payload)
}

/// One with this header block, whatever it is.
pub fn publish_block(topic: &str, block: &str, payload: &str) -> String {
    format!("HPUB {topic} {} {}\r\n{block}{payload}\r\n", block.len(), block.len() + payload.len())
}
