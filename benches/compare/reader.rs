//! What servers say: the NATS protocol as a stream of bytes whatever the frames are, or one JSON object a frame.
//!
//! It reads no more than it must: the verb, the sizes at the end of the line, and the first bytes of the payload.

use super::frame::Part;

/// The longest prefix that tells one JSON message from another.
const PREFIX: usize = 12;

/// One thing that a server said.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// `INFO`, `hello`
    Greeting,
    /// `PONG`, `ok`
    Answer,
    Ping,
    Message(Message<'a>),
    Fault(&'a [u8]),
}

#[derive(Debug, PartialEq)]
pub struct Message<'a> {
    /// Its line, with the line's end; empty in JSON.
    pub line: &'a [u8],
    /// The first bytes of its payload, and what follows if it is shorter.
    pub stamp: [u8; 8],
}

impl<'a> Message<'a> {
    /// Where an answer goes: of `MSG topic sid reply size` or `HMSG topic sid reply headers size`.
    pub fn reply(&self) -> Option<&'a [u8]> {
        let more = if self.line.starts_with(b"HMSG") { 2 } else { 1 };
        let words = self.line.trim_ascii_end().split(|byte| *byte == b' ');
        let mut words = words.filter(|word| !word.is_empty()).skip(3);
        let reply = words.next()?;
        (words.count() == more).then_some(reply)
    }
}

/// Reads one dialect.
pub enum Reader {
    Nats(Lines),
    Json { prefix: Vec<u8> },
}

impl Reader {
    pub fn feed(&mut self, part: &Part<'_>, on_event: &mut impl FnMut(Event<'_>)) {
        match self {
            Self::Nats(lines) => lines.feed(part.bytes, on_event),
            Self::Json { prefix } => {
                let missing = PREFIX - prefix.len();
                prefix.extend(part.bytes.iter().take(missing));
                if part.is_last {
                    on_event(json_event(prefix));
                    prefix.clear();
                }
            }
        }
    }
}

fn json_event(prefix: &[u8]) -> Event<'_> {
    match prefix {
        [b'{', b'"', b'o', b'p', b'"', b':', b'"', op @ ..] => match op {
            [b'm', b's', b'g', b'"', ..] => Event::Message(Message { line: b"", stamp: [0; 8] }),
            [b'h', b'e', b'l', b'l', b'o'] => Event::Greeting,
            [b'o', b'k', b'"', ..] => Event::Answer,
            _ => Event::Fault(prefix),
        },
        _ => Event::Fault(prefix),
    }
}

/// The NATS protocol, cut anywhere.
#[derive(Default)]
pub struct Lines {
    /// A line whose end, or whose message, has not come yet.
    line: Vec<u8>,
    body: Option<Body>,
}

/// What is still to come of a message.
struct Body {
    headers: usize,
    left: usize,
    stamp: [u8; 8],
    stamped: usize,
}

impl Lines {
    pub fn feed(&mut self, mut bytes: &[u8], on_event: &mut impl FnMut(Event<'_>)) {
        while !bytes.is_empty() {
            if let Some(body) = &mut self.body {
                body.take(&mut bytes);
                if body.left == 0 {
                    on_event(Event::Message(Message { line: &self.line, stamp: body.stamp }));
                    self.body = None;
                    self.line.clear();
                }
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.line.extend(bytes);
                return;
            };
            let (head, rest) = bytes.split_at(end + 1);
            bytes = rest;
            let mut joined = std::mem::take(&mut self.line);
            let line = if joined.is_empty() {
                head
            } else {
                joined.extend(head);
                &joined
            };
            let mut body = match Said::of(line) {
                Said::Message { headers, size } => Body::new(headers, size),
                Said::Event(event) => {
                    on_event(event);
                    continue;
                }
                Said::Nothing => continue,
            };
            body.take(&mut bytes);
            if body.left == 0 {
                on_event(Event::Message(Message { line, stamp: body.stamp }));
            } else {
                self.line = line.to_vec();
                self.body = Some(body);
            }
        }
    }
}

impl Body {
    fn new(headers: usize, size: usize) -> Self {
        Self { headers, left: size + "\r\n".len(), stamp: [0; 8], stamped: 0 }
    }

    fn take(&mut self, bytes: &mut &[u8]) {
        let (mut part, rest) = bytes.split_at(self.left.min(bytes.len()));
        *bytes = rest;
        self.left -= part.len();
        let headers = self.headers.min(part.len());
        self.headers -= headers;
        part = &part[headers..];
        let stamp = &mut self.stamp[self.stamped..];
        let known = stamp.len().min(part.len());
        stamp[..known].copy_from_slice(&part[..known]);
        self.stamped += known;
    }
}

/// What a line is.
enum Said<'a> {
    Message { headers: usize, size: usize },
    Event(Event<'a>),
    Nothing,
}

impl<'a> Said<'a> {
    fn of(line: &'a [u8]) -> Self {
        match line {
            // The floor hands on what it gets.
            [b'M', b'S', b'G', b' ', ..] | [b'P', b'U', b'B', b' ', ..] => {
                Self::Message { headers: 0, size: last_number(line).0 }
            }
            [b'H', b'M', b'S', b'G', b' ', ..] => {
                let (size, before) = last_number(line);
                Self::Message { headers: last_number(before).0, size }
            }
            [b'P', b'I', b'N', b'G', ..] => Self::Event(Event::Ping),
            [b'P', b'O', b'N', b'G', ..] => Self::Event(Event::Answer),
            [b'I', b'N', b'F', b'O', ..] => Self::Event(Event::Greeting),
            [b'+', b'O', b'K', ..] => Self::Nothing,
            fault => Self::Event(Event::Fault(fault)),
        }
    }
}

/// The number at the end of a line, and what stands before it.
fn last_number(line: &[u8]) -> (usize, &[u8]) {
    let line = line.trim_ascii_end();
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, digits) = line.split_at(line.len() - digits);
    (digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0')), before)
}
