//! Clients that want what is not theirs: `docs/threat-model.md`, *Messages*, by way of this dialect.

use super::{INBOX, publish_refused, reply_refused, subscribe_refused, until_end};
use crate::harness::nats::{Nats, Said, ask, publish, publish_block, publish_with};
use crate::harness::{Harness, Setup};
use crate::messaging::open;

const ASKING: &str = r#"
[[grant]]
name = "answers"
services = ["bank"]
subscribe = ["bank.>"]
publish = ["vault.>"]

[[grant]]
name = "asks"
services = ["asker"]
publish = ["bank.>"]

[[grant]]
name = "audits"
services = ["auditor"]
subscribe = ["vault.>"]

[[grant]]
name = "own-space"
services = ["*"]
publish = ["services.{service}.>"]
subscribe = ["services.{service}.>"]
"#;

#[tokio::test]
async fn a_reply_in_a_privileged_topic_lends_a_nats_client_nothing() {
    let harness = Harness::with(Setup { policy: Some(ASKING.into()), ..Setup::default() }).await;
    let mut bank = Nats::connect(&harness, "bank", &[]).await;
    let mut asker = Nats::connect(&harness, "asker", &[]).await;
    let mut auditor = Nats::connect(&harness, "auditor", &[]).await;
    auditor.subscribe("1", "vault.>").await;
    bank.subscribe("1", "bank.q").await;
    for reply in ["vault.open", "$SYS.REQ.SESSION.WHOAMI", "_INBOX.short", "services.bank.x", INBOX] {
        assert_eq!(asker.refused(ask("bank.q", reply, "")).await, reply_refused(reply), "{reply}");
    }
    bank.nothing_came().await;
    // Where the asker may publish, the message goes out, and the answerer has no right by it.
    asker.send(ask("bank.q", "services.asker.answers", "")).await;
    assert_eq!(bank.message().await.reply(), "services.asker.answers");
    assert_eq!(
        bank.refused(publish("services.asker.answers", "")).await,
        publish_refused("services.asker.answers")
    );
    auditor.nothing_came().await;
}

#[tokio::test]
async fn wildcards_of_a_nats_client_see_no_inbox_and_no_reserved_topic() {
    let harness = open("").await;
    let mut spy = Nats::connect(&harness, "spy", &[]).await;
    for (sid, pattern) in [("1", ">"), ("2", "*.*"), ("3", "*.>"), ("4", "*.*.*")] {
        spy.subscribe(sid, pattern).await;
    }
    let mut bank = Nats::connect(&harness, "bank", &[]).await;
    let mut asker = Nats::connect(&harness, "asker", &[]).await;
    bank.subscribe("q", "q").await;
    asker.subscribe("i", &format!("{INBOX}.*")).await;
    asker.send(ask("q", &format!("{INBOX}.1"), "")).await;
    assert_eq!(spy.message().await.sid, "1");
    let asked = bank.message().await;
    bank.send(publish(asked.reply(), "secret")).await;
    assert_eq!(asker.message().await.payload, "secret");
    asker.send(format!("PUB $SYS.REQ.SESSION.WHOAMI {INBOX}.2 0\r\n\r\n")).await;
    asker.message().await;
    spy.nothing_came().await;
    for reserved in ["_x.y", "$JS.API.x", "$KV.x", "$SYS.x", "_INBOX.x"] {
        assert_eq!(bank.refused(publish(reserved, "")).await, publish_refused(reserved));
        assert_eq!(spy.refused(format!("SUB {reserved} 9\r\n")).await, subscribe_refused(reserved));
    }
}

