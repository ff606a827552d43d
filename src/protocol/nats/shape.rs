//! The shape of one operation of a client: its verb, where its arguments lie, and how many bytes belong to it. Found before its
//! payload has come, so that sizes are judged before memory is taken.

use std::ops::Range;

use super::MAX_CONTROL_LINE;
use super::decode::StreamFault;

/// What an operation begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Verb {
    Connect,
    #[default]
    Ping,
    Pong,
    Pub,
    Hpub,
    Sub,
    Unsub,
}

/// One operation, by places in the bytes that it begins at.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct Shape {
    pub(super) verb: Verb,
    args: [(u16, u16); MOST_ARGS],
    count: usize,
    /// Bytes of the line with its end.
    line: usize,
    /// Bytes of the header block, and of headers and payload together.
    headers: usize,
    total: usize,
}

/// The beginning of a `PUB` line, up to the last token of what stands before the size. The next line often begins alike: requests
/// differ in where their answers go, and answers in where they go, and both in the last token.
#[derive(Default)]
pub(super) struct Stem {
    bytes: Vec<u8>,
    /// Those of the line that it was taken from; none if there was none.
    args: [(u16, u16); MOST_ARGS],
    count: usize,
}

/// `HPUB subject reply headers total`.
const MOST_ARGS: usize = 4;
const CRLF: &[u8] = b"\r\n";
/// Of a size.
const MOST_DIGITS: usize = 9;
/// Bytes of a stem, and of what follows it.
const MOST_STEM: usize = 256;
const MOST_TOKEN: usize = 64;

impl Shape {
    /// Becomes that of the operation whose line `input` begins with. Whether the end of the line has come.
    pub(super) fn read(&mut self, input: &[u8], max_payload: usize) -> Result<bool, StreamFault> {
        let window = input.get(..MAX_CONTROL_LINE).unwrap_or(input);
        let Some(end) = memchr::memchr(b'\n', window) else {
            return if window.len() == MAX_CONTROL_LINE { Err(StreamFault::LineTooLong) } else { Ok(false) };
        };
        let line = window.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let verb_end = line.iter().position(|byte| is_space(*byte)).unwrap_or(line.len());
        let verb =
            Verb::named(line.get(..verb_end).unwrap_or_default()).ok_or(StreamFault::UnknownOperation)?;
        self.begin(verb, end + 1, 0);
        match verb {
            // Its argument is JSON, with spaces of its own.
            Verb::Connect => self.add(verb_end, line.len())?,
            Verb::Ping | Verb::Pong => {}
            Verb::Pub | Verb::Hpub | Verb::Sub | Verb::Unsub => {
                self.split(line, verb_end)?;
                self.measure(line, max_payload)?;
            }
        }
        Ok(true)
    }

    /// Becomes that of the `PUB` at the beginning of `input`, if its line begins with `before`, nothing follows there but a size
    /// within the limit, and it is there whole. Whether it did.
    pub(super) fn repeat(&mut self, before: &[u8], input: &[u8], max_payload: usize) -> bool {
        // Nothing is repeated where nothing came before.
        !before.is_empty()
            && input.strip_prefix(before).is_some_and(|rest| self.read_size(before.len(), rest, max_payload))
    }

    /// Becomes that of the `PUB` at the beginning of `input`, if that is there whole and its line is the stem, one plain token, a blank
    /// and a size within the limit. Whether it did.
    pub(super) fn follow(&mut self, stem: &Stem, input: &[u8], max_payload: usize) -> bool {
        if stem.count == 0 {
            return false;
        }
        let Some(rest) = input.strip_prefix(&stem.bytes[..]) else { return false };
        let token = rest.iter().take(MOST_TOKEN).take_while(|byte| byte.is_ascii_graphic()).count();
        let Some([b' ', size @ ..]) = rest.get(token..) else { return false };
        let end = stem.bytes.len() + token;
        if token == 0 || !self.read_size(end + 1, size, max_payload) {
            return false;
        }
        (self.args, self.count) = (stem.args, stem.count);
        if let Some([.., argument, size]) = self.args.get_mut(..stem.count) {
            *argument = place(argument.0.into(), end);
            *size = place(end + 1, self.line - CRLF.len());
        }
        true
    }

    /// Becomes that of a `PUB` whose size, a number within the limit, the end of its line and its whole payload `rest` begins with, behind
    /// `start` bytes of the line. Whether it did.
    fn read_size(&mut self, start: usize, rest: &[u8], max_payload: usize) -> bool {
        let (mut total, mut digits) = (0, 0);
        while digits < MOST_DIGITS
            && let Some(byte @ b'0'..=b'9') = rest.get(digits)
        {
            total = total * 10 + usize::from(byte - b'0');
            digits += 1;
        }
        let is_size = digits > 0 && rest.get(digits..).is_some_and(|rest| rest.starts_with(CRLF));
        let behind = digits + CRLF.len();
        // What is too large or not whole is looked at as anything else is.
        if !is_size || total > max_payload || behind + total + CRLF.len() > rest.len() {
            return false;
        }
        self.begin(Verb::Pub, start + behind, total);
        true
    }

    fn begin(&mut self, verb: Verb, line: usize, total: usize) {
        (self.verb, self.line, self.total) = (verb, line, total);
        (self.count, self.headers) = (0, 0);
    }

