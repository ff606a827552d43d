//! What subscribers read, by a parser that shares nothing with the gateway.

mod voice;

use proptest::prelude::*;

use super::*;
use crate::identity::ServiceName;
use crate::protocol::{Command, Headers, Message, Payload};
use crate::topic::Topic;

const FORMS: [Form; 3] = [Form::Stamped, Form::AsPublished, Form::Headerless];

/// What a client makes of a stream.
#[derive(Debug, PartialEq)]
enum Read {
    Message { subject: String, sid: String, reply: Option<String>, head: Option<String>, payload: Vec<u8> },
    Line(String),
}

/// Reads a stream to its end, as strictly as a client may.
fn read(mut stream: &[u8]) -> Vec<Read> {
    let mut all = Vec::new();
    while !stream.is_empty() {
        let end = stream.windows(2).position(|window| window == b"\r\n").expect("a line end");
        let line = std::str::from_utf8(&stream[..end]).expect("UTF-8");
        stream = &stream[end + 2..];
        let words: Vec<_> = line.split(' ').collect();
        let (sizes, args) = match words[0] {
            "MSG" => (1, &words[1..]),
            "HMSG" => (2, &words[1..]),
            _ => {
                all.push(Read::Line(line.into()));
                continue;
            }
        };
        let (names, sizes) = args.split_at(args.len() - sizes);
        let sizes: Vec<usize> = sizes.iter().map(|size| size.parse().expect("a size")).collect();
        let total = *sizes.last().expect("one at least");
        let (body, rest) = stream.split_at(total);
        stream = rest.strip_prefix(b"\r\n").expect("the end of a payload");
        let (head, payload) = body.split_at(if sizes.len() == 2 { sizes[0] } else { 0 });
        let head = (sizes.len() == 2).then(|| String::from_utf8(head.to_vec()).expect("UTF-8"));
        let (subject, sid, reply) = match names {
            [subject, sid] => (subject, sid, None),
            [subject, sid, reply] => (subject, sid, Some(reply.to_string())),
            _ => panic!("{line}"),
        };
        let (subject, sid, payload) = (subject.to_string(), sid.to_string(), payload.to_vec());
        all.push(Read::Message { subject, sid, reply, head, payload });
    }
    all
}

fn headers(pairs: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::builder();
    pairs.iter().for_each(|(name, value)| headers.push(name, value).expect("valid"));
    headers.build()
}

/// A message for the subscription `7`.
fn written(topic: &str, payload: &[u8], headers: Headers, reply: Option<&str>, form: Form) -> Vec<u8> {
    let (topic, from) =
        (Topic::parse(topic).expect("a topic"), ServiceName::parse("orders").expect("a name"));
    let (payload, reply) =
        (Payload::opaque(payload), reply.map(|reply| Topic::parse(reply).expect("a topic")));
    let message = Message { topic: &topic, from: &from, payload, headers, reply: reply.as_ref() };
    let mut out = Vec::new();
    message_head(&message, form, &mut out);
    out.push(b'7');
    message_tail(&message, form, &mut out);
    out
}

