//! A table of faults, the independence of how bytes are cut, and interoperation with tungstenite's own client.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use bytes::Bytes;
use proptest::prelude::*;
use tungstenite::Message;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tungstenite::protocol::{CloseFrame, Role, WebSocket};

use super::*;

const LIMITS: FrameLimits = FrameLimits { max_message: 64 * 1024, max_fragments: 8 };
const TEXT: OpCode = OpCode::Data(Data::Text);
const BINARY: OpCode = OpCode::Data(Data::Binary);
const MORE: OpCode = OpCode::Data(Data::Continue);
const PING: OpCode = OpCode::Control(Control::Ping);
const CLOSE: OpCode = OpCode::Control(Control::Close);

#[test]
fn a_masked_frame_is_a_message() {
    assert_eq!(decode_all(&client(TEXT, true, "grüß".as_bytes())), (vec![text_in("grüß")], None));
    assert_eq!(decode_all(&client(BINARY, true, b"\xff")), (vec![Heard::Binary(b"\xff".to_vec())], None));
    assert_eq!(decode_all(&client(TEXT, true, b"")), (vec![text_in("")], None));
}

#[test]
fn fragments_make_one_message_with_control_frames_between() {
    let bytes = [
        client(TEXT, false, b"gr\xc3"),
        client(PING, true, b"p"),
        client(MORE, false, b""),
        client(MORE, true, b"\xbc\xc3\x9f"),
    ]
    .concat();
    assert_eq!(decode_all(&bytes), (vec![Heard::Ping(b"p".to_vec()), text_in("grüß")], None));
}

#[test]
fn every_broken_rule_has_its_fault_and_close_code() {
    let mut unmasked = Vec::new();
    text(&mut unmasked, &[b"a"]);
    let cases: Vec<(&str, Vec<u8>, FrameFault, u16)> = vec![
        ("unmasked", unmasked, FrameFault::NotMasked, 1002),
        ("rsv1", flip(client(TEXT, true, b"a"), 0x40), FrameFault::ReservedBits, 1002),
        ("rsv2", flip(client(TEXT, true, b"a"), 0x20), FrameFault::ReservedBits, 1002),
        ("rsv3", flip(client(TEXT, true, b"a"), 0x10), FrameFault::ReservedBits, 1002),
        ("opcode 3", flip(client(TEXT, true, b"a"), 0x02), FrameFault::ReservedOpcode(3), 1002),
        ("opcode 11", flip(client(PING, true, b"a"), 0x02), FrameFault::ReservedOpcode(11), 1002),
        ("cut ping", client(PING, false, b""), FrameFault::ControlFragmented, 1002),
        ("long ping", client(PING, true, &[0; 126]), FrameFault::ControlTooLong, 1002),
        ("continuation", client(MORE, true, b""), FrameFault::NothingToContinue, 1002),
        (
            "interruption",
            [client(TEXT, false, b"a"), client(TEXT, true, b"b")].concat(),
            FrameFault::MessageInterrupted,
            1002,
        ),
        ("close of one byte", client(CLOSE, true, b"\x03"), FrameFault::CloseTruncated, 1002),
        ("close reason", client(CLOSE, true, b"\x03\xe8\xff"), FrameFault::CloseNotUtf8, 1007),
        ("text", client(TEXT, true, b"a\xff"), FrameFault::TextNotUtf8, 1007),
        ("surrogate in text", client(TEXT, true, b"\xed\xa0\x80"), FrameFault::TextNotUtf8, 1007),
        ("cut character", client(TEXT, true, b"\xc3"), FrameFault::TextNotUtf8, 1007),
        ("early in a fragment", client(TEXT, false, b"\xc3\xc3"), FrameFault::TextNotUtf8, 1007),
        (
            "cut character in the last fragment",
            [client(TEXT, false, b"a"), client(MORE, true, b"\xc3")].concat(),
            FrameFault::TextNotUtf8,
            1007,
        ),
        ("top bit", declared(1 << 63), FrameFault::Length, 1002),
        ("all bits", declared(u64::MAX), FrameFault::Length, 1002),
        ("long form of a short length", declared(5), FrameFault::Length, 1002),
        ("long form of a middle length", declared(0xffff), FrameFault::Length, 1002),
        ("63 bits", declared(u64::MAX >> 1), too_large(u64::MAX >> 1), 1009),
        ("one byte above", declared(64 * 1024 + 1), too_large(64 * 1024 + 1), 1009),
        (
            "sum of fragments",
            [client(BINARY, false, &[0; 60_000]), client(MORE, true, &[0; 6_000])].concat(),
            too_large(66_000),
            1009,
        ),
        (
            "empty fragments",
            [client(TEXT, false, b""), client(MORE, false, b"").repeat(9)].concat(),
            FrameFault::TooManyFragments { limit: 8 },
            1008,
        ),
    ];
    for (name, bytes, fault, code) in cases {
        assert_eq!(decode_all(&bytes).1, Some(fault), "{name}");
        assert_eq!(fault.close_code(), code, "{name}");
    }
}

