//! What official clients rely on when they wait for what is under way, and when they leave.

use super::requests::pair;
use super::{INBOX, numbered, numbers, until_end};
use crate::harness::nats::{Nats, Said, ask, publish};
use crate::harness::{Harness, wait_until};
use crate::messaging::open;

/// A client that drains a subscription ends it and then pings: with the answer, all that was under way for it has come.
#[tokio::test]
async fn what_was_published_before_a_ping_comes_before_its_pong() {
    let harness = open("").await;
    let mut nats = Nats::connect(&harness, "a", &[]).await;
    nats.subscribe("1", "t").await;
    nats.send(numbered("t", 20) + "PING\r\n").await;
    assert_eq!(until_end(&mut nats).await, numbers(0..20));
    assert_eq!(nats.said().await, Said::Pong);
}

#[tokio::test]
async fn what_was_published_before_an_unsub_still_comes() {
    let harness = open("").await;
    let mut nats = Nats::connect(&harness, "a", &[]).await;
    nats.subscribe("1", "t").await;
    nats.send(numbered("t", 20) + "UNSUB 1\r\n" + &publish("t", "too late") + "PING\r\n").await;
    assert_eq!(until_end(&mut nats).await, numbers(0..20));
    assert_eq!(nats.said().await, Said::Pong);
    nats.nothing_came().await;
}

/// Clients that ask in the old way subscribe for each request, and end that after one answer.
#[tokio::test]
async fn a_subscription_for_one_answer_ends_with_it() {
    let harness = Harness::start().await;
    let (mut billing, mut checkout) = pair(&harness).await;
    let once = |number: u64| format!("{INBOX}{number}");
    let asking = |number, topic| {
        let inbox = once(number);
        format!("SUB {inbox} {number}\r\nUNSUB {number} 1\r\n{}", ask(topic, &inbox, ""))
    };
    checkout.send(asking(1, "billing.quote")).await;
    let asked = billing.message().await;
    billing.send(publish(asked.reply(), "42")).await;
    assert_eq!(checkout.message().await.sid, "1");
    wait_until(|| harness.gateway().router.subscriptions() == 2).await;
    // What the gateway itself says counts like any other message.
    billing.send("UNSUB q\r\n").await;
    billing.nothing_came().await;
    checkout.send(asking(2, "billing.quote")).await;
    assert_eq!(checkout.message().await.head.as_deref(), Some("NATS/1.0 503\r\n\r\n"));
    checkout.send(asking(3, "$SYS.REQ.SESSION.WHOAMI")).await;
    assert_eq!(checkout.message().await.json()["service"], "checkout");
    checkout.nothing_came().await;
    assert_eq!(harness.gateway().router.subscriptions(), 1, "nothing is left of them");
}

/// One message of a client may hold operations by the ten thousand. They are executed in turns, and their answers handed out in
/// between.
#[tokio::test]
async fn a_message_of_many_operations_fills_no_queue() {
    const PINGS: usize = 80_000;
    let harness = open("").await;
    let mut nats = Nats::connect(&harness, "a", &[]).await;
    nats.send("PING\r\n".repeat(PINGS)).await;
    for _ in 0..PINGS {
        assert_eq!(nats.said().await, Said::Pong);
    }
}
