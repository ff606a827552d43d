//! Operations in tables, the independence of how the stream is cut, and that both dialects mean the same.

use proptest::prelude::*;

use super::*;
use crate::protocol::json::DecodeLimits;
use crate::protocol::nats::MAX_CONTROL_LINE;
use crate::protocol::{HeaderError, Op};
use crate::topic::tests::any_topic;

const MAX_PAYLOAD: usize = 1024;

/// All operations of a stream that comes whole, as text, and the fault that ends it.
fn decode_all(stream: &[u8]) -> (Vec<String>, Option<StreamFault>) {
    decode_cut(stream, &[stream.len().max(1)])
}

/// The same for a stream that comes in pieces of the given sizes, over and over.
fn decode_cut(stream: &[u8], cuts: &[usize]) -> (Vec<String>, Option<StreamFault>) {
    decode_by(Decoder::default(), stream, cuts)
}

/// That of a client that wants no `+OK`, as all official ones do, or of one that does.
fn decoder(verbose: bool) -> Decoder {
    Decoder { connect: Connect { verbose, ..Connect::default() }, ..Decoder::default() }
}

fn decode_by(mut decoder: Decoder, mut stream: &[u8], cuts: &[usize]) -> (Vec<String>, Option<StreamFault>) {
    let mut all = Vec::new();
    for cut in cuts.iter().cycle() {
        let (mut piece, rest) = stream.split_at((*cut).min(stream.len()));
        stream = rest;
        while !piece.is_empty() {
            let (used, found) = match decoder.find(piece, MAX_PAYLOAD) {
                Ok(found) => found,
                Err(fault) => return (all, Some(fault)),
            };
            if let Some(found) = found {
                match decoder.get(found, piece) {
                    Ok(operation) => all.push(told(&operation)),
                    Err(fault) => return (all, Some(fault)),
                }
            }
            assert!(used > 0, "a call that uses nothing would be repeated for ever");
            piece = &piece[used..];
        }
        if stream.is_empty() {
            break;
        }
    }
    (all, None)
}

/// An operation with its payload, which `Debug` does not show.
fn told(operation: &Operation<'_>) -> String {
    let payload = match operation {
        // What it is short for.
        Operation::Again { topic, payload } => {
            return told(&Operation::Command(publish(topic, payload, None)));
        }
        Operation::Command(Command::Publish { payload, headers, .. }) => {
            let headers: Vec<_> = headers.iter().collect();
            format!(" {headers:?} {}", String::from_utf8_lossy(payload.bytes()))
        }
        _ => String::new(),
    };
    format!("{operation:?}{payload}")
}

/// The one command of a stream, after a `CONNECT` that wants no `+OK`.
fn command(line: &str, check: impl FnOnce(Command<'_>)) {
    let mut decoder = Decoder::default();
    for stream in ["CONNECT {\"verbose\":false}\r\n", line] {
        let (used, found) = decoder.find(stream.as_bytes(), MAX_PAYLOAD).expect("good");
        assert_eq!(used, stream.len(), "{line}");
        match decoder.get(found.expect("whole"), stream.as_bytes()).expect("good") {
            Operation::Connect(_) => {}
            Operation::Command(command) => return check(command),
            other => panic!("{other:?}"),
        }
    }
}

fn publish<'a>(topic: &'a str, payload: &'a [u8], reply: Option<&'a str>) -> Command<'a> {
    let (payload, reply) = (Payload::opaque(payload), reply.map(Cow::Borrowed));
    Command::Publish { id: None, topic: topic.into(), payload, headers: Headers::EMPTY, reply }
}

fn subscribe<'a>(topic: &'a str, group: Option<&'a str>, sid: u64) -> Command<'a> {
    let (sid, group) = (Sid::from_number(sid).expect("small"), group.map(Cow::Borrowed));
    Command::Subscribe { id: None, sid, topic: topic.into(), group, echo: true }
}

