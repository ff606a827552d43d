//! `sub`, `unsub` and `pub`: what arrives where, in which order, byte for byte, and what is refused.

use serde_json::{Value, json};

use crate::harness::{Closed, Harness, Peer, Setup};

/// Everybody everything, so that only the protocol itself says no.
pub const OPEN: &str = r#"
[[grant]]
name = "open"
services = ["*"]
publish = [">"]
subscribe = [">"]
"#;

pub async fn open(limits: &str) -> Harness {
    Harness::with(Setup { policy: Some(OPEN.into()), limits: limits.into(), ..Setup::default() }).await
}

pub async fn subscribe(peer: &mut Peer, sid: &str, topic: &str) {
    peer.ok(json!({"op": "sub", "id": 1, "sid": sid, "topic": topic}).to_string()).await;
}

pub fn publication(topic: &str, data: impl Into<Value>) -> String {
    json!({"op": "pub", "topic": topic, "data": data.into()}).to_string()
}

/// Reads numbered messages of one subscription, each the successor of the one before.
async fn numbers(peer: &mut Peer, sid: &str, range: std::ops::Range<u64>) {
    for expected in range {
        let message = peer.expect("msg").await;
        assert_eq!((&message["sid"], &message["data"]), (&json!(sid), &json!(expected)), "{message}");
    }
}

