//! The shape of one operation of a client: its verb, where its arguments lie, and how many bytes belong to it. Found before its
//! payload has come, so that sizes are judged before memory is taken.

use std::ops::Range;

use super::MAX_CONTROL_LINE;
use super::decode::StreamFault;

/// What an operation begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Connect,
    Ping,
    Pong,
    Pub,
    Hpub,
    Sub,
    Unsub,
}

/// One operation, by places in the bytes that it begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// `HPUB subject reply headers total`.
const MOST_ARGS: usize = 4;
const CRLF: &[u8] = b"\r\n";

impl Shape {
    /// Reads the line that `input` begins with; nothing if its end has not come.
    pub(super) fn read(input: &[u8], max_payload: usize) -> Result<Option<Self>, StreamFault> {
        let window = input.get(..MAX_CONTROL_LINE).unwrap_or(input);
        let Some(end) = memchr::memchr(b'\n', window) else {
            return if window.len() == MAX_CONTROL_LINE { Err(StreamFault::LineTooLong) } else { Ok(None) };
        };
        let line = window.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let verb_end = line.iter().position(|byte| is_space(*byte)).unwrap_or(line.len());
        let verb = Verb::named(line.get(..verb_end).unwrap_or_default()).ok_or(StreamFault::UnknownOperation)?;
        let mut shape =
            Self { verb, args: [(0, 0); MOST_ARGS], count: 0, line: end + 1, headers: 0, total: 0 };
        match verb {
            // Its argument is JSON, with spaces of its own.
            Verb::Connect => shape.add(verb_end, line.len())?,
            Verb::Ping | Verb::Pong => {}
            Verb::Pub | Verb::Hpub | Verb::Sub | Verb::Unsub => shape.split(line, verb_end)?,
        }
        shape.measure(input, max_payload)?;
        Ok(Some(shape))
    }

    /// Bytes of the whole operation.
    pub(super) fn len(&self) -> usize {
        match self.verb {
            Verb::Pub | Verb::Hpub => self.line + self.total + CRLF.len(),
            Verb::Connect | Verb::Ping | Verb::Pong | Verb::Sub | Verb::Unsub => self.line,
        }
    }

    /// The arguments of an operation that has come whole.
    pub(super) fn args<'a>(&self, whole: &'a [u8]) -> [Option<&'a [u8]>; MOST_ARGS] {
        let mut args = [None; MOST_ARGS];
        for (arg, (start, end)) in args.iter_mut().zip(self.args).take(self.count) {
            *arg = whole.get(usize::from(start)..usize::from(end));
        }
        args
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

    fn split(&mut self, line: &[u8], mut at: usize) -> Result<(), StreamFault> {
        loop {
            // Some clients put two spaces between arguments.
            while line.get(at).copied().is_some_and(is_space) {
                at += 1;
            }
            if at >= line.len() {
                return Ok(());
            }
            let rest = line.get(at..).unwrap_or_default();
            let end = at + rest.iter().position(|byte| is_space(*byte)).unwrap_or(rest.len());
            self.add(at, end)?;
            at = end;
        }
    }

    fn add(&mut self, start: usize, end: usize) -> Result<(), StreamFault> {
        // A line is shorter than what a u16 counts.
        let place = (u16::try_from(start).unwrap_or(u16::MAX), u16::try_from(end).unwrap_or(u16::MAX));
        *self.args.get_mut(self.count).ok_or(StreamFault::Arguments)? = place;
        self.count += 1;
        Ok(())
    }

    fn measure(&mut self, input: &[u8], max_payload: usize) -> Result<(), StreamFault> {
        let args = self.args(input);
        let size = |place: usize| args.get(place).copied().flatten().and_then(decimal);
        let (expected, headers, total) = match self.verb {
            Verb::Pub => (2..=3, Some(0), size(self.count.saturating_sub(1))),
            Verb::Hpub => {
                (3..=4, size(self.count.saturating_sub(2)), size(self.count.saturating_sub(1)))
            }
            Verb::Sub => (2..=3, Some(0), Some(0)),
            Verb::Unsub => (1..=2, Some(0), Some(0)),
            Verb::Connect | Verb::Ping | Verb::Pong => return Ok(()),
        };
        let (Some(headers), Some(total)) = (headers, total) else { return Err(StreamFault::Arguments) };
        if !expected.contains(&self.count) || headers > total {
            return Err(StreamFault::Arguments);
        }
        if total > max_payload {
            return Err(StreamFault::PayloadTooLarge { declared: total, limit: max_payload });
        }
        (self.headers, self.total) = (headers, total);
        Ok(())
    }
}

impl Verb {
    /// Verbs are read in any case.
    fn named(word: &[u8]) -> Option<Self> {
        const VERBS: [(&[u8], Verb); 7] = [
            (b"PUB", Verb::Pub),
            (b"HPUB", Verb::Hpub),
            (b"PING", Verb::Ping),
            (b"PONG", Verb::Pong),
            (b"SUB", Verb::Sub),
            (b"UNSUB", Verb::Unsub),
            (b"CONNECT", Verb::Connect),
        ];
        VERBS.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, verb)| verb)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A size of up to nine digits.
fn decimal(digits: &[u8]) -> Option<usize> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| usize::from(byte - b'0'));
    if !(1..=9).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0, |number, byte| Some(number * 10 + digit(byte)?))
}
