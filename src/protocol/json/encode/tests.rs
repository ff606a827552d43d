//! Every event as text, and that no payload becomes a field of the frame that carries it.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::identity::{Role, ServiceName};
use crate::protocol::json::{MESSAGE_HEAD, SUBPROTOCOL, encode, message_tail, response_head, response_tail};
use crate::protocol::{
    Challenge, ErrorCode, ErrorEvent, Event, Grants, Headers, Limits, Message, OkResult, Op, OpId, Payload,
    ReauthCause, Reauthenticated, RevokedBecause, Sid, Standing, WhoAmI,
};
use crate::topic::{Pattern, Topic};

const CHALLENGE: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

#[test]
fn a_message_ends_alike_for_all_who_receive_it() {
    let tail = tail_of(&b" [1, 2]"[..], Some("_INBOX.x"));
    assert_eq!(tail, r#","topic":"a.\"b","reply":"_INBOX.x","from":"orders","data": [1, 2]}"#);
}

#[test]
fn a_response_carries_neither_topic_nor_reply() {
    let mut out = Vec::new();
    response_head(id(5), &mut out);
    with_message(Payload::binary(&b"\xff"[..]), Some("_INBOX.x"), |message| response_tail(message, &mut out));
    assert_eq!(out, br#"{"op":"res","id":5,"from":"orders","data_base64":"/w=="}"#);
}

#[test]
fn an_empty_payload_has_no_field() {
    assert_eq!(tail_of(&b""[..], None), r#","topic":"a.\"b","from":"orders"}"#);
}

#[test]
fn an_opaque_payload_never_becomes_a_field() {
    let deep = "[".repeat(100_000);
    let poison: [&[u8]; 5] =
        [br#"1,"from":"x""#, br#"1}{"op":"msg""#, br#""a","data_base64":"eA==""#, b"1//", deep.as_bytes()];
    for bytes in poison {
        let value = message_value(bytes);
        assert_eq!(value["from"], "orders");
        assert!(value.get("data").is_none());
        assert!(value["data_base64"].is_string());
    }
}

#[test]
fn headers_of_one_name_are_grouped() {
    let mut headers = Headers::builder();
    for (name, value) in [("b", "1"), ("a", "\"2\""), ("b", "3")] {
        headers.push(name, value).expect("valid");
    }
    let (topic, from) = (Topic::parse("t").expect("valid"), service());
    let (payload, headers) = (Payload::default(), headers.build());
    let message = Message { topic: &topic, from: &from, payload, headers, reply: None };
    let mut out = Vec::new();
    message_tail(&message, &mut out);
    assert_eq!(out, br#","topic":"t","from":"orders","headers":{"b":["1","3"],"a":"\"2\""}}"#);
}

#[test]
fn ok_returns_what_the_operation_returns() {
    assert_eq!(text_of(&Event::Ok { id: id(3), result: OkResult::Empty }), r#"{"op":"ok","id":3}"#);
    let reauthenticated = Reauthenticated { deadline: 9, challenge: challenge() };
    assert_eq!(
        value_of(&Event::Ok { id: id(3), result: OkResult::Reauthenticated(reauthenticated) }),
        json!({"op": "ok", "id": 3, "deadline": 9, "challenge": CHALLENGE})
    );
    let whoami = WhoAmI {
        standing: standing(),
        fingerprint: "ab".into(),
        expires: 12,
        grants: Grants { publish: vec![pattern("a.*")], subscribe: vec![pattern("b.>")] },
    };
    let mut expected = standing_value("ok");
    expected["id"] = json!(3);
    expected["fingerprint"] = json!("ab");
    expected["expires"] = json!(12);
    expected["grants"] = json!({"publish": ["a.*"], "subscribe": ["b.>"]});
    assert_eq!(value_of(&Event::Ok { id: id(3), result: OkResult::WhoAmI(Box::new(whoami)) }), expected);
}

#[test]
fn hello_tells_the_standing() {
    assert_eq!(value_of(&Event::Hello(Box::new(standing()))), standing_value("hello"));
}

#[test]
fn an_error_names_what_failed() {
    let plain = ErrorEvent::new(ErrorCode::Unavailable, "no engine");
    assert_eq!(
        text_of(&Event::Error(Box::new(plain))),
        r#"{"op":"err","code":"unavailable","reason":"no engine"}"#
    );
    let full = ErrorEvent {
        id: Some(id(1)),
        op: Some(Op::Publish),
        topic: Some("a".into()),
        reply: Some("b".into()),
        sid: Some(Sid::from_number(4).expect("small")),
        retry_after: Some(Duration::from_micros(1500)),
        challenge: Some(challenge()),
        ..ErrorEvent::new(ErrorCode::RateLimited, "slow down")
    };
    assert_eq!(
        value_of(&Event::Error(Box::new(full))),
        json!({"op": "err", "id": 1, "failed_op": "pub", "topic": "a", "reply": "b", "sid": 4, "code": "rate_limited",
            "reason": "slow down", "retry_after_ms": 2, "challenge": CHALLENGE})
    );
}

#[test]
fn notices() {
    let cause = ReauthCause::AnchorRetiring;
    assert_eq!(
        value_of(&Event::ReauthRequired { challenge: challenge(), deadline: 5, cause }),
        json!({"op": "reauth_required", "challenge": CHALLENGE, "deadline": 5, "cause": "anchor_retiring"})
    );
    let reason = RevokedBecause::PolicyChanged;
    assert_eq!(
        value_of(&Event::SubscriptionRevoked { sid: sid("s"), topic: pattern("a.>"), group: None, reason }),
        json!({"op": "revoked_sub", "sid": "s", "topic": "a.>", "reason": "policy_changed"})
    );
    assert_eq!(
        value_of(&Event::Draining { deadline: 5, alternatives: Arc::new([]) }),
        json!({"op": "draining", "deadline": 5})
    );
    assert_eq!(
        value_of(&Event::Draining { deadline: 5, alternatives: Arc::new(["wss://b/".to_owned()]) }),
        json!({"op": "draining", "deadline": 5, "alternatives": ["wss://b/"]})
    );
}

#[test]
fn every_error_code_has_its_word() {
    let words: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(
        words.join(" "),
        "bad_message forbidden no_responders timeout too_large rate_limited limit_exceeded unavailable \
         reauth_failed unsupported"
    );
}

proptest! {
    #[test]
    fn any_bytes_make_one_frame_with_the_true_sender(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert_eq!(&message_value(&bytes)["from"], "orders");
    }

    #[test]
    fn any_fragment_of_json_makes_one_frame(text in "[\\[\\]{}\":,0-9a-df-z\\\\ ]{0,24}") {
        let value = message_value(text.as_bytes());
        prop_assert_eq!(&value["from"], "orders");
        prop_assert_eq!(value.as_object().map(|fields| fields.len() <= 5), Some(true));
    }
}

/// The frame of a subscriber to which a NATS client published these bytes.
fn message_value(bytes: &[u8]) -> Value {
    let head = String::from_utf8(MESSAGE_HEAD.to_vec()).expect("UTF-8");
    serde_json::from_str(&format!("{head}1{}", tail_of(bytes, None))).expect("JSON")
}

fn tail_of(bytes: &[u8], reply: Option<&str>) -> String {
    let mut out = Vec::new();
    with_message(Payload::opaque(bytes), reply, |message| message_tail(message, &mut out));
    String::from_utf8(out).expect("UTF-8")
}

fn text_of(event: &Event) -> String {
    let mut out = Vec::new();
    encode(event, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn value_of(event: &Event) -> Value {
    serde_json::from_str(&text_of(event)).expect("JSON")
}

fn with_message(payload: Payload<'_>, reply: Option<&str>, look: impl FnOnce(&Message<'_>)) {
    let (topic, from) = (Topic::parse("a.\"b").expect("valid"), service());
    let reply = reply.map(|reply| Topic::parse(reply).expect("valid"));
    look(&Message { topic: &topic, from: &from, payload, headers: Headers::EMPTY, reply: reply.as_ref() });
}

fn standing() -> Standing {
    Standing {
        service: service(),
        roles: vec![Role::parse("writer").expect("valid")],
        session: "00ff".into(),
        protocol: SUBPROTOCOL,
        deadline: 10,
        limits: Limits {
            max_payload: 1,
            max_subscriptions: 2,
            max_in_flight_requests: 3,
            max_headers: 4,
            max_header_bytes: 5,
        },
        gateway: "gw-1".into(),
        challenge: challenge(),
    }
}

fn standing_value(op: &str) -> Value {
    json!({
        "op": op, "service": "orders", "roles": ["writer"], "session": "00ff",
        "protocol": "portcullis.json.v1", "deadline": 10, "gateway": "gw-1", "challenge": CHALLENGE,
        "limits": {"max_payload": 1, "max_subscriptions": 2, "max_in_flight_requests": 3, "max_headers": 4,
            "max_header_bytes": 5},
    })
}

fn service() -> ServiceName {
    ServiceName::parse("orders").expect("valid")
}

fn challenge() -> Challenge {
    Challenge::new([7; 32])
}

fn id(number: u64) -> OpId {
    OpId::new(number).expect("small")
}

fn sid(text: &str) -> Sid {
    Sid::from_text(text).expect("valid")
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("valid")
}
