//! What the gateway says of its own: `INFO`, answers, errors, and messages to those who listen.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::identity::ServiceName;
use crate::protocol::nats::{Connect, HeaderFault, MOST_LISTENING, Voice};
use crate::protocol::{
    Challenge, ErrorCode, ErrorEvent, Event, HeaderError, Limits, OkResult, Op, OpId, ReauthCause,
    Reauthenticated, RevokedBecause, Sid, Standing,
};
use crate::topic::{Pattern, Topic};

fn said(voice: &mut Voice, event: &Event) -> String {
    let mut out = Vec::new();
    voice.say(event, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

/// A voice that says only what it must.
fn quiet() -> Voice {
    let mut voice = Voice::default();
    voice.connect(Connect { verbose: false, headers: true, ..Connect::default() });
    voice
}

fn sid(text: &str) -> Sid {
    Sid::from_text(text).expect("a sid")
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("a pattern")
}

fn hello() -> Event {
    let limits = Limits {
        max_payload: 1_000,
        max_subscriptions: 2,
        max_in_flight_requests: 3,
        max_headers: 4,
        max_header_bytes: 5,
    };
    Event::Hello(Box::new(Standing {
        service: ServiceName::parse("orders").expect("a name"),
        roles: Vec::new(),
        session: "0123".into(),
        protocol: "nats",
        deadline: 6,
        limits,
        gateway: "a \"gate\"\r\n".into(),
        challenge: Challenge::new([7; 32]),
    }))
}

fn info(line: &str) -> Value {
    let document = line.strip_prefix("INFO ").and_then(|rest| rest.strip_suffix("\r\n")).expect("one line");
    assert!(!document.contains(['\r', '\n']), "{document}");
    serde_json::from_str(document).expect("JSON")
}

#[test]
fn info_tells_what_clients_look_for_and_again_where_to_go() {
    let mut voice = quiet();
    let alternatives: Arc<[String]> = Arc::from(["wss://b/nats".to_owned()]);
    let draining = |alternatives| Event::Draining { deadline: 1, alternatives };
    assert_eq!(said(&mut voice, &draining(alternatives.clone())), "", "nobody was greeted yet");
    let first = info(&said(&mut voice, &hello()));
    let mut expected = json!({
        "server_id": "0123", "server_name": "a \"gate\"\r\n", "version": first["version"], "proto": 1,
        "headers": true, "auth_required": false, "tls_required": true, "tls_verify": true,
        "max_payload": 1_000, "service": "orders",
    });
    assert_eq!(first, expected);
    // Clients compare it with what they need.
    assert!(first["version"].as_str().is_some_and(|version| version.starts_with("2.10.")));
    expected["ldm"] = json!(true);
    assert_eq!(info(&said(&mut voice, &draining(Arc::from([])))), expected);
    expected["connect_urls"] = json!(["wss://b/nats"]);
    assert_eq!(info(&said(&mut voice, &draining(alternatives))), expected);
}

#[test]
fn success_is_told_to_who_wants_to_hear_it() {
    let done = Event::Ok { id: OpId::ZERO, result: OkResult::Empty };
    assert_eq!(said(&mut Voice::default(), &done), "+OK\r\n", "what holds before CONNECT");
    assert_eq!(said(&mut quiet(), &done), "");
    // An end of what is over is success, told or not.
    let ended = ErrorEvent { op: Some(Op::Unsubscribe), ..ErrorEvent::new(ErrorCode::BadMessage, "none") };
    let ended = Event::Error(Box::new(ended));
    assert_eq!(said(&mut Voice::default(), &ended), "+OK\r\n");
    assert_eq!(said(&mut quiet(), &ended), "");
}

fn error(op: Op, topic: &str, group: Option<&str>, code: ErrorCode) -> Event {
    let (topic, group) = (Some(topic.into()), group.map(Into::into));
    Event::Error(Box::new(ErrorEvent { op: Some(op), topic, group, ..ErrorEvent::new(code, "a 'reason'") }))
}

/// Official clients close at every text that begins otherwise, and find a subscription by what stands in quotes.
#[test]
fn every_error_on_a_session_that_goes_on_is_a_permissions_violation() {
    for code in ErrorCode::ALL {
        let why = if code == ErrorCode::Forbidden { "" } else { ": a \u{2019}reason\u{2019}" };
        let cases = [
            (Op::Publish, None, "Publish to \"a.b\""),
            (Op::Respond, None, "Publish to \"a.b\""),
            (Op::Subscribe, None, "Subscription to \"a.b\""),
            (Op::Subscribe, Some("pool"), "Subscription to \"a.b\" using queue \"pool\""),
        ];
        for (op, group, what) in cases {
            let expected = format!("-ERR 'Permissions Violation for {what}{why}'\r\n");
            assert_eq!(said(&mut quiet(), &error(op, "a.b", group, code)), expected);
            assert_eq!(said(&mut Voice::default(), &error(op, "a.b", group, code)), expected, "in its place");
        }
    }
}

#[test]
fn a_denied_reply_is_named_in_place_of_the_topic() {
    let event = ErrorEvent {
        op: Some(Op::Publish),
        topic: Some("a.b".into()),
        reply: Some("c'd".into()),
        ..ErrorEvent::new(ErrorCode::Forbidden, "forbidden")
    };
    let expected = "-ERR 'Permissions Violation for Publish with Reply of \"c\u{2019}d\"'\r\n";
    assert_eq!(said(&mut quiet(), &Event::Error(Box::new(event))), expected);
}

#[test]
fn what_a_client_wrote_ends_no_error_early() {
    let cases = [("a'b", "a\u{2019}b"), ("a\"b", "a\u{201d}b"), ("a\u{1b}[2J", "a?[2J"), ("ä日", "ä日")];
    for (topic, shown) in cases {
        let expected = format!("-ERR 'Permissions Violation for Publish to \"{shown}\"'\r\n");
        assert_eq!(said(&mut quiet(), &error(Op::Publish, topic, None, ErrorCode::Forbidden)), expected);
        let mut out = Vec::new();
        quiet().refuse(topic, HeaderFault::Version, &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let start = format!("-ERR 'Permissions Violation for Publish to \"{shown}\": ");
        assert!(text.starts_with(&start) && text.ends_with("'\r\n"), "{text}");
        assert_eq!(text.matches('\'').count(), 2, "{text}");
    }
}

#[test]
fn each_fault_of_headers_is_told_in_one_line() {
    let faults = [
        HeaderFault::Version,
        HeaderFault::Line,
        HeaderError::Name.into(),
        HeaderError::Value.into(),
        HeaderError::Reserved.into(),
        HeaderError::TooMany.into(),
        HeaderError::TooLarge.into(),
    ];
    for fault in faults {
        let mut out = Vec::new();
        quiet().refuse("t", fault, &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!((text.lines().count(), text.matches('\'').count()), (1, 2), "{text}");
    }
}

fn reauth_required() -> Event {
    let challenge = Challenge::new([7; 32]);
    Event::ReauthRequired { challenge, deadline: 9, cause: ReauthCause::Expiring }
}

fn revoked(group: Option<&str>) -> Event {
    let (sid, topic, group) = (sid("s"), pattern("a.>"), group.map(Into::into));
    Event::SubscriptionRevoked { sid, topic, group, reason: RevokedBecause::PolicyChanged }
}

#[test]
fn events_go_to_who_listens_and_to_nobody_else() {
    let mut voice = quiet();
    assert_eq!(said(&mut voice, &reauth_required()), "");
    assert!(voice.listen(sid("1"), pattern("$SYS.SESSION.>")));
    assert!(voice.listen(sid("2"), pattern("$SYS.SESSION.REVOKED_SUB")));
    let text = said(&mut voice, &reauth_required());
    let (line, document) = text.split_once("\r\n").expect("a line");
    assert_eq!(line, format!("MSG $SYS.SESSION.REAUTH_REQUIRED 1 {}", document.len() - 2));
    let document: Value = serde_json::from_str(document).expect("JSON");
    assert_eq!((&document["op"], &document["deadline"]), (&json!("reauth_required"), &json!(9)));

    let text = said(&mut voice, &revoked(Some("pool")));
    let violation = "-ERR 'Permissions Violation for Subscription to \"a.>\" using queue \"pool\"'\r\n";
    assert!(text.starts_with(violation), "{text}");
    let names: Vec<_> = text.lines().filter(|line| line.starts_with("MSG")).collect();
    assert_eq!(names.len(), 2, "{text}");
    assert!(names.iter().all(|line| line.starts_with("MSG $SYS.SESSION.REVOKED_SUB ")));
    assert!(voice.forget(&sid("1"), None) && !voice.forget(&sid("1"), None));
    assert_eq!(said(&mut voice, &reauth_required()), "");
    let plain = said(&mut quiet(), &revoked(None));
    assert_eq!(plain, "-ERR 'Permissions Violation for Subscription to \"a.>\"'\r\n");
}

#[test]
fn a_subscription_that_listens_ends_with_its_maximum() {
    let mut voice = quiet();
    assert!(voice.listen(sid("1"), pattern("$SYS.SESSION.>")));
    assert_ne!(said(&mut voice, &reauth_required()), "");
    assert!(voice.forget(&sid("1"), Some(2)) && voice.is_listening(&sid("1")));
    assert_ne!(said(&mut voice, &reauth_required()), "");
    assert!(!voice.is_listening(&sid("1")));
    assert_eq!(said(&mut voice, &reauth_required()), "");
}

#[test]
fn another_limit_is_told_once() {
    let mut voice = quiet();
    said(&mut voice, &hello());
    let mut out = Vec::new();
    voice.limit(4096, &mut out);
    assert!(String::from_utf8(out).expect("UTF-8").contains("\"max_payload\":4096"));
    let mut again = Vec::new();
    voice.limit(4096, &mut again);
    assert_eq!(again, b"");
}

#[test]
fn only_so_many_subscriptions_listen() {
    let mut voice = quiet();
    for number in 0..MOST_LISTENING {
        assert!(voice.listen(sid(&number.to_string()), pattern("$SYS.SESSION.x")));
    }
    assert!(!voice.listen(sid("more"), pattern("$SYS.SESSION.x")));
    assert!(voice.forget(&sid("0"), None) && voice.listen(sid("more"), pattern("$SYS.SESSION.x")));
}

#[test]
fn an_answer_is_the_other_dialects_document_and_nothing_more() {
    let result =
        OkResult::Reauthenticated(Reauthenticated { deadline: 9, challenge: Challenge::new([7; 32]) });
    let answer = Event::Ok { id: OpId::ZERO, result };
    assert_eq!(said(&mut Voice::default(), &answer), "", "it goes to who asked");
    let mut out = Vec::new();
    quiet().answer(&Topic::parse("_INBOX.x").expect("a topic"), &sid("7"), &answer, &mut out);
    let document =
        r#"{"op":"ok","id":0,"deadline":9,"challenge":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="}"#;
    let expected = format!("MSG _INBOX.x 7 {}\r\n{document}\r\n", document.len());
    assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
}
