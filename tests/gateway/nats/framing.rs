//! The stream in whatever messages it comes, and what ends it.

use super::{closed, publish_refused};
use crate::harness::nats::{Nats, Said, publish};
use crate::harness::raw::{BINARY, CLOSE, PING, PONG, Raw, TEXT, frame};
use crate::harness::{Harness, Profile, Setup};

const OWN: &str = "services.billing.x";

async fn subscriber(harness: &Harness) -> Nats {
    let mut nats = Nats::connect(harness, "billing", &[]).await;
    nats.subscribe("1", OWN).await;
    nats
}

#[tokio::test]
async fn a_publication_in_three_messages_is_read() {
    let harness = Harness::start().await;
    let mut nats = subscriber(&harness).await;
    for piece in ["PUB services.billing.x 5\r\n", "hello", "\r\n"] {
        nats.send(piece).await;
    }
    assert_eq!(nats.message().await.payload, "hello");
}

#[tokio::test]
async fn a_byte_a_message_is_a_stream_too() {
    let harness = Harness::start().await;
    let mut nats = subscriber(&harness).await;
    let stream = format!("{}PING\r\n", publish(OWN, "a\r\nPING\r\n"));
    nats.send_frames(&stream.bytes().flat_map(|byte| frame(BINARY, &[byte])).collect::<Vec<_>>()).await;
    assert_eq!(nats.message().await.payload, "a\r\nPING\r\n");
    assert_eq!(nats.said().await, Said::Pong);
}

/// Clients that come back write all that waited as one message, of several megabytes.
#[tokio::test]
async fn a_message_larger_than_any_bound_is_read_as_it_comes() {
    let harness =
        Harness::with(Setup { limits: "max_payload_bytes = 1000".into(), ..Setup::default() }).await;
    let mut nats = subscriber(&harness).await;
    let payload = |number: usize| format!("{number:0900}");
    let stream: String = (0..1_000).map(|number| publish(OWN, &payload(number))).collect();
    let whole = frame(BINARY, stream.as_bytes());
    let (begun, rest) = whole.split_at(2_000);
    nats.send_frames(begun).await;
    // What has come is executed, whatever is missing of its message.
    assert_eq!(nats.message().await.payload, payload(0));
    nats.send_frames(rest).await;
    for number in 1..1_000 {
        assert_eq!(nats.message().await.payload, payload(number));
    }
}

#[tokio::test]
async fn many_operations_in_one_message_are_read_in_their_order() {
    let harness = Harness::start().await;
    let mut nats = subscriber(&harness).await;
    nats.send(super::numbered(OWN, 1_000)).await;
    assert_eq!(super::until_end(&mut nats).await, super::numbers(0..1_000));
}

#[tokio::test]
async fn text_messages_fragments_and_control_frames_between_them_are_read() {
    let harness = Harness::start().await;
    let mut nats = subscriber(&harness).await;
    nats.send_frames(&frame(TEXT, publish(OWN, "größe").as_bytes())).await;
    assert_eq!(nats.message().await.payload, "größe");
    let whole = publish(OWN, "in pieces");
    let (first, rest) = whole.as_bytes().split_at(20);
    let (second, third) = rest.split_at(10);
    let frames =
        [frame(0x02, first), frame(PONG, b""), frame(0x00, second), frame(0x00, b""), frame(0x80, third)];
    nats.send_frames(&frames.concat()).await;
    assert_eq!(nats.message().await.payload, "in pieces");
}

#[tokio::test]
async fn lower_case_and_any_white_space_between_arguments_are_read() {
    let harness = Harness::start().await;
    let mut nats = subscriber(&harness).await;
    nats.send(
        "pub  services.billing.x\t 2\r\nhi\r\nsub  services.billing.y   2\r\nPub services.billing.y 0\n\r\n",
    )
    .await;
    let (first, second) = (nats.message().await, nats.message().await);
    assert_eq!((first.payload.as_str(), second.sid.as_str()), ("hi", "2"));
    // A ping of the WebSocket and one of the protocol are two things.
    nats.send_frames(&frame(PING, b"p")).await;
    assert_eq!(nats.raw.frame().await, Ok((PONG, b"p".to_vec())));
    nats.send("ping\r\n").await;
    assert_eq!(nats.said().await, Said::Pong);
    nats.nothing_came().await;
}

