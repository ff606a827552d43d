//! Live sessions are judged by the new set, and nobody but those whom it concerns notices.

use serde_json::{Value, json};

use super::{may_connect, reconfigure, service, start, taken, tried, trust, with};
use crate::harness::{Ca, Closed, POLICY, Profile, Setup};
use crate::messaging::{OPEN, publication, subscribe};

fn frame(code: u16, reason: &str) -> Closed {
    Closed::Frame(code, reason.into())
}

#[tokio::test]
async fn an_anchor_that_goes_takes_its_sessions_with_it() {
    let harness = start().await;
    let second = Ca::root("second root");
    trust(&harness, &[&harness.pki.ca, &second]);
    tried(&harness).await;
    let guest = second.issue(&Profile::service("guest", &[]));
    let mut leaves = harness.connect_as(&guest).await;
    let mut stays = harness.connect("billing", &[]).await;
    trust(&harness, &[&harness.pki.ca]);
    assert_eq!(leaves.closed().await.paced(), frame(4403, "untrusted"));
    assert!(!may_connect(&harness, &guest).await);
    stays.nothing_came().await;
}

#[tokio::test]
async fn a_root_of_the_same_name_with_another_key_is_another_root() {
    let harness = start().await;
    let mut leaves = harness.connect("billing", &[]).await;
    let impostor = Ca::root("test root");
    trust(&harness, &[&impostor]);
    assert_eq!(leaves.closed().await.paced(), frame(4403, "untrusted"));
}

