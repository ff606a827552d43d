//! A stream of bytes becomes operations, however it is cut into messages.

use std::borrow::Cow;

use super::connect::Connect;
use super::headers::{self, HeaderFault, Reserved};
use super::shape::{Shape, Stem, Verb};
use super::{REAUTH, WHOAMI};
use crate::protocol::json::{self, DecodeError};
use crate::protocol::{Command, Headers, OpId, Payload, Sid};
use crate::topic::is_inbox;

/// One thing that a client asks for.
#[derive(Debug, PartialEq)]
pub enum Operation<'a> {
    Connect(Connect),
    Ping,
    Pong,
    Command(Command<'a>),
    /// The commonest command, told shortly: to publish nothing but a payload where the publication before went, with neither a
    /// reply nor an answer to it.
    Again {
        topic: &'a str,
        payload: &'a [u8],
    },
    /// Something that the gateway itself answers, at `reply`.
    Ask {
        topic: &'a str,
        command: Result<Command<'a>, DecodeError>,
        reply: Option<&'a str>,
    },
    /// A message that was not published.
    Refused {
        topic: &'a str,
        fault: HeaderFault,
    },
}

/// Why a stream cannot be read on. Every variant is the client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    #[error("no operation is called so")]
    UnknownOperation,
    #[error("a line is longer than {} bytes", super::MAX_CONTROL_LINE)]
    LineTooLong,
    #[error("the arguments of an operation are not its own")]
    Arguments,
    #[error("a payload of {declared} bytes is above the limit of {limit}")]
    PayloadTooLarge { declared: usize, limit: usize },
    #[error("a payload is longer or shorter than it was said to be")]
    PayloadEnd,
}

/// Puts operations together. Holds no bytes but those of one that has not come whole, and of lines that the next one may repeat.
#[derive(Default)]
pub struct Decoder {
    partial: Vec<u8>,
    /// That of the operation that was found last, or of the partial one once its line has come.
    shape: Shape,
    progress: Progress,
    connect: Connect,
    /// What the next publication may repeat.
    before: Option<Box<Before>>,
}

/// How far the partial operation has come.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Not to the end of its line, if there is one at all.
    #[default]
    Line,
    /// To somewhere behind its line.
    Payload,
    /// It is whole, and so was handed out.
    Whole,
}

/// Publications before, as far as the next one is likely to repeat them: most senders go on where they are.
#[derive(Default)]
struct Before {
    /// Of the last `PUB` without a reply, its line up to the size.
    line: Vec<u8>,
    topic: String,
    /// Of the last `PUB` that was read from its beginning.
    stem: Stem,
}

/// Bytes of a line beyond which it is not remembered.
const MOST_REPEATED: usize = 256;

/// Where the next operation lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// In the input, and it repeats the line of the publication before but for the size.
    Again,
    /// In the input.
    Input,
    /// Put together in the decoder.
    Partial,
}

/// Room that is kept for the next operation in pieces.
const RETAINED: usize = 4 * 1024;

impl Decoder {
    /// Looks for the next operation at the beginning of `input`. How many bytes of it belong to what is found, or are kept because
    /// nothing is found yet.
    #[inline]
    pub fn find(&mut self, input: &[u8], max_payload: usize) -> Result<(usize, Option<Found>), StreamFault> {
        if self.progress == Progress::Whole {
            self.partial.clear();
            self.partial.shrink_to(RETAINED);
            self.progress = Progress::Line;
        }
        if self.partial.is_empty() {
            if let Some(before) = &self.before {
                // In verbose mode there is an answer to each.
                if !self.connect.verbose && self.shape.repeat(&before.line, input, max_payload) {
                    return Ok((self.shape.len(), Some(Found::Again)));
                }
                if self.shape.follow(&before.stem, input, max_payload) {
                    return Ok((self.shape.len(), Some(Found::Input)));
                }
            }
            if self.shape.read(input, max_payload)? {
                if self.shape.is_publication() {
                    self.before.get_or_insert_default().stem.remember(&self.shape, input);
                }
                if self.shape.len() <= input.len() {
                    return Ok((self.shape.len(), Some(Found::Input)));
                }
                self.progress = Progress::Payload;
            }
        }
        self.complete(input, max_payload)
    }

    /// Adds `input` to the partial operation, as far as it belongs there.
    fn complete(&mut self, input: &[u8], max_payload: usize) -> Result<(usize, Option<Found>), StreamFault> {
        let mut used = 0;
        if self.progress == Progress::Line {
            let line = memchr::memchr(b'\n', input).map_or(input.len(), |end| end + 1);
            used = line.min(super::MAX_CONTROL_LINE);
            self.partial.extend_from_slice(input.get(..used).unwrap_or_default());
            if !self.shape.read(&self.partial, max_payload)? {
                return Ok((used, None));
            }
            self.progress = Progress::Payload;
        }
        let rest = input.get(used..).unwrap_or_default();
        let missing = self.shape.len().saturating_sub(self.partial.len()).min(rest.len());
        self.partial.extend_from_slice(rest.get(..missing).unwrap_or_default());
        if self.partial.len() < self.shape.len() {
            return Ok((used + missing, None));
        }
        self.progress = Progress::Whole;
        Ok((used + missing, Some(Found::Partial)))
    }