fn unsubscribe(sid: u64, max: Option<u64>) -> Command<'static> {
    Command::Unsubscribe { id: None, sid: Sid::from_number(sid).expect("small"), max }
}

#[test]
fn each_operation_is_read_in_any_case_and_with_any_white_space() {
    let cases = [
        ("PUB a.b 5\r\nhello\r\n", publish("a.b", b"hello", None)),
        ("pub a.b  _INBOX.x  0\r\n\r\n", publish("a.b", b"", Some("_INBOX.x"))),
        ("Pub\ta\t2\n\r\n\r\n", publish("a", b"\r\n", None)),
        ("SUB a.> 7\r\n", subscribe("a.>", None, 7)),
        ("sub a.>  g  7 \r\n", subscribe("a.>", Some("g"), 7)),
        ("UNSUB 7\r\n", unsubscribe(7, None)),
        ("unsub 7 5\r\n", unsubscribe(7, Some(5))),
    ];
    for (line, expected) in cases {
        command(line, |command| assert_eq!(command, expected, "{line:?}"));
    }
}

#[test]
fn headers_are_read_and_a_block_that_is_none_costs_the_message_alone() {
    command("HPUB a r 18 25\r\nNATS/1.0\r\nA: b\r\n\r\n  hello\r\n", |command| {
        let Command::Publish { headers, payload, reply, .. } = command else { panic!("a publication") };
        assert_eq!(
            (headers.get("a"), payload.bytes(), reply.as_deref()),
            (Some("b"), &b"  hello"[..], Some("r"))
        );
    });
    let stream = b"HPUB a 22 24\r\nNATS/1.0 503\r\nA: b\r\n\r\nhi\r\nPING\r\n";
    let (operations, fault) = decode_all(stream);
    assert_eq!((operations.len(), fault), (2, None));
    assert_eq!(
        operations[0],
        format!("{:?}", Operation::Refused { topic: "a", fault: HeaderFault::Version })
    );
    let forged = b"HPUB a 32 32\r\nNATS/1.0\r\nPortcullis-From: x\r\n\r\n\r\n\r\n";
    let expected = format!("{:?}", Operation::Refused { topic: "a", fault: HeaderError::Reserved.into() });
    assert_eq!(decode_all(&forged[..]).0.first(), Some(&expected));
}

#[test]
fn what_the_client_says_of_itself_holds_for_what_follows() {
    let stream = b"SUB a 1\r\nCONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 2\r\n";
    let (operations, _) = decode_all(stream);
    assert!(
        operations[0].contains("id: Some(OpId(0))") && operations[0].contains("echo: true"),
        "{operations:?}"
    );
    assert!(operations[2].contains("id: None") && operations[2].contains("echo: false"), "{operations:?}");
}

#[test]
fn what_the_gateway_itself_answers_is_no_publication() {
    let stream = b"PUB $SYS.REQ.SESSION.WHOAMI _INBOX.r 0\r\n\r\nPUB $SYS.REQ.SESSION.REAUTH r 2\r\n{}\r\nSUB $SYS.SESSION.> 3\r\nPUB $SYS.x 0\r\n\r\n";
    let (operations, fault) = decode_all(stream);
    assert_eq!(fault, None);
    assert!(operations[0].starts_with("Ask") && operations[0].contains("WhoAmI"), "{operations:?}");
    assert!(operations[1].starts_with("Ask") && operations[1].contains("Err"), "{operations:?}");
    assert!(operations[2].starts_with("Command(Subscribe"), "{operations:?}");
    assert!(operations[3].starts_with("Command"), "the policy refuses it: {operations:?}");
}

