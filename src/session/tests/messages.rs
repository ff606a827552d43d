//! Requests and their timeouts, subscriptions that end by themselves, and fairness between reading and writing.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::world::World;
use crate::limits::Limits;

fn request(id: u64, topic: &str, timeout_ms: u64) -> Value {
    json!({"op": "req", "id": id, "topic": topic, "data": "?", "timeout_ms": timeout_ms})
}

#[tokio::test(start_paused = true)]
async fn hello_tells_who_the_session_is_and_its_limits() {
    let world = World::new();
    let mut peer = world.connect_ungreeted("orders", 3_600);
    let hello = peer.receive().await;
    assert_eq!(
        (&hello["op"], &hello["service"], &hello["gateway"]),
        (&json!("hello"), &json!("orders"), &json!("test"))
    );
    assert_eq!(hello["limits"]["max_payload"], Limits::default().max_payload);
    assert_eq!(hello["session"].as_str().unwrap().len(), 32);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_once_and_only_by_the_session_that_received_it() {
    let world = World::new();
    let (mut asker, mut answerer, mut other) =
        (world.connect("orders").await, world.connect("billing").await, world.connect("billing").await);
    answerer.subscribe(1, "quote").await;
    asker.send(request(7, "quote", 5_000)).await;
    let reply = answerer.receive().await["reply"].clone();

    let answer = json!({"op": "res", "reply": reply, "data": 42});
    assert_eq!(other.ask(1, answer.clone()).await["code"], "forbidden");
    answerer.done(1, answer.clone()).await;
    assert_eq!(answerer.ask(2, answer).await["code"], "forbidden", "the right is used up");
    let response = asker.receive().await;
    assert_eq!(
        (&response["id"], &response["from"], &response["data"]),
        (&json!(7), &json!("billing"), &json!(42))
    );
    assert_eq!(asker.ask(8, json!({"op": "whoami"})).await["op"], "ok", "nothing else came");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_answers_times_out_when_it_said() {
    let world = World::new();
    let (mut asker, mut answerer) = (world.connect("orders").await, world.connect("billing").await);
    answerer.subscribe(1, "quote").await;
    let start = Instant::now();
    for (id, after) in [(1, 3_000), (2, 1_000), (3, 2_000)] {
        asker.send(request(id, "quote", after)).await;
    }
    for (id, after) in [(2, 1_000), (3, 2_000), (1, 3_000)] {
        let timed_out = asker.receive().await;
        assert_eq!((&timed_out["id"], &timed_out["code"]), (&json!(id), &json!("timeout")));
        assert!(start.elapsed().abs_diff(Duration::from_millis(after)) < Duration::from_millis(10));
    }
    // An answer that comes late is refused and reaches nobody.
    let replies = [answerer.receive().await, answerer.receive().await, answerer.receive().await];
    let reply = &replies[0]["reply"];
    assert_eq!(answerer.ask(9, json!({"op": "res", "reply": reply, "data": 1})).await["code"], "forbidden");
    assert_eq!(asker.ask(4, json!({"op": "whoami"})).await["op"], "ok");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_never_longer_than_the_limit() {
    let limits = Limits { max_request_timeout: Duration::from_secs(15), ..Limits::default() };
    let world = World::with(limits);
    let (mut asker, mut answerer) = (world.connect("orders").await, world.connect("billing").await);
    answerer.subscribe(1, "quote").await;
    let start = Instant::now();
    asker.send(request(1, "quote", 300_000)).await;
    assert_eq!(asker.receive().await["code"], "timeout");
    assert!(start.elapsed().abs_diff(Duration::from_secs(15)) < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_receives_fails_at_once() {
    let world = World::new();
    let mut asker = world.connect("orders").await;
    assert_eq!(asker.ask(1, request(1, "quote", 5_000)).await["code"], "no_responders");
}

/// Who answers a request learns the topic of the answer. It gives no power over other answers that go there.
#[tokio::test(start_paused = true)]
async fn a_responder_cannot_listen_where_its_answer_goes_nor_send_others_there() {
    let world = World::new();
    let (mut asker, mut nosy) = (world.connect("orders").await, world.connect("billing").await);
    nosy.subscribe(1, "quote").await;
    asker.send(request(7, "quote", 5_000)).await;
    let reply = nosy.receive().await["reply"].as_str().unwrap().to_owned();
    let (inbox, _) = reply.rsplit_once('.').unwrap();

    let listen = json!({"op": "sub", "sid": 9, "topic": format!("{inbox}.>")});
    assert_eq!(nosy.ask(1, listen).await["code"], "forbidden");
    let lure = json!({"op": "pub", "topic": "quote", "data": 1, "reply": reply});
    assert_eq!(nosy.ask(2, lure).await["code"], "forbidden");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_with_a_maximum_ends_by_itself() {
    let world = World::new();
    let (mut hearer, mut sender) = (world.connect("orders").await, world.connect("billing").await);
    hearer.subscribe(1, "a").await;
    hearer.done(1, json!({"op": "unsub", "sid": 1, "max": 3})).await;
    for number in 0..5 {
        sender.done(1, json!({"op": "pub", "topic": "a", "data": number})).await;
    }
    for number in 0..3 {
        assert_eq!(hearer.receive().await["data"], number);
    }
    // Nothing more came, and the sid is free again.
    hearer.subscribe(1, "a").await;
}

#[tokio::test(start_paused = true)]
async fn a_maximum_that_is_reached_already_ends_a_subscription_at_once() {
    let world = World::new();
    let (mut hearer, mut sender) = (world.connect("orders").await, world.connect("billing").await);
    hearer.subscribe(1, "a").await;
    sender.done(1, json!({"op": "pub", "topic": "a", "data": 1})).await;
    assert_eq!(hearer.receive().await["data"], 1);
    hearer.done(1, json!({"op": "unsub", "sid": 1, "max": 1})).await;
    assert_eq!(world.gateway.router.subscriptions(), 0);
}

/// What waits in the queue when the maximum is set counts: the peer never gets more than it asked for.
#[tokio::test(start_paused = true)]
async fn a_maximum_holds_for_messages_that_were_queued_before_it() {
    let world = World::new();
    let (mut hearer, mut sender) = (world.connect("orders").await, world.connect("billing").await);
    hearer.subscribe(1, "a").await;
    // The first fill the pipe and the writer; those behind them wait in the queue.
    for number in 0..30 {
        sender
            .done(1, json!({"op": "pub", "topic": "a", "data": format!("{number} {}", "x".repeat(20_000))}))
            .await;
    }
    hearer.send(json!({"op": "unsub", "id": 1, "sid": 1, "max": 20})).await;
    let (mut messages, mut done) = (0, false);
    while messages < 20 || !done {
        match hearer.receive().await {
            message if message["op"] == "msg" => messages += 1,
            answer => done = answer["op"] == "ok",
        }
    }
    assert_eq!(hearer.ask(2, json!({"op": "whoami"})).await["op"], "ok", "no message came behind the last");
    assert_eq!((messages, world.gateway.router.subscriptions()), (20, 0));
}

/// A session that is behind with its messages still hears its peer, or it could neither unsubscribe nor stay alive.
#[tokio::test(start_paused = true)]
async fn a_backlog_of_messages_does_not_keep_the_peer_from_being_heard() {
    const BACKLOG: usize = 400;
    for bytes in [5_000, 80_000] {
        let limits = Limits { max_queue_bytes: 64 << 20, ..Limits::default() };
        let world = World::with(limits);
        let (mut hearer, mut sender) = (world.connect("orders").await, world.connect("billing").await);
        hearer.subscribe(1, "a").await;
        for _ in 0..BACKLOG {
            sender.done(1, json!({"op": "pub", "topic": "a", "data": "x".repeat(bytes)})).await;
        }
        hearer.send(json!({"op": "whoami", "id": 5})).await;
        let mut before = 0;
        while hearer.receive().await["op"] == "msg" {
            before += 1;
        }
        assert!(
            before < BACKLOG / 4,
            "{before} of {BACKLOG} messages of {bytes} bytes came before the answer"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_above_its_rate_is_told_when_to_try_again() {
    let world = World::with(Limits { messages_per_second: Some(2), ..Limits::default() });
    let mut peer = world.connect("orders").await;
    let publish = || json!({"op": "pub", "topic": "a", "data": 1});
    peer.done(1, publish()).await;
    peer.done(2, publish()).await;
    let refused = peer.ask(3, publish()).await;
    assert_eq!(refused["code"], "rate_limited");
    assert!(refused["retry_after_ms"].as_u64().is_some_and(|wait| wait <= 1_000), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn each_bound_of_a_session_is_told_and_hurts_nothing_else() {
    let limits = Limits { max_subscriptions: 1, max_requests: 1, ..Limits::default() };
    let world = World::with(limits);
    let (mut peer, mut answerer) = (world.connect("orders").await, world.connect("billing").await);
    answerer.subscribe(1, "quote").await;
    peer.subscribe(1, "a").await;
    let again = |sid| json!({"op": "sub", "sid": sid, "topic": "b"});
    assert_eq!(peer.ask(1, again(1)).await["code"], "bad_message", "the sid is in use");
    assert_eq!(peer.ask(2, again(2)).await["code"], "limit_exceeded");
    peer.send(request(3, "quote", 5_000)).await;
    assert_eq!(peer.ask(4, request(4, "quote", 5_000)).await["code"], "limit_exceeded");
    assert_eq!(peer.receive().await["code"], "timeout");
    peer.done(5, json!({"op": "unsub", "sid": 1})).await;
    assert_eq!(peer.ask(6, json!({"op": "unsub", "sid": 1})).await["code"], "bad_message");
    peer.subscribe(2, "b").await;
}