#[test]
fn close_codes_are_those_a_peer_may_send() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
        let bytes = client(CLOSE, true, &code.to_be_bytes());
        assert_eq!(decode_all(&bytes).1, Some(FrameFault::CloseCode(code)), "{code}");
    }
    for code in [1000, 1001, 1003, 1007, 1011, 1013, 3000, 4401, 4999] {
        let bytes = client(CLOSE, true, &[&u16::to_be_bytes(code)[..], b"bye"].concat());
        let expected = Heard::Close { code: Some(code), reason: "bye".into() };
        assert_eq!(decode_all(&bytes), (vec![expected], None));
    }
    let expected = Heard::Close { code: None, reason: String::new() };
    assert_eq!(decode_all(&client(CLOSE, true, b"")), (vec![expected], None));
}

#[test]
fn a_declared_length_takes_no_memory() {
    let mut decoder = Decoder::new(LIMITS);
    for (is_final, held) in [(true, 0), (false, 0)] {
        let mut cut = client(BINARY, is_final, &[0; 60_000])[..100].to_vec();
        assert_eq!(decoder.decode(&mut cut), Ok(Decoded { used: held, incoming: None }));
        assert!(!decoder.is_mid_message());
    }
}

#[test]
fn a_message_beyond_any_bound_is_found_as_it_comes() {
    let mut decoder = Decoder::new(LIMITS);
    let mut head = declared(u64::MAX >> 1);
    let length = head.len();
    let found = decoder.find_piece(&mut head).expect("no fault");
    assert!(matches!(found, (used, Some(Piece::Bytes(place))) if used == length && place.is_empty()));
    for _ in 0..100 {
        let mut bytes = [7; 1001];
        let found = decoder.find_piece(&mut bytes).expect("no fault");
        assert!(matches!(found, (1001, Some(Piece::Bytes(place))) if place == (0..1001)));
        assert_eq!(bytes, [7; 1001], "its mask is of zeros");
    }
    assert!(matches!(decoder.find_piece(&mut []), Ok((0, None))));
    assert!(decoder.is_mid_message());
}

#[test]
fn a_message_that_is_found_in_pieces_keeps_to_the_rules_all_the_same() {
    let open = || client(BINARY, false, b"a");
    let flood = [open(), client(MORE, false, b"").repeat(8)].concat();
    let cases = [
        ("continuation", client(MORE, true, b"a"), FrameFault::NothingToContinue),
        ("interruption", [open(), client(BINARY, true, b"b")].concat(), FrameFault::MessageInterrupted),
        ("interruption by text", [open(), client(TEXT, true, b"b")].concat(), FrameFault::MessageInterrupted),
        ("text, interrupted", [client(TEXT, false, b"a"), open()].concat(), FrameFault::MessageInterrupted),
        ("long text", declared_text(64 * 1024 + 1), too_large(64 * 1024 + 1)),
        ("empty fragments", flood, FrameFault::TooManyFragments { limit: 8 }),
        ("cut ping", [open(), client(PING, false, b"")].concat(), FrameFault::ControlFragmented),
        ("unmasked", vec![0x82, 1, b'a'], FrameFault::NotMasked),
    ];
    for (name, bytes, fault) in cases {
        assert_eq!(pieces_cut(&bytes, &[bytes.len()]).1, Some(fault), "{name}");
    }
}

#[test]
fn the_fragment_bound_allows_what_it_says() {
    let bytes =
        [client(TEXT, false, b"a"), client(MORE, false, b"b").repeat(6), client(MORE, true, b"c")].concat();
    assert_eq!(decode_all(&bytes), (vec![text_in("abbbbbbc")], None));
}

#[test]
fn debug_shows_no_content() {
    assert_eq!(format!("{:?}", Incoming::Text("secret")), "Text(6 bytes)");
    let mut decoder = Decoder::new(LIMITS);
    let mut fragment = client(TEXT, false, b"secret");
    let used = fragment.len();
    assert_eq!(decoder.decode(&mut fragment), Ok(Decoded { used, incoming: None }));
    assert!(decoder.is_mid_message() && !format!("{decoder:?}").contains("115"));
}

