use std::time::Duration;

use clap::Parser;
use serde_json::json;

use super::payload::{Form, body, looks_like_json, next_line, write_line, write_raw};
use super::{Failure, PublishArgs, SubscribeArgs, parse_duration, parse_header};
use crate::cli::exit::Exit;
use crate::client::{Body, ErrorCode, Headers, Message, OperationError, Rejection};
use crate::topic::Topic;

#[derive(Parser)]
struct Publish {
    #[command(flatten)]
    _args: PublishArgs,
}

#[derive(Parser)]
struct Subscribe {
    #[command(flatten)]
    _args: SubscribeArgs,
}

const GATEWAY: [&str; 8] =
    ["--url", "wss://gateway/", "--ca", "ca.pem", "--cert", "cert.pem", "--key", "key.pem"];

fn with_gateway<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["portcullis"], args, &GATEWAY].concat()
}

#[test]
fn command_lines_are_understood() {
    assert!(
        Publish::try_parse_from(with_gateway(&["a.b", "-", "--header", "Trace: 7", "--count", "3"])).is_ok()
    );
    assert!(Publish::try_parse_from(with_gateway(&["a.b", "x", "--header", "nonsense"])).is_err());
    assert!(
        Subscribe::try_parse_from(with_gateway(&["a.*", "b.>", "--group", "g", "--raw", "--no-echo"]))
            .is_ok()
    );
    assert!(Subscribe::try_parse_from(with_gateway(&[])).is_err());
}

#[test]
fn help_tells_the_exit_codes() {
    let Err(help) = Publish::try_parse_from(["portcullis", "--help"]) else { panic!("no help") };
    assert!(help.to_string().contains("4  no answer in time"));
}

#[test]
fn durations_and_headers_are_read() {
    assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
    assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
    for wrong in ["", "5", "s", "0s", "-1s", "5h", "99999999999s"] {
        assert!(parse_duration(wrong).is_err(), "{wrong}");
    }
    assert_eq!(parse_header("A: b:c"), Ok(("A".into(), "b:c".into())));
    assert!(parse_header(": x").is_err());
}

#[test]
fn data_is_json_where_it_is_json() {
    assert!(matches!(body(Form::Text, br#"{"a": 1}"#.to_vec()), Ok(Body::Json(_))));
    assert!(matches!(body(Form::Text, b"plain words".to_vec()), Ok(Body::Bytes(_))));
    assert!(matches!(body(Form::Text, Vec::new()), Ok(Body::Empty)));
    assert!(
        matches!(body(Form::Base64, b"AAEC\n".to_vec()), Ok(Body::Bytes(bytes)) if bytes.as_ref() == [0, 1, 2])
    );
    assert!(matches!(body(Form::Base64, b"?".to_vec()), Err(Failure::Base64)));
}

#[test]
fn data_that_begins_like_json_is_told_from_words() {
    for data in ["{a: 1}", "[1,", "\"open", "  {"] {
        assert!(looks_like_json(data.as_bytes()), "{data}");
    }
    for data in ["", " ", "plain", "1.", "nul"] {
        assert!(!looks_like_json(data.as_bytes()), "{data}");
    }
}

#[test]
fn standard_input_is_taken_line_by_line() {
    let mut input = b"one\r\n\ntwo".as_slice();
    let mut lines = Vec::new();
    while let Some(line) = next_line(&mut input).unwrap() {
        lines.push(line);
    }
    assert_eq!(lines, [b"one".to_vec(), Vec::new(), b"two".to_vec()]);
    let mut endless = std::io::BufReader::new(std::io::repeat(b'x'));
    assert!(matches!(next_line(&mut endless), Err(Failure::LongLine { .. })));
}

#[test]
fn a_message_is_one_line_whatever_its_payload() {
    let pretty = serde_json::value::RawValue::from_string("{\n  \"a\": 1.50\n}".into()).unwrap();
    let message = Message {
        topic: Topic::parse("a.b").unwrap(),
        from: None,
        body: pretty.into(),
        headers: Headers::from_iter([("Trace", "7")]),
        reply: None,
    };
    let mut out = Vec::new();
    write_line(&message, &mut out).unwrap();
    let line = String::from_utf8(out).unwrap();
    assert_eq!(line, "{\"topic\":\"a.b\",\"data\":{   \"a\": 1.50 },\"headers\":{\"Trace\":\"7\"}}\n");

    let mut out = Vec::new();
    write_raw(&Body::from(json!([1])), &mut out).unwrap();
    assert_eq!(out, b"[1]\n");
}

#[test]
fn each_failure_has_its_exit_code() {
    let exit = |fault: OperationError| Failure::from(fault).exit();
    assert_eq!(exit(OperationError::NoResponders), Exit::Refused);
    let rejection = Rejection {
        code: ErrorCode::Forbidden,
        reason: String::new(),
        operation: None,
        topic: None,
        retry_after: None,
    };
    let forbidden = OperationError::Forbidden { service: None, rejection: rejection.into() };
    assert_eq!(exit(forbidden), Exit::Refused);
    assert_eq!(exit(OperationError::Disconnected), Exit::NoConnection);
    assert_eq!(exit(OperationError::Timeout { after: Duration::from_secs(1) }), Exit::Timeout);
    assert_eq!(Failure::Base64.exit(), Exit::Usage);
}
