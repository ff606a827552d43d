//! A client that does not read: it costs its bound and no more, and nobody but itself.

use tokio::net::TcpSocket;

use super::gateway;
use crate::harness::raw::{Raw, text};
use crate::harness::{Closed, Harness, Profile, wait_until};

/// A subscriber of all orders behind a small receive buffer, which reads nothing from here on.
async fn stalled(harness: &Harness) -> Raw {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("set");
    let socket = socket.connect(harness.address).await.expect("connected");
    let issued = harness.pki.issue(&Profile::service("stalled", &["reader"]));
    let config = harness.pki.client_config(Some(&issued));
    let mut raw = Raw::over(harness.tls_over(socket, config, "localhost").await.expect("a handshake"));
    raw.upgrade().await;
    raw.send(&text(r#"{"op":"sub","id":1,"sid":"o","topic":"orders.>"}"#)).await;
    assert_eq!(raw.text().await["op"], "ok");
    raw
}

fn slow_consumer() -> Closed {
    Closed::Frame(1013, "slow_consumer retry_after_ms=1000".into())
}

const PAYLOAD: usize = 64 * 1024;

#[tokio::test]
async fn a_stalled_reader_is_closed_at_its_bound_and_nobody_else_is_harmed() {
    let harness = gateway("max_queue_bytes = 2097152\nwrite_timeout_ms = 60000").await;
    let mut stalled = stalled(&harness).await;
    let mut reader = harness.connect("checkout", &["reader"]).await;
    reader.ok(r#"{"op":"sub","id":1,"sid":"o","topic":"orders.>"}"#).await;
    let mut writer = harness.connect("billing", &["writer"]).await;
    let payload = "x".repeat(PAYLOAD);
    let mut published = 0;
    while harness.gateway().router.subscriptions() == 2 {
        published += 1;
        writer
            .ok(format!(r#"{{"op":"pub","id":{published},"topic":"orders.{published}","data":"{payload}"}}"#))
            .await;
        assert_eq!(reader.expect("msg").await["topic"], format!("orders.{published}"));
        assert!(published * PAYLOAD < 64 << 20, "more is kept for a stalled reader than any buffer holds");
    }
    assert_eq!(stalled.closed().await, slow_consumer());
    wait_until(|| harness.metric("sessions_closed_total{reason=\"slow_consumer\"}") == 1).await;
    harness.sessions(2).await;
    writer.ok(r#"{"op":"pub","id":1,"topic":"orders.last","data":1}"#).await;
    assert_eq!(reader.expect("msg").await["topic"], "orders.last");
}

#[tokio::test]
async fn many_small_messages_meet_the_bound_in_messages() {
    let harness = gateway("max_queue_messages = 100\nwrite_timeout_ms = 60000").await;
    let _stalled = stalled(&harness).await;
    let mut writer = harness.connect("billing", &["writer"]).await;
    let payload = "x".repeat(8 * 1024);
    let burst: Vec<_> =
        (0..50).map(|_| format!(r#"{{"op":"pub","topic":"orders.new","data":"{payload}"}}"#)).collect();
    let mut bursts = 0;
    while harness.gateway().router.subscriptions() == 1 {
        for message in &burst {
            writer.send(message).await;
        }
        writer.nothing_came().await;
        bursts += 1;
        assert!(bursts < 200, "the bound in messages does not hold");
    }
    wait_until(|| harness.metric("sessions_closed_total{reason=\"slow_consumer\"}") == 1).await;
}

#[tokio::test]
async fn a_write_that_does_not_move_ends_the_session() {
    let harness = gateway("max_queue_bytes = 67108864\nwrite_timeout_ms = 300").await;
    let _stalled = stalled(&harness).await;
    let mut writer = harness.connect("billing", &["writer"]).await;
    let payload = "x".repeat(PAYLOAD);
    // More than the buffers of the kernel, less than the bound of the queue.
    for _ in 0..(16 << 20) / PAYLOAD {
        writer.send(format!(r#"{{"op":"pub","topic":"orders.new","data":"{payload}"}}"#)).await;
    }
    writer.nothing_came().await;
    wait_until(|| harness.metric("sessions_closed_total{reason=\"slow_consumer\"}") == 1).await;
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_is_held_up_and_then_ended() {
    let harness = gateway("write_timeout_ms = 300").await;
    let issued = harness.pki.issue(&Profile::service("asker", &[]));
    let mut raw = Raw::session(&harness, &issued).await;
    let questions = text(r#"{"op":"whoami","id":1}"#).repeat(1_000);
    // Its own questions are what it pays with: the gateway stops to read them.
    let mut sent = 0;
    while raw.try_send(&questions).await.is_ok() {
        sent += questions.len();
        assert!(sent < 64 << 20, "answers pile up for a client that does not read them");
    }
    wait_until(|| harness.metric("sessions_closed_total{reason=\"slow_consumer\"}") == 1).await;
    harness.sessions(0).await;
}
