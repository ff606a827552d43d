use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::gateway::Gateway;
use crate::client::{Body, ErrorCode, Event, Headers, OperationError, PublishOptions, RequestOptions};

#[tokio::test(start_paused = true)]
async fn answers_find_their_requests_in_any_order() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let (first, second, ()) = tokio::join!(
        client.request("billing.sum", Body::json(&[1]).unwrap()),
        client.request("billing.sum", Body::json(&[2]).unwrap()),
        async {
            let requests = [peer.receive().await, peer.receive().await];
            for request in requests.iter().rev() {
                let answer =
                    json!({"op": "res", "id": request["id"], "from": "billing", "data": request["data"]});
                peer.send(answer).await;
            }
        }
    );
    assert_eq!(first.unwrap().json::<Value>().unwrap(), json!([1]));
    assert_eq!(second.unwrap().json::<Value>().unwrap(), json!([2]));
}

#[tokio::test(start_paused = true)]
async fn each_refusal_of_a_request_has_its_own_error() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let (outcome, _) = tokio::join!(client.request("a.b", ()), peer.reject("no_responders"));
    assert!(matches!(outcome, Err(OperationError::NoResponders)));
    let (outcome, _) = tokio::join!(client.request("a.b", ()), peer.reject("forbidden"));
    assert!(matches!(outcome, Err(OperationError::Forbidden { .. })));
    let (outcome, _) = tokio::join!(client.request("a.b", ()), peer.reject("timeout"));
    assert!(matches!(outcome, Err(OperationError::Timeout { .. })));
    let (outcome, _) = tokio::join!(client.request("a.b", ()), peer.reject("unavailable"));
    assert!(
        matches!(outcome, Err(OperationError::Rejected(rejection)) if rejection.code == ErrorCode::Unavailable)
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_gives_up_when_even_the_gateway_is_silent() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let options = RequestOptions { timeout: Some(Duration::from_secs(2)), ..RequestOptions::default() };
    let before = Instant::now();
    let (outcome, request) = tokio::join!(client.request_with("a.b", (), &options), peer.receive());
    assert!(matches!(outcome, Err(OperationError::Timeout { after }) if after == Duration::from_secs(2)));
    assert!(before.elapsed() >= Duration::from_secs(2));
    assert_eq!(request["timeout_ms"], 2000);

    // The late answer concerns nobody and disturbs nobody.
    peer.send(json!({"op": "res", "id": request["id"], "from": "billing"})).await;
    let (outcome, _) = tokio::join!(client.publish_confirmed("a.b", ()), peer.confirm("pub"));
    outcome.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_publish_carries_headers_and_either_payload() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let options = PublishOptions { headers: Headers::from_iter([("Trace", "7")]), reply: None };
    client.publish_with("a.b", json!({"x": 1}), &options).await.unwrap();
    let published = peer.receive().await;
    assert_eq!(published, json!({"op": "pub", "topic": "a.b", "data": {"x": 1}, "headers": {"Trace": "7"}}));
    client.publish("a.b", b"\xff".as_slice()).await.unwrap();
    assert_eq!(peer.receive().await, json!({"op": "pub", "topic": "a.b", "data_base64": "/w=="}));
    client.publish("a.b", ()).await.unwrap();
    assert_eq!(peer.receive().await, json!({"op": "pub", "topic": "a.b"}));
}

#[tokio::test(start_paused = true)]
async fn a_refused_publish_without_confirmation_is_an_event() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let mut events = client.events();
    client.publish("a.b", ()).await.unwrap();
    peer.receive().await;
    peer.send(json!({"op": "err", "topic": "a.b", "code": "forbidden", "reason": "no grant"})).await;
    let Some(Event::Rejected { rejection }) = events.next().await else { panic!("no event") };
    assert_eq!((rejection.code, rejection.topic.as_deref()), (ErrorCode::Forbidden, Some("a.b")));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_succeed_is_not_sent() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let outcome = client.publish("a.b", vec![0; 65_537]).await;
    assert!(matches!(outcome, Err(OperationError::TooLarge { bytes: 65_537, limit: 65_536 })));
    assert!(matches!(client.publish("a.*", ()).await, Err(OperationError::Topic(_))));
    client.publish("the.first", ()).await.unwrap();
    assert_eq!(peer.receive().await["topic"], "the.first");
}

