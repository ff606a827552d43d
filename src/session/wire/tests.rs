//! How what is said is read in pieces and written at once, and what room stays afterwards.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::task::Context;

use super::*;
use crate::limits::Limits;
use crate::protocol::Dialect;
use crate::protocol::nats::Operation;

/// Gives one piece at each read, and takes everything; its end comes behind the last piece.
#[derive(Default)]
struct Pieces {
    read: VecDeque<Vec<u8>>,
    written: Vec<u8>,
    /// How often something was taken over.
    writes: usize,
}

impl Transport for Pieces {
    fn poll_read(&mut self, _: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<usize> {
        let piece = self.read.pop_front().unwrap_or_default();
        into.extend_from_slice(&piece);
        Poll::Ready(piece.len())
    }

    fn buffer(&mut self, plaintext: &[IoSlice<'_>]) -> io::Result<()> {
        self.writes += 1;
        plaintext.iter().for_each(|part| self.written.extend_from_slice(part));
        Ok(())
    }

    fn is_waiting(&self) -> bool {
        false
    }

    fn poll_write(&mut self, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A message of so many bytes, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a message of the tests is short");
    let mut frame = vec![first, 0x80 | 126];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    // Lengths are in their shortest form.
    if length < 126 {
        frame.splice(1..4, [0x80 | u8::try_from(length).expect("short")]);
    }
    frame
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const BEGUN: u8 = 0x02;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;

fn ends(dialect: Dialect, pieces: impl IntoIterator<Item = Vec<u8>>) -> (Pieces, Reader, Writer) {
    let stream = Pieces { read: pieces.into_iter().collect(), ..Pieces::default() };
    (stream, Reader::new(Vec::new(), dialect, &Limits::default()), Writer::new(dialect))
}

/// What is said until more has to be read, one word each.
fn said(reader: &mut Reader) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(Some(said)) = reader.next() {
        all.push(match said {
            Said::Command(Ok(command)) => format!("{}", command.op()),
            Said::Command(Err(_)) => "fault".into(),
            Said::Nats(Operation::Command(command)) => format!("{}", command.op()),
            Said::Nats(Operation::Again { topic, payload }) => {
                format!("again {topic} {}", String::from_utf8_lossy(payload))
            }
            Said::Nats(other) => format!("{other:?}"),
            Said::Ping(_) => "ws ping".into(),
            Said::Pong => "ws pong".into(),
            Said::Close => "close".into(),
        });
    }
    all
}

async fn read(stream: &mut Pieces, reader: &mut Reader, writer: &mut Writer) -> Vec<String> {
    progress(stream, reader, writer, true).await.expect("alive");
    said(reader)
}

const WHOAMI: &[u8] = br#"{"op":"whoami","id":1}"#;

#[tokio::test]
async fn what_came_before_the_end_is_still_looked_at() {
    let (mut stream, mut reader, mut writer) = ends(Dialect::Json, [frame(TEXT, WHOAMI)]);
    assert_eq!(read(&mut stream, &mut reader, &mut writer).await, ["whoami"]);
    assert!(matches!(reader.next(), Ok(None)));
    progress(&mut stream, &mut reader, &mut writer, true).await.expect("an end is no fault");
    assert!(matches!(reader.next(), Err(CloseReason::PeerGone)));
}

#[tokio::test]
async fn a_frame_in_pieces_is_read_when_it_is_whole() {
    let bytes = [frame(TEXT, WHOAMI), frame(TEXT, WHOAMI)].concat();
    let (head, rest) = bytes.split_at(40);
    let (mut stream, mut reader, mut writer) = ends(Dialect::Json, [head.to_vec(), rest.to_vec()]);
    assert_eq!(read(&mut stream, &mut reader, &mut writer).await, ["whoami"]);
    assert_eq!(read(&mut stream, &mut reader, &mut writer).await, ["whoami"]);
}

#[tokio::test]
async fn a_stream_is_read_across_messages_of_any_kind_and_their_fragments() {
    let pieces = [
        frame(BINARY, b"CONNECT {\"verbose\":false}\r\nPUB a 5\r\nhe"),
        [frame(TEXT, b"llo\r\nPI"), frame(0x89, b"x")].concat(),
        [frame(BEGUN, b"NG\r"), frame(GOES_ON, b"\nSUB a"), frame(ENDS, b" 1\r\nPUB a 1\r\nx\r\nUN")]
            .concat(),
        frame(BINARY, b"SUB 1\r\n"),
        [frame(BEGUN, b"PING\r\nPUB"), frame(ENDS, b" a 2\r\nx"), frame(BINARY, b"y\r\nPONG\r\n")].concat(),
    ];
    let (mut stream, mut reader, mut writer) = ends(Dialect::Nats, pieces);
    let said = [
        read(&mut stream, &mut reader, &mut writer).await.split_off(1),
        read(&mut stream, &mut reader, &mut writer).await,
        read(&mut stream, &mut reader, &mut writer).await,
        read(&mut stream, &mut reader, &mut writer).await,
        read(&mut stream, &mut reader, &mut writer).await,
    ];
    assert_eq!(said[0], [""; 0]);
    assert_eq!(said[1], ["pub", "ws ping"]);
    assert_eq!(said[2], ["Ping", "sub", "again a x"]);
    assert_eq!(said[3], ["unsub"]);
    // It comes in two messages, and is put together like all others.
    assert_eq!(said[4], ["Ping", "pub", "Pong"]);
}

/// The end of an operation that a text of fragments began, in the same read.
#[tokio::test]
async fn an_operation_goes_on_from_a_text_of_fragments_in_a_binary_message() {
    for before in [0, 40] {
        let text = ["PING\r\n".repeat(before), "PUB a 2\r\nhi".into()].concat();
        let (first, second) = text.split_at(2);
        let whole = [
            frame(BEGUN - 1, first.as_bytes()),
            frame(ENDS, second.as_bytes()),
            frame(BINARY, b"\r\nSUB a 1\r\n"),
        ];
        let (mut stream, mut reader, mut writer) = ends(Dialect::Nats, [whole.concat()]);
        let said = read(&mut stream, &mut reader, &mut writer).await;
        assert_eq!(said[before..], ["pub", "sub"]);
    }
}

#[tokio::test]
async fn all_that_waits_of_a_stream_is_written_as_one_message() {
    let (mut stream, mut reader, mut writer) = ends(Dialect::Nats, []);
    let (_, out) = writer.nats().expect("the dialect");
    out.extend_from_slice(b"PONG\r\n");
    out.extend_from_slice(b"+OK\r\n");
    writer.pong(b"x");
    progress(&mut stream, &mut reader, &mut writer, true).await.expect("alive");
    assert_eq!(stream.written, b"\x8a\x01x\x82\x0bPONG\r\n+OK\r\n");
    assert_eq!(stream.writes, 1);
}

#[tokio::test]
async fn a_quiet_turn_gives_the_room_of_a_burst_back() {
    let burst = frame(TEXT, WHOAMI).repeat(1_000);
    let (mut stream, mut reader, mut writer) = ends(Dialect::Json, [burst, frame(TEXT, WHOAMI)]);
    assert_eq!(read(&mut stream, &mut reader, &mut writer).await.len(), 1_000);
    assert!(reader.room() >= 10_000, "a busy session keeps it");
    assert_eq!(read(&mut stream, &mut reader, &mut writer).await.len(), 1);
    assert_eq!(reader.room(), 0);

    (0..1_000).for_each(|_| writer.pong(&[0; 100]));
    progress(&mut stream, &mut reader, &mut writer, true).await.expect("alive");
    assert!((1..=RETAINED_BUSY).contains(&writer.room_kept()), "{}", writer.room_kept());
    writer.ping();
    let _ = progress(&mut stream, &mut reader, &mut writer, true).await;
    assert!(writer.room_kept() == 0);
}

#[tokio::test]
async fn a_peer_that_goes_on_sending_behind_its_close_frame_is_left() {
    const PIECE: usize = 64 * 1024;
    let pieces = MOST_DISCARDED / PIECE;
    let (mut stream, _, mut writer) = ends(Dialect::Json, (0..pieces + 9).map(|_| vec![0; PIECE]));
    say_goodbye(&mut stream, &mut writer, CloseReason::ProtocolAbuse, None, || {}).await;
    assert_eq!(stream.read.len(), 9);
}
