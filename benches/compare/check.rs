//! The load generator must count right whatever a server does with frames: this runs with `cargo test`.

use super::frame::{BINARY, Deframer, Frame, push_length};
use super::reader::{Event, Lines, Message, Reader};

const STREAM: &[u8] = b"INFO {\"max_payload\":1}\r\nPONG\r\n+OK\r\nMSG a.b 1 10\r\n12345678\r\n\r\n\
    HMSG a.b 1 _INBOX.x.1 12 22\r\nNATS/1.0\r\n\r\nabcdefgh\r\n\r\nPING\r\nMSG a.b 1 _INBOX.x.2 0\r\n\r\n\
    HMSG a.b  1 12  12\r\nNATS/1.0\r\n\r\n\r\n-ERR 'no'\r\n";

/// Longer than any line and any message: with less, each is cut at each place.
const SIZES: usize = 70;

/// The stream in frames of one size, read in pieces of one size, says the same for all of both.
pub fn all() {
    let expected = expected();
    for frame in (1..SIZES).chain([STREAM.len()]) {
        let mut bytes = Vec::new();
        for payload in STREAM.chunks(frame) {
            bytes.push(0x80 | BINARY);
            push_length(&mut bytes, payload.len(), 0);
            bytes.extend(payload);
        }
        for piece in (1..SIZES).chain([bytes.len()]) {
            assert_eq!(read(bytes.chunks(piece)), expected, "frames of {frame}, pieces of {piece}");
        }
    }
    a_frame_can_be_patched();
}

fn expected() -> Vec<String> {
    let message = |line: &str, stamp: &[u8; 8]| {
        format!("{:?}", Event::Message(Message { line: line.as_bytes(), stamp: *stamp }))
    };
    vec![
        format!("{:?}", Event::Greeting),
        format!("{:?}", Event::Answer),
        message("MSG a.b 1 10\r\n", b"12345678"),
        message("HMSG a.b 1 _INBOX.x.1 12 22\r\n", b"abcdefgh") + " to _INBOX.x.1",
        format!("{:?}", Event::Ping),
        message("MSG a.b 1 _INBOX.x.2 0\r\n", b"\r\n\0\0\0\0\0\0") + " to _INBOX.x.2",
        message("HMSG a.b  1 12  12\r\n", b"\r\n\0\0\0\0\0\0"),
        format!("{:?}", Event::Fault(b"-ERR 'no'\r\n")),
    ]
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut frames, mut reader, mut said) =
        (Deframer::default(), Reader::Nats(Lines::default()), Vec::new());
    for mut piece in pieces {
        while let Some(part) = frames.next(&mut piece) {
            reader.feed(&part, &mut |event| {
                let reply = match &event {
                    Event::Message(message) => message.reply(),
                    _ => None,
                };
                let to = reply.map(|reply| format!(" to {}", String::from_utf8_lossy(reply)));
                said.push(format!("{event:?}{}", to.unwrap_or_default()));
            });
        }
    }
    said
}

fn a_frame_can_be_patched() {
    for at in 0..8 {
        let mut frame = Frame::new(BINARY, b"0123456789abcdef");
        frame.put(at, b"xyz");
        let mut expected = b"0123456789abcdef".to_vec();
        expected[at..at + 3].copy_from_slice(b"xyz");
        assert_eq!(frame.bytes, Frame::new(BINARY, &expected).bytes);
    }
}