#[test]
fn what_cannot_be_read_on_is_a_fault() {
    let long = format!("SUB {} 1\r\n", "a".repeat(MAX_CONTROL_LINE));
    let too_large = StreamFault::PayloadTooLarge { declared: MAX_PAYLOAD + 1, limit: MAX_PAYLOAD };
    let cases: Vec<(&str, StreamFault)> = vec![
        ("\r\n", StreamFault::UnknownOperation),
        ("MSG a 1 0\r\n\r\n", StreamFault::UnknownOperation),
        ("INFO {}\r\n", StreamFault::UnknownOperation),
        ("PUBX a 0\r\n", StreamFault::UnknownOperation),
        (&long, StreamFault::LineTooLong),
        (&long[..MAX_CONTROL_LINE], StreamFault::LineTooLong),
        ("PUB a\r\n", StreamFault::Arguments),
        ("PUB a b c 1\r\n", StreamFault::Arguments),
        ("PUB a b c d 1\r\n", StreamFault::Arguments),
        ("PUB a -1\r\n", StreamFault::Arguments),
        ("PUB a +1\r\n", StreamFault::Arguments),
        ("PUB a 1x\r\n", StreamFault::Arguments),
        ("PUB a 18446744073709551616\r\n", StreamFault::Arguments),
        ("HPUB a 1\r\n", StreamFault::Arguments),
        ("HPUB a 3 2\r\n", StreamFault::Arguments),
        ("SUB a\r\n", StreamFault::Arguments),
        ("SUB a g 1 2\r\n", StreamFault::Arguments),
        ("SUB a ä\r\n", StreamFault::Arguments),
        ("UNSUB\r\n", StreamFault::Arguments),
        ("UNSUB 1 x\r\n", StreamFault::Arguments),
        ("CONNECT\r\n", StreamFault::Arguments),
        ("CONNECT {\r\n", StreamFault::Arguments),
        ("PUB a 1025\r\n", too_large),
        ("HPUB a 0 1025\r\n", too_large),
        ("PUB a 2\r\nabc\r\n", StreamFault::PayloadEnd),
        ("PUB a 2\r\nab\n\n", StreamFault::PayloadEnd),
    ];
    for (stream, fault) in cases {
        assert_eq!(decode_all(stream.as_bytes()).1, Some(fault), "{stream:?}");
        assert_eq!(decode_cut(stream.as_bytes(), &[1]).1, Some(fault), "{stream:?} byte by byte");
    }
}

#[test]
fn a_declared_size_takes_no_memory() {
    let mut decoder = Decoder::default();
    let (used, found) = decoder.find(b"PUB a 1024\r\nabc", MAX_PAYLOAD).expect("good");
    assert!(used == 15 && found.is_none() && decoder.partial.capacity() < 100);
    assert_eq!(decoder.shape.len(), 1038);
}

#[test]
fn a_publication_in_three_messages_is_one() {
    let (whole, none) = decode_all(b"PUB a 5\r\nhello\r\nPING\r\n");
    assert_eq!((whole.len(), none), (2, None));
    assert_eq!(decode_cut(b"PUB a 5\r\nhello\r\nPING\r\n", &[9, 5, 2, 6]).0, whole);
}

#[test]
fn a_publication_that_repeats_the_line_before_is_told_shortly() {
    let find = |verbose: bool, next: &[u8]| {
        let (mut decoder, first) = (decoder(verbose), b"PUB a 1\r\nx\r\n");
        let (_, found) = decoder.find(first, MAX_PAYLOAD).expect("good");
        decoder.get(found.expect("whole"), first).expect("good");
        decoder.find(next, MAX_PAYLOAD).map(|(_, found)| found)
    };
    let again = b"PUB a 12\r\nabcdefghijkl\r\n";
    assert_eq!(find(false, again), Ok(Some(Found::Again)));
    assert_eq!(find(true, again), Ok(Some(Found::Input)), "it has its `+OK`");
    for other in ["PUB a r 1\r\nx\r\n", "PUB b 1\r\nx\r\n", "PUB a 1\nx\r\n", "PUB a 1 \r\nx\r\n", "PING\r\n"]
    {
        assert_eq!(find(false, other.as_bytes()), Ok(Some(Found::Input)), "{other:?}");
    }
    assert_eq!(find(false, b"PUB a 12\r\nabc"), Ok(None), "it is not whole");
    let too_large = StreamFault::PayloadTooLarge { declared: MAX_PAYLOAD + 1, limit: MAX_PAYLOAD };
    assert_eq!(find(false, b"PUB a 1025\r\n"), Err(too_large));
}