#[tokio::test]
async fn nobody_takes_a_nats_clients_inbox_or_publishes_into_it() {
    let harness = open("").await;
    let mut owner = Nats::connect(&harness, "owner", &[]).await;
    let mut thief = Nats::connect(&harness, "thief", &[]).await;
    owner.subscribe("i", &format!("{INBOX}.*")).await;
    let (short, wild) =
        (["_INBOX.short.>", "_INBOX.0123456789abcde.*"], ["_INBOX", "_INBOX.>", "_INBOX.*", "_INBOX.*.x"]);
    let own = [format!("{INBOX}.>"), format!("{INBOX}.*"), format!("{INBOX}.1"), INBOX.to_owned()];
    for pattern in own.iter().map(String::as_str).chain(short).chain(wild) {
        assert_eq!(thief.refused(format!("SUB {pattern} 9\r\n")).await, subscribe_refused(pattern));
        let in_group = format!("{} using queue \"g\"", subscribe_refused(pattern));
        assert_eq!(thief.refused(format!("SUB {pattern} g 9\r\n")).await, in_group);
    }
    for nats in [&mut thief, &mut owner] {
        let topic = format!("{INBOX}.1");
        assert_eq!(nats.refused(publish(&topic, "forged")).await, publish_refused(&topic));
        assert_eq!(nats.refused(publish_with(&topic, "a: b\r\n", "forged")).await, publish_refused(&topic));
    }
    // Nor is another's inbox a place where answers may go.
    let reply = format!("{INBOX}.1");
    assert_eq!(thief.refused(ask("t", &reply, "")).await, reply_refused(&reply));
    owner.nothing_came().await;
    drop(owner);
    harness.sessions(1).await;
    let pattern = format!("{INBOX}.>");
    assert_eq!(
        thief.refused(format!("SUB {pattern} 9\r\n")).await,
        subscribe_refused(&pattern),
        "while it is away"
    );
}

#[tokio::test]
async fn nothing_in_a_header_becomes_a_line_of_the_protocol_or_the_gateways_word() {
    let harness = open("max_faults = 1000").await;
    let mut writer = Nats::connect(&harness, "w", &[]).await;
    let mut readers = [Nats::connect(&harness, "r", &[]).await, Nats::connect(&harness, "r", &[]).await];
    for reader in &mut readers {
        reader.subscribe("1", "t").await;
    }
    let blocks = [
        "NATS/1.0 503\r\n\r\n",
        "NATS/1.0 404 No Messages\r\na: b\r\n\r\n",
        "NATS/1.1\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "\r\n\r\n",
        "",
        "NATS/1.0\r\nPortcullis-From: root\r\n\r\n",
        "NATS/1.0\r\nportcullis-from: root\r\n\r\n",
        "NATS/1.0\r\npOrTcUlLiS-Else: root\r\n\r\n",
        "NATS/1.0\r\na: b\r\nPORTCULLIS-FROM:root\r\n\r\n",
        "NATS/1.0\r\na: b\nPortcullis-From: root\r\n\r\n",
        "NATS/1.0\r\na: b\rPortcullis-From: root\r\n\r\n",
        "NATS/1.0\r\nPortcullis-From : root\r\n\r\n",
        "NATS/1.0\r\n Portcullis-From: root\r\n\r\n",
        "NATS/1.0\r\na: b\r\n Portcullis-From: root\r\n\r\n",
        "NATS/1.0\r\n\r\nPortcullis-From: root\r\n\r\n",
        "NATS/1.0\r\na: b\r\n\r\nMSG t 1 0\r\n\r\n",
        "NATS/1.0\r\na: b\u{0}\r\n\r\n",
        "NATS/1.0\r\nno colon\r\n\r\n",
        "NATS/1.0\r\na: b\r\n",
        "NATS/1.0\r\n",
    ];
    for block in blocks {
        let error = writer.refused(publish_block("t", block, "x")).await;
        assert!(error.starts_with(&format!("{}: ", publish_refused("t"))), "{block:?}: {error}");
    }
    // A payload may be anything, and nothing of it is read.
    let payload = "\r\nMSG t 1 4\r\nfake\r\n-ERR 'x'\r\nNATS/1.0 503\r\nPortcullis-From: root\r\n\r\n";
    writer.send(publish("t", payload) + &publish_with("t", "a: MSG t 1 0\r\n", payload)).await;
    for reader in &mut readers {
        let (plain, headed) = (reader.message().await, reader.message().await);
        assert_eq!((plain.payload.as_str(), plain.headers()), (payload, vec![("Portcullis-From", "w")]));
        assert_eq!((headed.payload.as_str(), headed.headers()[1]), (payload, ("a", "MSG t 1 0")));
        reader.nothing_came().await;
    }
}