#[tokio::test]
async fn a_message_reaches_its_subscriber_stamped_with_the_verified_sender() {
    let harness = Harness::start().await;
    let mut reader = harness.connect("billing", &["reader"]).await;
    let mut writer = harness.connect("checkout", &["writer"]).await;
    assert_eq!((&reader.hello["service"], &reader.hello["roles"]), (&json!("billing"), &json!(["reader"])));
    reader.ok(r#"{"op":"sub","id":1,"sid":"o","topic":"orders.*"}"#).await;
    let answer = writer.ok(r#"{"op":"pub","id":7,"topic":"orders.new","data":{"n": 1.0}}"#).await;
    assert_eq!(answer, json!({"op": "ok", "id": 7}));
    assert_eq!(
        reader.next_text().await,
        r#"{"op":"msg","sid":"o","topic":"orders.new","from":"checkout","data":{"n": 1.0}}"#
    );
}

#[tokio::test]
async fn patterns_match_token_by_token() {
    let harness = open("").await;
    let (mut reader, mut writer) = (harness.connect("a", &[]).await, harness.connect("b", &[]).await);
    let patterns = ["a.*", "a.>", "a.b", "*.b", "*.*.c", "a.*.c", "*.>", "größe.日本", ">"];
    for (place, pattern) in patterns.iter().enumerate() {
        subscribe(&mut reader, &place.to_string(), pattern).await;
    }
    let cases: [(&str, &[&str]); 7] = [
        ("a", &[">"]),
        ("a.b", &["a.*", "a.>", "a.b", "*.b", "*.>", ">"]),
        ("a.c", &["a.*", "a.>", "*.>", ">"]),
        ("a.b.c", &["a.>", "*.*.c", "a.*.c", "*.>", ">"]),
        ("b.b", &["*.b", "*.>", ">"]),
        ("A.b", &["*.b", "*.>", ">"]),
        ("größe.日本", &["*.>", "größe.日本", ">"]),
    ];
    for (topic, expected) in cases {
        writer.send_all([publication(topic, topic), publication("end", 0)]).await;
        let mut matched = Vec::new();
        loop {
            let message = reader.expect("msg").await;
            if message["topic"] == "end" {
                break;
            }
            assert_eq!((&message["topic"], &message["data"]), (&json!(topic), &json!(topic)));
            let place: usize = message["sid"].as_str().expect("a text").parse().expect("a place");
            matched.push(patterns[place]);
        }
        matched.sort_by_key(|pattern| patterns.iter().position(|other| other == pattern));
        assert_eq!(matched, expected, "{topic}");
    }
}

#[tokio::test]
async fn malformed_topics_and_patterns_are_refused_by_name() {
    let harness = open("").await;
    let mut peer = harness.connect("a", &[]).await;
    let long = ["x".repeat(256), ["x"; 33].join("."), "x".repeat(100_000)];
    let bad =
        ["", ".", ".a", "a.", "a..b", "a b", "a*.b", "a.>b", "a\tb", "a\u{0}", "a\u{200b}b", "a\u{2028}"];
    for topic in bad.into_iter().chain(long.iter().map(String::as_str)) {
        let refused = peer.ask(json!({"op": "pub", "id": 3, "topic": topic}).to_string()).await;
        assert_eq!(refused["code"], "bad_message", "{topic:?}");
        assert_eq!((&refused["id"], &refused["failed_op"]), (&json!(3), &json!("pub")));
        assert!(refused.to_string().len() < 1_000, "a refusal is short, whatever was refused");
        let refused = peer.ask(json!({"op": "sub", "id": 4, "sid": 1, "topic": topic}).to_string()).await;
        assert_eq!((&refused["code"], &refused["sid"]), (&json!("bad_message"), &json!(1)), "{topic:?}");
    }
    for topic in ["a.*", ">", "*", "a.>"] {
        assert_eq!(peer.refused(publication(topic, 1)).await, "bad_message", "{topic}");
    }
    assert_eq!(peer.refused(r#"{"op":"sub","sid":1,"topic":"a.>.b"}"#).await, "bad_message");
    assert_eq!(peer.refused(r#"{"op":"sub","sid":1,"topic":"a","group":"g h"}"#).await, "bad_message");
    let most = (["x"; 32].join("."), "x".repeat(255));
    for topic in [most.0, most.1] {
        peer.ok(json!({"op": "pub", "id": 5, "topic": topic}).to_string()).await;
    }
}

#[tokio::test]
async fn echo_decides_on_own_messages_alone() {
    let harness = open("").await;
    let (mut one, mut two) = (harness.connect("a", &[]).await, harness.connect("a", &[]).await);
    one.ok(r#"{"op":"sub","id":1,"sid":"quiet","topic":"t","echo":false}"#).await;
    one.ok(r#"{"op":"sub","id":2,"sid":"loud","topic":"t"}"#).await;
    one.send(publication("t", "mine")).await;
    assert_eq!(one.expect("msg").await["sid"], "loud");
    one.nothing_came().await;
    // Another session of the same service is somebody else.
    two.send(publication("t", "theirs")).await;
    let sids = [one.expect("msg").await["sid"].clone(), one.expect("msg").await["sid"].clone()];
    assert!(sids.contains(&json!("quiet")) && sids.contains(&json!("loud")), "{sids:?}");
}

#[tokio::test]
async fn a_sid_is_the_clients_own_number_or_text() {
    let harness = open("").await;
    let mut peer = harness.connect("a", &[]).await;
    peer.ok(r#"{"op":"sub","id":1,"sid":7,"topic":"seven"}"#).await;
    peer.ok(r#"{"op":"sub","id":2,"sid":"s-1.x:y_Z","topic":"text"}"#).await;
    for in_use in ["7", "\"7\"", "\"s-1.x:y_Z\""] {
        let refused = peer.ask(format!(r#"{{"op":"sub","id":3,"sid":{in_use},"topic":"other"}}"#)).await;
        assert_eq!(refused["code"], "bad_message", "{in_use}");
    }
    for unknown in ["8", "\"x\""] {
        assert_eq!(peer.refused(format!(r#"{{"op":"unsub","sid":{unknown}}}"#)).await, "bad_message");
    }
    for bad in ["-1", "1.5", "9007199254740992", "\"\"", "\"a b\"", "null", "true", "[1]", "{}"] {
        let refused = peer.refused(format!(r#"{{"op":"sub","sid":{bad},"topic":"t"}}"#)).await;
        assert_eq!(refused, "bad_message", "{bad}");
    }
    peer.send_all([publication("seven", 1), publication("text", 2)]).await;
    // Each comes back as it was written.
    assert_eq!(peer.expect("msg").await["sid"], 7);
    assert_eq!(peer.expect("msg").await["sid"], "s-1.x:y_Z");
    // Two sessions share no sids.
    let mut other = harness.connect("a", &[]).await;
    other.ok(r#"{"op":"sub","id":1,"sid":7,"topic":"seven"}"#).await;
    // Once it ended, a sid is free.
    peer.ok(r#"{"op":"unsub","id":4,"sid":7}"#).await;
    peer.ok(r#"{"op":"sub","id":5,"sid":7,"topic":"eight"}"#).await;
}

#[tokio::test]
async fn unsub_ends_a_subscription_now() {
    let harness = open("").await;
    let mut peer = harness.connect("a", &[]).await;
    subscribe(&mut peer, "s", "t").await;
    // All in one burst: what was published before is queued, but the subscription is gone.
    let burst = [publication("t", 0), r#"{"op":"unsub","id":2,"sid":"s"}"#.into(), publication("t", 1)];
    peer.send_all(burst).await;
    let mut answer = peer.next().await;
    if answer["op"] == "msg" {
        assert_eq!(answer["data"], 0);
        answer = peer.next().await;
    }
    assert_eq!(answer, json!({"op": "ok", "id": 2}));
    peer.nothing_came().await;
    assert_eq!(harness.gateway().router.subscriptions(), 0);
}

#[tokio::test]
async fn unsub_with_max_delivers_exactly_so_many_in_all() {
    let harness = open("").await;
    let (mut reader, mut writer) = (harness.connect("a", &[]).await, harness.connect("b", &[]).await);
    subscribe(&mut reader, "s", "t").await;
    writer.send_all((0..2).map(|n| publication("t", n))).await;
    numbers(&mut reader, "s", 0..2).await;
    reader.ok(r#"{"op":"unsub","id":2,"sid":"s","max":5}"#).await;
    writer.send_all((2..9).map(|n| publication("t", n))).await;
    writer.ok(r#"{"op":"pub","id":1,"topic":"t"}"#).await;
    numbers(&mut reader, "s", 2..5).await;
    reader.nothing_came().await;
    assert_eq!(reader.refused(r#"{"op":"unsub","sid":"s"}"#).await, "bad_message");
    assert_eq!(harness.gateway().router.subscriptions(), 0);

    // Fewer than came already: it ends at once.
    subscribe(&mut reader, "u", "t").await;
    writer.send_all((0..4).map(|n| publication("t", n))).await;
    numbers(&mut reader, "u", 0..4).await;
    reader.ok(r#"{"op":"unsub","id":3,"sid":"u","max":2}"#).await;
    writer.ok(r#"{"op":"pub","id":1,"topic":"t"}"#).await;
    reader.nothing_came().await;
    assert_eq!(harness.gateway().router.subscriptions(), 0);
}

#[tokio::test]
async fn unsub_with_max_holds_for_messages_that_are_queued_already() {
    let harness = open("").await;
    let mut peer = harness.connect("a", &[]).await;
    for max in [1, 3, 10, 11] {
        subscribe(&mut peer, "s", "t").await;
        // The burst is executed before any of its messages is written.
        let burst = (0..10).map(|n| publication("t", n));
        let unsub = json!({"op": "unsub", "id": 2, "sid": "s", "max": max}).to_string();
        peer.send_all(burst.chain([unsub])).await;
        let (mut got, mut confirmed) = (0, false);
        while got < max.min(10) || !confirmed {
            let message = peer.next().await;
            match message["op"].as_str() {
                Some("ok") => confirmed = true,
                Some("msg") => {
                    assert_eq!(message["data"], got, "max {max}");
                    got += 1;
                }
                _ => panic!("{message}"),
            }
        }
        if max > 10 {
            peer.send(publication("t", 10)).await;
            numbers(&mut peer, "s", 10..11).await;
        }
        peer.nothing_came().await;
        assert_eq!(harness.gateway().router.subscriptions(), 0, "max {max}");
    }
}

#[tokio::test]
async fn headers_travel_as_given() {
    let harness = open("").await;
    let mut peer = harness.connect("a", &[]).await;
    subscribe(&mut peer, "s", "t").await;
    let headers =
        json!({"Trace-Id": "abc", "X-Many": ["1", "2", ""], "empty": "", "x": "größe \"quoted\" \\ /"});
    peer.send(json!({"op": "pub", "topic": "t", "data": 1, "headers": headers}).to_string()).await;
    assert_eq!(peer.expect("msg").await["headers"], headers);
    peer.send(r#"{"op":"pub","topic":"t","headers":{}}"#).await;
    assert_eq!(peer.expect("msg").await.get("headers"), None);
}

#[tokio::test]
async fn headers_that_could_forge_or_inject_are_refused() {
    let harness = open("max_faults = 1000").await;
    let mut peer = harness.connect("a", &[]).await;
    subscribe(&mut peer, "s", "t").await;
    let bad = [
        json!({"a": "x\r\nPortcullis-From: root"}),
        json!({"a": "x\n"}),
        json!({"a": "\r"}),
        json!({"a": ["fine", "x\r\ny"]}),
        json!({"a": "\u{0}"}),
        json!({"a\r\nb": "x"}),
        json!({"a: b": "x"}),
        json!({"": "x"}),
        json!({"ä": "x"}),
        json!({"Portcullis-From": "root"}),
        json!({"portcullis-from": "root"}),
        json!({"PORTCULLIS-FROM": "root"}),
        json!({"pOrTcUlLiS-anything": "root"}),
        json!({"a": 1}),
        json!({"a": null}),
        json!({"a": []}),
        json!({"a": [[]]}),
        json!([]),
        json!("a: b"),
        json!(null),
        json!({"a": vec!["x"; 65]}),
        json!({"a": "x".repeat(8 * 1024)}),
    ];
    for headers in bad {
        let topics = [("pub", "topic"), ("res", "reply")];
        for (op, field) in topics {
            let text = json!({"op": op, "id": 9, field: "t", "headers": headers}).to_string();
            assert_eq!(peer.ask(text).await["code"], "bad_message", "{op} {headers}");
        }
        let text = json!({"op": "req", "id": 9, "topic": "t", "headers": headers}).to_string();
        assert_eq!(peer.ask(text).await["code"], "bad_message", "req {headers}");
    }
    let twice = r#"{"op":"pub","topic":"t","headers":{"a":"1","a":"2"}}"#;
    assert_eq!(peer.refused(twice).await, "bad_message");
    peer.nothing_came().await;
}

#[tokio::test]
async fn json_data_arrives_byte_for_byte() {
    let harness = open("").await;
    let mut peer = harness.connect("a", &[]).await;
    subscribe(&mut peer, "s", "t").await;
    let deep = "[".repeat(64) + &"]".repeat(64);
    let long = format!("\"{}\"", "ä".repeat(100_000));
    let texts = [
        "null",
        "true",
        "0",
        "-0",
        "-0.0",
        "1.0",
        "1.50",
        "1e5",
        "1E+05",
        "1e-400",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        "\"\"",
        "\"a\"",
        r#""\u0041\/\b\f\n\r\t\"\\""#,
        r#""\ud83d\ude00""#,
        "\"😀 \u{2028}\u{7f}\"",
        r#""</script>""#,
        "[]",
        "[ ]",
        "[1 , 2,\t3\n]",
        "{}",
        r#"{"b":1,"a":2}"#,
        r#"{"a":1,"a":2}"#,
        r#"{ "a" : [ { } , null ] }"#,
        r#"{"op":"err","sid":"x","from":"root","data":1}"#,
        r#"{"\u0000":"\u0000"}"#,
        r#"{"":""}"#,
        "\"}],\\\"data\\\":2\"",
        deep.as_str(),
        long.as_str(),
    ];
    for text in texts {
        for (before, after) in [("", ""), (" ", "\n"), ("\t\r\n", "  ")] {
            peer.send(format!(r#"{{"op":"pub","topic":"t","data":{before}{text}{after}}}"#)).await;
            let expected = format!(r#"{{"op":"msg","sid":"s","topic":"t","from":"a","data":{text}}}"#);
            assert_eq!(peer.next_text().await, expected);
        }
    }
}

#[tokio::test]
async fn payloads_keep_their_form() {
    let harness = open("").await;
    let mut peer = harness.connect("a", &[]).await;
    subscribe(&mut peer, "s", "t").await;
    let head = r#"{"op":"msg","sid":"s","topic":"t","from":"a""#;
    for (sent, received) in [
        ("", ""),
        (r#","data":null"#, r#","data":null"#),
        (r#","data_base64":"""#, ""),
        (r#","data_base64":"AP8=""#, r#","data_base64":"AP8=""#),
        // What was declared to be binary stays so, even if it reads as JSON or as the end of a message.
        (r#","data_base64":"MQ==""#, r#","data_base64":"MQ==""#),
        (r#","data_base64":"MSwiZnJvbSI6IngifQ==""#, r#","data_base64":"MSwiZnJvbSI6IngifQ==""#),
    ] {
        peer.send(format!(r#"{{"op":"pub","topic":"t"{sent}}}"#)).await;
        assert_eq!(peer.next_text().await, format!("{head}{received}}}"), "{sent}");
    }
    for bad in ["AP8", "A===", "AP8=\\n", "AP-_", "*", " AP8="] {
        let text = format!(r#"{{"op":"pub","topic":"t","data_base64":"{bad}"}}"#);
        assert_eq!(peer.refused(text).await, "bad_message", "{bad}");
    }
    assert_eq!(peer.refused(r#"{"op":"pub","topic":"t","data_base64":1}"#).await, "bad_message");
    assert_eq!(
        peer.refused(r#"{"op":"pub","topic":"t","data":1,"data_base64":"AA=="}"#).await,
        "bad_message"
    );
    peer.nothing_came().await;
}

#[tokio::test]
async fn a_payload_above_the_limit_is_too_large_and_nothing_more() {
    let harness = open("max_payload_bytes = 1000").await;
    let mut peer = harness.connect("a", &[]).await;
    assert_eq!(peer.hello["limits"]["max_payload"], 1_000);
    subscribe(&mut peer, "s", "t").await;
    let json =
        |bytes: usize| format!(r#"{{"op":"pub","id":2,"topic":"t","data":"{}"}}"#, "x".repeat(bytes - 2));
    let base64 = |bytes: usize| {
        format!(r#"{{"op":"pub","id":2,"topic":"t","data_base64":"{}"}}"#, "A".repeat(bytes / 3 * 4))
    };
    for fits in [json(1_000), base64(999)] {
        peer.send(fits).await;
        let ops = [peer.next().await["op"].clone(), peer.next().await["op"].clone()];
        assert!(ops.contains(&json!("ok")) && ops.contains(&json!("msg")), "{ops:?}");
    }
    for text in [json(1_001), base64(1_002), json(10_000)] {
        let refused = peer.ask(text).await;
        assert_eq!((&refused["code"], &refused["id"]), (&json!("too_large"), &json!(2)));
    }
    peer.nothing_came().await;
    peer.send(json(100_000)).await;
    assert_eq!(peer.closed().await, Closed::Frame(1009, String::new()));
}

#[tokio::test]
async fn nesting_ends_at_64() {
    let harness = open("").await;
    let mut peer = harness.connect("a", &[]).await;
    subscribe(&mut peer, "s", "t").await;
    let array = |depth| "[".repeat(depth) + &"]".repeat(depth);
    let object = |depth| r#"{"a":"#.repeat(depth) + "1" + &"}".repeat(depth);
    for fits in [array(64), object(64)] {
        peer.send(format!(r#"{{"op":"pub","topic":"t","data":{fits}}}"#)).await;
        peer.expect("msg").await;
    }
    for deep in [array(65), object(65), array(5_000), "[".repeat(100_000)] {
        let text = format!(r#"{{"op":"pub","topic":"t","data":{deep}}}"#);
        assert_eq!(peer.refused(text).await, "bad_message");
    }
    peer.nothing_came().await;
}

#[tokio::test]
async fn what_is_no_command_is_a_bad_message_and_too_many_end_the_session() {
    let harness = open("").await;
    let mut peer = harness.connect("a", &[]).await;
    let bad = [
        "",
        " ",
        "x",
        "1",
        "null",
        "[]",
        "\"pub\"",
        "{",
        "{}",
        r#"{"op":null}"#,
        r#"{"op":1}"#,
        r#"{"op":"pub"}"#,
        r#"{"op":"pub","topic":1}"#,
        r#"{"op":"pub","topic":"t","unknown":1}"#,
        r#"{"op":"pub","topic":"t","sid":1}"#,
        r#"{"op":"pub","topic":"t","from":"root"}"#,
        r#"{"op":"pub","op":"pub","topic":"t"}"#,
        r#"{"op":"pub","topic":"t","topic":"u"}"#,
        r#"{"op":"pub","topic":"t"} {}"#,
        r#"{"op":"pub","topic":"t",}"#,
        r#"{"op":"pub","topic":"t","id":-1}"#,
        r#"{"op":"pub","topic":"t","id":"1"}"#,
        r#"{"op":"pub","topic":"t","id":9007199254740992}"#,
        r#"{"op":"pub","topic":"t","data":"\ud800"}"#,
        r#"{"op":"sub","topic":"t"}"#,
        r#"{"op":"sub","sid":1}"#,
        r#"{"op":"sub","sid":1,"topic":"t","echo":"no"}"#,
        r#"{"op":"req","topic":"t"}"#,
        r#"{"op":"req","id":1,"topic":"t","timeout_ms":0}"#,
        r#"{"op":"req","id":1,"topic":"t","reply":"u"}"#,
        r#"{"op":"res","id":1}"#,
        r#"{"op":"whoami"}"#,
        r#"{"op":"unsub","sid":1,"max":-1}"#,
    ];
    for text in bad {
        assert_eq!(peer.refused(text).await, "bad_message", "{text}");
        // One that is understood in between: it is faults in a row that count.
        peer.ok(r#"{"op":"pub","id":1,"topic":"t"}"#).await;
    }
    // An id that can be read is answered to, wherever the fault stands.
    let refused = peer.ask(r#"{"nonsense":[1,{"a":2}],"op":"sub","sid":"s","topic":"t","id":42}"#).await;
    assert_eq!(
        (&refused["id"], &refused["failed_op"], &refused["sid"], &refused["topic"]),
        (&json!(42), &json!("sub"), &json!("s"), &json!("t"))
    );
    for _ in 0..31 {
        assert_eq!(peer.refused("x").await, "bad_message");
    }
    peer.send("x").await;
    assert_eq!(peer.closed().await, Closed::Frame(1008, "protocol_abuse".into()));
}

#[tokio::test]
async fn operations_that_the_gateway_does_not_offer_are_unsupported() {
    let harness = open("").await;
    let mut peer = harness.connect("a", &[]).await;
    for text in [r#"{"op":"PUB","topic":"t"}"#, r#"{"op":"hello"}"#, r#"{"op":"msg","sid":1}"#] {
        assert_eq!(peer.refused(text).await, "unsupported", "{text}");
    }
    let proof = json!({
        "op": "reauth", "id": 5, "chain": ["MIIB"], "host": "localhost", "scheme": "ed25519", "signature": "AAAA",
        "token": "a.b.c",
    });
    let refused = peer.ask(proof.to_string()).await;
    assert_eq!((&refused["code"], &refused["id"]), (&json!("unsupported"), &json!(5)));
}

#[tokio::test]
async fn a_service_above_its_rate_is_told_when_to_come_back() {
    let harness = open("messages_per_second = 5").await;
    let (mut one, mut two) = (harness.connect("a", &[]).await, harness.connect("a", &[]).await);
    let mut other = harness.connect("b", &[]).await;
    for _ in 0..5 {
        one.send(publication("t", 1)).await;
    }
    let refused = one.ask(r#"{"op":"pub","id":6,"topic":"t"}"#).await;
    assert_eq!((&refused["code"], &refused["id"]), (&json!("rate_limited"), &json!(6)));
    let wait = refused["retry_after_ms"].as_u64().expect("a number");
    assert!((1..=1_000).contains(&wait), "{refused}");
    // The bucket is the service's, not the session's.
    assert_eq!(two.refused(r#"{"op":"whoami","id":1}"#).await, "rate_limited");
    other.ok(r#"{"op":"pub","id":1,"topic":"t"}"#).await;
}

#[tokio::test]
async fn ten_thousand_pipelined_messages_reach_every_subscriber_in_order() {
    const COUNT: u64 = 10_000;
    let harness = open("").await;
    let mut writers = [harness.connect("w1", &[]).await, harness.connect("w2", &[]).await];
    let mut readers = Vec::new();
    for name in ["r1", "r2", "r3"] {
        let mut reader = harness.connect(name, &[]).await;
        subscribe(&mut reader, "s", "n.>").await;
        readers.push(tokio::spawn(async move {
            let mut next = [0_u64; 2];
            while next != [COUNT; 2] {
                let message = reader.expect("msg").await;
                let stream = usize::from(message["from"] == "w2");
                assert_eq!(message["topic"], format!("n.{stream}"));
                assert_eq!(message["data"], next[stream]);
                next[stream] += 1;
            }
            reader.nothing_came().await;
        }));
    }
    for chunk in 0..COUNT / 100 {
        for (stream, writer) in writers.iter_mut().enumerate() {
            let numbers = chunk * 100..(chunk + 1) * 100;
            writer.send_all(numbers.map(|n| publication(&format!("n.{stream}"), n))).await;
        }
    }
    for reader in readers {
        reader.await.expect("every message, once, in order");
    }
}

#[tokio::test]
async fn commands_are_answered_while_deliveries_come() {
    let harness = open("").await;
    let (mut busy, mut writer) = (harness.connect("a", &[]).await, harness.connect("b", &[]).await);
    subscribe(&mut busy, "stream", "n").await;
    let (mut next, mut answered) = (0_u64, 0_u64);
    for round in 0..50_u64 {
        writer.send_all((round * 20..(round + 1) * 20).map(|n| publication("n", n))).await;
        busy.send_all(
            (1..=10).map(|n| json!({"op": "pub", "id": round * 10 + n, "topic": "elsewhere"}).to_string()),
        )
        .await;
        while next < (round + 1) * 20 || answered < (round + 1) * 10 {
            let message = busy.next().await;
            if message["op"] == "msg" {
                assert_eq!(message["data"], next);
                next += 1;
            } else {
                answered += 1;
                assert_eq!(message, json!({"op": "ok", "id": answered}));
            }
        }
    }
}

#[tokio::test]
async fn a_session_may_have_a_thousand_subscriptions_and_no_more() {
    let harness = open("").await;
    let (mut peer, mut writer) = (harness.connect("a", &[]).await, harness.connect("b", &[]).await);
    assert_eq!(peer.hello["limits"]["max_subscriptions"], 1_000);
    let sub = |n: u64| json!({"op": "sub", "id": n, "sid": n, "topic": format!("t.{n}")}).to_string();
    peer.send_all((0..1_000).map(sub)).await;
    for n in 0..1_000 {
        assert_eq!(peer.next().await, json!({"op": "ok", "id": n}));
    }
    let refused = peer.ask(sub(1_000)).await;
    assert_eq!((&refused["code"], &refused["sid"]), (&json!("limit_exceeded"), &json!(1_000)));
    writer.send_all((0..1_000).rev().map(|n| publication(&format!("t.{n}"), n))).await;
    for n in (0..1_000).rev() {
        let message = peer.expect("msg").await;
        assert_eq!((&message["sid"], &message["data"]), (&json!(n), &json!(n)));
    }
    peer.ok(r#"{"op":"unsub","id":1,"sid":500}"#).await;
    peer.ok(sub(1_000)).await;
    drop(peer);
    crate::harness::wait_until(|| harness.gateway().router.subscriptions() == 0).await;
}

#[tokio::test]
async fn one_services_sub_unsub_loop_does_not_disturb_anothers_stream() {
    let harness = open("").await;
    let (mut reader, mut writer) = (harness.connect("a", &[]).await, harness.connect("b", &[]).await);
    let mut churner = harness.connect("c", &[]).await;
    subscribe(&mut reader, "s", "n.x").await;
    let churn = async {
        for round in 0..200_u64 {
            let pair = |n: u64| {
                let topic = ["n.x", "n.*", ">", "other"][usize::try_from(n % 4).unwrap_or(0)];
                let sub = json!({"op": "sub", "sid": n, "topic": topic, "echo": false});
                [sub.to_string(), json!({"op": "unsub", "sid": n}).to_string()]
            };
            churner.send_all((0..20).flat_map(pair)).await;
            // What it happens to receive in between is read, or it would count as slow.
            let marker = json!({"op": "pub", "id": round, "topic": "elsewhere"}).to_string();
            churner.send(marker).await;
            while churner.next().await["op"] == "msg" {}
        }
    };
    let stream = async {
        for chunk in 0..100_u64 {
            let range = chunk * 20..(chunk + 1) * 20;
            writer.send_all(range.clone().map(|n| publication("n.x", n))).await;
            numbers(&mut reader, "s", range).await;
        }
    };
    tokio::join!(churn, stream);
    assert_eq!(harness.gateway().router.subscriptions(), 1);
}

#[tokio::test]
async fn a_flood_of_distinct_topics_leaves_nothing_behind() {
    const TOPICS: u64 = 50_000;
    let harness = open("").await;
    let (mut flooder, mut writer) = (harness.connect("a", &[]).await, harness.connect("b", &[]).await);
    let mut reader = harness.connect("c", &[]).await;
    subscribe(&mut reader, "s", "n").await;
    let flood = async {
        for chunk in 0..TOPICS / 500 {
            let range = chunk * 500..(chunk + 1) * 500;
            flooder.send_all(range.map(|n| format!(r#"{{"op":"pub","topic":"flood.{n}.{}"}}"#, n % 7))).await;
        }
        flooder.ok(r#"{"op":"pub","id":1,"topic":"flood.0.0"}"#).await;
    };
    let stream = async {
        for n in 0..200 {
            writer.send(publication("n", n)).await;
            numbers(&mut reader, "s", n..n + 1).await;
        }
    };
    tokio::join!(flood, stream);
    assert_eq!(harness.gateway().router.subscriptions(), 1);
}