#[test]
fn a_close_reason_is_cut_at_a_character() {
    let mut out = Vec::new();
    close(&mut out, 1008, &"ä".repeat(80));
    assert_eq!(out.len(), 2 + 2 + 122);
    assert!(std::str::from_utf8(&out[4..]).is_ok());
    out.clear();
    close(&mut out, 1000, "");
    assert_eq!(out, [0x88, 2, 0x03, 0xe8]);
}

#[test]
fn tungstenites_client_reads_what_is_written() {
    let mut out = Vec::new();
    text(&mut out, &[b"{\"a\":", b"1}"]);
    ping(&mut out, b"x");
    binary(&mut out, &[&[1; 126]]);
    text(&mut out, &[&[b'y'; 65_536]]);
    pong(&mut out, b"");
    close(&mut out, 1013, "slow_consumer");
    let mut peer = WebSocket::from_raw_socket(Pipe::of(&out), Role::Client, None);
    let frame = CloseFrame { code: CloseCode::Again, reason: "slow_consumer".into() };
    let expected = [
        Message::text("{\"a\":1}"),
        Message::Ping(Bytes::from_static(b"x")),
        Message::binary(vec![1; 126]),
        Message::text("y".repeat(65_536)),
        Message::Pong(Bytes::new()),
        Message::Close(Some(frame)),
    ];
    for message in expected {
        assert_eq!(peer.read().expect("readable"), message);
    }
}

#[test]
fn what_tungstenites_client_writes_is_read() {
    let mut peer = WebSocket::from_raw_socket(Pipe::of(b""), Role::Client, None);
    let messages = [
        Message::text("{}"),
        Message::text("z".repeat(50_000)),
        Message::binary(vec![9; 200]),
        Message::Ping(Bytes::from_static(b"p")),
        Message::Pong(Bytes::from_static(b"q")),
        Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "done".into() })),
    ];
    for message in messages {
        peer.send(message).expect("writable");
    }
    let expected = vec![
        text_in("{}"),
        text_in(&"z".repeat(50_000)),
        Heard::Binary(vec![9; 200]),
        Heard::Ping(b"p".to_vec()),
        Heard::Pong(b"q".to_vec()),
        Heard::Close { code: Some(1000), reason: "done".into() },
    ];
    assert_eq!(decode_all(&peer.get_ref().written), (expected, None));
}

proptest! {
    #[test]
    fn how_the_bytes_are_cut_changes_nothing(stream in stream(), cuts in proptest::collection::vec(1_usize..9, 1..40)) {
        prop_assert_eq!(decode_cut(&stream, &cuts), decode_all(&stream));
    }

    #[test]
    fn pieces_are_the_bytes_of_the_messages(stream in stream(), cuts in proptest::collection::vec(1_usize..9, 1..40)) {
        let ((pieces, rest, is_open), fault) = pieces_cut(&stream, &cuts);
        let (all, expected) = decode_all(&stream);
        prop_assert_eq!(fault, expected);
        let (binary, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|heard| matches!(heard, Heard::Binary(_)));
        prop_assert_eq!(rest, others);
        let binary: Vec<u8> = binary.into_iter().flat_map(|heard| match heard {
            Heard::Binary(bytes) => bytes,
            _ => Vec::new(),
        }).collect();
        // Those of a message that does not end are found too.
        let are_equal = if is_open { pieces.starts_with(&binary) } else { pieces == binary };
        prop_assert!(are_equal);
    }

    #[test]
    fn any_bytes_end_in_messages_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert_eq!(decode_cut(&bytes, &[1]), decode_all(&bytes));
    }

    #[test]
    fn a_mask_is_its_own_inverse(data in proptest::collection::vec(any::<u8>(), 0..40), key in any::<[u8; 4]>()) {
        let mut masked = data.clone();
        mask(&mut masked, key);
        let naive: Vec<u8> = data.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        prop_assert_eq!(&masked, &naive);
        mask(&mut masked, key);
        prop_assert_eq!(masked, data);
    }
}

/// Streams of frames, most of them right.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let payload = proptest::collection::vec(prop_oneof![4 => 32_u8..127, 1 => any::<u8>()], 0..20);
    let opcode = prop_oneof![
        4 => Just(TEXT), 2 => Just(BINARY), 3 => Just(MORE), 2 => Just(PING), 1 => Just(CLOSE),
        1 => Just(OpCode::Control(Control::Pong)),
    ];
    let is_final = prop_oneof![2 => Just(true), 1 => Just(false)];
    let frame = (opcode, is_final, payload)
        .prop_map(|(opcode, is_final, payload)| client(opcode, is_final, &payload));
    proptest::collection::vec(frame, 0..12).prop_map(|frames| frames.concat())
}

