//! How sessions end, and when.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::world::{Frame, PIPE, World};
use crate::limits::Limits;
use crate::session::CloseReason;

#[tokio::test(start_paused = true)]
async fn silence_is_answered_with_a_ping_and_then_with_the_end() {
    let (world, limits) = (World::new(), Limits::default());
    let mut peer = world.connect("orders").await;
    let start = Instant::now();
    assert_eq!(peer.next().await, Some(Frame::Ping));
    assert!(start.elapsed().abs_diff(limits.ping_interval) < Duration::from_millis(10));
    assert_eq!(peer.next().await, None, "nobody is there to read a close frame");
    assert!(start.elapsed().abs_diff(limits.idle_timeout) < Duration::from_millis(10));
    assert_eq!(peer.gone().await.0, CloseReason::KeepaliveLost);
}

#[tokio::test(start_paused = true)]
async fn a_pong_keeps_a_session_alive() {
    let world = World::new();
    let mut peer = world.connect("orders").await;
    for _ in 0..10 {
        assert_eq!(peer.next().await, Some(Frame::Ping));
        peer.frame(0x8a, b"").await;
    }
    peer.frame(0x89, b"still there?").await;
    assert_eq!(peer.next().await, Some(Frame::Pong(b"still there?".to_vec())));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_control_frames_is_abuse() {
    let world = World::with(Limits { max_control_frames_per_second: 5, ..Limits::default() });
    let mut peer = world.connect("orders").await;
    for _ in 0..6 {
        peer.frame(0x8a, b"").await;
    }
    assert_eq!(peer.closed().await, (1008, "protocol_abuse".into()));
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_announced_and_ends_at_its_deadline() {
    let world = World::new();
    let (mut stays, mut leaves) = (world.connect("orders").await, world.connect("billing").await);
    let start = Instant::now();
    world.gateway.drain(Duration::from_secs(20));
    for peer in [&mut stays, &mut leaves] {
        assert_eq!(peer.receive().await["op"], "draining");
    }
    // Work goes on until then.
    stays.subscribe(1, "a").await;
    leaves.frame(0x88, &1000_u16.to_be_bytes()).await;
    assert_eq!(leaves.closed().await, (1000, String::new()));
    assert_eq!(leaves.gone().await.0, CloseReason::ClientClosed);
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(stays.closed().await, (1001, "draining retry_after_ms=1000".into()));
    assert!(start.elapsed().abs_diff(Duration::from_secs(20)) < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_every_session_at_once() {
    let world = World::new();
    let mut peer = world.connect("orders").await;
    world.gateway.stop();
    assert_eq!(peer.closed().await, (1001, "stopping retry_after_ms=1000".into()));
    assert_eq!(peer.gone().await.0, CloseReason::Stopping);
    assert!(world.gateway.registry.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_certificate() {
    let world = World::new();
    let start = Instant::now();
    let mut peer = world.connect_for("orders", 40).await;
    assert_eq!(peer.receive().await["op"], "reauth_required");
    assert_eq!(peer.closed().await, (4401, "credential_deadline".into()));
    // Certificates know whole seconds.
    assert!(start.elapsed().abs_diff(Duration::from_secs(40)) <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_stuck_after_the_write_timeout_and_no_later() {
    let world = World::new();
    let (mut deaf, mut sender) = (world.connect("orders").await, world.connect("billing").await);
    deaf.subscribe(1, "a").await;
    let start = Instant::now();
    sender.done(1, json!({"op": "pub", "topic": "a", "data": "x".repeat(2 * PIPE)})).await;
    assert_eq!(deaf.watched().await, CloseReason::SlowConsumer);
    // The goodbye, which nobody reads either, takes two seconds more.
    let expected = Limits::default().write_timeout + Duration::from_secs(2);
    assert!(start.elapsed().abs_diff(expected) < Duration::from_millis(10), "{:?}", start.elapsed());
}

/// What waits for a peer that does not read is bounded by its queue, and what the writer holds beside it is small.
#[tokio::test(start_paused = true)]
async fn a_stalled_session_holds_its_queue_and_little_more() {
    const MESSAGE: usize = 50_000;
    let world = World::with(Limits { max_queue_bytes: 1 << 20, ..Limits::default() });
    let mut deaf = world.connect("orders").await;
    deaf.subscribe(1, "a").await;
    // In base64, because it is no JSON.
    let counted = MESSAGE / 3 * 4 + 1_000;
    let fits = (1 << 20) / counted;
    assert_eq!(world.publish("a", MESSAGE, fits), fits);
    // Lets the session take what it will.
    sleep(Duration::from_millis(1)).await;
    let more = world.publish("a", MESSAGE, fits);
    assert!((1..=3).contains(&more), "{more} of {fits} messages were taken out of the queue");
    assert_eq!(deaf.watched().await, CloseReason::SlowConsumer);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_queue_holds_ends_a_slow_session_with_a_reason() {
    let world = World::with(Limits { max_queue_messages: 10, ..Limits::default() });
    let (mut slow, mut sender) = (world.connect("orders").await, world.connect("billing").await);
    slow.subscribe(1, "a").await;
    for _ in 0..40 {
        sender.done(1, json!({"op": "pub", "topic": "a", "data": "x".repeat(10_000)})).await;
    }
    let mut messages = 0;
    let end = loop {
        match slow.next().await.unwrap() {
            Frame::Text(_) => messages += 1,
            Frame::Close(code, reason) => break (code, reason),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end, (1013, "slow_consumer retry_after_ms=1000".into()));
    assert!(messages > 0 && messages < 40);
}

#[tokio::test(start_paused = true)]
async fn what_the_protocol_forbids_has_a_code_of_its_own() {
    let too_large = vec![b'x'; Limits::default().max_message() + 1];
    let cases: [(u8, &[u8], u16); 4] = [
        (0x82, b"binary", 1003),
        (0x81, b"\xff", 1007),
        (0x83, b"a reserved opcode", 1002),
        (0x81, &too_large, 1009),
    ];
    let world = World::new();
    for (first, payload, code) in cases {
        let mut peer = world.connect("orders").await;
        // The gateway need not read all of it.
        let (mut read, mut write) = (peer, payload);
        if write.len() > PIPE {
            write = &write[..PIPE / 2];
            let mut head = vec![first, 0x80 | 127];
            head.extend((payload.len() as u64).to_be_bytes());
            head.extend([0; 4]);
            head.extend(write);
            tokio::io::AsyncWriteExt::write_all(&mut read.stream, &head).await.unwrap();
        } else {
            read.frame(first, write).await;
        }
        peer = read;
        assert_eq!(peer.closed().await, (code, String::new()), "{first:#x}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_cannot_be_understood_are_answered_and_end_the_session_after_some() {
    let world = World::with(Limits { max_faults: 3, ..Limits::default() });
    let mut peer = world.connect("orders").await;
    let nonsense = || json!({"op": "pub", "topic": "a", "unknown": 1});
    for _ in 0..3 {
        peer.send(nonsense()).await;
        assert_eq!(peer.receive().await["code"], "bad_message");
    }
    // One that is understood makes up for those before it.
    peer.subscribe(1, "a").await;
    for _ in 0..4 {
        peer.send(nonsense()).await;
        assert_eq!(peer.receive().await["code"], "bad_message");
    }
    assert_eq!(peer.closed().await, (1008, "protocol_abuse".into()));
}

#[tokio::test(start_paused = true)]
async fn an_end_takes_away_everything_the_session_had() {
    let world = World::new();
    let mut peer = world.connect("orders").await;
    peer.subscribe(1, "a").await;
    peer.subscribe(2, "_INBOX.0123456789abcdef.>").await;
    assert_eq!((world.gateway.router.subscriptions(), world.gateway.admissions.sessions()), (2, 1));
    assert_eq!(peer.gone().await.0, CloseReason::PeerGone);
    assert_eq!((world.gateway.router.subscriptions(), world.gateway.admissions.sessions()), (0, 0));
    assert!(world.gateway.registry.is_empty());
}
