//! Every operation, every fault, and that `data` passes through untouched.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use crate::identity::ServiceName;
use crate::protocol::json::{DecodeFault, DecodeLimits, Field, decode};
use crate::protocol::{
    Command, ErrorCode, HeaderError, MAX_JSON_DEPTH, Message, Op, OpId, Payload, PayloadForm, Sid,
};
use crate::topic::Topic;

const LIMITS: DecodeLimits = DecodeLimits { max_payload: 1024 };

#[test]
fn sub_takes_every_field() {
    let frame = r#"{"op":"sub","id":7,"sid":"s-1","topic":"orders.>","group":"g","echo":false}"#;
    let expected = Command::Subscribe {
        id: OpId::new(7),
        sid: Sid::from_text("s-1").expect("valid"),
        topic: "orders.>".into(),
        group: Some("g".into()),
        echo: false,
    };
    assert_eq!(decode(frame, &LIMITS), Ok(expected));
}

#[test]
fn sub_echoes_unless_told_otherwise() {
    let frame = r#"{"op":"sub","sid":1,"topic":"a"}"#;
    assert!(matches!(
        decode(frame, &LIMITS),
        Ok(Command::Subscribe { id: None, echo: true, group: None, .. })
    ));
}

#[test]
fn unsub_ends_now_or_later() {
    let sid = Sid::from_number(3).expect("small");
    for (text, max) in [(r#"{"op":"unsub","sid":3}"#, None), (r#"{"op":"unsub","sid":3,"max":10}"#, Some(10))]
    {
        let expected = Command::Unsubscribe { id: None, sid: sid.clone(), max };
        assert_eq!(decode(text, &LIMITS), Ok(expected));
    }
}

#[test]
fn pub_takes_every_field() {
    let frame =
        r#"{"op":"pub","topic":"a.b","data": {"x": 1} ,"headers":{"h":["1","2"],"k":"3"},"reply":"r"}"#;
    let Ok(Command::Publish { topic, payload, headers, reply, .. }) = decode(frame, &LIMITS) else {
        panic!("refused");
    };
    assert_eq!(topic, "a.b");
    assert_eq!(reply.as_deref(), Some("r"));
    assert_eq!(headers.iter().collect::<Vec<_>>(), [("h", "1"), ("h", "2"), ("k", "3")]);
    assert_eq!((payload.bytes(), payload.form()), (&br#"{"x": 1}"#[..], PayloadForm::Json));
}

#[test]
fn a_payload_is_json_binary_or_empty() {
    let cases: [(&str, &[u8], PayloadForm); 5] = [
        (r#","data":null"#, b"null", PayloadForm::Json),
        (r#","data":"\u0041""#, br#""\u0041""#, PayloadForm::Json),
        (r#","data_base64":"AP9/""#, b"\x00\xff\x7f", PayloadForm::Binary),
        (r#","data_base64":"AP9\/""#, b"\x00\xff\x7f", PayloadForm::Binary),
        ("", b"", PayloadForm::Opaque),
    ];
    for (field, bytes, form) in cases {
        let payload = payload_of(field).expect("valid");
        assert_eq!(payload, (bytes.to_vec(), form), "{field}");
    }
}

#[test]
fn req_res_and_whoami() {
    let request = r#"{"op":"req","id":1,"topic":"a","data":1,"timeout_ms":1500}"#;
    assert!(matches!(decode(request, &LIMITS),
        Ok(Command::Request { id, timeout: Some(timeout), .. })
            if Some(id) == OpId::new(1) && timeout == Duration::from_millis(1500)));
    let response = r#"{"op":"res","reply":"_INBOX.x","data":1}"#;
    assert!(matches!(decode(response, &LIMITS), Ok(Command::Respond { reply, .. }) if reply == "_INBOX.x"));
    let whoami = r#" { "op" : "whoami" , "id" : 2 } "#;
    assert_eq!(decode(whoami, &LIMITS), Ok(Command::WhoAmI { id: OpId::new(2).expect("small") }));
}

#[test]
fn reauth_is_decoded_but_not_judged() {
    let frame = reauth(&["AQI=", "Aw=="], r#","token":"t""#);
    let Ok(Command::Reauthenticate { proof, .. }) = decode(&frame, &LIMITS) else { panic!("refused") };
    assert_eq!(proof.chain, [vec![1, 2], vec![3]]);
    assert_eq!((proof.host.as_str(), proof.scheme.as_str()), ("gw", "ed25519"));
    assert_eq!((proof.signature.as_slice(), proof.token.as_deref()), (&[4, 5][..], Some("t")));
    assert!(!format!("{proof:?}").contains("\"t\""));
}

#[test]
fn a_chain_is_bounded_in_certificates_and_bytes() {
    let large = BASE64_STANDARD.encode(vec![0; 33 * 1024]);
    assert_eq!(fault(&reauth(&["AQ=="; 11], "")), DecodeFault::ChainTooLarge);
    assert_eq!(fault(&reauth(&[&large, &large], "")), DecodeFault::ChainTooLarge);
    assert!(decode(&reauth(&[&large], ""), &LIMITS).is_ok());
    for chain in [&[][..], &[""], &["AQ"], &["!"]] {
        assert!(
            matches!(fault(&reauth(chain, "")), DecodeFault::BadField { field: Field::Chain, .. }),
            "{chain:?}"
        );
    }
}

#[test]
fn what_is_no_json_object_is_named_as_such() {
    for text in ["[]", "1", "null", "\"a\""] {
        assert_eq!(fault(text), DecodeFault::NotAnObject, "{text}");
    }
    for text in
        ["", "{", "{\"op\":\"pub\"", "{} {}", "{\"op\":\"pub\",}", "{op:1}", "{\"a\":01}", "\u{feff}{}"]
    {
        assert!(matches!(fault(text), DecodeFault::Syntax { .. }), "{text}");
    }
}

#[test]
fn fields_are_judged_by_name() {
    let unknown = |name: &str| DecodeFault::UnknownField { name: Some(name.into()) };
    let foreign = |op, field| DecodeFault::ForeignField { op, field };
    let cases = [
        (r#"{"id":1}"#, DecodeFault::MissingField(Field::Op)),
        (r#"{"op":"pub","topic":"a","dat":1}"#, unknown("dat")),
        (r#"{"op":"pub","topic":"a","sender mail":1}"#, DecodeFault::UnknownField { name: None }),
        (r#"{"op":"pub","topic":"a","from":"x"}"#, unknown("from")),
        (r#"{"op":"pub","topic":"a","topic":"b"}"#, DecodeFault::DuplicateField(Field::Topic)),
        (r#"{"op":"pub","topic":"a","\u0074opic":"b"}"#, DecodeFault::DuplicateField(Field::Topic)),
        (r#"{"op":"pub","data":1,"data":1,"topic":"a"}"#, DecodeFault::DuplicateField(Field::Data)),
        (r#"{"op":"pub","op":"sub"}"#, DecodeFault::DuplicateField(Field::Op)),
        (r#"{"op":"pub"}"#, DecodeFault::MissingField(Field::Topic)),
        (r#"{"op":"sub","topic":"a"}"#, DecodeFault::MissingField(Field::Sid)),
        (r#"{"op":"req","topic":"a"}"#, DecodeFault::MissingField(Field::Id)),
        (r#"{"op":"res"}"#, DecodeFault::MissingField(Field::Reply)),
        (r#"{"op":"whoami"}"#, DecodeFault::MissingField(Field::Id)),
        (r#"{"op":"reauth","id":1,"chain":["AQ=="]}"#, DecodeFault::MissingField(Field::Signature)),
        (r#"{"op":"sub","sid":1,"topic":"a","data":1}"#, foreign(Op::Subscribe, Field::Data)),
        (r#"{"op":"pub","topic":"a","timeout_ms":1}"#, foreign(Op::Publish, Field::TimeoutMs)),
        (r#"{"op":"req","id":1,"topic":"a","reply":"b"}"#, foreign(Op::Request, Field::Reply)),
        (r#"{"op":"unsub","sid":1,"topic":"a"}"#, foreign(Op::Unsubscribe, Field::Topic)),
        (r#"{"op":"publish","topic":"a"}"#, DecodeFault::UnknownOp),
        (r#"{"op":"pub","topic":"a","data":1,"data_base64":"AQ=="}"#, DecodeFault::BothPayloads),
        (r#"{"op":"pub","topic":"a","data":"\ud83d"}"#, DecodeFault::LoneSurrogate),
    ];
    for (text, expected) in cases {
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn values_are_judged_by_form() {
    let cases = [
        (r#"{"op":1}"#, Field::Op),
        (r#"{"op":"whoami","id":-1}"#, Field::Id),
        (r#"{"op":"whoami","id":1.0}"#, Field::Id),
        (r#"{"op":"whoami","id":"1"}"#, Field::Id),
        (r#"{"op":"whoami","id":null}"#, Field::Id),
        (r#"{"op":"whoami","id":9007199254740992}"#, Field::Id),
        (r#"{"op":"unsub","sid":""}"#, Field::Sid),
        (r#"{"op":"unsub","sid":"a b"}"#, Field::Sid),
        (r#"{"op":"unsub","sid":null}"#, Field::Sid),
        (r#"{"op":"unsub","sid":[[1]]}"#, Field::Sid),
        (r#"{"op":"unsub","sid":1,"max":-1}"#, Field::Max),
        (r#"{"op":"sub","sid":1,"topic":"a","echo":"yes"}"#, Field::Echo),
        (r#"{"op":"sub","sid":1,"topic":"a","echo":null}"#, Field::Echo),
        (r#"{"op":"sub","sid":1,"topic":"a","group":null}"#, Field::Group),
        (r#"{"op":"pub","topic":null}"#, Field::Topic),
        (r#"{"op":"pub","topic":"\ud800"}"#, Field::Topic),
        (r#"{"op":"pub","topic":"a","reply":5}"#, Field::Reply),
        (r#"{"op":"pub","topic":"a","data_base64":5}"#, Field::DataBase64),
        (r#"{"op":"pub","topic":"a","data_base64":"AQ"}"#, Field::DataBase64),
        (r#"{"op":"pub","topic":"a","data_base64":"A-_="}"#, Field::DataBase64),
        (r#"{"op":"pub","topic":"a","data_base64":"AR=="}"#, Field::DataBase64),
        (r#"{"op":"pub","topic":"a","data_base64":"===="}"#, Field::DataBase64),
        (r#"{"op":"pub","topic":"a","headers":[]}"#, Field::Headers),
        (r#"{"op":"pub","topic":"a","headers":null}"#, Field::Headers),
        (r#"{"op":"pub","topic":"a","headers":{"a":1}}"#, Field::Headers),
        (r#"{"op":"pub","topic":"a","headers":{"a":[]}}"#, Field::Headers),
        (r#"{"op":"pub","topic":"a","headers":{"a":["b",1]}}"#, Field::Headers),
        (r#"{"op":"req","id":1,"topic":"a","timeout_ms":0}"#, Field::TimeoutMs),
    ];
    for (text, expected) in cases {
        assert!(matches!(fault(text), DecodeFault::BadField { field, .. } if field == expected), "{text}");
    }
}

#[test]
fn headers_that_could_deceive_are_refused() {
    let cases = [
        (r#"{"a":"x\r\nb: c"}"#, HeaderError::Value),
        (r#"{"a":["ok","\u0000"]}"#, HeaderError::Value),
        (r#"{"a\r\nb":"c"}"#, HeaderError::Name),
        (r#"{"pOrTcUlLiS-From":"orders"}"#, HeaderError::Reserved),
    ];
    for (headers, expected) in cases {
        let text = format!(r#"{{"op":"pub","topic":"a","headers":{headers}}}"#);
        assert!(matches!(fault(&text), DecodeFault::Header { fault, .. } if fault == expected), "{headers}");
    }
    let twice = r#"{"op":"pub","topic":"a","headers":{"a":"1","a":"2"}}"#;
    assert_eq!(fault(twice), DecodeFault::DuplicateHeader);
    let many: Vec<String> = (0..65).map(|number| format!("\"h{number}\":\"\"")).collect();
    let text = format!(r#"{{"op":"pub","topic":"a","headers":{{{}}}}}"#, many.join(","));
    assert!(matches!(fault(&text), DecodeFault::Header { fault: HeaderError::TooMany, .. }));
}

#[test]
fn a_payload_is_measured_decoded() {
    let exact = format!(r#","data":"{}""#, "x".repeat(1022));
    let above = format!(r#","data":"{}""#, "x".repeat(1023));
    assert!(payload_of(&exact).is_ok());
    assert_eq!(payload_of(&above), Err(DecodeFault::PayloadTooLarge { limit: 1024 }));
    let exact = format!(r#","data_base64":"{}""#, BASE64_STANDARD.encode([0; 1024]));
    let above = format!(r#","data_base64":"{}""#, BASE64_STANDARD.encode([0; 1025]));
    assert!(payload_of(&exact).is_ok());
    assert_eq!(payload_of(&above), Err(DecodeFault::PayloadTooLarge { limit: 1024 }));
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |depth: usize| format!(r#","data":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(payload_of(&nested(MAX_JSON_DEPTH)).is_ok());
    assert_eq!(payload_of(&nested(MAX_JSON_DEPTH + 1)), Err(DecodeFault::TooDeep));
    let flat = format!(r#","data":["{}"]"#, "[{".repeat(100));
    assert!(payload_of(&flat).is_ok());
}

#[test]
fn a_hostile_depth_anywhere_is_refused_without_recursion() {
    let deep = "[".repeat(200_000);
    for text in [deep.clone(), format!(r#"{{"op":"pub","topic":{deep}"#), format!(r#"{{"zzz":{deep}"#)] {
        assert!(decode(&text, &LIMITS).is_err());
    }
    let closed = format!(r#"{{"op":"pub","id":{deep}{}}}"#, "]".repeat(200_000));
    assert!(matches!(fault(&closed), DecodeFault::MissingField(_) | DecodeFault::BadField { .. }));
    let headers = format!(r#"{{"op":"pub","topic":"a","headers":{{"a":{deep}{}}}}}"#, "]".repeat(200_000));
    assert!(matches!(fault(&headers), DecodeFault::BadField { field: Field::Headers, .. }));
}

#[test]
fn the_answer_names_the_operation_wherever_its_fields_stand() {
    let frame = r#"{"op":"sub","bogus":{"secret":1},"topic":"a.>","sid":"x","id":9}"#;
    let error = decode(frame, &LIMITS).expect_err("unknown field");
    assert_eq!(
        (error.code(), error.id(), error.op()),
        (ErrorCode::BadMessage, OpId::new(9), Some(Op::Subscribe))
    );
    let event = error.into_event();
    assert_eq!(event.topic.as_deref(), Some("a.>"));
    assert_eq!(event.sid, Sid::from_text("x"));
    assert_eq!(event.reason, "unknown field `bogus`");
}

#[test]
fn the_answer_names_what_was_read_before_the_syntax_broke() {
    let frame = r#"{"id":9,"op":"pub","data":{"secret"#;
    let error = decode(frame, &LIMITS).expect_err("cut");
    assert_eq!((error.id(), error.op()), (OpId::new(9), Some(Op::Publish)));
    assert!(!error.into_event().reason.contains("secret"));
}

#[test]
fn codes_tell_size_and_support_from_form() {
    let large = format!(r#"{{"op":"pub","id":4,"topic":"a","data":"{}"}}"#, "x".repeat(2000));
    let error = decode(&large, &LIMITS).map(|_| ()).expect_err("too large");
    assert_eq!((error.code(), error.id()), (ErrorCode::TooLarge, OpId::new(4)));
    let error = decode(r#"{"op":"stream","id":4}"#, &LIMITS).map(|_| ()).expect_err("unknown");
    assert_eq!((error.code(), error.id(), error.op()), (ErrorCode::Unsupported, OpId::new(4), None));
}

proptest! {
    #[test]
    fn data_arrives_byte_for_byte(data in json_text(), padding in "[ \n\t\r]{0,3}") {
        let text = format!(r#"{{"op":"pub","topic":"a","data":{padding}{data}{padding}}}"#);
        let payload = payload_of_frame(&text).expect("valid JSON");
        prop_assert_eq!(payload.bytes(), data.as_bytes());
        let (topic, from) = (Topic::parse("a").expect("valid"), ServiceName::parse("s").expect("valid"));
        let message =
            Message { topic: &topic, from: &from, payload, headers: Default::default(), reply: None };
        let mut out = Vec::new();
        crate::protocol::json::message_tail(&message, &mut out);
        let expected = format!(r#","topic":"a","from":"s","data":{data}}}"#);
        prop_assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = decode(&text, &LIMITS);
    }

    #[test]
    fn no_damaged_command_panics(place in 0_usize..80, byte in 0_u8..128) {
        let mut bytes = br#"{"op":"pub","id":1,"topic":"a","headers":{"a":["b"]},"data":{"x":"\u00e9"}}"#.to_vec();
        if let Some(target) = bytes.get_mut(place) {
            *target = byte;
        }
        let _ = decode(&String::from_utf8(bytes).expect("ASCII"), &LIMITS);
    }
}

/// JSON texts with odd spacing, escapes and numbers.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?",
        "[^\\p{Cc}\"\\\\]{0,12}".prop_map(|text| format!("\"{text}\"")),
        Just(r#""\u00e9\ud83d\ude00\/\n\"\\""#.to_owned()),
    ];
    leaf.prop_recursive(6, 24, 4, |inner| {
        let gap = "[ \n\t\r]{0,2}";
        prop_oneof![
            (proptest::collection::vec(inner.clone(), 0..4), gap)
                .prop_map(|(items, gap)| format!("[{gap}{}{gap}]", items.join(&format!("{gap},{gap}")))),
            (proptest::collection::vec(inner, 0..4), gap).prop_map(|(items, gap)| {
                let members: Vec<_> = items.iter().map(|item| format!("\"k\"{gap}:{gap}{item}")).collect();
                format!("{{{gap}{}}}", members.join(","))
            }),
        ]
    })
    .prop_filter("within the payload limit", |text| text.len() <= LIMITS.max_payload)
}

fn fault(frame: &str) -> DecodeFault {
    decode(frame, &LIMITS).map(|command| panic!("accepted: {command:?}")).unwrap_or_else(|error| error.fault)
}

/// The payload's bytes and form.
fn payload_of(field: &str) -> Result<(Vec<u8>, PayloadForm), DecodeFault> {
    let frame = format!(r#"{{"op":"pub","topic":"a"{field}}}"#);
    payload_of_frame(&frame).map(|payload| (payload.bytes().to_vec(), payload.form()))
}

fn payload_of_frame(frame: &str) -> Result<Payload<'_>, DecodeFault> {
    match decode(frame, &LIMITS) {
        Ok(Command::Publish { payload, .. }) => Ok(payload),
        Ok(other) => panic!("decoded as {other:?}"),
        Err(error) => Err(error.fault),
    }
}

fn reauth(chain: &[&str], more: &str) -> String {
    let chain = serde_json::to_string(chain).expect("strings");
    format!(
        r#"{{"op":"reauth","id":1,"chain":{chain},"host":"gw","scheme":"ed25519","signature":"BAU="{more}}}"#
    )
}
