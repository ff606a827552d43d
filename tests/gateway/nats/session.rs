//! How a session begins, what a client says of itself, and who it is taken for.

use serde_json::json;

use super::{INBOX, closed, with};
use crate::harness::nats::{Nats, Said, USUAL, publish};
use crate::harness::raw::{Head, Raw};
use crate::harness::{Harness, Logs, Profile, Setup};

#[tokio::test]
async fn info_comes_first_and_whole() {
    let harness =
        Harness::with(Setup { limits: "max_payload_bytes = 4096".into(), ..Setup::default() }).await;
    let mut nats = Nats::connect(&harness, "billing", &["reader"]).await;
    let info = nats.info.clone();
    assert_eq!((&info["service"], &info["server_name"]), (&json!("billing"), &json!("test")));
    assert_eq!(
        (&info["max_payload"], &info["headers"], &info["proto"]),
        (&json!(4096), &json!(true), &json!(1))
    );
    assert_eq!((&info["auth_required"], &info["tls_required"]), (&json!(false), &json!(true)));
    assert_eq!(info["server_id"].as_str().map(str::len), Some(32));
    for absent in ["ldm", "connect_urls", "nonce"] {
        assert_eq!(info.get(absent), None, "{info}");
    }
    nats.nothing_came().await;
}

#[tokio::test]
async fn path_subprotocol_and_default_each_choose_the_dialect() {
    let harness =
        Harness::with(Setup { listener: "default_dialect = \"nats\"".into(), ..Setup::default() }).await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let heads = [
        (Head::nats(), None),
        (Head::nats().with("Sec-WebSocket-Protocol", &["nats"]), Some("nats")),
        (Head::upgrade().with("Sec-WebSocket-Protocol", &["nats"]), Some("nats")),
        (Head::upgrade().with("Sec-WebSocket-Protocol", &["mqtt, nats"]), Some("nats")),
        (Head::upgrade().with("Sec-WebSocket-Protocol", &[]), None),
    ];
    for (head, subprotocol) in heads {
        let mut raw = Raw::open(&harness, &issued).await;
        // What a JavaScript client offers, and what is declined.
        let answer = raw.ask(&head.and("Sec-WebSocket-Extensions", "permessage-deflate")).await;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, subprotocol));
        assert_eq!(answer.header("sec-websocket-extensions"), None);
        Nats::greeted(raw).await.nothing_came().await;
    }
    let mut raw = Raw::open(&harness, &issued).await;
    let contradiction = Head::nats().with("Sec-WebSocket-Protocol", &["portcullis.json.v1"]);
    assert_eq!(raw.ask(&contradiction).await.problem(), "subprotocol");
}

#[tokio::test]
async fn verbose_answers_every_operation_and_is_what_holds_before_connect() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let mut nats = Nats::open(&harness, &issued).await;
    let own = "services.billing.x";
    let operations = [
        format!("SUB {own} 1\r\n"),
        publish("services.billing.y", "1"),
        "UNSUB 1\r\n".into(),
        "UNSUB 9\r\n".into(),
        "SUB $SYS.SESSION.> 2\r\n".into(),
        "UNSUB 2\r\n".into(),
        "CONNECT {\"verbose\":true}\r\n".into(),
    ];
    for operation in operations {
        nats.send(&operation).await;
        assert_eq!(nats.said().await, Said::Ok, "{operation}");
    }
    // An error stands in place of the `+OK`.
    nats.send(publish("orders.x", "") + "PING\r\n").await;
    assert_eq!(nats.error().await, super::publish_refused("orders.x"));
    assert_eq!(nats.said().await, Said::Pong);
    // What is asked of the gateway itself is answered once too, whether somebody hears the answer or not.
    nats.send("PUB $SYS.REQ.SESSION.REAUTH 2\r\n{}\r\nPING\r\n").await;
    let error = nats.error().await;
    let about = "Permissions Violation for Publish to \"$SYS.REQ.SESSION.REAUTH\": ";
    assert!(error.starts_with(about), "{error}");
    assert_eq!(nats.said().await, Said::Pong);
    nats.send("PUB $SYS.REQ.SESSION.WHOAMI 0\r\n\r\n").await;
    assert_eq!(nats.said().await, Said::Ok);
    nats.send(format!("{USUAL}\r\nSUB {own} 1\r\nUNSUB 1\r\n")).await;
    nats.nothing_came().await;
}

