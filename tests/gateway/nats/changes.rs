//! What reloads, drains and deadlines are to sessions of this dialect.

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use super::{closed, publish_refused, subscribe_refused, with};
use crate::harness::nats::{Nats, Said, USUAL, publish};
use crate::harness::raw::Raw;
use crate::harness::{Ca, Harness, POLICY, Profile, Setup, wait_until};
use crate::reload::{reconfigure, taken, tried, trust};

/// The next message, of those that the gateway tells the session.
async fn told(nats: &mut Nats, name: &str) -> Value {
    let message = nats.message().await;
    assert_eq!((message.subject, message.head), (format!("$SYS.SESSION.{name}"), None));
    serde_json::from_str(&message.payload).expect("JSON")
}

#[tokio::test]
async fn stamping_is_switched_while_sessions_live() {
    let harness = with("stamp_sender = true", "").await;
    let mut reader = Nats::connect(&harness, "billing", &["reader"]).await;
    let mut writer = Nats::connect(&harness, "checkout", &["writer"]).await;
    reader.subscribe("1", "orders.>").await;
    for (value, generation, head) in
        [("false", 2, None), ("true", 3, Some("NATS/1.0\r\nPortcullis-From: checkout\r\n\r\n"))]
    {
        let other = if value == "true" { "false" } else { "true" };
        reconfigure(&harness, &format!("stamp_sender = {other}"), &format!("stamp_sender = {value}"));
        taken(&harness, generation).await;
        reader.nothing_came().await;
        writer.send(publish("orders.x", "1")).await;
        assert_eq!(reader.message().await.head.as_deref(), head, "{value}");
    }
}

#[tokio::test]
async fn a_subscription_that_a_policy_takes_is_told_twice_and_the_session_stays() {
    let harness = Harness::start().await;
    let mut reader = Nats::connect(&harness, "billing", &["reader"]).await;
    let mut silent = Nats::connect(&harness, "checkout", &["reader", "writer"]).await;
    reader.subscribe("events", "$SYS.SESSION.>").await;
    reader.subscribe("other", "$SYS.SESSION.REAUTH_REQUIRED").await;
    reader.subscribe("1", "orders.>").await;
    silent.send("SUB orders.> pool 1\r\n").await;
    silent.nothing_came().await;
    harness.set_policy(&POLICY.replace("subscribe = [\"orders.>\"]", "subscribe = [\"quotes.>\"]")).await;
    assert_eq!(reader.error().await, subscribe_refused("orders.>"));
    assert_eq!(
        told(&mut reader, "REVOKED_SUB").await,
        json!({"op": "revoked_sub", "sid": "1", "topic": "orders.>", "reason": "policy_changed"})
    );
    assert_eq!(silent.error().await, format!("{} using queue \"pool\"", subscribe_refused("orders.>")));
    silent.send(publish("orders.x", "")).await;
    reader.subscribe("1", "quotes.x").await;
    for nats in [&mut reader, &mut silent] {
        nats.nothing_came().await;
    }
    harness.set_policy(&POLICY.replace("publish = [\"orders.>\"]", "publish = [\"quotes.>\"]")).await;
    tried(&harness).await;
    assert_eq!(silent.refused(publish("orders.x", "")).await, publish_refused("orders.x"));
}

#[tokio::test]
async fn what_ends_a_session_for_good_is_an_authentication_error_and_its_close_code() {
    let harness = Harness::start().await;
    let mut stays = Nats::connect(&harness, "checkout", &[]).await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let mut revoked = Nats::open(&harness, &issued).await;
    harness.pki.revoke(&issued);
    let authentication = |text: &str| vec![text.to_owned()];
    assert_eq!(
        revoked.closed().await,
        (authentication("User Authentication Revoked"), closed(4403, "revoked"))
    );
    let mut banned = Nats::connect(&harness, "shop", &[]).await;
    let ban = "[[grant]]\nname = \"out\"\nservices = [\"shop\"]\nconnect = false\n";
    harness.set_policy(&format!("{POLICY}{ban}")).await;
    let (errors, end) = banned.closed().await;
    assert_eq!(
        (errors, end.paced()),
        (authentication("Authorization Violation"), closed(1008, "connect_forbidden"))
    );
    let other = Ca::root("second root");
    trust(&harness, &[&harness.pki.ca, &other]);
    tried(&harness).await;
    let mut guest = Nats::open(&harness, &other.issue(&Profile::service("guest", &[]))).await;
    trust(&harness, &[&harness.pki.ca]);
    let (errors, end) = guest.closed().await;
    assert_eq!(
        (errors, end.paced()),
        (authentication("User Authentication Revoked"), closed(4403, "untrusted"))
    );
    stays.nothing_came().await;
}

