//! What is refused reaches the client's callback, and the connection stays.

use async_nats::{Event, HeaderMap};

use super::{Session, headers_of, next};
use crate::harness::Harness;

/// A message of its own still comes back, and nothing ended meanwhile.
async fn is_usable(mut session: Session) {
    let subject = format!("services.{}.still-here", session.service);
    let mut own = session.client.subscribe(subject.clone()).await.expect("subscribed");
    session.publish(&subject, "").await;
    next(&mut own).await;
    while let Ok(event) = session.events.try_recv() {
        assert_ne!(event, Event::Disconnected);
    }
}

#[tokio::test]
async fn forged_sender() {
    let harness = Harness::start().await;
    let (billing, mut checkout) = (Session::billing(&harness).await, Session::checkout(&harness).await);
    let mut orders = billing.subscribed("orders.>").await;
    for name in ["Portcullis-From", "portcullis-from"] {
        let mut headers = HeaderMap::new();
        headers.insert(name, "billing");
        let forging = checkout.client.publish_with_headers("orders.forged", headers, "".into());
        forging.await.expect("sent");
        let error = checkout.hears_error().await;
        assert!(error.contains("Permissions Violation"), "{error}");
    }
    checkout.publish("orders.honest", "").await;
    let message = next(&mut orders).await;
    assert_eq!(message.subject.as_str(), "orders.honest");
    assert_eq!(headers_of(&message), [("Portcullis-From".into(), "checkout".into())]);
}

#[tokio::test]
async fn publish_refused() {
    let harness = Harness::start().await;
    let mut billing = Session::billing(&harness).await;
    billing.publish("orders.created", "").await;
    let error = billing.hears_error().await;
    assert_eq!(error, r#"nats: Permissions Violation for Publish to "orders.created""#);
    let replying = billing.client.publish_with_reply("services.billing.x", "orders.created", "".into());
    replying.await.expect("sent");
    let error = billing.hears_error().await;
    assert_eq!(error, r#"nats: Permissions Violation for Publish with Reply of "orders.created""#);
    is_usable(billing).await;
}

#[tokio::test]
async fn subscribe_refused() {
    let harness = Harness::start().await;
    let mut checkout = Session::checkout(&harness).await;
    let _refused = checkout.client.subscribe("orders.>").await.expect("sent");
    let error = checkout.hears_error().await;
    assert_eq!(error, r#"nats: Permissions Violation for Subscription to "orders.>""#);
    is_usable(checkout).await;
}