/// A form, the headers and the reply that a publisher gave, and what is written.
type Case = (Form, &'static [(&'static str, &'static str)], Option<&'static str>, &'static str);

#[test]
fn a_message_in_each_form() {
    let cases: [Case; 7] = [
        (Form::Stamped, &[], None, "HMSG t 7 37 39\r\nNATS/1.0\r\nPortcullis-From: orders\r\n\r\nhi\r\n"),
        (
            Form::Stamped,
            &[("b", "1"), ("a", "")],
            Some("_INBOX.x"),
            "HMSG t 7 _INBOX.x 48 50\r\nNATS/1.0\r\nPortcullis-From: orders\r\nb: 1\r\na: \r\n\r\nhi\r\n",
        ),
        (Form::AsPublished, &[], None, "MSG t 7 2\r\nhi\r\n"),
        (Form::AsPublished, &[], Some("r"), "MSG t 7 r 2\r\nhi\r\n"),
        (Form::AsPublished, &[("b", "1")], Some("r"), "HMSG t 7 r 18 20\r\nNATS/1.0\r\nb: 1\r\n\r\nhi\r\n"),
        (Form::Headerless, &[("b", "1")], None, "MSG t 7 2\r\nhi\r\n"),
        (Form::Headerless, &[], Some("r"), "MSG t 7 r 2\r\nhi\r\n"),
    ];
    for (form, pairs, reply, expected) in cases {
        let out = written("t", b"hi", headers(pairs), reply, form);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{form:?}");
    }
    assert_eq!(written("a.b", b"", Headers::EMPTY, None, Form::Headerless), b"MSG a.b 7 0\r\n\r\n");
}

#[test]
fn a_request_that_nobody_receives_is_an_empty_message_with_a_status() {
    let mut out = Vec::new();
    no_responders("_INBOX.x", &crate::protocol::Sid::from_text("7").expect("a sid"), &mut out);
    let head = "NATS/1.0 503\r\n\r\n";
    assert_eq!(
        read(&out),
        [Read::Message {
            subject: "_INBOX.x".into(),
            sid: "7".into(),
            reply: None,
            head: Some(head.into()),
            payload: Vec::new(),
        }]
    );
}

/// What a subscriber of each form reads of whatever a client publishes, with what comes behind it.
fn heard(operation: &[u8], check: impl Fn(Form, &Command<'_>, Vec<Read>)) {
    let mut decoder = Decoder::default();
    let (_, found) = decoder.find(operation, 4096).expect("a line of the test's own");
    let found = decoder.get(found.expect("whole"), operation).expect("sizes of the test's own");
    let Operation::Command(command) = found else { return };
    let Command::Publish { topic, payload, headers, reply, .. } = &command else { panic!("a publication") };
    for form in FORMS {
        let mut stream = written(topic, payload.bytes(), headers.clone(), reply.as_deref(), form);
        stream.extend_from_slice(b"PONG\r\n");
        check(form, &command, read(&stream));
    }
}

proptest! {
    /// Nothing that a publisher sends becomes a line of the protocol, a header that it did not give, or a word of the gateway's.
    #[test]
    fn nothing_breaks_out_of_a_message(
        topic in crate::topic::tests::any_topic(),
        reply in proptest::option::of(crate::topic::tests::any_topic()),
        block in any_block(),
        payload in any_payload(),
    ) {
        let reply = reply.as_ref().map(|reply| format!("{} ", reply.as_str())).unwrap_or_default();
        let (size, total) = (block.len(), block.len() + payload.len());
        let line = format!("HPUB {} {reply}{size} {total}\r\n", topic.as_str());
        let operation = [line.as_bytes(), &block, &payload, b"\r\n"].concat();
        heard(&operation, |form, command, read| {
            let Command::Publish { topic, payload, headers, reply, .. } = command else { panic!() };
            let [Read::Message { subject, sid, reply: r, head, payload: p }, Read::Line(pong)] = &read[..] else {
                panic!("{form:?}: {read:?}")
            };
            assert_eq!((subject.as_str(), sid.as_str(), r.as_deref()), (&**topic, "7", reply.as_deref()));
            assert_eq!((p.as_slice(), pong.as_str()), (payload.bytes(), "PONG"));
            let lines: Vec<_> = head.iter().flat_map(|head| head.split("\r\n")).collect();
            let given = headers.iter().map(|(name, value)| format!("{name}: {value}"));
            let mut expected: Vec<_> = ["NATS/1.0".to_owned()].into_iter().collect();
            expected.extend((form == Form::Stamped).then(|| "Portcullis-From: orders".to_owned()));
            expected.extend(given);
            expected.extend([String::new(), String::new()]);
            match (form, headers.is_empty()) {
                (Form::Headerless, _) | (Form::AsPublished, true) => assert_eq!(head, &None),
                _ => assert_eq!(lines, expected),
            }
            let stamps = lines.iter().filter(|line| line.to_ascii_lowercase().starts_with("portcullis-")).count();
            assert_eq!(stamps, usize::from(form == Form::Stamped));
        });
    }
}

/// Header blocks, most of them nearly right.
fn any_block() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        "[A-Za-z-]{1,6}: [ -~]{0,8}\r\n",
        "[A-Za-z-]{0,3}:[ -~ä\t\r\n\u{0}]{0,6}\r\n",
        Just("Portcullis-From: root\r\n".to_owned()),
        Just("portcullis-x: y\r\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("a: b\nMSG t 7 0\r\n".to_owned()),
    ];
    let first = prop_oneof![6 => Just("NATS/1.0\r\n"), 1 => Just("NATS/1.0 503\r\n"), 1 => Just("")];
    let good = (first, proptest::collection::vec(line, 0..4)).prop_map(|(first, lines)| {
        let lines: String = lines.concat();
        format!("{first}{lines}\r\n").into_bytes()
    });
    prop_oneof![8 => good, 1 => proptest::collection::vec(any::<u8>(), 0..20)]
}

fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    let hostile = prop_oneof![
        Just(b"\r\nMSG t 7 0\r\n\r\n".to_vec()),
        Just(b"\r\nPONG\r\n-ERR 'x'\r\n".to_vec()),
        Just(b"NATS/1.0\r\nPortcullis-From: root\r\n\r\n".to_vec()),
    ];
    prop_oneof![hostile, proptest::collection::vec(any::<u8>(), 0..40)]
}