#[test]
fn a_publication_that_begins_as_the_one_before_is_read_from_where_they_part() {
    let follows = |before: &str, next: &str| {
        let mut decoder = Decoder::default();
        for stream in [before, "PING\r\n"] {
            let (_, found) = decoder.find(stream.as_bytes(), MAX_PAYLOAD).expect("good");
            decoder.get(found.expect("whole"), stream.as_bytes()).expect("good");
        }
        let before = decoder.before.as_ref().expect("it was a publication");
        let mut shape = Shape::default();
        let follows = shape.follow(&before.stem, next.as_bytes(), MAX_PAYLOAD);
        let mut read = Shape::default();
        assert!(!follows || read.read(next.as_bytes(), MAX_PAYLOAD) == Ok(true) && shape == read, "{next:?}");
        follows
    };
    let request = "PUB a.b _INBOX.x.1 2\r\nhi\r\n";
    for (before, next) in [
        (request, "PUB a.b _INBOX.x.2 2\r\nhi\r\n"),
        (request, "PUB a.b _INBOX.x.abcdef 10\r\n0123456789\r\n"),
        (request, request),
        ("pub  a.b\t _INBOX.x.1 2\r\nhi\r\n", "pub  a.b\t _INBOX.x.2 2\r\nhi\r\n"),
        ("PUB _INBOX.x.1 2\r\nhi\r\n", "PUB _INBOX.x.2 0\r\n\r\n"),
        ("PUB a 2\r\nhi\r\n", "PUB other 2\r\nhi\r\n"),
        ("PUB a r 2\r\nhi\r\n", "PUB a other 2\r\nhi\r\n"),
    ] {
        assert!(follows(before, next), "{next:?} follows {before:?}");
    }
    for next in [
        "PUB a.b _INBOX.x. 2\r\nhi\r\n",
        "PUB a.b _INBOX.x.2\t2\r\nhi\r\n",
        "PUB a.b _INBOX.x.2  2\r\nhi\r\n",
        "PUB a.b _INBOX.x.2 2 \r\nhi\r\n",
        "PUB a.b _INBOX.x.2 2\nhi\r\n",
        "PUB a.b _INBOX.x.2 2 2\r\nhi\r\n",
        "PUB a.b _INBOX.x.é 2\r\nhi\r\n",
        "PUB a.b _INBOX.x.2 1025\r\n",
        "PUB a.b _INBOX.x.2 2\r\nhi",
        "PUB a.b _INBOX.x.2 -1\r\n",
        "PUB a.b _INBOX.x.2 2",
        "PUB a.b _INBOX.x.2",
        "PUB a.b _INBOX.x.",
        "PUB a.b _INBOX.y.2 2\r\nhi\r\n",
        "pub a.b _INBOX.x.2 2\r\nhi\r\n",
        "",
    ] {
        assert!(!follows(request, next), "{next:?} is to be looked at from its beginning");
    }
    for (token, expected) in [(63, true), (64, true), (65, false)] {
        let next = format!("PUB a.b _INBOX.x.{} 2\r\nhi\r\n", "1".repeat(token));
        assert_eq!(follows(request, &next), expected, "a token of {token}");
    }
    for (stem, expected) in [(255, true), (256, true), (257, false)] {
        let line = format!("PUB {}.1 2\r\nhi\r\n", "a".repeat(stem - "PUB .".len()));
        assert_eq!(follows(&line, &line), expected, "a stem of {stem}");
    }
}

#[test]
fn a_size_alone_is_no_publication() {
    let after_a_request = b"PUB a r 1\r\nx\r\n5\r\nhello\r\n";
    let (_, fault) = decode_by(decoder(false), after_a_request, &[after_a_request.len()]);
    assert_eq!(fault, Some(StreamFault::UnknownOperation));
}

