//! What a new generation does to a live session.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::world::{Frame, OPEN, World};
use crate::limits::Limits;
use crate::protocol::Dialect;
use crate::testing::{Authority, policy};

#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_ends_its_session_and_no_other() {
    let world = World::new();
    let (mut revoked, mut other) = (world.connect("orders").await, world.connect("billing").await);
    world.revoke("orders".len() as u64);
    assert_eq!(revoked.closed().await, (4403, "revoked".into()));
    other.subscribe(1, "a").await;
}

#[tokio::test(start_paused = true)]
async fn who_is_revoked_between_verdict_and_registration_is_not_greeted() {
    let world = World::new();
    let mut peer = world.connect_after("orders", 600, || world.revoke("orders".len() as u64));
    assert_eq!(peer.closed().await, (4403, "revoked".into()), "before the hello");
}

#[tokio::test(start_paused = true)]
async fn who_is_revoked_after_registration_hears_it_though_silent() {
    let world = World::new();
    let mut peer = world.connect("orders").await;
    let since = Instant::now();
    world.revoke("orders".len() as u64);
    assert_eq!(peer.closed().await, (4403, "revoked".into()));
    assert_eq!(since.elapsed(), Duration::ZERO, "alarmed, not found out at its next ping");
}

#[tokio::test(start_paused = true)]
async fn what_a_revoked_session_sent_is_not_executed() {
    let world = World::new();
    let (mut revoked, mut hearer) = (world.connect("orders").await, world.connect("billing").await);
    hearer.subscribe(1, "a").await;
    revoked.send(json!({"op": "pub", "topic": "a", "data": "too late"})).await;
    // The message is on its way; the session has not read it.
    world.revoke("orders".len() as u64);
    assert_eq!(revoked.closed().await, (4403, "revoked".into()));
    let answer = hearer.ask(1, json!({"op": "whoami"})).await;
    assert_eq!(answer["op"], "ok", "nothing was delivered before it");
}

