//! Requests that are too much, too slow, or no HTTP.

use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::time::{Duration, Instant, interval, timeout};

use crate::harness::raw::{End, Head, Raw};
use crate::harness::{Harness, Logs, PATIENCE, Profile, Setup, wait_until};

#[tokio::test]
async fn a_flood_of_headers_is_refused_with_an_answer_and_no_reset() {
    let logs = Logs::capture();
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let many = (0..65).fold(Head::upgrade(), |head, place| head.and(&format!("X-{place}"), "y"));
    let long = Head::upgrade().and("X-Long", &"y".repeat(200_000));
    let target = Head::upgrade().line(format!("GET /{} HTTP/1.1", "y".repeat(200_000)));
    for (what, head, statuses) in
        [("many", many, &[431][..]), ("long", long, &[431]), ("target", target, &[414, 431])]
    {
        let mut raw = Raw::open(&harness, &issued).await;
        // The gateway stops to read; what it answers must come through all the same.
        let _ = raw.try_send(&head.bytes()).await;
        let answer = raw.answer().await;
        assert!(statuses.contains(&answer.status), "{what}: {answer:?}");
        assert_eq!(raw.end().await, End::Clean, "{what}");
    }
    logs.line(&["portcullis::audit", "event=\"refused\"", "kind=\"malformed-request\""]).await;
    wait_until(|| harness.metric("connections_refused_total{reason=\"malformed-request\"}") == 3).await;
    wait_until(|| harness.gateway().admissions.opening() == 0).await;
    harness.connect("billing", &[]).await;
}

#[tokio::test]
async fn what_the_parser_cannot_read_is_refused_with_400() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    for bytes in [
        &b"\x16\x03\x01\x02\x00 not HTTP at all\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX\0: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/3.9\r\nHost: localhost\r\n\r\n",
    ] {
        let mut raw = Raw::open(&harness, &issued).await;
        raw.send(bytes).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 400, "{:?}: {answer:?}", String::from_utf8_lossy(bytes));
        assert_eq!(raw.end().await, End::Clean, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn a_body_is_refused_however_much_of_it_comes() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let mut raw = Raw::open(&harness, &issued).await;
    let mut bytes = Head::upgrade().and("Content-Length", "200000").bytes();
    bytes.resize(bytes.len() + 200_000, b'x');
    let _ = raw.try_send(&bytes).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "body"));
    assert_eq!(raw.end().await, End::Clean);
}

#[tokio::test]
async fn a_peer_that_is_slow_in_http_is_closed_by_the_one_deadline() {
    let limits = "open_deadline_ms = 400".into();
    let harness = Harness::with(Setup { limits, ..Setup::default() }).await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    for says_something in [false, true] {
        let stream = harness.tls(&issued).await.expect("a handshake");
        let started = Instant::now();
        let (mut reading, mut writing) = split(stream);
        let trickling = async {
            let mut pace = interval(Duration::from_millis(5));
            for byte in Head::upgrade().and("X-Endless", &"y".repeat(10_000)).bytes() {
                pace.tick().await;
                if !says_something
                    || writing.write_all(&[byte]).await.is_err()
                    || writing.flush().await.is_err()
                {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let mut rest = [0; 64];
        let closed = tokio::select! {
            read = timeout(PATIENCE, reading.read(&mut rest)) => read.expect("closed in time"),
            () = trickling => unreachable!("it never ends"),
        };
        assert!(!matches!(closed, Ok(1..)), "{closed:?}");
        assert!(started.elapsed() >= Duration::from_millis(200), "closed before the deadline");
    }
    wait_until(|| harness.metric("connections_refused_total{reason=\"deadline\"}") == 2).await;
    wait_until(|| harness.gateway().admissions.sessions() == 0).await;
}

#[tokio::test]
async fn a_peer_that_leaves_before_its_request_is_forgotten() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    for (count, said) in (1..).zip([&b""[..], b"GET / HT"]) {
        let mut raw = Raw::open(&harness, &issued).await;
        harness.handshakes(count).await;
        raw.send(said).await;
        raw.half_close().await;
        raw.end().await;
        wait_until(|| harness.gateway().admissions.sessions() == 0).await;
        wait_until(|| harness.gateway().admissions.opening() == 0).await;
    }
}
