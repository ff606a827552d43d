//! What arrives where.

use std::time::Duration;

use async_nats::{ConnectOptions, Event, HeaderMap, PublishErrorKind};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Session, headers_of, next, number, numbers};
use crate::harness::{Harness, PATIENCE};
use crate::messaging::subscribe;

const MAX_PAYLOAD: usize = 524_288;

#[tokio::test]
async fn publish_and_subscribe() {
    let harness = Harness::start().await;
    let (billing, checkout) = (Session::billing(&harness).await, Session::checkout(&harness).await);
    let mut orders = billing.subscribed("orders.created").await;
    for payload in [b"first".to_vec(), Vec::new(), (0..=255).collect()] {
        checkout.publish("orders.created", payload.clone()).await;
        let message = next(&mut orders).await;
        assert_eq!((message.subject.as_str(), message.payload.to_vec()), ("orders.created", payload));
    }
}

#[tokio::test]
async fn wildcards() {
    let harness = Harness::start().await;
    let (billing, checkout) = (Session::billing(&harness).await, Session::checkout(&harness).await);
    let mut one = billing.subscribed("orders.*").await;
    let mut many = billing.subscribed("orders.>").await;
    for subject in ["orders.created.eu", "orders.created"] {
        checkout.publish(subject, "").await;
    }
    assert_eq!(next(&mut one).await.subject.as_str(), "orders.created");
    for subject in ["orders.created.eu", "orders.created"] {
        assert_eq!(next(&mut many).await.subject.as_str(), subject);
    }
}

#[tokio::test]
async fn queue_group() {
    let harness = Harness::start().await;
    let (first, second) = (Session::billing(&harness).await, Session::billing(&harness).await);
    let checkout = Session::checkout(&harness).await;
    let mut members = Vec::new();
    for member in [&first, &second] {
        members.push(member.client.queue_subscribe("orders.created", "pool".into()).await.expect("joined"));
        member.round_trip().await;
    }
    for order in 0..200 {
        checkout.publish("orders.created", order.to_string()).await;
    }
    checkout.round_trip().await;
    // What was on its way is there after these, and ends with each subscription.
    let mut received = Vec::new();
    for (member, subscriber) in [&first, &second].into_iter().zip(&mut members) {
        member.round_trip().await;
        subscriber.unsubscribe().await.expect("left");
        let before = received.len();
        while let Some(message) = subscriber.next().await {
            received.push(number(&message));
        }
        assert!(received.len() > before, "one member got everything");
    }
    received.sort();
    assert_eq!(received, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_echo() {
    let harness = Harness::start().await;
    let quiet = Session::checkout_with(&harness, ConnectOptions::new().no_echo()).await;
    let other = Session::checkout(&harness).await;
    let mut own = quiet.subscribed("services.checkout.own.>").await;
    quiet.publish("services.checkout.own.mine", "").await;
    quiet.round_trip().await;
    other.publish("services.checkout.own.theirs", "").await;
    assert_eq!(next(&mut own).await.subject.as_str(), "services.checkout.own.theirs");
}

/// `flush` of this client waits for no answer. It pings by itself, though, and gives up on a gateway that owes it three pongs.
#[tokio::test]
async fn flush() {
    let harness = Harness::start().await;
    let interval = Duration::from_millis(100);
    let mut checkout = Session::checkout_with(&harness, ConnectOptions::new().ping_interval(interval)).await;
    checkout.client.flush().await.expect("flushed");
    let ending = checkout.happens(|event| *event == Event::Disconnected);
    assert!(timeout(8 * interval, ending).await.is_err(), "the gateway does not answer pings");
}

#[tokio::test]
async fn unsubscribe_after_max() {
    let harness = Harness::start().await;
    let (billing, checkout) = (Session::billing(&harness).await, Session::checkout(&harness).await);
    let mut orders = billing.subscribed("orders.created").await;
    orders.unsubscribe_after(3).await.expect("asked for");
    billing.round_trip().await;
    let before = billing.received();
    for order in 0..5 {
        checkout.publish("orders.created", order.to_string()).await;
    }
    checkout.round_trip().await;
    assert_eq!(numbers(&mut orders, 3).await, [0, 1, 2]);
    billing.round_trip().await;
    assert_eq!(billing.received(), before + 4, "three orders and the answer of the round trip");
}

#[tokio::test]
async fn max_payload() {
    let harness = Harness::start().await;
    let checkout = Session::checkout(&harness).await;
    assert_eq!(checkout.client.server_info().max_payload, MAX_PAYLOAD);
    let mut own = checkout.subscribed("services.checkout.own.>").await;
    let largest: Vec<u8> = (0..MAX_PAYLOAD).map(|place| (place % 251) as u8).collect();
    checkout.publish("services.checkout.own.large", largest.clone()).await;
    assert!(next(&mut own).await.payload == largest);
    let larger = vec![0; MAX_PAYLOAD + 1];
    let refused = checkout.client.publish("services.checkout.own.large", larger.into()).await;
    assert_eq!(refused.expect_err("too large").kind(), PublishErrorKind::MaxPayloadExceeded);
}

#[tokio::test]
async fn many_large_at_once() {
    let harness = Harness::start().await;
    let checkout = Session::checkout(&harness).await;
    let mut own = checkout.subscribed("services.checkout.own.>").await;
    let large: Vec<Vec<u8>> = (0..5).map(|number| vec![number; MAX_PAYLOAD]).collect();
    for payload in &large {
        checkout.publish("services.checkout.own.large", payload.clone()).await;
    }
    for payload in large {
        assert!(next(&mut own).await.payload == payload);
    }
}

#[tokio::test]
async fn json_to_nats() {
    let harness = Harness::start().await;
    let billing = Session::billing(&harness).await;
    let mut checkout = harness.connect("checkout", &["writer"]).await;
    let mut orders = billing.subscribed("orders.created").await;
    let publication =
        r#"{"op":"pub","id":1,"topic":"orders.created","data":{"n": 1.0},"headers":{"Trace":["a","b"]}}"#;
    checkout.ok(publication).await;
    let message = next(&mut orders).await;
    assert_eq!(&message.payload[..], br#"{"n": 1.0}"#);
    let expected = [("Portcullis-From", "checkout"), ("Trace", "a"), ("Trace", "b")];
    assert_eq!(headers_of(&message), expected.map(|(name, value)| (name.into(), value.into())));
}

#[tokio::test]
async fn nats_to_json() {
    let harness = Harness::start().await;
    let checkout = Session::checkout(&harness).await;
    let mut billing = harness.connect("billing", &["reader"]).await;
    subscribe(&mut billing, "o", "orders.created").await;
    let mut headers = HeaderMap::new();
    headers.append("Trace", "a");
    headers.append("Trace", "b");
    for (payload, field, value) in
        [(r#"{"n": 1.0}"#, "data", json!({"n": 1.0})), ("not JSON", "data_base64", json!("bm90IEpTT04="))]
    {
        let published =
            checkout.client.publish_with_headers("orders.created", headers.clone(), payload.into());
        published.await.expect("published");
        let message: Value = timeout(PATIENCE, billing.expect("msg")).await.expect("in time");
        assert_eq!((&message["from"], &message[field]), (&json!("checkout"), &value), "{message}");
        assert_eq!(message["headers"], json!({"Trace": ["a", "b"]}), "{message}");
    }
}
