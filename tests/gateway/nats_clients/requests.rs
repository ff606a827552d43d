//! Requests, their answers, and who asks.

use std::time::Instant;

use async_nats::{ConnectOptions, HeaderMap, RequestErrorKind};
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::Value;

use super::{Session, headers_of, next, number};
use crate::harness::{Harness, PATIENCE, Profile};

#[tokio::test]
async fn request_and_reply() {
    let harness = Harness::start().await;
    let (billing, checkout) = (Session::billing(&harness).await, Session::checkout(&harness).await);
    let mut quotes = billing.subscribed("billing.quote").await;
    tokio::spawn(async move {
        while let Some(asked) = quotes.next().await {
            let answer = (2 * number(&asked)).to_string();
            billing.publish(&asked.reply.expect("an inbox"), answer).await;
        }
    });
    let requests = (0..20).map(|n: usize| checkout.client.request("billing.quote", n.to_string().into()));
    for (n, answer) in join_all(requests).await.into_iter().enumerate() {
        assert_eq!(number(&answer.expect("an answer")), 2 * n);
    }
}

#[tokio::test]
async fn no_responders() {
    let harness = Harness::start().await;
    let checkout = Session::checkout(&harness).await;
    let began = Instant::now();
    let answer = checkout.client.request("billing.quote", "".into()).await;
    assert_eq!(answer.expect_err("nobody answers").kind(), RequestErrorKind::NoResponders);
    assert!(began.elapsed() < PATIENCE / 2);
}

#[tokio::test]
async fn headers() {
    let harness = Harness::start().await;
    let (billing, checkout) = (Session::billing(&harness).await, Session::checkout(&harness).await);
    let mut quotes = billing.subscribed("billing.quote").await;
    let mut sent = HeaderMap::new();
    sent.append("Trace", "a: b");
    sent.append("Trace", "c");
    let asking = checkout.client.request_with_headers("billing.quote", sent, "21".into());
    let answering = async {
        let asked = next(&mut quotes).await;
        let mut unit = HeaderMap::new();
        unit.insert("Unit", "€");
        let reply = asked.reply.clone().expect("an inbox");
        billing.client.publish_with_headers(reply, unit, "42".into()).await.expect("answered");
        asked
    };
    let (answer, asked) = tokio::join!(asking, answering);
    let answer = answer.expect("an answer");
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    assert_eq!(
        headers_of(&asked),
        pairs(&[("Portcullis-From", "checkout"), ("Trace", "a: b"), ("Trace", "c")])
    );
    assert_eq!(headers_of(&answer), pairs(&[("Portcullis-From", "billing"), ("Unit", "€")]));
    assert_eq!(&answer.payload[..], b"42");
}

async fn identity(session: &Session) -> Value {
    let answer = session.client.request("$SYS.REQ.SESSION.WHOAMI", "".into()).await.expect("an answer");
    serde_json::from_slice(&answer.payload).expect("JSON")
}

#[tokio::test]
async fn credentials_in_connect() {
    let harness = Harness::start().await;
    let user = ConnectOptions::with_user_and_password("billing".into(), "secret".into());
    let token = ConnectOptions::with_token("billing".into());
    for options in [user, token] {
        let session = Session::checkout_with(&harness, options).await;
        assert_eq!(identity(&session).await["service"], "checkout");
    }
}

#[tokio::test]
async fn a_tls_configuration_of_the_clients_own_goes_before_its_files() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &["reader"]));
    let options = ConnectOptions::new().tls_client_config(harness.pki.client_config(Some(&issued)));
    let session = Session::checkout_with(&harness, options).await;
    assert_eq!(identity(&session).await["service"], "billing");
}

#[tokio::test]
async fn whoami() {
    let harness = Harness::start().await;
    let mine = identity(&Session::billing(&harness).await).await;
    let theirs = identity(&Session::billing(&harness).await).await;
    assert_eq!(mine["service"], "billing", "{mine}");
    assert!(mine["challenge"].is_string(), "{mine}");
    assert_eq!(mine["session"].as_str().map(str::len), Some(32), "{mine}");
    assert_ne!(mine["session"], theirs["session"]);
}
