use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::gateway::{Gateway, Peer};
use crate::client::{Client, Event, OperationError, SubscribeOptions, Subscription};

async fn subscribe(client: &Client, peer: &mut Peer, pattern: &str) -> (Subscription, Value) {
    let (subscription, sub) = tokio::join!(client.subscribe(pattern), peer.confirm("sub"));
    (subscription.unwrap(), sub)
}

async fn deliver(peer: &mut Peer, sub: &Value, data: usize) {
    peer.send(json!({"op": "msg", "sid": sub["sid"], "topic": "a.b", "from": "x", "data": data})).await;
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_renewed_with_their_sids_before_anything_else() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let (mut first, first_sub) = subscribe(&client, &mut peer, "a.>").await;
    let options = SubscribeOptions { group: Some("workers".into()), echo: false };
    let (second, second_sub) = tokio::join!(client.subscribe_with("b.*", options), peer.confirm("sub"));
    let _second = second.unwrap();
    assert_eq!((&second_sub["group"], &second_sub["echo"]), (&json!("workers"), &json!(false)));
    let (gone, _) = subscribe(&client, &mut peer, "c").await;
    drop(gone);
    assert_eq!(peer.receive().await["op"], "unsub");
    drop(peer);

    let mut standing = client.standing();
    standing.wait_for(Option::is_none).await.unwrap();
    let publish = async {
        standing.wait_for(Option::is_some).await.unwrap();
        client.publish("x.y", ()).await.unwrap();
    };
    let (mut peer, ()) = tokio::join!(gateway.accept(), publish);
    for expected in [&first_sub, &second_sub] {
        let renewed = peer.confirm("sub").await;
        for field in ["sid", "topic", "group", "echo"] {
            assert_eq!(renewed[field], expected[field]);
        }
    }
    assert_eq!(peer.receive().await["op"], "pub");
    deliver(&mut peer, &first_sub, 1).await;
    assert_eq!(first.next().await.unwrap().json::<usize>().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_subscription_ends_at_the_gateway() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let (subscription, sub) = subscribe(&client, &mut peer, "a.b").await;
    drop(subscription);
    assert_eq!(peer.receive().await, json!({"op": "unsub", "sid": sub["sid"]}));
}

#[tokio::test(start_paused = true)]
async fn an_unsubscribe_waits_for_its_confirmation() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let (subscription, sub) = subscribe(&client, &mut peer, "a.b").await;
    let (outcome, unsub) = tokio::join!(subscription.unsubscribe(), peer.confirm("unsub"));
    outcome.unwrap();
    assert_eq!(unsub["sid"], sub["sid"]);
    // Nothing is left that a drop would end a second time.
    client.publish("next", ()).await.unwrap();
    assert_eq!(peer.receive().await["op"], "pub");
}