#[tokio::test]
async fn who_maps_to_another_service_now_is_closed() {
    let harness = start().await;
    let mut renamed = Profile::service("billing", &[]);
    renamed.dns = vec!["invoices.services.test.internal".into()];
    let mut leaves = harness.connect_as(&harness.pki.issue(&renamed)).await;
    let mut nobody = Profile::service("ghost", &[]);
    nobody.dns.clear();
    let mut goes_too = harness.connect_as(&harness.pki.issue(&nobody)).await;
    let mut stays = harness.connect("checkout", &["reader"]).await;
    subscribe(&mut stays, "s", "orders.>").await;
    let by_name = r#"match = { cn = "{service}", uri = "spiffe://test.internal/service/{service}" }"#;
    reconfigure(&harness, by_name, r#"match = { dns = "{service}.services.test.internal" }"#);
    assert_eq!(leaves.closed().await.paced(), frame(1008, "identity_changed"));
    assert_eq!(goes_too.closed().await.paced(), frame(1008, "identity_changed"));
    let again = harness.connect_as(&harness.pki.issue(&renamed)).await;
    assert_eq!(again.hello["service"], "invoices");
    stays.nothing_came().await;
}

#[tokio::test]
async fn who_may_not_connect_any_more_is_closed() {
    let harness = start().await;
    let (mut leaves, mut stays) =
        (harness.connect("billing", &[]).await, harness.connect("checkout", &[]).await);
    let out = "[[grant]]\nname = \"out\"\nservices = [\"billing\"]\nconnect = false\n";
    harness.set_policy(&format!("{POLICY}{out}")).await;
    assert_eq!(leaves.closed().await.paced(), frame(1008, "connect_forbidden"));
    assert!(!may_connect(&harness, &service(&harness, "billing", &[])).await);
    stays.nothing_came().await;
    harness.set_policy("").await;
    stays.nothing_came().await;
    harness.set_policy("# nobody may do anything").await;
    assert_eq!(stays.closed().await.paced(), frame(1008, "connect_forbidden"));
}

#[tokio::test]
async fn a_subscription_that_is_no_longer_granted_is_taken_and_the_session_stays() {
    let harness = start().await;
    let mut reader = harness.connect("billing", &["reader"]).await;
    let mut writer = harness.connect("checkout", &["writer"]).await;
    subscribe(&mut reader, "orders", "orders.>").await;
    subscribe(&mut reader, "own", "services.billing.>").await;
    harness.set_policy(&POLICY.replace("subscribe = [\"orders.>\"]", "subscribe = [\"quotes.>\"]")).await;
    assert_eq!(
        reader.expect("revoked_sub").await,
        json!({"op": "revoked_sub", "sid": "orders", "topic": "orders.>", "reason": "policy_changed"})
    );
    writer.ok(r#"{"op":"pub","id":1,"topic":"orders.x"}"#).await;
    reader.send(publication("services.billing.x", 1)).await;
    assert_eq!(reader.expect("msg").await["sid"], "own");
    // The sid is free again, and what is granted now can be had.
    subscribe(&mut reader, "orders", "quotes.x").await;
    reader.nothing_came().await;
}

#[tokio::test]
async fn a_role_that_goes_takes_what_it_granted() {
    let harness = start().await;
    let mut reader = harness.connect("billing", &["reader"]).await;
    let mut writer = harness.connect("checkout", &["writer"]).await;
    subscribe(&mut reader, "s", "orders.>").await;
    writer.ok(r#"{"op":"pub","id":1,"topic":"orders.x"}"#).await;
    reader.expect("msg").await;
    // Roles come from where these certificates say nothing.
    reconfigure(&harness, "roles_from = \"ou\"", "roles_from = \"o\"");
    assert_eq!(reader.expect("revoked_sub").await["sid"], "s");
    assert_eq!(reader.ask(r#"{"op":"whoami","id":2}"#).await["roles"], json!([]));
    assert_eq!(writer.refused(r#"{"op":"pub","id":3,"topic":"orders.x"}"#).await, "forbidden");
    // And they come back with the mapping.
    reconfigure(&harness, "roles_from = \"o\"", "roles_from = \"ou\"");
    taken(&harness, 3).await;
    subscribe(&mut reader, "s", "orders.>").await;
    writer.ok(r#"{"op":"pub","id":4,"topic":"orders.x"}"#).await;
    reader.expect("msg").await;
}

#[tokio::test]
async fn a_deny_that_comes_narrows_a_subscription_and_one_that_goes_widens_it() {
    let harness = start().await;
    let mut reader = harness.connect("billing", &["reader"]).await;
    let mut writer = harness.connect("checkout", &["writer"]).await;
    subscribe(&mut reader, "s", "orders.>").await;
    let mut numbers = 0..;
    let mut round = async |granted: &[&str], policy: &str| {
        harness.set_policy(policy).await;
        tried(&harness).await;
        let number = numbers.next();
        let topics = ["orders.internal.a", "orders.eu.a", "orders.end"];
        writer.send_all(topics.map(|topic| publication(topic, number))).await;
        for topic in granted.iter().chain(&["orders.end"]) {
            let message = reader.expect("msg").await;
            assert_eq!((&message["topic"], &message["data"]), (&json!(topic), &json!(number)));
        }
    };
    round(&["orders.eu.a"], POLICY).await;
    round(&[], &POLICY.replace("[\"orders.internal.>\"]", "[\"orders.*.>\"]")).await;
    round(
        &["orders.internal.a", "orders.eu.a"],
        &POLICY.replace("deny_subscribe = [\"orders.internal.>\"]", ""),
    )
    .await;
    round(&["orders.eu.a"], POLICY).await;
}

#[tokio::test]
async fn a_subscription_joins_or_leaves_a_shared_group_as_the_policy_says() {
    let policy = |groups: &str| format!("{OPEN}{groups}\n");
    let harness = with(Setup { policy: Some(policy("")), ..Setup::default() }).await;
    let (mut a, mut b) = (harness.connect("a", &[]).await, harness.connect("b", &[]).await);
    let mut writer = harness.connect("w", &[]).await;
    for peer in [&mut a, &mut b] {
        peer.ok(r#"{"op":"sub","id":1,"sid":"g","topic":"job","group":"pool"}"#).await;
        subscribe(peer, "end", "end").await;
    }
    for (shared, expected) in [("", 20), ("groups = [\"pool\"]", 10), ("", 20)] {
        harness.set_policy(&policy(shared)).await;
        tried(&harness).await;
        // Each session has looked around before the first message is sent.
        a.nothing_came().await;
        b.nothing_came().await;
        writer
            .send_all((0..10).map(|n| publication("job", n)).chain([publication("end", Value::Null)]))
            .await;
        let mut messages = 0;
        for peer in [&mut a, &mut b] {
            while peer.expect("msg").await["sid"] != "end" {
                messages += 1;
            }
        }
        assert_eq!(messages, expected, "{shared:?}");
    }
}

#[tokio::test]
async fn new_limits_hold_for_live_sessions() {
    let harness = with(Setup { policy: Some(OPEN.into()), ..Setup::default() }).await;
    let mut peer = harness.connect("a", &[]).await;
    let mut slow = harness.connect("b", &[]).await;
    for n in 0..4 {
        peer.ok(json!({"op": "sub", "id": 1, "sid": n, "topic": format!("t.{n}")}).to_string()).await;
    }
    subscribe(&mut slow, "s", "burst").await;
    reconfigure(
        &harness,
        "[limits]",
        "[limits]\nmax_subscriptions = 5\nmax_payload_bytes = 100\nmax_queue_messages = 10\nmax_requests = 1",
    );
    taken(&harness, 2).await;
    let limits = peer.ask(r#"{"op":"whoami","id":1}"#).await["limits"].clone();
    assert_eq!((&limits["max_subscriptions"], &limits["max_payload"]), (&json!(5), &json!(100)));
    peer.ok(r#"{"op":"sub","id":1,"sid":4,"topic":"t.4"}"#).await;
    assert_eq!(peer.refused(r#"{"op":"sub","id":1,"sid":5,"topic":"t.5"}"#).await, "limit_exceeded");
    assert_eq!(peer.refused(publication("x", "x".repeat(100))).await, "too_large");
    // A burst to itself is queued whole before any of it is written.
    slow.send_all((0..100).map(|n| publication("burst", n))).await;
    assert_eq!(slow.closed().await, frame(1013, "slow_consumer retry_after_ms=1000"));
    reconfigure(&harness, "max_payload_bytes = 100", "messages_per_second = 1");
    taken(&harness, 3).await;
    peer.send(publication("x", "x".repeat(100))).await;
    assert_eq!(peer.refused(publication("x", 1)).await, "rate_limited");
}

#[tokio::test]
async fn a_certificate_that_ends_ends_its_session() {
    let harness = start().await;
    let mut short = Profile::service("billing", &[]);
    short.not_after = 3;
    let issued = harness.pki.issue(&short);
    let mut ends = harness.connect_as(&issued).await;
    let deadline = ends.hello["deadline"].as_u64().expect("a deadline");
    let mut stays = harness.connect("billing", &[]).await;
    assert_eq!(ends.closed().await, frame(4401, "credential_deadline"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    assert!(u128::from(deadline) <= now.as_millis(), "not before its time");
    // Its last second is still within its time for TLS (RFC 5280, section 4.1.2.5), but gives no session.
    if let Ok(mut again) = harness.try_connect(&issued).await {
        assert_eq!(again.closed().await, frame(4401, "credential_deadline"));
    }
    stays.nothing_came().await;
}
