//! What arrives where and in which form, and what is refused on a connection that stays.

use super::{numbered, numbers, publish_refused, reply_refused, subscribe_refused};
use crate::harness::nats::{Nats, Received, publish, publish_block, publish_with};
use crate::harness::{Harness, Setup};
use crate::messaging::open;

fn received(subject: &str, sid: &str, head: &str, payload: &str) -> Received {
    let (subject, sid, payload) = (subject.into(), sid.into(), payload.into());
    Received { subject, sid, reply: None, head: Some(head.into()), payload }
}

#[tokio::test]
async fn a_message_tells_its_verified_sender_before_the_headers_it_was_given() {
    let harness = Harness::start().await;
    let mut reader = Nats::connect(&harness, "billing", &["reader"]).await;
    let mut writer = Nats::connect(&harness, "checkout", &["writer"]).await;
    reader.subscribe("o", "orders.*").await;
    writer
        .send(publish("orders.new", "{}") + &publish_with("orders.new", "a: 1\r\nB:2\r\na:  3 \r\n", "x"))
        .await;
    let stamp = "NATS/1.0\r\nPortcullis-From: checkout\r\n";
    assert_eq!(reader.message().await, received("orders.new", "o", &format!("{stamp}\r\n"), "{}"));
    let head = format!("{stamp}a: 1\r\nB: 2\r\na: 3\r\n\r\n");
    assert_eq!(reader.message().await, received("orders.new", "o", &head, "x"));
}

#[tokio::test]
async fn a_client_that_knows_no_headers_gets_none() {
    let harness = open("").await;
    let mut writer = Nats::connect(&harness, "w", &[]).await;
    let quiet = r#"CONNECT {"verbose":false,"headers":false}"#;
    let mut reader = Nats::connect_with(&harness, "r", &[], quiet).await;
    reader.subscribe("1", "t").await;
    writer.send(publish_with("t", "a: b\r\n", "x")).await;
    let expected = Received { head: None, ..received("t", "1", "", "x") };
    assert_eq!(reader.message().await, expected);
    // Once it says that it does, it has them.
    reader.send(format!("{}\r\n", crate::harness::nats::USUAL)).await;
    reader.nothing_came().await;
    writer.send(publish_with("t", "a: b\r\n", "x")).await;
    assert_eq!(reader.message().await.headers(), [("Portcullis-From", "w"), ("a", "b")]);
}

#[tokio::test]
async fn without_echo_a_session_hears_everybody_but_itself() {
    let harness = open("").await;
    let quiet = r#"CONNECT {"verbose":false,"headers":true,"echo":false}"#;
    let mut one = Nats::connect_with(&harness, "a", &[], quiet).await;
    let mut two = Nats::connect(&harness, "a", &[]).await;
    for nats in [&mut one, &mut two] {
        nats.subscribe("1", "t").await;
    }
    one.send(publish("t", "of one")).await;
    assert_eq!(two.message().await.payload, "of one");
    one.nothing_came().await;
    two.send(publish("t", "of two")).await;
    assert_eq!(one.message().await.payload, "of two");
    assert_eq!(two.message().await.payload, "of two");
}

#[tokio::test]
async fn unsub_with_max_ends_after_so_many_in_all_and_one_that_is_over_is_ended_in_silence() {
    let harness = open("").await;
    let (mut reader, mut writer) =
        (Nats::connect(&harness, "a", &[]).await, Nats::connect(&harness, "b", &[]).await);
    reader.subscribe("1", "t").await;
    reader.subscribe("end", "t").await;
    reader.send("UNSUB 1 3\r\n").await;
    reader.nothing_came().await;
    writer.send(numbered("t", 5)).await;
    let mut of_first = 0;
    loop {
        let message = reader.message().await;
        of_first += usize::from(message.sid == "1");
        if message.payload == "end" {
            break;
        }
    }
    assert_eq!(of_first, 3);
    assert_eq!(harness.gateway().router.subscriptions(), 1);
    // Clients end again what ended by itself, and what never was.
    reader.send("UNSUB 1\r\nUNSUB 77 5\r\nUNSUB end 0\r\n").await;
    reader.nothing_came().await;
    assert_eq!(harness.gateway().router.subscriptions(), 0);
    reader.subscribe("1", "t").await;
}

#[tokio::test]
async fn a_queue_group_shares_and_each_member_has_its_part() {
    let harness = open("").await;
    let mut writer = Nats::connect(&harness, "w", &[]).await;
    let mut members = [Nats::connect(&harness, "a", &[]).await, Nats::connect(&harness, "a", &[]).await];
    for member in &mut members {
        member.send("SUB job workers 1\r\n").await;
        member.subscribe("end", "end").await;
    }
    writer.send(numbered("job", 100) + &publish("end", "end")).await;
    let mut all = Vec::new();
    for member in &mut members {
        let mut own = 0;
        loop {
            let message = member.message().await;
            if message.sid == "end" {
                break;
            }
            own += 1;
            all.push(message.payload);
        }
        assert!(own >= 40, "each has its share: {own}");
    }
    all.retain(|payload| payload != "end");
    all.sort_by_key(|payload| payload.parse::<usize>().expect("a number"));
    assert_eq!(all, numbers(0..100));
}

