//! Requests by inbox, as clients of this dialect make them, and who may answer.

use super::{INBOX, publish_refused};
use crate::harness::Harness;
use crate::harness::nats::{Nats, Received, ask, publish, publish_block, publish_with};
use crate::messaging::open;

/// The answerer, and an asker that listens at its inbox.
pub async fn pair(harness: &Harness) -> (Nats, Nats) {
    let mut billing = Nats::connect(harness, "billing", &[]).await;
    let mut checkout = Nats::connect(harness, "checkout", &[]).await;
    billing.subscribe("q", "billing.quote").await;
    checkout.subscribe("i", &format!("{INBOX}.*")).await;
    (billing, checkout)
}

#[tokio::test]
async fn a_request_is_answered_once_and_by_who_received_it() {
    let harness = Harness::start().await;
    let (mut billing, mut checkout) = pair(&harness).await;
    let mut sibling = Nats::connect(&harness, "billing", &[]).await;
    checkout.send(ask("billing.quote", &format!("{INBOX}.1"), "21")).await;
    let asked = billing.message().await;
    assert_eq!((asked.reply(), asked.payload.as_str()), (&*format!("{INBOX}.1"), "21"));
    let answer = publish(asked.reply(), "42");
    for other in [&mut sibling, &mut checkout] {
        assert_eq!(other.refused(&answer).await, publish_refused(asked.reply()));
    }
    billing.send(&answer).await;
    let answered = checkout.message().await;
    assert_eq!((answered.subject.as_str(), answered.payload.as_str()), (asked.reply(), "42"));
    assert_eq!(answered.headers(), [("Portcullis-From", "billing")]);
    assert_eq!(billing.refused(&answer).await, publish_refused(asked.reply()), "the right is used up");
    checkout.nothing_came().await;
}

/// Official clients send the headers of a request back with its answer.
#[tokio::test]
async fn what_the_gateway_stamped_is_dropped_from_an_answer_and_refused_elsewhere() {
    let harness = Harness::start().await;
    let (mut billing, mut checkout) = pair(&harness).await;
    checkout.send(ask("billing.quote", &format!("{INBOX}.1"), "")).await;
    let asked = billing.message().await;
    let lines = "Portcullis-From: checkout\r\na: b\r\npORTCULLIS-x: y\r\n";
    billing.send(publish_with(asked.reply(), lines, "")).await;
    assert_eq!(checkout.message().await.headers(), [("Portcullis-From", "billing"), ("a", "b")]);
    // A status is none of a client's, there too, and costs the message alone.
    checkout.send(ask("billing.quote", &format!("{INBOX}.2"), "")).await;
    let asked = billing.message().await;
    for block in ["NATS/1.0 503\r\n\r\n", "NATS/1.0 100 Idle\r\n\r\n", "NATS/1.0\r\na: b\rc\r\n\r\n"] {
        let error = billing.refused(publish_block(asked.reply(), block, "")).await;
        assert!(error.starts_with(&format!("{}: ", publish_refused(asked.reply()))), "{error}");
    }
    checkout.nothing_came().await;
    billing.send(publish(asked.reply(), "true")).await;
    assert_eq!(checkout.message().await.payload, "true");
}

#[tokio::test]
async fn who_asks_where_nobody_listens_is_told_so_at_once() {
    let harness = Harness::start().await;
    let mut checkout = Nats::connect(&harness, "checkout", &[]).await;
    checkout.subscribe("i", &format!("{INBOX}.*")).await;
    checkout.send(ask("billing.quote", &format!("{INBOX}.1"), "21")).await;
    let expected = Received {
        subject: format!("{INBOX}.1"),
        sid: "i".into(),
        reply: None,
        head: Some("NATS/1.0 503\r\n\r\n".into()),
        payload: String::new(),
    };
    assert_eq!(checkout.message().await, expected);
    // Without a reply nobody waits, and a reply that the client does not hear tells it nothing.
    checkout.send(publish("billing.quote", "")).await;
    checkout.send(ask("billing.quote", "services.checkout.answers", "")).await;
    checkout.nothing_came().await;
    for connect in [r#"{"verbose":false,"headers":true}"#, r#"{"verbose":false,"no_responders":true}"#] {
        let mut nats = Nats::connect_with(&harness, "checkout", &[], &format!("CONNECT {connect}")).await;
        nats.subscribe("i", &format!("{INBOX}.*")).await;
        nats.send(ask("billing.quote", &format!("{INBOX}.1"), "")).await;
        nats.nothing_came().await;
    }
}

#[tokio::test]
async fn many_requests_are_answered_in_whatever_order_answers_come() {
    let harness = Harness::start().await;
    let (mut billing, mut checkout) = pair(&harness).await;
    let requests: String =
        (0..100).map(|n| ask("billing.quote", &format!("{INBOX}.{n}"), &n.to_string())).collect();
    checkout.send(requests).await;
    let mut asked = Vec::new();
    for _ in 0..100 {
        asked.push(billing.message().await);
    }
    billing
        .send(asked.iter().rev().map(|each| publish(each.reply(), &each.payload)).collect::<String>())
        .await;
    for n in (0..100).rev() {
        let answer = checkout.message().await;
        assert_eq!((answer.subject, answer.payload), (format!("{INBOX}.{n}"), n.to_string()));
    }
}

#[tokio::test]
async fn an_answer_that_names_a_reply_of_its_own_asks_nobody() {
    let harness = open("").await;
    let (mut billing, mut checkout) = pair(&harness).await;
    checkout.send(ask("billing.quote", &format!("{INBOX}.1"), "")).await;
    let asked = billing.message().await;
    billing.subscribe("own", "_INBOX.billingbillingbilling.*").await;
    billing.send(ask(asked.reply(), "_INBOX.billingbillingbilling.1", "and you?")).await;
    let answer = checkout.message().await;
    assert_eq!((answer.reply, answer.payload.as_str()), (None, "and you?"));
    assert_eq!(
        checkout.refused(publish("_INBOX.billingbillingbilling.1", "")).await,
        publish_refused("_INBOX.billingbillingbilling.1")
    );
    billing.nothing_came().await;
}
