//! Every way in which a client may leave: the gateway forgets it, and what it said before counts.

use super::{code, gateway, session};
use crate::harness::raw::{CLOSE, End, frame, text};
use crate::harness::{Closed, wait_until};

#[tokio::test]
async fn a_close_is_answered_and_ends_tls_properly() {
    let harness = gateway("").await;
    for payload in [&b""[..], b"\x03\xe8", b"\x03\xe8done", b"\x0f\xa0", b"\x13\x87"] {
        let mut raw = session(&harness).await;
        raw.send(&frame(CLOSE, payload)).await;
        assert_eq!(raw.closed().await, code(1000), "{payload:?}");
        assert_eq!(raw.end().await, End::Clean, "{payload:?}");
        drop(raw);
        harness.sessions(0).await;
    }
    wait_until(|| harness.metric("sessions_closed_total{reason=\"client_closed\"}") == 5).await;
}

#[tokio::test]
async fn nothing_behind_a_close_is_executed() {
    let harness = gateway("").await;
    let mut reader = harness.connect("checkout", &["reader"]).await;
    reader.ok(r#"{"op":"sub","id":1,"sid":"o","topic":"orders.>"}"#).await;
    let mut raw = session(&harness).await;
    let publish = |data: u8| text(&format!(r#"{{"op":"pub","topic":"orders.new","data":{data}}}"#));
    raw.send(&[publish(1), frame(CLOSE, b""), publish(2)].concat()).await;
    assert_eq!(raw.closed().await, code(1000));
    assert_eq!(reader.expect("msg").await["data"], 1);
    reader.nothing_came().await;
}

#[tokio::test]
async fn what_was_sent_before_a_half_close_is_executed() {
    let harness = gateway("").await;
    let mut reader = harness.connect("checkout", &["reader"]).await;
    reader.ok(r#"{"op":"sub","id":1,"sid":"o","topic":"orders.>"}"#).await;
    let mut raw = session(&harness).await;
    raw.send(&text(r#"{"op":"pub","topic":"orders.new","data":1}"#)).await;
    raw.half_close().await;
    assert_eq!(reader.expect("msg").await["data"], 1);
    assert_eq!(raw.closed().await, Closed::Gone);
    drop(raw);
    harness.sessions(1).await;
    wait_until(|| harness.metric("sessions_closed_total{reason=\"peer_gone\"}") == 1).await;
}

#[tokio::test]
async fn a_connection_cut_without_a_word_is_forgotten() {
    let harness = gateway("").await;
    let subscribe = text(r#"{"op":"sub","id":1,"sid":"o","topic":"orders.>"}"#);
    for resets in [false, true] {
        let mut raw = session(&harness).await;
        raw.send(&subscribe).await;
        let answer = raw.text().await;
        assert_eq!(answer["op"], "ok", "{answer}");
        assert_eq!(harness.gateway().router.subscriptions(), 1);
        let (socket, _) = raw.into_stream().into_inner();
        if resets {
            socket.set_zero_linger().expect("set");
        }
        drop(socket);
        harness.sessions(0).await;
        assert_eq!(harness.gateway().router.subscriptions(), 0);
    }
    wait_until(|| harness.metric("sessions_closed_total{reason=\"peer_gone\"}") == 2).await;
    wait_until(|| harness.gateway().admissions.sessions() == 0).await;
}
