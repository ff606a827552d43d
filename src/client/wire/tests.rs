use serde_json::json;

use super::*;

fn decode(value: Value) -> Incoming {
    Incoming::decode(&value.to_string()).unwrap()
}

#[test]
fn json_arrives_byte_for_byte() {
    let text = r#"{"op":"msg","sid":1,"topic":"a.b","from":"billing","data":{"z": 1.50,  "a":null}}"#;
    let Ok(Incoming::Message { sid: Sid(1), message }) = Incoming::decode(text) else { panic!("no message") };
    assert_eq!(message.bytes().as_ref(), br#"{"z": 1.50,  "a":null}"#);
    assert_eq!(message.from.unwrap().as_str(), "billing");
}

#[test]
fn null_is_a_payload_and_absence_is_none() {
    let with = decode(json!({"op": "res", "id": 1, "from": "a", "data": null}));
    assert!(matches!(with, Incoming::Response { reply: Reply { body: Body::Json(_), .. }, .. }));
    let without = decode(json!({"op": "res", "id": 1, "from": "a"}));
    assert!(matches!(without, Incoming::Response { reply: Reply { body: Body::Empty, .. }, .. }));
}

#[test]
fn fields_and_operations_of_a_later_version_are_passed_over() {
    assert!(matches!(decode(json!({"op": "sparkle", "id": 3, "glitter": []})), Incoming::Unknown));
    let text = json!({"op": "draining", "deadline": 5, "glitter": {"a": 1}});
    assert!(matches!(decode(text), Incoming::Draining { deadline: 5 }));
}

#[test]
fn a_message_that_lacks_what_it_needs_is_a_fault() {
    let fault = |value: Value| Incoming::decode(&value.to_string()).unwrap_err();
    assert!(matches!(fault(json!({"op": "ok"})), WireError::Missing { field: "id" }));
    assert!(matches!(
        fault(json!({"op": "msg", "sid": 1, "topic": "a", "data": 1, "data_base64": "AA=="})),
        WireError::TwoPayloads
    ));
    assert!(matches!(fault(json!({"op": "res", "id": 1, "data_base64": "?"})), WireError::Base64));
    assert!(matches!(fault(json!({"op": "msg", "sid": 1, "topic": "a.*"})), WireError::Topic(_)));
    assert!(matches!(fault(json!([])), WireError::Json(_)));
}

#[test]
fn an_error_says_which_kind_and_when_to_try_again() {
    let incoming = decode(
        json!({"op": "err", "id": 4, "code": "rate_limited", "reason": "slow down", "retry_after_ms": 250}),
    );
    let Incoming::Error { id: Some(4), rejection, .. } = incoming else { panic!("no error") };
    assert_eq!(rejection.code, ErrorCode::RateLimited);
    assert_eq!(rejection.retry_after, Some(Duration::from_millis(250)));
}

#[test]
fn every_code_survives_the_way_back() {
    for code in ["bad_message", "forbidden", "no_responders", "timeout", "too_large", "rate_limited"] {
        let parsed = ErrorCode::from(code.to_owned());
        assert!(!matches!(parsed, ErrorCode::Other(_)));
        assert_eq!(parsed.to_string(), code);
    }
}

#[test]
fn hello_carries_the_standing() {
    let incoming = decode(json!({
        "op": "hello", "service": "orders", "roles": ["writer"], "session": "0123", "protocol": "portcullis.json.v1",
        "deadline": 1_800_000_000_000_u64, "limits": {"max_payload": 1024, "max_subscriptions": 5}, "challenge": "AA=="
    }));
    let Incoming::Hello(hello) = incoming else { panic!("no hello") };
    assert_eq!(hello.standing.service.as_str(), "orders");
    assert_eq!(hello.standing.limits.max_payload, Some(1024));
    assert_eq!(hello.standing.limits.others.get("max_subscriptions"), Some(&json!(5)));
}

#[test]
fn commands_leave_out_what_is_default() {
    let sub = Command::Sub { sid: Sid(7), id: 1, topic: "a.>", group: None, echo: true };
    assert_eq!(sub.encode().unwrap(), r#"{"op":"sub","sid":7,"id":1,"topic":"a.>"}"#);
    let body = Body::from(b"\xff".as_slice());
    let (data, data_base64) = payload_fields(&body);
    let headers = Headers::default();
    let publish = Command::Pub { id: None, topic: "a", data, data_base64, headers: &headers, reply: None };
    assert_eq!(publish.encode().unwrap(), r#"{"op":"pub","topic":"a","data_base64":"/w=="}"#);
}

#[test]
fn whoami_keeps_everything_but_the_envelope() {
    let text =
        json!({"op": "ok", "id": 1, "service": "orders", "session": "ab", "challenge": "AA=="}).to_string();
    let whoami = WhoAmI::decode(&text).unwrap();
    assert_eq!(serde_json::to_value(whoami).unwrap(), json!({"service": "orders", "session": "ab"}));
}
