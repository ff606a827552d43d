//! The WebSocket edge: frames that break the protocol, floods, silence, and every way to leave.

mod leaving;
mod stalled;

use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;

use crate::harness::raw::{BINARY, CLOSE, PING, PONG, Raw, TEXT, frame, text};
use crate::harness::{Closed, Harness, Profile, Setup};

async fn gateway(limits: &str) -> Harness {
    Harness::with(Setup { limits: limits.into(), ..Setup::default() }).await
}

async fn session(harness: &Harness) -> Raw {
    let issued = harness.pki.issue(&Profile::service("billing", &["reader", "writer"]));
    Raw::session(harness, &issued).await
}

fn code(code: u16) -> Closed {
    Closed::Frame(code, String::new())
}

fn abuse() -> Closed {
    Closed::Frame(1008, "protocol_abuse".into())
}

/// A frame header with a 64-bit length, masked with zeros, and no payload.
fn declaring(length: u64) -> Vec<u8> {
    [&[TEXT, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()
}

#[tokio::test]
async fn each_breach_of_the_protocol_has_its_close_code() {
    let harness = gateway("max_payload_bytes = 4096").await;
    let close = |payload: &[u8]| frame(CLOSE, payload);
    let table: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked", vec![TEXT, 2, b'{', b'}'], 1002),
        ("reserved bit", frame(TEXT | 0x40, b"{}"), 1002),
        ("reserved data opcode", frame(0x83, b""), 1002),
        ("reserved control opcode", frame(0x8b, b""), 1002),
        ("fragmented ping", frame(PING & 0x7f, b""), 1002),
        ("long ping", frame(PING, &[0; 126]), 1002),
        ("nothing to continue", frame(0x80, b""), 1002),
        ("message in a message", [frame(0x01, b"{"), text("{}")].concat(), 1002),
        ("length not in its shortest form", vec![TEXT, 0xfe, 0, 5, 0, 0, 0, 0], 1002),
        ("length with its top bit", declaring(1 << 63), 1002),
        ("63-bit length", declaring((1 << 63) - 1), 1009),
        ("4 GiB", declaring(1 << 32), 1009),
        ("oversize", frame(TEXT, &[b'x'; 64 * 1024]), 1009),
        (
            "oversize in fragments",
            [frame(0x01, &[b'x'; 20_000]), frame(0x80, &[b'x'; 20_000])].concat(),
            1009,
        ),
        ("invalid UTF-8", frame(TEXT, b"{\xff}"), 1007),
        ("invalid UTF-8 in a first fragment", frame(0x01, b"{\xff"), 1007),
        ("text that ends within a character", frame(TEXT, b"\xe2\x82"), 1007),
        ("binary", frame(BINARY, b"{}"), 1003),
        ("close of one byte", close(&[3]), 1002),
        ("close 0", close(&0u16.to_be_bytes()), 1002),
        ("close 999", close(&999u16.to_be_bytes()), 1002),
        ("close 1005", close(&1005u16.to_be_bytes()), 1002),
        ("close 1006", close(&1006u16.to_be_bytes()), 1002),
        ("close 1015", close(&1015u16.to_be_bytes()), 1002),
        ("close reason not UTF-8", close(b"\x03\xe8\xff"), 1007),
    ];
    let mut bystander = harness.connect("checkout", &[]).await;
    for (what, bytes, expected) in table {
        let mut raw = session(&harness).await;
        raw.send(&bytes).await;
        assert_eq!(raw.closed().await, code(expected), "{what}");
        drop(raw);
        harness.sessions(1).await;
    }
    bystander.nothing_came().await;
}

#[tokio::test]
async fn a_flood_of_empty_fragments_ends_the_session() {
    let harness = gateway("max_fragments = 16").await;
    let mut raw = session(&harness).await;
    let whole =
        [frame(0x01, b""), frame(0x00, b"").repeat(14), frame(0x80, br#"{"op":"whoami","id":1}"#)].concat();
    raw.send(&whole).await;
    assert_eq!(raw.text().await["id"], 1, "as many as are allowed");
    raw.send(&[frame(0x01, b""), frame(0x00, b"").repeat(1_000)].concat()).await;
    assert_eq!(raw.closed().await, abuse());
}

#[tokio::test]
async fn a_flood_of_control_frames_ends_the_session() {
    let harness = gateway("max_control_frames_per_second = 20").await;
    for kind in [PING, PONG] {
        let mut raw = session(&harness).await;
        raw.send(&frame(kind, b"").repeat(200)).await;
        assert_eq!(raw.closed().await, abuse());
    }
}

#[tokio::test]
async fn too_many_messages_that_cannot_be_understood_end_the_session() {
    let harness = gateway("max_faults = 3").await;
    let mut raw = session(&harness).await;
    for _ in 0..2 {
        // A good one in between starts the count anew.
        raw.send(&[text("{}").repeat(3), text(r#"{"op":"whoami","id":1}"#)].concat()).await;
        for _ in 0..3 {
            assert_eq!(raw.text().await["code"], "bad_message");
        }
        assert_eq!(raw.text().await["op"], "ok");
    }
    raw.send(&text("{}").repeat(4)).await;
    assert_eq!(raw.closed().await, abuse());
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload_even_within_a_message() {
    let harness = gateway("").await;
    let mut raw = session(&harness).await;
    for payload in [&b""[..], b"\0binary\xff", &[7; 125]] {
        raw.send(&frame(PING, payload)).await;
        assert_eq!(raw.frame().await, Ok((PONG, payload.to_vec())));
    }
    let (first, rest) = br#"{"op":"whoami","id":1}"#.split_at(7);
    raw.send(&[frame(0x01, first), frame(PING, b"between"), frame(0x80, rest)].concat()).await;
    assert_eq!(raw.frame().await, Ok((PONG, b"between".to_vec())));
    assert_eq!(raw.text().await["id"], 1);
}

#[tokio::test]
async fn a_common_client_library_sees_the_same() {
    let harness = gateway("").await;
    let mut peer = harness.connect("billing", &[]).await;
    assert_eq!(peer.response.headers()["sec-websocket-protocol"], "portcullis.json.v1");
    peer.send_frame(Message::Binary("{}".into())).await.expect("sent");
    assert_eq!(peer.closed().await, code(1003));
    let abandoned = harness.connect("billing", &[]).await;
    drop(abandoned.into_stream());
    harness.sessions(0).await;
}

#[tokio::test]
async fn frames_a_byte_at_a_time_are_understood() {
    let harness = gateway("").await;
    let mut raw = session(&harness).await;
    for byte in text(r#"{"op":"whoami","id":1}"#) {
        raw.send(&[byte]).await;
    }
    assert_eq!(raw.text().await["id"], 1);
}

#[tokio::test]
async fn a_silent_session_is_asked_once_and_then_ended() {
    let harness = gateway("ping_interval_ms = 100\nidle_timeout_ms = 400").await;
    let mut raw = session(&harness).await;
    assert_eq!(raw.frame().await, Ok((PING, Vec::new())));
    assert!(raw.frame().await.is_err(), "nobody is there to read a close frame");
    harness.sessions(0).await;
    assert_eq!(harness.metric("sessions_closed_total{reason=\"keepalive_lost\"}"), 1);
}

#[tokio::test]
async fn a_session_that_answers_pings_stays() {
    let harness = gateway("ping_interval_ms = 100\nidle_timeout_ms = 2000").await;
    let mut raw = session(&harness).await;
    let started = tokio::time::Instant::now();
    while started.elapsed() < Duration::from_millis(2_500) {
        assert_eq!(raw.frame().await, Ok((PING, Vec::new())));
        raw.send(&frame(PONG, b"")).await;
    }
    raw.send(&text(r#"{"op":"whoami","id":1}"#)).await;
    while raw.frame().await.expect("a frame").0 != TEXT {}
}

#[tokio::test]
async fn a_frame_that_never_ends_does_not_keep_a_session_alive() {
    let harness = gateway("ping_interval_ms = 100\nidle_timeout_ms = 400").await;
    let mut raw = session(&harness).await;
    raw.send(&declaring(100_000)).await;
    assert_eq!(raw.frame().await, Ok((PING, Vec::new())));
    assert_eq!(raw.closed().await, Closed::Gone);
}
