//! The HTTP edge: each request that does not become a WebSocket gets its answer in place of the 101.

mod floods;
mod limits;

use crate::harness::raw::{End, Head, Raw, text};
use crate::harness::{Harness, Issued, Logs, Profile, Setup, wait_until};

/// Sends one request on a connection of its own, and checks what holds for every refusal: a whole answer, the end of
/// the connection said in HTTP and in TLS, no session.
async fn refusal(harness: &Harness, issued: &Issued, head: &Head) -> (u16, String, Vec<(String, String)>) {
    let mut raw = Raw::open(harness, issued).await;
    let answer = raw.ask(head).await;
    let connection = answer.header("connection").unwrap_or_default();
    assert!(connection.split(", ").any(|token| token == "close"), "{answer:?}");
    assert_eq!(raw.end().await, End::Clean);
    assert!(harness.gateway().registry.is_empty());
    let of_interest = ["allow", "upgrade", "sec-websocket-version", "retry-after"];
    let headers =
        of_interest.iter().filter_map(|name| Some((name.to_string(), answer.header(name)?.to_owned())));
    (answer.status, answer.problem(), headers.collect())
}

/// A request, and the status, type and headers of its answer.
type Case = (Head, u16, &'static str, &'static [(&'static str, &'static str)]);

fn headers(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[tokio::test]
async fn each_request_that_is_no_handshake_has_its_status_type_and_headers() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let good = Head::upgrade;
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let upgrade: &[_] = &[("upgrade", "websocket"), ("sec-websocket-version", "13")];
    let table: Vec<Case> = vec![
        (good().line("GET / HTTP/1.0"), 400, "http-version", &[]),
        (good().with("Host", &[]), 400, "host", &[]),
        (good().with("Host", &["localhost", "localhost"]), 400, "host", &[]),
        (good().with("Host", &["user@localhost"]), 400, "host", &[]),
        (good().line("GET /? HTTP/1.1"), 400, "query-string", &[]),
        (good().line("GET /chat HTTP/1.1"), 404, "path", &[]),
        (good().line("GET // HTTP/1.1"), 404, "path", &[]),
        (good().line("GET /%2f HTTP/1.1"), 404, "path", &[]),
        (good().line("POST / HTTP/1.1"), 405, "method", &[("allow", "GET")]),
        (good().line("OPTIONS / HTTP/1.1"), 405, "method", &[("allow", "GET")]),
        (good().and("Content-Length", "5"), 400, "body", &[]),
        (good().and("Transfer-Encoding", "chunked"), 400, "body", &[]),
        (good().with("Upgrade", &[]), 426, "upgrade-required", upgrade),
        (good().with("Upgrade", &["h2c"]), 426, "upgrade-required", upgrade),
        (good().with("Connection", &["keep-alive"]), 426, "upgrade-required", upgrade),
        (good().with("Sec-WebSocket-Version", &["8"]), 426, "websocket-version", upgrade),
        (good().with("Sec-WebSocket-Version", &["13", "13"]), 426, "websocket-version", upgrade),
        (good().with("Sec-WebSocket-Key", &[]), 400, "websocket-key", &[]),
        (good().with("Sec-WebSocket-Key", &[key, key]), 400, "websocket-key", &[]),
        (good().with("Sec-WebSocket-Key", &["c2hvcnQ="]), 400, "websocket-key", &[]),
        (good().with("Sec-WebSocket-Protocol", &[]), 400, "subprotocol", &[]),
        (good().with("Sec-WebSocket-Protocol", &["mqtt"]), 400, "subprotocol", &[]),
        (good().with("Sec-WebSocket-Protocol", &["mqtt,,soap"]), 400, "subprotocol", &[]),
        (good().and("Origin", "https://localhost"), 403, "origin", &[]),
        (good().and("Origin", "null"), 403, "origin", &[]),
        (good().and("Origin", ""), 403, "origin", &[]),
    ];
    for (place, (head, status, kind, expected)) in table.iter().enumerate() {
        let answer = refusal(&harness, &issued, head).await;
        let expected = (*status, kind.to_string(), headers(expected));
        assert_eq!(answer, expected, "case {place}: {}", String::from_utf8_lossy(&head.bytes()));
    }
    // Nothing of it did harm.
    assert_eq!(Raw::open(&harness, &issued).await.upgrade().await["service"], "billing");
}

#[tokio::test]
async fn a_good_handshake_is_answered_as_rfc_6455_says() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let head = Head::upgrade()
        .with("Connection", &["keep-alive, upgrade"])
        .with("Upgrade", &["WebSocket"])
        .with("Sec-WebSocket-Protocol", &["mqtt", "soap, portcullis.json.v1"])
        .and("Sec-WebSocket-Extensions", "permessage-deflate");
    let answer = Raw::open(&harness, &issued).await.ask(&head).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("connection"), Some("Upgrade"));
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.header("sec-websocket-protocol"), Some("portcullis.json.v1"));
    assert_eq!(answer.header("sec-websocket-extensions"), None);
}