#[tokio::test]
async fn a_drain_tells_where_else_to_go_and_ends_without_an_error() {
    let urls = r#"["wss://gateway-2.internal:8443/nats", "wss://gateway-3.internal/nats"]"#;
    let harness = with("", &format!("alternatives = {urls}")).await;
    let mut nats = Nats::connect(&harness, "billing", &[]).await;
    let mut json = harness.connect("checkout", &[]).await;
    assert_eq!((nats.info.get("ldm"), nats.info.get("connect_urls")), (None, None));
    nats.nothing_came().await;
    let watching = async {
        let Said::Info(info) = nats.said().await else { panic!("INFO comes first") };
        let mut expected = nats.info.clone();
        expected["ldm"] = json!(true);
        expected["connect_urls"] = serde_json::from_str(urls).expect("JSON");
        assert_eq!(info, expected);
        // Work goes on until the end.
        nats.subscribe("1", "services.billing.x").await;
        nats.send(publish("services.billing.x", "1")).await;
        assert_eq!(nats.message().await.payload, "1");
        assert_eq!(nats.closed().await, (Vec::new(), closed(1001, "draining retry_after_ms=1000")));
        assert_eq!(json.expect("draining").await["alternatives"], info["connect_urls"]);
    };
    tokio::join!(harness.server.stop(), watching);
}

#[tokio::test]
async fn a_drain_without_alternatives_names_none() {
    let harness = Harness::start().await;
    let mut nats = Nats::connect(&harness, "billing", &[]).await;
    nats.nothing_came().await;
    tokio::join!(harness.server.stop(), async {
        let Said::Info(info) = nats.said().await else { panic!("INFO comes first") };
        assert_eq!((&info["ldm"], info.get("connect_urls")), (&json!(true), None));
        assert_eq!(nats.closed().await.0, Vec::<String>::new());
    });
}

#[tokio::test]
async fn a_certificate_that_ends_is_told_of_before_and_is_no_reason_to_stay_away() {
    let harness = Harness::start().await;
    let short = Profile { not_after: 3, ..Profile::service("billing", &[]) };
    let mut nats = Nats::open(&harness, &harness.pki.issue(&short)).await;
    nats.send(format!("{USUAL}\r\nSUB $SYS.SESSION.REAUTH_REQUIRED 1\r\n")).await;
    let demand = told(&mut nats, "REAUTH_REQUIRED").await;
    assert_eq!((&demand["op"], &demand["cause"]), (&json!("reauth_required"), &json!("expiring")));
    assert_eq!(nats.closed().await, (Vec::new(), closed(4401, "credential_deadline")));
}

/// A subscriber of all orders behind a small receive buffer, which reads nothing from here on.
async fn stalled(harness: &Harness) -> Nats {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("set");
    let socket = socket.connect(harness.address).await.expect("connected");
    let issued = harness.pki.issue(&Profile::service("stalled", &["reader"]));
    let config = harness.pki.client_config(Some(&issued));
    let raw = Raw::over(harness.tls_over(socket, config, "localhost").await.expect("a handshake"));
    let mut nats = Nats::over(raw).await;
    nats.send(format!("{USUAL}\r\n")).await;
    nats.subscribe("1", "orders.>").await;
    nats
}

#[tokio::test]
async fn a_nats_client_that_does_not_read_is_closed_at_its_bound_and_may_come_back() {
    const PAYLOAD: usize = 64 * 1024;
    let limits = "max_queue_bytes = 2097152\nwrite_timeout_ms = 60000";
    let harness = Harness::with(Setup { limits: limits.into(), ..Setup::default() }).await;
    let mut stalled = stalled(&harness).await;
    let mut reader = Nats::connect(&harness, "checkout", &["reader"]).await;
    reader.subscribe("1", "orders.>").await;
    let mut writer = Nats::connect(&harness, "billing", &["writer"]).await;
    let payload = "x".repeat(PAYLOAD);
    let mut published = 0;
    while harness.gateway().router.subscriptions() == 2 {
        published += 1;
        writer.send(publish(&format!("orders.{published}"), &payload)).await;
        assert_eq!(reader.message().await.subject, format!("orders.{published}"));
        assert!(published * PAYLOAD < 64 << 20, "more is kept for a stalled reader than any buffer holds");
    }
    let end = (Vec::new(), closed(1013, "slow_consumer retry_after_ms=1000"));
    assert_eq!(stalled.closed().await, end);
    wait_until(|| harness.metric("sessions_closed_total{reason=\"slow_consumer\"}") == 1).await;
    writer.nothing_came().await;
    reader.nothing_came().await;
}