#[tokio::test(start_paused = true)]
async fn a_refused_subscription_leaves_nothing_behind() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let (outcome, _) = tokio::join!(client.subscribe("a.b"), peer.reject("forbidden"));
    assert!(matches!(outcome, Err(OperationError::Forbidden { .. })));
    client.publish("next", ()).await.unwrap();
    assert_eq!(peer.receive().await["op"], "pub");
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_drops_and_counts_by_messages_and_by_bytes() {
    let mut gateway = Gateway::new();
    let options = gateway.options().max_queued(3);
    let (client, mut peer) = gateway.connect_with(options).await;
    let (mut subscription, sub) = subscribe(&client, &mut peer, "a.b").await;
    for number in 0..5 {
        deliver(&mut peer, &sub, number).await;
    }
    // An answer on the same socket shows that the messages before it are through: nothing blocks behind the buffer.
    let (outcome, _) = tokio::join!(client.publish_confirmed("x", ()), peer.confirm("pub"));
    outcome.unwrap();
    assert_eq!(subscription.missed(), 2);
    for number in 0..3 {
        assert_eq!(subscription.next().await.unwrap().json::<usize>().unwrap(), number);
    }
    deliver(&mut peer, &sub, 9).await;
    assert_eq!(subscription.next().await.unwrap().json::<usize>().unwrap(), 9);

    let options = gateway.options().max_queued_bytes(300);
    let (client, mut peer) = gateway.connect_with(options).await;
    let (mut subscription, sub) = subscribe(&client, &mut peer, "a.b").await;
    for _ in 0..3 {
        let data = "x".repeat(120);
        peer.send(json!({"op": "msg", "sid": sub["sid"], "topic": "a.b", "from": "x", "data": data})).await;
    }
    let (outcome, _) = tokio::join!(client.publish_confirmed("x", ()), peer.confirm("pub"));
    outcome.unwrap();
    assert_eq!(subscription.missed(), 1);
    subscription.next().await.unwrap();
    deliver(&mut peer, &sub, 1).await;
    assert!(subscription.next().await.is_some());
    assert!(subscription.next().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_the_gateway_takes_away_ends_after_its_buffer() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let mut events = client.events();
    let (mut subscription, sub) = subscribe(&client, &mut peer, "a.b").await;
    deliver(&mut peer, &sub, 1).await;
    peer.send(json!({"op": "revoked_sub", "sid": sub["sid"], "topic": "a.b", "reason": "policy"})).await;
    assert!(subscription.next().await.is_some());
    assert!(subscription.next().await.is_none());
    let Some(Event::SubscriptionLost { pattern, reason }) = events.next().await else { panic!("no event") };
    assert_eq!((pattern.as_str(), reason.as_str()), ("a.b", "policy"));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_refused_for_good_ends_the_subscription() {
    for code in ["forbidden", "bad_message", "limit_exceeded"] {
        let mut gateway = Gateway::new();
        let (client, mut peer) = gateway.connect().await;
        let (mut subscription, _) = subscribe(&client, &mut peer, "a.b").await;
        drop(peer);
        let mut peer = gateway.accept().await;
        assert_eq!(peer.reject(code).await["op"], "sub");
        assert!(subscription.next().await.is_none(), "{code}");
        // Its end is known on both sides: dropping it says nothing.
        drop(subscription);
        client.publish("next", ()).await.unwrap();
        assert_eq!(peer.receive().await["op"], "pub", "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_refused_for_now_is_tried_again_with_the_backoff() {
    for code in ["rate_limited", "unavailable"] {
        let mut gateway = Gateway::new();
        let (client, mut peer) = gateway.connect().await;
        let (mut subscription, sub) = subscribe(&client, &mut peer, "a.b").await;
        drop(peer);
        let mut peer = gateway.accept().await;
        assert_eq!(peer.reject(code).await["op"], "sub");
        for (least, most) in [(500, 1_010), (1_000, 2_010), (2_000, 4_010)] {
            let start = Instant::now();
            let again = peer.reject(code).await;
            let waited = start.elapsed().as_millis();
            assert!((least..=most).contains(&waited), "{code}: {waited} ms");
            assert_eq!(
                (&again["op"], &again["sid"], &again["topic"]),
                (&json!("sub"), &sub["sid"], &json!("a.b"))
            );
        }
        peer.confirm("sub").await;
        deliver(&mut peer, &sub, 1).await;
        assert!(subscription.next().await.is_some());
        let (outcome, unsub) = tokio::join!(subscription.unsubscribe(), peer.confirm("unsub"));
        outcome.unwrap();
        assert_eq!(unsub["sid"], sub["sid"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_postponed_renewal_waits_as_long_as_the_gateway_asks() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let (_subscription, _) = subscribe(&client, &mut peer, "a.b").await;
    drop(peer);
    let mut peer = gateway.accept().await;
    let sub = peer.receive().await;
    let start = Instant::now();
    let hint = json!({"op": "err", "id": sub["id"], "code": "rate_limited", "reason": "slow", "retry_after_ms": 9_000});
    peer.send(hint).await;
    peer.confirm("sub").await;
    assert!((9_000..11_500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_takes_some_renewals_each_time_is_not_waited_for_ever_longer() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let mut subscriptions = Vec::new();
    for _ in 0..10 {
        subscriptions.push(subscribe(&client, &mut peer, "a.b").await);
    }
    drop(peer);
    let mut peer = gateway.accept().await;
    let start = Instant::now();
    for waiting in (1..=10).rev() {
        peer.confirm("sub").await;
        for _ in 1..waiting {
            peer.reject("rate_limited").await;
        }
    }
    // Nine waits of the first two steps; doubled each time they would take minutes.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_dropped_while_it_waits_is_not_renewed() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let (dropped, _) = subscribe(&client, &mut peer, "a.b").await;
    let (ended, _) = subscribe(&client, &mut peer, "c.d").await;
    drop(peer);
    let mut peer = gateway.accept().await;
    peer.reject("unavailable").await;
    peer.reject("unavailable").await;
    let (outcome, _) = tokio::join!(client.publish_confirmed("x", ()), peer.confirm("pub"));
    outcome.unwrap();
    drop(dropped);
    ended.unsubscribe().await.unwrap();
    // Long after the next attempt would have been made.
    tokio::time::sleep(Duration::from_secs(10)).await;
    client.publish("next", ()).await.unwrap();
    assert_eq!(peer.receive().await["op"], "pub");
}