#[tokio::test]
async fn an_origin_on_the_list_is_let_through_as_it_is_spelled_and_no_other() {
    let listener = r#"origins = ["https://ops.internal"]"#.into();
    let harness = Harness::with(Setup { listener, ..Setup::default() }).await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    for bad in [
        &["https://OPS.internal"][..],
        &["https://ops.internal:443"],
        &["http://ops.internal"],
        &["https://ops.internal.evil.example"],
        &["https://ops.internal, https://ops.internal"],
        &["https://ops.internal", "https://ops.internal"],
        &["null"],
    ] {
        let head = Head::upgrade().with("Origin", bad);
        assert_eq!(refusal(&harness, &issued, &head).await, (403, "origin".into(), vec![]), "{bad:?}");
    }
    for good in [&[][..], &["https://ops.internal"]] {
        let answer = Raw::open(&harness, &issued).await.ask(&Head::upgrade().with("Origin", good)).await;
        assert_eq!(answer.status, 101, "{good:?}");
    }
}

#[tokio::test]
async fn a_default_dialect_serves_a_client_that_offers_none_and_no_other() {
    let listener = r#"default_dialect = "json""#.into();
    let harness = Harness::with(Setup { listener, ..Setup::default() }).await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let unknown = Head::upgrade().with("Sec-WebSocket-Protocol", &["mqtt"]);
    assert_eq!(refusal(&harness, &issued, &unknown).await, (400, "subprotocol".into(), vec![]));
    let answer =
        Raw::open(&harness, &issued).await.ask(&Head::upgrade().with("Sec-WebSocket-Protocol", &[])).await;
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, None));
}

#[tokio::test]
async fn a_query_string_is_refused_and_never_logged() {
    let logs = Logs::capture();
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let head = Head::upgrade().line("GET /?token=hunter2-in-the-clear HTTP/1.1");
    let mut raw = Raw::open(&harness, &issued).await;
    let answer = raw.ask(&head).await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "query-string"));
    logs.line(&["portcullis::audit", "event=\"refused\"", "kind=\"query-string\""]).await;
    assert!(!logs.text().contains("hunter2"), "{}", logs.text());
    assert!(!String::from_utf8_lossy(&answer.body).contains("hunter2"));
}

#[tokio::test]
async fn frames_behind_the_request_are_executed_after_the_hello() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let mut raw = Raw::open(&harness, &issued).await;
    let mut bytes = Head::upgrade().bytes();
    bytes.extend(text(r#"{"op":"sub","id":1,"sid":"a","topic":"services.billing.>"}"#));
    bytes.extend(text(r#"{"op":"pub","id":2,"topic":"services.billing.x","data":7}"#));
    // Cut in the middle of a frame.
    let (first, rest) = bytes.split_at(bytes.len() - 9);
    raw.send(first).await;
    assert_eq!(raw.answer().await.status, 101);
    assert_eq!(raw.text().await["op"], "hello");
    assert_eq!(raw.text().await["id"], 1);
    raw.send(rest).await;
    let (one, other) = (raw.text().await, raw.text().await);
    assert!([&one, &other].iter().any(|event| event["id"] == 2), "{one} {other}");
    assert!([&one, &other].iter().any(|event| event["op"] == "msg" && event["data"] == 7), "{one} {other}");
}

#[tokio::test]
async fn a_second_request_behind_a_refused_one_is_not_answered() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let mut raw = Raw::open(&harness, &issued).await;
    let mut bytes = Head::upgrade().line("GET /chat HTTP/1.1").bytes();
    bytes.extend(Head::upgrade().bytes());
    raw.send(&bytes).await;
    assert_eq!(raw.answer().await.status, 404);
    assert_eq!(raw.end().await, End::Clean);
    wait_until(|| harness.metric("connections_refused_total{reason=\"path\"}") == 1).await;
    assert!(harness.gateway().registry.is_empty());
}

#[tokio::test]
async fn a_service_that_is_denied_after_its_handshake_gets_no_101() {
    let harness = Harness::with(Setup {
        before: "deny = \"deny.toml\"".into(),
        files: vec![("deny.toml", "# nobody".into())],
        ..Setup::default()
    })
    .await;
    let issued = harness.pki.issue(&Profile::service("mallory", &[]));
    let mut raw = Raw::open(&harness, &issued).await;
    harness.handshakes(1).await;
    harness.pki.write("deny.toml", "services = [\"mallory\"]");
    harness.generation_at_least(2).await;
    raw.send(&Head::upgrade().bytes()).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "denied"));
}

#[tokio::test]
async fn a_certificate_that_is_revoked_after_its_handshake_gets_no_101() {
    let harness = Harness::start().await;
    let mut reader = harness.connect("billing", &["reader"]).await;
    reader.ok(r#"{"op":"sub","id":1,"sid":"o","topic":"orders.>"}"#).await;
    let issued = harness.pki.issue(&Profile::service("mallory", &["writer"]));
    // The verdict on the certificate is good when it falls; the request comes after it has changed.
    let mut raw = Raw::open(&harness, &issued).await;
    harness.handshakes(2).await;
    harness.pki.revoke(&issued);
    harness.generation_at_least(2).await;
    let mut bytes = Head::upgrade().bytes();
    bytes.extend(text(r#"{"op":"pub","id":1,"topic":"orders.new","data":1}"#));
    raw.send(&bytes).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "overruled"));
    reader.nothing_came().await;
}