proptest! {
    #[test]
    fn how_the_stream_is_cut_changes_nothing(
        stream in stream(),
        cuts in proptest::collection::vec(1_usize..12, 1..30),
    ) {
        prop_assert_eq!(decode_cut(&stream, &cuts), decode_all(&stream));
    }

    #[test]
    fn what_an_operation_repeats_of_the_one_before_changes_nothing(
        operations in repetitive(),
        verbose in any::<bool>(),
        cuts in proptest::collection::vec(1_usize..40, 1..30),
    ) {
        let stream = operations.concat();
        let together = decode_by(decoder(verbose), &stream, &[stream.len().max(1)]);
        prop_assert_eq!(&decode_by(decoder(verbose), &stream, &cuts), &together);
        let (mut alone, mut fault) = (Vec::new(), None);
        for operation in &operations {
            let (told, first) = decode_by(decoder(verbose), operation, &[operation.len()]);
            alone.extend(told);
            fault = first;
            if fault.is_some() {
                break;
            }
        }
        prop_assert_eq!(together, (alone, fault));
    }

    #[test]
    fn any_bytes_end_in_operations_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert_eq!(decode_cut(&bytes, &[1]), decode_all(&bytes));
    }

    /// What both dialects can say, they mean alike: the same command, but for what only one of them knows of a payload's form.
    #[test]
    fn both_dialects_decode_equal_commands(said in saying()) {
        let json = said.json();
        let limits = DecodeLimits { max_payload: MAX_PAYLOAD };
        let by_json = json::decode(&json, &limits).expect("good JSON");
        let mut equal = false;
        command(&said.nats(), |by_nats| equal = alike(&by_json, &by_nats));
        prop_assert!(equal, "{json} is not {:?}", said.nats());
    }
}

fn alike(one: &Command<'_>, other: &Command<'_>) -> bool {
    match (one, other) {
        (
            Command::Publish { topic, payload, headers, reply, .. },
            Command::Publish { topic: t, payload: p, headers: h, reply: r, .. },
        ) => topic == t && payload.bytes() == p.bytes() && headers == h && reply == r,
        (one, other) => one == other && one.op() != Op::Publish,
    }
}

/// Something that can be said in both dialects.
#[derive(Debug, Clone)]
enum Saying {
    Publish { topic: String, reply: Option<String>, headers: Vec<(String, String)>, data: String },
    Subscribe { topic: String, group: Option<String>, sid: u64 },
    Unsubscribe { sid: u64, max: Option<u64> },
}

impl Saying {
    fn json(&self) -> String {
        use serde_json::{Value, json};
        let value = match self {
            Self::Publish { topic, reply, headers, data } => {
                let mut value = json!({"op": "pub", "topic": topic, "data": data});
                if let Some(reply) = reply {
                    value["reply"] = json!(reply);
                }
                if !headers.is_empty() {
                    let headers = headers.iter().map(|(name, value)| (name.clone(), json!(value)));
                    value["headers"] = Value::Object(headers.collect());
                }
                value
            }
            Self::Subscribe { topic, group: Some(group), sid } => {
                json!({"op": "sub", "topic": topic, "group": group, "sid": sid})
            }
            Self::Subscribe { topic, group: None, sid } => json!({"op": "sub", "topic": topic, "sid": sid}),
            Self::Unsubscribe { sid, max: Some(max) } => json!({"op": "unsub", "sid": sid, "max": max}),
            Self::Unsubscribe { sid, max: None } => json!({"op": "unsub", "sid": sid}),
        };
        value.to_string()
    }