/// Official clients close the connection at any other text.
#[tokio::test]
async fn every_refusal_on_a_session_that_stays_is_a_permissions_violation() {
    let limits = "max_subscriptions = 3\nmax_faults = 100";
    let policy = format!(
        "{}\n[[grant]]\nname = \"r\"\nservices = [\"w\"]\npublish = [\"t\"]\n",
        crate::harness::POLICY
    );
    let harness =
        Harness::with(Setup { limits: limits.into(), policy: Some(policy), ..Setup::default() }).await;
    let mut nats = Nats::connect(&harness, "w", &["reader"]).await;
    nats.subscribe("1", "services.w.x").await;
    let plain = [
        (publish("orders.x", "payload"), publish_refused("orders.x")),
        (publish("$JS.API.INFO", ""), publish_refused("$JS.API.INFO")),
        (publish("_INBOX.0123456789abcdef.x", ""), publish_refused("_INBOX.0123456789abcdef.x")),
        (publish("t orders.reply", ""), reply_refused("orders.reply")),
        ("SUB quotes.> 9\r\n".into(), subscribe_refused("quotes.>")),
        ("SUB > 9\r\n".into(), subscribe_refused(">")),
        ("SUB orders.internal.x 9\r\n".into(), subscribe_refused("orders.internal.x")),
        ("SUB quotes.> pool 9\r\n".into(), format!("{} using queue \"pool\"", subscribe_refused("quotes.>"))),
        // What would end the text early does not.
        ("SUB it's.a\"b 9\r\n".into(), subscribe_refused("it\u{2019}s.a\u{201d}b")),
    ];
    for (operation, expected) in plain {
        assert_eq!(nats.refused(&operation).await, expected, "{operation}");
    }
    let explained = [
        (publish("a..b", ""), publish_refused("a..b")),
        (publish("a.*", ""), publish_refused("a.*")),
        (publish("services.w.x a..b", ""), publish_refused("services.w.x")),
        (publish_with("t", "Portcullis-From: root\r\n", ""), publish_refused("t")),
        (publish_block("t", "NATS/1.0 503\r\n\r\n", ""), publish_refused("t")),
        ("SUB a.>.b 9\r\n".into(), subscribe_refused("a.>.b")),
        ("SUB services.w.y 1\r\n".into(), subscribe_refused("services.w.y")),
        ("SUB orders.x g*h 9\r\n".into(), format!("{} using queue \"g*h\"", subscribe_refused("orders.x"))),
        ("SUB $SYS.SESSION.a..b 9\r\n".into(), subscribe_refused("$SYS.SESSION.a..b")),
    ];
    for (operation, expected) in explained {
        let error = nats.refused(&operation).await;
        assert!(error.starts_with(&format!("{expected}: ")) && error.len() > expected.len() + 8, "{error}");
    }
    nats.subscribe("2", "services.w.y").await;
    nats.subscribe("3", "services.w.z").await;
    let error = nats.refused("SUB services.w.one-too-many 4\r\n").await;
    assert!(error.starts_with(&format!("{}: ", subscribe_refused("services.w.one-too-many"))), "{error}");
    // All of that cost nothing but itself.
    nats.send(publish("services.w.x", "still here")).await;
    assert_eq!(nats.message().await.payload, "still here");
}

#[tokio::test]
async fn above_its_rate_a_service_is_told_so_and_its_session_stays() {
    let harness = open("messages_per_second = 5").await;
    let mut nats = Nats::connect(&harness, "a", &[]).await;
    // More than a second's worth, whatever the greeting took of it.
    nats.send(format!("{}SUB t g 1\r\n", publish("t", "").repeat(20))).await;
    let (of_publish, of_subscribe) =
        (format!("{}: ", publish_refused("t")), format!("{} using queue \"g\": ", subscribe_refused("t")));
    let mut errors = vec![nats.error().await];
    while !errors.last().is_some_and(|error| error.starts_with(&of_subscribe)) {
        errors.push(nats.error().await);
    }
    assert!((16..=21).contains(&errors.len()), "{}", errors.len());
    assert!(errors[..errors.len() - 1].iter().all(|error| error.starts_with(&of_publish)), "{errors:?}");
}

#[tokio::test]
async fn a_sid_is_the_clients_own_word_and_comes_back_as_it_was() {
    let harness = open("").await;
    let mut nats = Nats::connect(&harness, "a", &[]).await;
    for sid in ["0", "007", "a-b_c.d:E"] {
        nats.subscribe(sid, "t").await;
        nats.send(publish("t", "")).await;
        assert_eq!(nats.message().await.sid, sid);
        nats.send(format!("UNSUB {sid}\r\n")).await;
    }
}
