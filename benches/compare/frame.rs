//! WebSocket framing as this load needs it: frames encoded beforehand, incoming ones read piece by piece as they come.

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Not zero, so that nobody saves the unmasking.
const MASK: [u8; 4] = [0x5a, 0x17, 0xc3, 0x88];
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// A client's frame, and where its payload begins.
#[derive(Clone)]
pub struct Frame {
    pub bytes: Vec<u8>,
    payload_at: usize,
}

impl Frame {
    pub fn new(opcode: u8, payload: &[u8]) -> Self {
        let mut bytes = vec![FIN | opcode];
        push_length(&mut bytes, payload.len(), MASKED);
        bytes.extend(MASK);
        let payload_at = bytes.len();
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        Self { bytes, payload_at }
    }

    /// Replaces bytes of the payload.
    pub fn put(&mut self, at: usize, replacement: &[u8]) {
        let place = self.payload_at + at;
        let masks = MASK.iter().cycle().skip(at % MASK.len());
        for ((byte, new), mask) in self.bytes[place..].iter_mut().zip(replacement).zip(masks) {
            *byte = new ^ mask;
        }
    }
}

/// The second byte of a frame and what follows it for longer ones.
pub fn push_length(bytes: &mut Vec<u8>, length: usize, flag: u8) {
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..126), _) => bytes.push(flag | length),
        (_, Ok(length)) => {
            bytes.push(flag | 126);
            bytes.extend(length.to_be_bytes());
        }
        _ => {
            bytes.push(flag | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
}

/// Takes the frames of a server apart.
#[derive(Default)]
pub struct Deframer {
    /// The head of a frame of which not everything has come.
    head: Vec<u8>,
    opcode: u8,
    /// Of a frame whose head has come.
    left: Option<usize>,
}

/// What is there of a frame's payload.
pub struct Part<'a> {
    pub opcode: u8,
    pub bytes: &'a [u8],
    pub is_last: bool,
}

impl Deframer {
    /// The next part in `bytes`, which it leaves out of them; `None` when all are used.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Part<'a>> {
        let left = match self.left {
            Some(left) => left,
            None => self.take_head(bytes)?,
        };
        let (part, rest) = bytes.split_at(left.min(bytes.len()));
        *bytes = rest;
        let is_last = part.len() == left;
        self.left = (!is_last).then_some(left - part.len());
        (is_last || !part.is_empty()).then_some(Part { opcode: self.opcode, bytes: part, is_last })
    }

    fn take_head(&mut self, bytes: &mut &[u8]) -> Option<usize> {
        if self.head.is_empty()
            && let Some((opcode, used, length)) = read_head(bytes)
        {
            *bytes = &bytes[used..];
            self.opcode = opcode;
            return Some(length);
        }
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            self.head.push(*byte);
            if let Some((opcode, _, length)) = read_head(&self.head) {
                self.head.clear();
                self.opcode = opcode;
                return Some(length);
            }
        }
        None
    }
}

/// Opcode, length of the head and length of the payload. Servers do not mask.
fn read_head(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, short) = (*bytes.first()?, *bytes.get(1)?);
    let (used, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        short => (2, usize::from(short)),
    };
    Some((first & 0x0f, used, length))
}