#[tokio::test(start_paused = true)]
async fn a_lost_anchor_ends_the_sessions_below_it() {
    let world = World::new();
    let mut peer = world.connect("orders").await;
    world.change(|next| next.trust = Authority::new("another").trust(1, &[]));
    assert_eq!(peer.closed_paced().await, (4403, "untrusted".into()));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_may_no_longer_connect_is_sent_away() {
    let world = World::new();
    let (mut banned, mut other) = (world.connect("orders").await, world.connect("billing").await);
    let ban = "[[grant]]\nname = \"ban\"\nservices = [\"orders\"]\nconnect = false\n";
    world.change_policy(&format!("{OPEN}\n{ban}"));
    assert_eq!(banned.closed_paced().await, (1008, "connect_forbidden".into()));
    other.subscribe(1, "a").await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_no_longer_granted_is_taken_away_and_the_session_stays() {
    let world = World::new();
    let (mut peer, mut sender) = (world.connect("orders").await, world.connect("billing").await);
    peer.subscribe(1, "a.secret").await;
    peer.subscribe(2, "a.*").await;
    sender.done(1, json!({"op": "pub", "topic": "a.secret", "data": 1})).await;
    assert_eq!([peer.receive().await["sid"].clone(), peer.receive().await["sid"].clone()].len(), 2);

    let deny = "[[grant]]\nname = \"deny\"\nservices = [\"orders\"]\ndeny_subscribe = [\"a.secret\"]\n";
    world.change_policy(&format!("{OPEN}\n{deny}"));
    let revoked = peer.receive().await;
    assert_eq!((&revoked["op"], &revoked["sid"]), (&json!("revoked_sub"), &json!(1)));
    assert!(!revoked.to_string().contains("deny"), "the peer hears of no rule: {revoked}");
    // The wider subscription lives on without what is denied.
    for topic in ["a.secret", "a.public"] {
        sender.done(2, json!({"op": "pub", "topic": topic, "data": 1})).await;
    }
    let message = peer.receive().await;
    assert_eq!((&message["sid"], &message["topic"]), (&json!(2), &json!("a.public")));
}

#[tokio::test(start_paused = true)]
async fn a_remembered_right_to_publish_ends_with_the_policy_that_gave_it() {
    let world = World::new();
    let mut peer = world.connect("orders").await;
    let publish = || json!({"op": "pub", "topic": "a", "data": 1});
    peer.done(1, publish()).await;
    let deny = "[[grant]]\nname = \"deny\"\nservices = [\"orders\"]\ndeny_publish = [\"a\"]\n";
    world.change_policy(&format!("{OPEN}\n{deny}"));
    let refused = peer.ask(2, publish()).await;
    assert_eq!((&refused["code"], &refused["reason"]), (&json!("forbidden"), &json!("forbidden")));
    world.change_policy(OPEN);
    peer.done(3, publish()).await;
}

#[tokio::test(start_paused = true)]
async fn a_right_to_answer_ends_when_the_policy_forbids_responses() {
    let world = World::new();
    let (mut asker, mut answerer) = (world.connect("orders").await, world.connect("billing").await);
    answerer.subscribe(1, "quote").await;
    asker.send(json!({"op": "req", "id": 1, "topic": "quote", "data": "?"})).await;
    let reply = answerer.receive().await["reply"].clone();
    let mute = "[[grant]]\nname = \"mute\"\nservices = [\"billing\"]\nallow_responses = false\n";
    world.change_policy(&format!("{OPEN}\n{mute}"));
    assert_eq!(answerer.ask(1, json!({"op": "res", "reply": reply, "data": 1})).await["code"], "forbidden");
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_changes_nothing_is_not_noticed() {
    let world = World::new();
    let mut peer = world.connect("orders").await;
    peer.subscribe(1, "a").await;
    world.change(|_| {});
    world.change(|next| next.policy = policy(OPEN));
    peer.done(1, json!({"op": "pub", "topic": "a", "data": 1})).await;
    assert_eq!(peer.receive().await["op"], "msg");
}

#[tokio::test(start_paused = true)]
async fn new_limits_hold_for_live_sessions() {
    let world = World::new();
    let mut peer = world.connect("orders").await;
    let limits = Limits {
        ping_interval: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(5),
        max_payload: 10,
        ..Limits::default()
    };
    world.change(|next| next.limits = Arc::new(limits));
    let start = Instant::now();
    let refused = peer.ask(1, json!({"op": "pub", "topic": "a", "data": "x".repeat(20)})).await;
    assert_eq!(refused["code"], "too_large");
    assert_eq!(peer.next().await, Some(Frame::Ping));
    assert!(start.elapsed().abs_diff(Duration::from_secs(2)) < Duration::from_millis(10));
    assert_eq!(peer.next().await, None);
    assert!(start.elapsed().abs_diff(Duration::from_secs(5)) < Duration::from_millis(10));
}

/// A client that ended a subscription still gets what waited for it, but only as long as it may.
#[tokio::test(start_paused = true)]
async fn a_right_that_goes_takes_what_waits_for_an_ended_subscription() {
    const MESSAGES: usize = 100;
    const NARROWER: &str = r#"
        [[grant]]
        name = "another"
        services = ["*"]
        publish = [">"]
        subscribe = ["b"]
    "#;
    for (policy, least, most) in [(OPEN, MESSAGES, MESSAGES), (NARROWER, 20, 80)] {
        let world = World::new();
        let leaf = world.authority.client("orders", 6, 3_600);
        let mut peer = world.open_in(Dialect::Nats, &world.gateway.generation(), &leaf, || {});
        peer.frame(0x82, b"CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPING\r\n").await;
        peer.bytes_until(b"PONG\r\n").await;
        assert_eq!(world.publish("a", 3_000, MESSAGES), MESSAGES);
        peer.frame(0x82, b"UNSUB 1\r\n").await;
        // As much as makes room for the gateway to hear of the end, while most still waits.
        let mut heard = vec![0; 100_000];
        peer.stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(world.gateway.router.subscriptions(), 0);
        world.change_policy(policy);
        peer.frame(0x82, b"PING\r\n").await;
        heard.extend(peer.bytes_until(b"PONG\r\n").await);
        let messages = heard.windows(8).filter(|window| window == b"MSG a 1 ").count();
        assert!((least..=most).contains(&messages), "{messages} with {policy}");
    }
}