    fn nats(&self) -> String {
        let word = |text: &Option<String>| text.as_ref().map(|text| format!("{text} ")).unwrap_or_default();
        match self {
            Self::Publish { topic, reply, headers, data } => {
                let data = serde_json::to_string(data).expect("a string");
                if headers.is_empty() {
                    return format!("PUB {topic} {}{}\r\n{data}\r\n", word(reply), data.len());
                }
                let lines: String =
                    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let block = format!("NATS/1.0\r\n{lines}\r\n");
                let (size, total) = (block.len(), block.len() + data.len());
                format!("HPUB {topic} {}{size} {total}\r\n{block}{data}\r\n", word(reply))
            }
            Self::Subscribe { topic, group, sid } => format!("SUB {topic} {}{sid}\r\n", word(group)),
            Self::Unsubscribe { sid, max } => {
                format!("UNSUB {sid} {}\r\n", max.map(|max| max.to_string()).unwrap_or_default())
            }
        }
    }
}

fn saying() -> impl Strategy<Value = Saying> {
    let topic = || any_topic().prop_map(|topic| topic.as_str().to_owned());
    // Sorted, because JSON objects have no order here, and of names that are not the gateway's own.
    let headers = proptest::collection::btree_map("[A-M][a-z-]{0,8}", "[!-~]([ -~äß]{0,8}[!-~])?", 0..4)
        .prop_map(|map| map.into_iter().collect::<Vec<_>>());
    let publish = (topic(), proptest::option::of(topic()), headers, "[ -~äß]{0,40}")
        .prop_map(|(topic, reply, headers, data)| Saying::Publish { topic, reply, headers, data });
    let subscribe = (topic(), proptest::option::of("[a-z]{1,8}"), 0_u64..1_000_000)
        .prop_map(|(topic, group, sid)| Saying::Subscribe { topic, group, sid });
    let unsubscribe = (0_u64..1_000_000, proptest::option::of(0_u64..1_000_000))
        .prop_map(|(sid, max)| Saying::Unsubscribe { sid, max });
    // `$SYS` is the gateway's own in this dialect, and forbidden in the other.
    prop_oneof![publish, subscribe, unsubscribe].prop_filter("topics of the gateway", |saying| match saying {
        Saying::Publish { topic, .. } | Saying::Subscribe { topic, .. } => !topic.starts_with("$SYS"),
        Saying::Unsubscribe { .. } => true,
    })
}

/// Whole operations, most of which publish on one of a few topics, some of them with sizes that are none.
fn repetitive() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let line =
        prop::sample::select(&["PUB a ", "PUB a.b ", "pub a  ", "PUB\ta ", "PUB a r ", "HPUB a 12 "][..]);
    let parts =
        (prop::sample::select(&["PUB a.", "PUB a _i.x.", "pub a  _i."][..]), "[a-d*é]{0,2}[ \t]{1,2}");
    let line =
        prop_oneof![line.prop_map(str::to_owned), parts.prop_map(|(stem, token)| stem.to_owned() + &token)];
    let publication = (line, 0_usize..30).prop_map(|(line, size)| {
        let headers = if line.starts_with('H') { "NATS/1.0\r\n\r\n" } else { "" };
        format!("{line}{}\r\n{headers}{}\r\n", size + headers.len(), "x".repeat(size)).into_bytes()
    });
    let odd = prop::sample::select(
        &["PUB a x\r\n", "PUB a 2\r\nabc\r\n", "PUB a 1025\r\n", "PUB a 00000000001\r\n"][..],
    );
    let other =
        prop::sample::select(&["PING\r\n", "PUB a 2\nab\r\n", "PUB a 2 \r\nab\r\n", "SUB a 1\r\n"][..]);
    let whole = |text: &str| text.as_bytes().to_vec();
    let one = prop_oneof![12 => publication, 1 => odd.prop_map(whole), 2 => other.prop_map(whole)];
    proptest::collection::vec(one, 0..20)
}

/// Streams of operations, most of them right.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let good = saying().prop_map(|saying| saying.nats().into_bytes());
    let other = prop_oneof![
        Just(b"PING\r\n".to_vec()),
        Just(b"PONG\r\n".to_vec()),
        Just(b"CONNECT {\"verbose\":false}\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(prop_oneof![4 => good, 1 => other], 0..8).prop_map(|parts| parts.concat())
}