    /// The operation that was found at the beginning of `input`.
    #[inline]
    pub fn get<'a>(&'a mut self, found: Found, input: &'a [u8]) -> Result<Operation<'a>, StreamFault> {
        let shape = &self.shape;
        let whole = match found {
            Found::Again => {
                let (_, payload) = shape.body(input)?;
                let topic = self.before.as_ref().map_or("", |before| &before.topic);
                return Ok(Operation::Again { topic, payload });
            }
            Found::Input => input,
            Found::Partial => &self.partial,
        };
        // In verbose mode every operation has its `+OK`, and so an id to answer.
        let id = self.connect.verbose.then_some(OpId::ZERO);
        match shape.verb {
            Verb::Pub => {
                let operation = publish(id, shape, whole)?;
                Before::remember(&mut self.before, shape, whole, &operation);
                Ok(operation)
            }
            Verb::Hpub => publish_with_headers(id, shape, whole),
            Verb::Sub => subscribe(id, shape, whole, self.connect.echo),
            Verb::Unsub => unsubscribe(id, shape, whole),
            Verb::Ping => Ok(Operation::Ping),
            Verb::Pong => Ok(Operation::Pong),
            Verb::Connect => {
                self.connect = Connect::parse(shape.arg(0, whole)).ok_or(StreamFault::Arguments)?;
                Ok(Operation::Connect(self.connect))
            }
        }
    }
}

impl Before {
    fn remember(before: &mut Option<Box<Self>>, shape: &Shape, whole: &[u8], operation: &Operation<'_>) {
        let line = shape.before_last_arg(whole);
        match operation {
            Operation::Command(Command::Publish { topic, reply: None, .. })
                if line.len() <= MOST_REPEATED =>
            {
                let before = before.get_or_insert_default();
                before.line.clear();
                before.line.extend_from_slice(line);
                before.topic.clear();
                before.topic.push_str(topic);
            }
            _ => {}
        }
    }
}

fn publish<'a>(id: Option<OpId>, shape: &Shape, whole: &'a [u8]) -> Result<Operation<'a>, StreamFault> {
    let (_, payload) = shape.body(whole)?;
    let topic = text(shape.arg(0, whole))?;
    let reply = if shape.count() > 2 { Some(text(shape.arg(1, whole))?) } else { None };
    published(id, topic, reply, Headers::EMPTY, payload)
}

fn publish_with_headers<'a>(
    id: Option<OpId>,
    shape: &Shape,
    whole: &'a [u8],
) -> Result<Operation<'a>, StreamFault> {
    let (block, payload) = shape.body(whole)?;
    let topic = text(shape.arg(0, whole))?;
    let reply = if shape.count() > 3 { Some(text(shape.arg(1, whole))?) } else { None };
    let reserved = if is_inbox(topic) { Reserved::Dropped } else { Reserved::Refused };
    match headers::parse(block, reserved) {
        Ok(headers) => published(id, topic, reply, headers, payload),
        Err(fault) => Ok(Operation::Refused { topic, fault }),
    }
}

fn published<'a>(
    id: Option<OpId>,
    topic: &'a str,
    reply: Option<&'a str>,
    headers: Headers,
    payload: &'a [u8],
) -> Result<Operation<'a>, StreamFault> {
    let command = match topic {
        WHOAMI => Ok(Command::WhoAmI { id: OpId::ZERO }),
        REAUTH => json::decode_proof(OpId::ZERO, payload),
        _ => return Ok(publication(id, topic, reply, headers, payload)),
    };
    Ok(Operation::Ask { topic, command, reply })
}

fn publication<'a>(
    id: Option<OpId>,
    topic: &'a str,
    reply: Option<&'a str>,
    headers: Headers,
    payload: &'a [u8],
) -> Operation<'a> {
    let (topic, reply) = (Cow::Borrowed(topic), reply.map(Cow::Borrowed));
    Operation::Command(Command::Publish { id, topic, payload: Payload::opaque(payload), headers, reply })
}

fn subscribe<'a>(
    id: Option<OpId>,
    shape: &Shape,
    whole: &'a [u8],
    echo: bool,
) -> Result<Operation<'a>, StreamFault> {
    let pattern = text(shape.arg(0, whole))?;
    let sid = sid(shape.arg(shape.count().saturating_sub(1), whole))?;
    let group = if shape.count() > 2 { Some(Cow::Borrowed(text(shape.arg(1, whole))?)) } else { None };
    Ok(Operation::Command(Command::Subscribe { id, sid, topic: Cow::Borrowed(pattern), group, echo }))
}

fn unsubscribe<'a>(id: Option<OpId>, shape: &Shape, whole: &'a [u8]) -> Result<Operation<'a>, StreamFault> {
    let sid = sid(shape.arg(0, whole))?;
    let max = match shape.count() {
        2 => Some(text(shape.arg(1, whole))?.parse().map_err(|_| StreamFault::Arguments)?),
        _ => None,
    };
    Ok(Operation::Command(Command::Unsubscribe { id, sid, max }))
}

fn text(argument: &[u8]) -> Result<&str, StreamFault> {
    std::str::from_utf8(argument).map_err(|_| StreamFault::Arguments)
}

/// Clients count their subscriptions.
fn sid(argument: &[u8]) -> Result<Sid, StreamFault> {
    Sid::from_text(text(argument)?).ok_or(StreamFault::Arguments)
}

#[cfg(test)]
mod tests;