#[tokio::test]
async fn messages_that_are_refused_for_their_headers_in_a_row_end_the_session() {
    let harness = open("max_faults = 3").await;
    let mut nats = Nats::connect(&harness, "w", &[]).await;
    let forged = publish_with("t", "Portcullis-From: root\r\n", "");
    for _ in 0..2 {
        // A good one in between starts the count anew.
        nats.send(forged.repeat(3) + &publish("t", "")).await;
    }
    for _ in 0..6 {
        nats.error().await;
    }
    nats.send(forged.repeat(4)).await;
    let (errors, end) = nats.closed().await;
    assert_eq!((errors.len(), errors.last().map(String::as_str)), (5, Some("Protocol Abuse")));
    assert_eq!(end, super::closed(1008, "protocol_abuse"));
}

#[tokio::test]
async fn a_group_of_another_services_name_gets_nothing_of_its_own() {
    let harness = open("").await;
    let mut writer = Nats::connect(&harness, "w", &[]).await;
    let (mut a, mut b) = (Nats::connect(&harness, "a", &[]).await, Nats::connect(&harness, "b", &[]).await);
    for nats in [&mut a, &mut b] {
        nats.send("SUB job workers 1\r\n").await;
        nats.nothing_came().await;
    }
    writer.send(super::numbered("job", 50)).await;
    for nats in [&mut a, &mut b] {
        assert_eq!(until_end(nats).await, super::numbers(0..50), "each service has all of it");
    }
}

#[tokio::test]
async fn a_loop_of_sub_and_unsub_does_not_disturb_anothers_stream() {
    let harness = open("").await;
    let mut reader = Nats::connect(&harness, "a", &[]).await;
    let mut writer = Nats::connect(&harness, "b", &[]).await;
    let quiet = r#"CONNECT {"verbose":false,"echo":false}"#;
    let mut churner = Nats::connect_with(&harness, "c", &[], quiet).await;
    reader.subscribe("1", "n.x").await;
    let churn = async {
        for round in 0..200 {
            let pairs = (0..20).map(|n| {
                let pattern = ["n.x", "n.*", ">", "other"][n % 4];
                format!("SUB {pattern} {round}-{n}\r\nUNSUB {round}-{n}\r\n")
            });
            churner.send(pairs.collect::<String>() + "PING\r\n").await;
            while churner.said().await != Said::Pong {}
        }
    };
    let stream = async {
        for chunk in 0..100 {
            let messages = (chunk * 20..(chunk + 1) * 20).map(|n| publish("n.x", &n.to_string()));
            writer.send(messages.collect::<String>()).await;
            for n in chunk * 20..(chunk + 1) * 20 {
                assert_eq!(reader.message().await.payload, n.to_string());
            }
        }
    };
    tokio::join!(churn, stream);
    assert_eq!(harness.gateway().router.subscriptions(), 1);
}

#[tokio::test]
async fn a_flood_of_topics_from_a_nats_client_leaves_nothing_behind() {
    const TOPICS: usize = 50_000;
    let harness = open("").await;
    let mut flooder = Nats::connect(&harness, "a", &[]).await;
    let mut writer = Nats::connect(&harness, "b", &[]).await;
    let mut reader = Nats::connect(&harness, "c", &[]).await;
    reader.subscribe("1", "n").await;
    let flood = async {
        for chunk in 0..TOPICS / 500 {
            let topics =
                (chunk * 500..(chunk + 1) * 500).map(|n| publish(&format!("flood.{n}.{}", n % 7), ""));
            flooder.send(topics.collect::<String>()).await;
        }
        flooder.nothing_came().await;
    };
    let stream = async {
        for n in 0..200 {
            writer.send(publish("n", &n.to_string())).await;
            assert_eq!(reader.message().await.payload, n.to_string());
        }
    };
    tokio::join!(flood, stream);
    assert_eq!(harness.gateway().router.subscriptions(), 1);
}
