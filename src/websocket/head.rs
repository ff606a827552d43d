//! The header of one frame, before its payload is waited for.

use std::ops::Range;

use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::decoder::FrameFault;
use super::{MAX_CONTROL_BYTES, mask};

/// A frame's header, whole (RFC 6455, section 5.2).
pub(super) struct Head {
    pub(super) is_final: bool,
    pub(super) opcode: OpCode,
    pub(super) mask: [u8; 4],
    /// Bytes the header takes.
    pub(super) bytes: usize,
    /// Bytes the payload is declared to take.
    pub(super) length: u64,
}

const FINAL: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;

impl Head {
    /// Reads a header, and refuses what no frame of a client may have. Read here and not by tungstenite, because small messages
    /// come by the hundred thousand.
    pub(super) fn read(input: &[u8]) -> Result<Option<Self>, FrameFault> {
        let &[first, second, ref rest @ ..] = input else { return Ok(None) };
        if first & RESERVED_BITS != 0 {
            return Err(FrameFault::ReservedBits);
        }
        let opcode = match OpCode::from(first & OPCODE) {
            OpCode::Data(Data::Reserved(opcode)) | OpCode::Control(Control::Reserved(opcode)) => {
                return Err(FrameFault::ReservedOpcode(opcode));
            }
            opcode => opcode,
        };
        if second & MASKED == 0 {
            return Err(FrameFault::NotMasked);
        }
        let (length, least, bytes) = match second & !MASKED {
            126 => match rest.first_chunk() {
                Some(length) => (u16::from_be_bytes(*length).into(), 126, 2),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(length) => (u64::from_be_bytes(*length), 1 << 16, 8),
                None => return Ok(None),
            },
            short => (u64::from(short), 0, 0),
        };
        if length >> 63 != 0 || length < least {
            return Err(FrameFault::Length);
        }
        let Some(mask) = rest.get(bytes..).and_then(|rest| rest.first_chunk()) else { return Ok(None) };
        let is_final = first & FINAL != 0;
        Ok(Some(Self { is_final, opcode, mask: *mask, bytes: 2 + bytes + 4, length }))
    }

    pub(super) fn check_control(&self) -> Result<(), FrameFault> {
        if !self.is_final {
            return Err(FrameFault::ControlFragmented);
        }
        if self.length > MAX_CONTROL_BYTES as u64 {
            return Err(FrameFault::ControlTooLong);
        }
        Ok(())
    }

    /// Once the payload has arrived, takes the mask off it and tells where it lies.
    pub(super) fn unmask(&self, input: &mut [u8]) -> Option<Range<usize>> {
        let length = usize::try_from(self.length).ok()?;
        let place = self.bytes..self.bytes.checked_add(length)?;
        mask(input.get_mut(place.clone())?, self.mask);
        Some(place)
    }
}