    /// The line up to its last argument.
    pub(super) fn before_last_arg<'a>(&self, whole: &'a [u8]) -> &'a [u8] {
        let last = self.args.get(..self.count).and_then(|args| args.last());
        last.and_then(|(start, _)| whole.get(..usize::from(*start))).unwrap_or_default()
    }

    /// Whether it is a `PUB`.
    pub(super) fn is_publication(&self) -> bool {
        self.verb == Verb::Pub
    }

    /// Bytes of the whole operation.
    pub(super) fn len(&self) -> usize {
        match self.verb {
            Verb::Pub | Verb::Hpub => self.line + self.total + CRLF.len(),
            Verb::Connect | Verb::Ping | Verb::Pong | Verb::Sub | Verb::Unsub => self.line,
        }
    }

    /// How many arguments there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// An argument of an operation; an empty one where there is none.
    pub(super) fn arg<'a>(&self, place: usize, whole: &'a [u8]) -> &'a [u8] {
        let (start, end) =
            self.args.get(..self.count).and_then(|args| args.get(place)).copied().unwrap_or_default();
        whole.get(usize::from(start)..usize::from(end)).unwrap_or_default()
    }

    /// Its header block and its payload.
    pub(super) fn body<'a>(&self, whole: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), StreamFault> {
        let at = |place: Range<usize>| whole.get(place).unwrap_or_default();
        let (start, end) = (self.line, self.line + self.total);
        if at(end..end + CRLF.len()) != CRLF {
            return Err(StreamFault::PayloadEnd);
        }
        Ok((at(start..start + self.headers), at(start + self.headers..end)))
    }

    fn split(&mut self, line: &[u8], verb_end: usize) -> Result<(), StreamFault> {
        let rest = line.get(verb_end..).unwrap_or_default();
        let spaces = memchr::memchr2_iter(b' ', b'\t', rest).map(|space| verb_end + space);
        let mut start = verb_end;
        for end in spaces.chain([line.len()]) {
            // Some clients put two spaces between arguments.
            if start < end {
                self.add(start, end)?;
            }
            start = end + 1;
        }
        Ok(())
    }

    fn add(&mut self, start: usize, end: usize) -> Result<(), StreamFault> {
        *self.args.get_mut(self.count).ok_or(StreamFault::Arguments)? = place(start, end);
        self.count += 1;
        Ok(())
    }

    /// Checks how many arguments there are, and the sizes among them.
    fn measure(&mut self, line: &[u8], max_payload: usize) -> Result<(), StreamFault> {
        let expected = match self.verb {
            Verb::Pub | Verb::Sub => 2..=3,
            Verb::Hpub => 3..=4,
            Verb::Unsub => 1..=2,
            Verb::Connect | Verb::Ping | Verb::Pong => 0..=1,
        };
        if !expected.contains(&self.count) {
            return Err(StreamFault::Arguments);
        }
        let size =
            |from_end: usize| decimal(self.arg(self.count - from_end, line)).ok_or(StreamFault::Arguments);
        (self.headers, self.total) = match self.verb {
            Verb::Pub => (0, size(1)?),
            Verb::Hpub => (size(2)?, size(1)?),
            Verb::Connect | Verb::Ping | Verb::Pong | Verb::Sub | Verb::Unsub => return Ok(()),
        };
        if self.headers > self.total {
            return Err(StreamFault::Arguments);
        }
        if self.total > max_payload {
            return Err(StreamFault::PayloadTooLarge { declared: self.total, limit: max_payload });
        }
        Ok(())
    }
}

impl Stem {
    /// Becomes that of the `PUB` line which a shape was read from.
    pub(super) fn remember(&mut self, shape: &Shape, whole: &[u8]) {
        self.count = 0;
        let Some([.., (start, end), _]) = shape.args.get(..shape.count) else { return };
        let (start, end) = (usize::from(*start), usize::from(*end));
        let argument = whole.get(start..end).unwrap_or_default();
        let length = start + memchr::memrchr(b'.', argument).map_or(0, |dot| dot + 1);
        if length <= MOST_STEM {
            self.bytes.clear();
            self.bytes.extend_from_slice(whole.get(..length).unwrap_or_default());
            (self.args, self.count) = (shape.args, shape.count);
        }
    }
}

impl Verb {
    /// Verbs are read in any case, and written in upper case by all clients.
    fn named(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"PUB" => Self::Pub,
            b"HPUB" => Self::Hpub,
            b"PING" => Self::Ping,
            b"PONG" => Self::Pong,
            b"SUB" => Self::Sub,
            b"UNSUB" => Self::Unsub,
            b"CONNECT" => Self::Connect,
            other if other.iter().any(u8::is_ascii_lowercase) => {
                return Self::named(&other.to_ascii_uppercase());
            }
            _ => return None,
        })
    }
}

/// Where an argument lies. A line is shorter than what a u16 counts.
fn place(start: usize, end: usize) -> (u16, u16) {
    (u16::try_from(start).unwrap_or(u16::MAX), u16::try_from(end).unwrap_or(u16::MAX))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A size of up to [`MOST_DIGITS`] digits.
fn decimal(digits: &[u8]) -> Option<usize> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| usize::from(byte - b'0'));
    if !(1..=MOST_DIGITS).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0, |number, byte| Some(number * 10 + digit(byte)?))
}