#[tokio::test]
async fn what_cannot_be_read_on_ends_the_session_with_its_error() {
    let harness =
        Harness::with(Setup { limits: "max_payload_bytes = 1000".into(), ..Setup::default() }).await;
    let unknown = ("Unknown Protocol Operation", 1002);
    let too_large = ("Maximum Payload Violation", 1009);
    let long_line = format!("SUB {} 1\r\n", "a".repeat(5_000));
    let cases: Vec<(Vec<u8>, (&str, u16))> = vec![
        (b"HELLO\r\n".to_vec(), unknown),
        (b"\r\n".to_vec(), unknown),
        (b"MSG a 1 0\r\n\r\n".to_vec(), unknown),
        (b"GET / HTTP/1.1\r\n".to_vec(), unknown),
        (long_line.into_bytes(), unknown),
        (vec![b'a'; 4_096], unknown),
        (b"PUB a\r\n".to_vec(), unknown),
        (b"PUB a -1\r\n".to_vec(), unknown),
        (b"PUB a 99999999999999999999\r\n".to_vec(), unknown),
        (b"PUB a 2\r\nabc\r\n".to_vec(), unknown),
        (b"HPUB a 5 4\r\n".to_vec(), unknown),
        (b"SUB a \xff\r\n".to_vec(), unknown),
        (b"CONNECT {\r\n".to_vec(), unknown),
        // Told by its declared size, before any of it comes.
        (b"PUB a 1001\r\n".to_vec(), too_large),
        (b"HPUB a 12 1001\r\n".to_vec(), too_large),
        (b"PUB a 999999999\r\n".to_vec(), too_large),
    ];
    for (bytes, (error, code)) in cases {
        let mut nats = Nats::connect(&harness, "billing", &[]).await;
        nats.send(&bytes).await;
        let expected = (vec![error.to_owned()], closed(code, ""));
        assert_eq!(nats.closed().await, expected, "{:?}", String::from_utf8_lossy(&bytes));
    }
    let frames = [
        (vec![BINARY, 2, b'h', b'i'], 1002),
        (frame(0x83, b""), 1002),
        (frame(TEXT, b"PUB a 1\r\n\xff\r\n"), 1007),
        (frame(CLOSE, &1015_u16.to_be_bytes()), 1002),
        ([&[TEXT, 0xff][..], &(1_u64 << 32).to_be_bytes(), &[0; 4]].concat(), 1009),
    ];
    for (bytes, code) in frames {
        let mut nats = Nats::connect(&harness, "billing", &[]).await;
        nats.send_frames(&bytes).await;
        assert_eq!(nats.closed().await.1, closed(code, ""), "{bytes:?}");
    }
}

#[tokio::test]
async fn the_largest_payload_and_the_longest_line_are_read() {
    let harness =
        Harness::with(Setup { limits: "max_payload_bytes = 1000".into(), ..Setup::default() }).await;
    let mut nats = subscriber(&harness).await;
    let largest = "x".repeat(1_000);
    nats.send(publish(OWN, &largest)).await;
    assert_eq!(nats.message().await.payload, largest);
    // 4096 bytes with the line end; such a topic is none, and that costs the message alone.
    let long = "a".repeat(4_096 - "PUB  0\r\n".len());
    let refused = nats.refused(publish(&long, "")).await;
    assert!(refused.starts_with("Permissions Violation for Publish to"), "{refused}");
    assert_eq!(nats.refused(publish("orders.x", "")).await, publish_refused("orders.x"));
}

#[tokio::test]
async fn a_client_that_closes_is_answered_in_kind() {
    let harness = Harness::start().await;
    let mut nats = subscriber(&harness).await;
    nats.send_frames(&frame(CLOSE, &1000_u16.to_be_bytes())).await;
    assert_eq!(nats.closed().await, (Vec::new(), closed(1000, "")));
    harness.sessions(0).await;
}

#[tokio::test]
async fn a_flood_of_fragments_ends_a_session_of_this_dialect_too() {
    let harness = Harness::with(Setup { limits: "max_fragments = 16".into(), ..Setup::default() }).await;
    let mut nats = subscriber(&harness).await;
    nats.send_frames(&[frame(0x02, b""), frame(0x00, b"").repeat(1_000)].concat()).await;
    assert_eq!(nats.closed().await, (vec!["Protocol Abuse".to_owned()], closed(1008, "protocol_abuse")));
}

#[tokio::test]
async fn what_comes_behind_the_request_is_executed_after_the_info() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let mut raw = Raw::open(&harness, &issued).await;
    let head = crate::harness::raw::Head::nats();
    raw.send(&[head.bytes(), frame(BINARY, b"PING\r\n")].concat()).await;
    assert_eq!(raw.answer().await.status, 101);
    let (_, first) = raw.frame().await.expect("a message");
    assert!(first.starts_with(b"INFO {"), "{:?}", String::from_utf8_lossy(&first));
    if !first.ends_with(b"PONG\r\n") {
        assert_eq!(raw.frame().await, Ok((BINARY, b"PONG\r\n".to_vec())));
    }
}
