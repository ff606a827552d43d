//! Drains, and gateways that go away and come back.

use async_nats::{ConnectOptions, Event};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{Session, next, numbers, write_pair};
use crate::harness::{Binary, Harness, PATIENCE, Pki, Profile, Setup, write_files};

#[tokio::test]
async fn drain_subscription() {
    let harness = Harness::start().await;
    let (billing, checkout) = (Session::billing(&harness).await, Session::checkout(&harness).await);
    let mut drained = billing.subscribed("orders.created").await;
    let mut others = billing.subscribed("orders.paid").await;
    for order in 0..50 {
        checkout.publish("orders.created", order.to_string()).await;
    }
    checkout.round_trip().await;
    drained.drain().await.expect("asked for");
    assert_eq!(numbers(&mut drained, 50).await, (0..50).collect::<Vec<_>>());
    assert!(timeout(PATIENCE, drained.next()).await.expect("an end in time").is_none());
    let before = billing.received();
    for subject in ["orders.created", "orders.paid"] {
        checkout.publish(subject, "").await;
    }
    next(&mut others).await;
    assert_eq!(billing.received(), before + 1);
}

#[tokio::test]
async fn drain_connection() {
    let harness = Harness::start().await;
    let (billing, mut checkout) = (Session::billing(&harness).await, Session::checkout(&harness).await);
    let mut orders = billing.subscribed("orders.created").await;
    let mut own = checkout.subscribed("services.checkout.own.>").await;
    for order in 0..50 {
        checkout.publish("orders.created", order.to_string()).await;
    }
    checkout.client.drain().await.expect("asked for");
    checkout.happens(|event| *event == Event::Closed).await;
    assert!(timeout(PATIENCE, own.next()).await.expect("an end in time").is_none());
    assert_eq!(numbers(&mut orders, 50).await, (0..50).collect::<Vec<_>>());
}

/// The gateway ends the session with the certificate, and the client comes back with the next one.
#[tokio::test]
async fn certificate_replaced() {
    let harness = Harness::start().await;
    let short = Profile { not_after: 3, ..Profile::service("checkout", &["writer"]) };
    let port = harness.address.port();
    let mut checkout = Session::present(&harness.pki, port, short, ConnectOptions::new()).await;
    checkout.round_trip().await;
    let next = harness.pki.issue(&Profile::service("checkout", &["writer"]));
    write_pair(checkout.files.path(), &next);
    checkout.happens(|event| *event == Event::Disconnected).await;
    checkout.happens(|event| *event == Event::Connected).await;
    checkout.round_trip().await;
}

#[tokio::test]
async fn lame_duck() {
    let harness = Harness::start().await;
    let mut checkout = Session::checkout(&harness).await;
    tokio::join!(harness.server.stop(), async {
        checkout.happens(|event| *event == Event::LameDuckMode).await;
        checkout.happens(|event| *event == Event::Disconnected).await;
    });
}

/// The gateway is killed and started again at the same address.
#[tokio::test]
async fn reconnect() {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Pki::new(folder.path());
    let (config, _) = write_files(folder.path(), &Setup::default());
    let serve = ["serve", "--config", config.to_str().expect("UTF-8")];
    let mut gateway = Binary::spawn(&serve);
    let port = listening_port(&mut gateway).await;
    let mut checkout = Session::open(&pki, port, "checkout", "writer", ConnectOptions::new()).await;
    let mut own = checkout.subscribed("services.checkout.own.>").await;

    let text = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, text.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))).expect("written");
    gateway.signal("KILL");
    checkout.happens(|event| *event == Event::Disconnected).await;
    gateway.ended().await;
    let mut gateway = Binary::spawn(&serve);
    assert_eq!(listening_port(&mut gateway).await, port);

    checkout.happens(|event| *event == Event::Connected).await;
    checkout.publish("services.checkout.own.again", "").await;
    assert_eq!(next(&mut own).await.subject.as_str(), "services.checkout.own.again");
}

async fn listening_port(gateway: &mut Binary) -> u16 {
    let line = gateway.logs("listening").await;
    let (_, address) = line.split_once("127.0.0.1:").expect("an address");
    let digits: String = address.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a port")
}