#[tokio::test(start_paused = true)]
async fn a_message_is_answered_where_its_sender_waits() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let (subscription, sub) = tokio::join!(client.subscribe("sum"), peer.confirm("sub"));
    let mut subscription = subscription.unwrap();
    let reply = "_INBOX.0123456789abcdef.1";
    peer.send(
        json!({"op": "msg", "sid": sub["sid"], "topic": "sum", "from": "a", "data": [1], "reply": reply}),
    )
    .await;
    peer.send(json!({"op": "msg", "sid": sub["sid"], "topic": "sum", "from": "a"})).await;
    let message = subscription.next().await.unwrap();
    client.respond(&message, json!(1)).await.unwrap();
    assert_eq!(peer.receive().await, json!({"op": "res", "reply": reply, "data": 1}));
    let message = subscription.next().await.unwrap();
    assert!(matches!(client.respond(&message, ()).await, Err(OperationError::NoReplyWanted)));
}

#[tokio::test(start_paused = true)]
async fn whoami_tells_what_the_gateway_says() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let (whoami, ()) = tokio::join!(client.whoami(), async {
        let asked = peer.receive().await;
        peer.send(json!({"op": "ok", "id": asked["id"], "service": "orders", "grants": ["a.>"]})).await;
    });
    let whoami = whoami.unwrap();
    assert_eq!(whoami.service.as_str(), "orders");
    assert_eq!(whoami.details["grants"], json!(["a.>"]));
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_fails_what_waits_and_sends_nothing_twice() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let (request, publish, ()) =
        tokio::join!(client.request("a.b", ()), client.publish_confirmed("c.d", ()), async {
            peer.receive().await;
            peer.receive().await;
            drop(peer);
        });
    assert!(matches!(request, Err(OperationError::Disconnected)));
    assert!(matches!(publish, Err(OperationError::Disconnected)));
    assert!(matches!(client.publish("e.f", ()).await, Err(OperationError::NotConnected)));
    assert!(matches!(client.request("e.f", ()).await, Err(OperationError::NotConnected)));

    let mut peer = gateway.accept().await;
    client.standing().wait_for(Option::is_some).await.unwrap();
    client.publish("the.first", ()).await.unwrap();
    assert_eq!(peer.receive().await["topic"], "the.first");
}

#[tokio::test(start_paused = true)]
async fn publishers_wait_when_the_gateway_does_not_read() {
    let mut gateway = Gateway::new();
    let options = gateway.options().max_queued(2).max_queued_bytes(100_000);
    let (client, mut peer) = gateway.connect_with(options).await;
    let mut sent = 0;
    let outcome = loop {
        match client.publish("a.b", vec![0; 30_000]).await {
            Ok(()) => sent += 1,
            Err(fault) => break fault,
        }
        assert!(sent < 100, "the queue has no bound");
    };
    // Both the caller's wait and the writer's have the same deadline; either may see it first.
    assert!(matches!(outcome, OperationError::Timeout { .. } | OperationError::NotConnected), "{outcome:?}");
    assert_eq!(peer.receive().await["op"], "pub");
}

/// What is larger than the codec's buffer may be never reaches it, where it would end the session.
#[tokio::test(start_paused = true)]
async fn an_operation_larger_than_the_client_sends_is_refused_and_the_largest_goes() {
    let mut gateway = Gateway::new();
    let options = gateway.options().max_queued_bytes(10_000).max_message_bytes(20_000);
    let (client, mut peer) = gateway.connect_with(options).await;
    let limit = 20_000;
    let outcome = client.publish("a", json!("x".repeat(limit))).await;
    assert!(matches!(outcome, Err(OperationError::OverLimit { limit: 20_000, .. })), "{outcome:?}");
    for _ in 0..10 {
        let payload = json!("x".repeat(limit - 200));
        let (outcome, _) = tokio::join!(client.publish_confirmed("a", payload), peer.confirm("pub"));
        outcome.unwrap();
    }
}
