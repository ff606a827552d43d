//! A stream of bytes becomes operations, however it is cut into messages.

use std::borrow::Cow;

use super::connect::Connect;
use super::headers::{self, HeaderFault};
use super::shape::{Shape, Verb};
use super::{REAUTH, SESSION_EVENTS, WHOAMI};
use crate::protocol::json::{self, DecodeError};
use crate::protocol::{Command, Headers, OpId, Payload, Sid};

/// One thing that a client asks for.
#[derive(Debug, PartialEq)]
pub enum Operation<'a> {
    Connect(Connect),
    Ping,
    Pong,
    Command(Command<'a>),
    /// Something that the gateway itself answers, at `reply`.
    Ask { command: Result<Command<'a>, DecodeError>, reply: Option<&'a str> },
    /// A subscription to what the gateway tells the session.
    Listen { sid: Sid, pattern: &'a str },
    /// A message that was not published.
    Refused(HeaderFault),
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

/// Puts operations together. Holds no bytes but those of one that has not come whole.
#[derive(Default)]
pub struct Decoder {
    partial: Vec<u8>,
    /// That of the partial operation, once its line has come.
    shape: Option<Shape>,
    /// Whether the partial operation is whole, and so was handed out.
    is_whole: bool,
    connect: Connect,
}

/// Where the next operation lies.
#[derive(Clone, Copy)]
pub struct Found {
    shape: Shape,
    is_in_input: bool,
}

/// Room that is kept for the next operation in pieces.
const RETAINED: usize = 4 * 1024;

impl Decoder {
    /// Looks for the next operation at the beginning of `input`. How many bytes of it belong to what is found, or are kept because
    /// nothing is found yet.
    pub fn find(&mut self, input: &[u8], max_payload: usize) -> Result<(usize, Option<Found>), StreamFault> {
        if std::mem::take(&mut self.is_whole) {
            self.partial.clear();
            self.partial.shrink_to(RETAINED);
            self.shape = None;
        }
        if self.partial.is_empty() {
            match Shape::read(input, max_payload)? {
                Some(shape) if shape.len() <= input.len() => {
                    return Ok((shape.len(), Some(Found { shape, is_in_input: true })));
                }
                shape => self.shape = shape,
            }
        }
        self.complete(input, max_payload)
    }

    /// Adds `input` to the partial operation, as far as it belongs there.
    fn complete(&mut self, input: &[u8], max_payload: usize) -> Result<(usize, Option<Found>), StreamFault> {
        let mut used = 0;
        if self.shape.is_none() {
            let line = memchr::memchr(b'\n', input).map_or(input.len(), |end| end + 1);
            used = line.min(super::MAX_CONTROL_LINE);
            self.partial.extend_from_slice(input.get(..used).unwrap_or_default());
            self.shape = Shape::read(&self.partial, max_payload)?;
        }
        let Some(shape) = self.shape else { return Ok((used, None)) };
        let rest = input.get(used..).unwrap_or_default();
        let missing = shape.len().saturating_sub(self.partial.len()).min(rest.len());
        self.partial.extend_from_slice(rest.get(..missing).unwrap_or_default());
        self.is_whole = self.partial.len() >= shape.len();
        let found = self.is_whole.then_some(Found { shape, is_in_input: false });
        Ok((used + missing, found))
    }

    /// The operation that was found at the beginning of `input`.
    pub fn get<'a>(&'a mut self, found: Found, input: &'a [u8]) -> Result<Operation<'a>, StreamFault> {
        let shape = found.shape;
        if shape.verb == Verb::Connect {
            let whole = if found.is_in_input { input } else { &self.partial };
            let [argument, ..] = shape.args(whole);
            self.connect = argument.and_then(Connect::parse).ok_or(StreamFault::Arguments)?;
            return Ok(Operation::Connect(self.connect));
        }
        let whole = if found.is_in_input { input } else { &self.partial };
        let args = Args { args: shape.args(whole) };
        // In verbose mode every operation has its `+OK`, and so an id to answer.
        let id = self.connect.verbose.then_some(OpId::ZERO);
        Ok(match shape.verb {
            Verb::Ping => Operation::Ping,
            Verb::Pong => Operation::Pong,
            Verb::Sub => args.subscribe(id, self.connect.echo)?,
            Verb::Unsub => args.unsubscribe(id)?,
            Verb::Pub | Verb::Hpub => {
                let (block, payload) = shape.body(whole)?;
                let block = (shape.verb == Verb::Hpub).then_some(block);
                args.publish(id, block, payload)?
            }
            Verb::Connect => return Err(StreamFault::UnknownOperation),
        })
    }
}

/// The arguments of one operation.
struct Args<'a> {
    args: [Option<&'a [u8]>; 4],
}

impl<'a> Args<'a> {
    fn subscribe(&self, id: Option<OpId>, echo: bool) -> Result<Operation<'a>, StreamFault> {
        let (pattern, group, sid) = match self.args {
            [Some(pattern), Some(sid), None, ..] => (pattern, None, sid),
            [Some(pattern), group, Some(sid), ..] => (pattern, group, sid),
            _ => return Err(StreamFault::Arguments),
        };
        let (pattern, sid) = (text(pattern)?, sid_of(sid)?);
        if pattern.starts_with(SESSION_EVENTS) {
            return Ok(Operation::Listen { sid, pattern });
        }
        let group = group.map(text).transpose()?.map(Cow::Borrowed);
        let topic = Cow::Borrowed(pattern);
        Ok(Operation::Command(Command::Subscribe { id, sid, topic, group, echo }))
    }

    fn unsubscribe(&self, id: Option<OpId>) -> Result<Operation<'a>, StreamFault> {
        let [Some(sid), max, ..] = self.args else { return Err(StreamFault::Arguments) };
        let max = max.map(|max| text(max)?.parse().map_err(|_| StreamFault::Arguments)).transpose()?;
        Ok(Operation::Command(Command::Unsubscribe { id, sid: sid_of(sid)?, max }))
    }

    fn publish(
        &self,
        id: Option<OpId>,
        block: Option<&'a [u8]>,
        payload: &'a [u8],
    ) -> Result<Operation<'a>, StreamFault> {
        let sizes = if block.is_some() { 2 } else { 1 };
        let given = self.args.iter().flatten().count().saturating_sub(sizes);
        let (topic, reply) = match self.args {
            [Some(topic), ..] if given == 1 => (text(topic)?, None),
            [Some(topic), Some(reply), ..] if given == 2 => (text(topic)?, Some(text(reply)?)),
            _ => return Err(StreamFault::Arguments),
        };
        if matches!(topic, WHOAMI | REAUTH) {
            let id = OpId::ZERO;
            let command = match topic {
                WHOAMI => Ok(Command::WhoAmI { id }),
                _ => json::decode_proof(id, payload),
            };
            return Ok(Operation::Ask { command, reply });
        }
        let headers = match block.map(headers::parse).transpose() {
            Ok(headers) => headers.unwrap_or(Headers::EMPTY),
            Err(fault) => return Ok(Operation::Refused(fault)),
        };
        let (topic, reply) = (Cow::Borrowed(topic), reply.map(Cow::Borrowed));
        Ok(Operation::Command(Command::Publish { id, topic, payload: Payload::opaque(payload), headers, reply }))
    }
}

fn text(argument: &[u8]) -> Result<&str, StreamFault> {
    std::str::from_utf8(argument).map_err(|_| StreamFault::Arguments)
}

/// Clients count their subscriptions.
fn sid_of(argument: &[u8]) -> Result<Sid, StreamFault> {
    Sid::from_text(text(argument)?).ok_or(StreamFault::Arguments)
}

#[cfg(test)]
mod tests;