/// One frame as a client sends it.
fn client(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let header = FrameHeader { is_final, opcode, mask: Some(key), ..FrameHeader::default() };
    let mut out = Vec::new();
    header.format(payload.len() as u64, &mut out).expect("writable");
    let start = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[start..], key);
    out
}

/// The header of a binary frame with an eight-byte length, and nothing after it.
fn declared(length: u64) -> Vec<u8> {
    [&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()
}

fn declared_text(length: u64) -> Vec<u8> {
    let mut head = declared(length);
    head[0] = 0x81;
    head
}

fn flip(mut frame: Vec<u8>, bits: u8) -> Vec<u8> {
    frame[0] ^= bits;
    frame
}

fn too_large(declared: u64) -> FrameFault {
    FrameFault::TooLarge { declared, limit: LIMITS.max_message }
}

/// What was decoded, to be kept beyond the next call.
#[derive(Debug, PartialEq)]
enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close { code: Option<u16>, reason: String },
}

impl From<Incoming<'_>> for Heard {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Text(text) => Self::Text(text.into()),
            Incoming::Binary(bytes) => Self::Binary(bytes.into()),
            Incoming::Ping(bytes) => Self::Ping(bytes.into()),
            Incoming::Pong(bytes) => Self::Pong(bytes.into()),
            Incoming::Close { code, reason } => Self::Close { code, reason: reason.into() },
        }
    }
}

/// The bytes of binary messages, found as they arrive in chunks of the given sizes, whatever else was said, and whether a message
/// is still open.
fn pieces_cut(bytes: &[u8], cuts: &[usize]) -> ((Vec<u8>, Vec<Heard>, bool), Option<FrameFault>) {
    let mut decoder = Decoder::new(LIMITS);
    let (mut pieces, mut others) = (Vec::new(), Vec::new());
    let fault = feed(bytes, cuts, |buf| {
        let (used, found) = decoder.find_piece(buf)?;
        let is_something = found.is_some();
        match found {
            Some(Piece::Bytes(place)) => pieces.extend_from_slice(&buf[place]),
            Some(Piece::Whole(found)) => others.push(decoder.get(found, buf)?.into()),
            None => {}
        }
        Ok((used, is_something))
    });
    let is_open = fault.is_some() || decoder.is_mid_message();
    ((pieces, others, is_open), fault)
}

fn text_in(text: &str) -> Heard {
    Heard::Text(text.into())
}

type Outcome = (Vec<Heard>, Option<FrameFault>);

fn decode_all(bytes: &[u8]) -> Outcome {
    decode_cut(bytes, &[bytes.len().max(1)])
}

/// Decodes bytes that arrive in chunks of the given sizes.
fn decode_cut(bytes: &[u8], cuts: &[usize]) -> Outcome {
    let (mut decoder, mut all) = (Decoder::new(LIMITS), Vec::new());
    let fault = feed(bytes, cuts, |buf| {
        let Decoded { used, incoming } = decoder.decode(buf)?;
        let heard = incoming.map(Heard::from);
        let is_something = heard.is_some();
        all.extend(heard);
        Ok((used, is_something))
    });
    (all, fault)
}

/// Hands on bytes that arrive in chunks of the given sizes, over and over, until `step` fails. It tells how many are used up, and
/// whether it found something.
fn feed(
    mut bytes: &[u8],
    cuts: &[usize],
    mut step: impl FnMut(&mut [u8]) -> Result<(usize, bool), FrameFault>,
) -> Option<FrameFault> {
    let mut buf = Vec::new();
    for cut in cuts.iter().cycle() {
        let (chunk, rest) = bytes.split_at((*cut).min(bytes.len()));
        bytes = rest;
        buf.extend_from_slice(chunk);
        loop {
            let (used, is_something) = match step(&mut buf) {
                Ok(found) => found,
                Err(fault) => return Some(fault),
            };
            buf.drain(..used);
            if !is_something {
                break;
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    None
}

/// A stream in memory.
struct Pipe {
    input: VecDeque<u8>,
    written: Vec<u8>,
}

impl Pipe {
    fn of(input: &[u8]) -> Self {
        Self { input: input.iter().copied().collect(), written: Vec::new() }
    }
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
