//! Services of the two dialects on the same topics: what one says, the other hears as its own protocol has it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{INBOX, publish_refused};
use crate::harness::nats::{Nats, ask, publish, publish_with};
use crate::harness::{Harness, Peer};
use crate::messaging::{open, publication, subscribe};

/// A session of each dialect that hears `t`.
async fn readers(harness: &Harness) -> (Nats, Peer) {
    let mut nats = Nats::connect(harness, "r", &[]).await;
    let mut json = harness.connect("r", &[]).await;
    nats.subscribe("1", "t").await;
    subscribe(&mut json, "1", "t").await;
    (nats, json)
}

#[tokio::test]
async fn what_a_json_service_publishes_reaches_nats_clients_with_its_headers() {
    let harness = open("").await;
    let (mut nats, mut json) = readers(&harness).await;
    let mut writer = harness.connect("w", &[]).await;
    let headers = json!({"Trace": ["a", "b"], "x": "größe: \"1\""});
    let cases = [
        (r#""data":{"n": 1.0}"#, r#"{"n": 1.0}"#),
        (r#""data":null"#, "null"),
        (r#""data":"MSG t 1 0\r\n\r\n""#, r#""MSG t 1 0\r\n\r\n""#),
        (r#""data_base64":"DQpNU0cgdCAxIDANCg==""#, "\r\nMSG t 1 0\r\n"),
    ];
    for (data, payload) in cases {
        writer.send(format!(r#"{{"op":"pub","topic":"t",{data},"headers":{headers}}}"#)).await;
        let message = nats.message().await;
        assert_eq!(message.payload, payload);
        let expected = [("Portcullis-From", "w"), ("Trace", "a"), ("Trace", "b"), ("x", "größe: \"1\"")];
        assert_eq!(message.headers(), expected);
        assert_eq!(json.expect("msg").await["headers"], headers);
    }
}

#[tokio::test]
async fn what_a_nats_client_publishes_reaches_json_services_with_its_headers() {
    let harness = open("").await;
    let (mut nats, mut json) = readers(&harness).await;
    let mut writer = Nats::connect(&harness, "w", &[]).await;
    writer.send(publish_with("t", "Trace: a\r\nx: größe\r\nTrace: b\r\n", r#"{"n": 1.0}"#)).await;
    let text = json.next_text().await;
    let message: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&message["from"], &message["headers"]),
        (&json!("w"), &json!({"Trace": ["a", "b"], "x": "größe"}))
    );
    assert!(text.ends_with(r#""data":{"n": 1.0}}"#), "{text}");
    assert_eq!(nats.message().await.payload, r#"{"n": 1.0}"#);
    writer.send(publish("t", "")).await;
    assert_eq!(json.next_text().await, r#"{"op":"msg","sid":"1","topic":"t","from":"w"}"#);
}

/// An injection would show as a field; a poison message would break its reader.
#[tokio::test]
async fn a_payload_that_is_almost_json_or_nested_deeply_reaches_json_services_as_base64() {
    let harness = open("").await;
    let (mut nats, mut json) = readers(&harness).await;
    let mut writer = Nats::connect(&harness, "w", &[]).await;
    let deep = [("[".repeat(65) + &"]".repeat(65)), "[".repeat(100_000), r#"{"a":"#.repeat(50_000)];
    let almost = [
        r#"1,"from":"root""#,
        r#"1},{"op":"msg""#,
        "{}{}",
        "1 2",
        "nul",
        "'a'",
        "[1,]",
        "\"a\nb\"",
        r#""\ud800""#,
        "\u{feff}1",
        " ",
        "NaN",
        "01",
    ];
    for payload in almost.into_iter().chain(deep.iter().map(String::as_str)) {
        writer.send(publish("t", payload)).await;
        let message = json.expect("msg").await;
        let expected = json!({
            "op": "msg", "sid": "1", "topic": "t", "from": "w", "data_base64": BASE64_STANDARD.encode(payload),
        });
        assert_eq!(message, expected, "{payload:.40}");
        assert_eq!(nats.message().await.payload, payload);
    }
    // And one that is JSON stays as it is.
    let deepest = "[".repeat(64) + &"]".repeat(64);
    for payload in [deepest.as_str(), " 1.50 ", "null"] {
        writer.send(publish("t", payload)).await;
        assert!(json.next_text().await.ends_with(&format!(r#""data":{payload}}}"#)));
    }
}

#[tokio::test]
async fn a_request_from_json_is_answered_by_a_nats_client() {
    let harness = Harness::start().await;
    let mut asker = harness.connect("checkout", &[]).await;
    let mut billing = Nats::connect(&harness, "billing", &[]).await;
    let request =
        json!({"op": "req", "id": 41, "topic": "billing.quote", "data": [21], "headers": {"a": "b"}});
    assert_eq!(asker.refused(request.to_string()).await, "no_responders");
    billing.subscribe("1", "billing.quote").await;
    asker.send(request.to_string()).await;
    let asked = billing.message().await;
    assert_eq!(asked.headers(), [("Portcullis-From", "checkout"), ("a", "b")]);
    assert_eq!(asked.payload, "[21]");
    billing.send(publish_with(asked.reply(), "Portcullis-From: checkout\r\nc: d\r\nc: e\r\n", "42")).await;
    assert_eq!(
        asker.next_text().await,
        r#"{"op":"res","id":41,"from":"billing","headers":{"c":["d","e"]},"data":42}"#
    );
    assert_eq!(billing.refused(publish(asked.reply(), "43")).await, publish_refused(asked.reply()));
    // The inbox that the gateway made is nobody's to hear.
    let (inbox, _) = asked.reply().rsplit_once('.').expect("a number");
    let pattern = format!("{inbox}.>");
    assert_eq!(billing.refused(format!("SUB {pattern} 9\r\n")).await, super::subscribe_refused(&pattern));
    asker.nothing_came().await;
}

#[tokio::test]
async fn a_request_from_a_nats_client_is_answered_by_json() {
    let harness = Harness::start().await;
    let mut asker = Nats::connect(&harness, "checkout", &[]).await;
    let mut billing = harness.connect("billing", &[]).await;
    subscribe(&mut billing, "1", "billing.quote").await;
    asker.subscribe("i", &format!("{INBOX}.*")).await;
    let reply = format!("{INBOX}.7");
    asker.send(ask("billing.quote", &reply, "21")).await;
    let asked = billing.expect("msg").await;
    assert_eq!(
        (&asked["reply"], &asked["data"], &asked["from"]),
        (&json!(reply), &json!(21), &json!("checkout"))
    );
    let answer =
        json!({"op": "res", "id": 1, "reply": reply, "data": {"sum": 42}, "headers": {"c": ["d", "e"]}});
    billing.ok(answer.to_string()).await;
    let answered = asker.message().await;
    assert_eq!((answered.subject.as_str(), answered.payload.as_str()), (&*reply, r#"{"sum":42}"#));
    assert_eq!(answered.headers(), [("Portcullis-From", "billing"), ("c", "d"), ("c", "e")]);
    assert_eq!(billing.refused(publication(&reply, 1)).await, "forbidden", "once");
}

#[tokio::test]
async fn a_group_has_members_of_both_dialects() {
    let harness = open("").await;
    let mut writer = Nats::connect(&harness, "w", &[]).await;
    let mut nats = Nats::connect(&harness, "r", &[]).await;
    let mut json = harness.connect("r", &[]).await;
    nats.send("SUB job workers 1\r\n").await;
    nats.subscribe("end", "end").await;
    json.ok(r#"{"op":"sub","id":1,"sid":"1","topic":"job","group":"workers"}"#).await;
    subscribe(&mut json, "end", "end").await;
    writer.send(publish("job", "1").repeat(100) + &publish("end", "0")).await;
    let (mut by_nats, mut by_json) = (0, 0);
    while nats.message().await.sid != "end" {
        by_nats += 1;
    }
    while json.expect("msg").await["sid"] != "end" {
        by_json += 1;
    }
    assert!(by_nats + by_json == 100 && by_nats >= 40 && by_json >= 40, "{by_nats} and {by_json}");
}