#[tokio::test]
async fn credentials_have_no_effect_and_are_in_no_log() {
    let logs = Logs::capture();
    let harness = Harness::start().await;
    for (name, value) in [("user", "root"), ("pass", "s3cret"), ("auth_token", "s3cret"), ("jwt", "s3cret")] {
        let connect = format!(r#"CONNECT {{"verbose":false,"headers":true,"{name}":"{value}"}}"#);
        let mut nats = Nats::connect_with(&harness, "billing", &["reader"], &connect).await;
        nats.subscribe("1", &format!("{INBOX}.*")).await;
        nats.send(format!("PUB $SYS.REQ.SESSION.WHOAMI {INBOX}.1 0\r\n\r\n")).await;
        assert_eq!(nats.message().await.json()["service"], "billing");
        assert_eq!(nats.refused(publish("orders.x", "")).await, super::publish_refused("orders.x"));
    }
    assert!(logs.text().contains("session") && !logs.text().contains("s3cret"), "{}", logs.text());
}

#[tokio::test]
async fn credentials_are_refused_where_the_operator_says_so() {
    let harness = with("refuse_credentials = true", "").await;
    for given in [r#""user":"a","pass":"b""#, r#""auth_token":"x""#, r#""nkey":"U","sig":"x""#] {
        let connect = format!(r#"CONNECT {{"verbose":false,{given}}}"#);
        let mut nats = Nats::connect_with(&harness, "billing", &[], &connect).await;
        let expected = (vec!["Authorization Violation".to_owned()], closed(1008, "credentials_refused"));
        assert_eq!(nats.closed().await, expected, "{given}");
    }
    // Clients send empty ones for what they were not given.
    let empty = r#"CONNECT {"verbose":false,"user":"","pass":"","jwt":null}"#;
    Nats::connect_with(&harness, "billing", &[], empty).await.nothing_came().await;
}

#[tokio::test]
async fn whoami_is_a_request_that_the_session_itself_answers() {
    let harness = Harness::start().await;
    let mut nats = Nats::connect(&harness, "billing", &["reader"]).await;
    nats.subscribe("7", &format!("{INBOX}.*")).await;
    nats.send(format!("PUB $SYS.REQ.SESSION.WHOAMI {INBOX}.1 0\r\n\r\n")).await;
    let answer = nats.message().await;
    assert_eq!((answer.subject, answer.sid), (format!("{INBOX}.1"), "7".into()));
    let who: serde_json::Value = serde_json::from_str(&answer.payload).expect("JSON");
    assert_eq!((&who["op"], &who["id"], &who["service"]), (&json!("ok"), &json!(0), &json!("billing")));
    assert_eq!((&who["roles"], &who["protocol"]), (&json!(["reader"]), &json!("nats")));
    assert_eq!(who["session"], nats.info["server_id"]);
    assert_eq!(who["grants"]["subscribe"], json!(["orders.>", "billing.quote", "services.billing.>"]));
    assert!(who["challenge"].is_string() && who["deadline"].is_u64(), "{who}");
    // Nobody hears an answer elsewhere, and nobody else hears the question.
    nats.send("PUB $SYS.REQ.SESSION.WHOAMI 0\r\n\r\nPUB $SYS.REQ.SESSION.WHOAMI orders.x 0\r\n\r\n").await;
    nats.nothing_came().await;
    for refused in ["$SYS.REQ.SESSION.OTHER", "$SYS.SESSION.REVOKED_SUB", "$SYS.x"] {
        assert_eq!(nats.refused(publish(refused, "")).await, super::publish_refused(refused));
    }
    for refused in ["$SYS.>", "$SYS.REQ.SESSION.WHOAMI", "$SYS.SESSION"] {
        let refusal = nats.refused(format!("SUB {refused} 9\r\n")).await;
        assert_eq!(refusal, super::subscribe_refused(refused));
    }
}
