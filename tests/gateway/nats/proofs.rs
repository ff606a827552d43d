//! Another certificate on a live session, by requests to `$SYS.REQ.SESSION.REAUTH`.

use serde_json::{Value, json};

use super::{INBOX, closed};
use crate::harness::nats::{Nats, USUAL, publish};
use crate::harness::{Harness, Issued, Profile, Setup};
use crate::reauth::{P256, fields};

/// A session that hears the answers to its questions, and its first challenge.
async fn session(harness: &Harness, issued: &Issued) -> (Nats, Value) {
    let mut nats = Nats::open(harness, issued).await;
    nats.send(format!("{USUAL}\r\n")).await;
    nats.subscribe("i", &format!("{INBOX}.*")).await;
    let challenge = ask(&mut nats, "WHOAMI", "").await["challenge"].clone();
    (nats, challenge)
}

/// The answer of the session itself.
async fn ask(nats: &mut Nats, what: &str, payload: &str) -> Value {
    nats.send(publish(&format!("$SYS.REQ.SESSION.{what} {INBOX}.1"), payload)).await;
    nats.message().await.json()
}

async fn prove(nats: &mut Nats, challenge: &Value, issued: &Issued) -> Value {
    let proof = proof(nats, challenge, issued);
    ask(nats, "REAUTH", &proof).await
}

fn later(harness: &Harness, seconds: i64) -> Issued {
    harness.pki.issue(&Profile { not_after: seconds, ..Profile::service("billing", &["reader"]) })
}

fn proof(nats: &Nats, challenge: &Value, issued: &Issued) -> String {
    fields(&nats.info["server_id"], challenge, issued, "localhost", P256).to_string()
}

#[tokio::test]
async fn a_renewed_certificate_is_proved_on_the_connection_there_is() {
    let harness = Harness::start().await;
    let first = harness.pki.issue(&Profile::service("billing", &[]));
    let (mut nats, challenge) = session(&harness, &first).await;
    let before = ask(&mut nats, "WHOAMI", "").await;
    let next = later(&harness, 7_200);
    let answer = prove(&mut nats, &challenge, &next).await;
    assert_eq!((&answer["op"], &answer["id"]), (&json!("ok"), &json!(0)), "{answer}");
    assert!(answer["deadline"].as_u64() > before["deadline"].as_u64(), "{answer}");
    let after = ask(&mut nats, "WHOAMI", "").await;
    assert_eq!((&after["session"], &after["challenge"]), (&before["session"], &answer["challenge"]));
    assert_ne!(after["fingerprint"], before["fingerprint"]);
    // Its roles are those of the new one, and so is what may end it.
    nats.subscribe("o", "orders.>").await;
    harness.pki.revoke(&next);
    assert_eq!(nats.closed().await.1, closed(4403, "revoked"));
    assert_eq!(harness.metric("reauthentications_total{outcome=\"accepted\"}"), 1);
}

#[tokio::test]
async fn a_proof_relayed_or_a_challenge_used_twice_is_refused_and_the_third_ends_the_session() {
    let harness = Harness::start().await;
    let first = harness.pki.issue(&Profile::service("billing", &[]));
    let (mut nats, challenge) = session(&harness, &first).await;
    let (other, others_challenge) = session(&harness, &first).await;
    let next = later(&harness, 7_200);
    // Made for another session of the same service.
    let relayed = proof(&other, &others_challenge, &next);
    let refused = ask(&mut nats, "REAUTH", &relayed).await;
    assert_eq!((&refused["op"], &refused["code"]), (&json!("err"), &json!("reauth_failed")), "{refused}");
    assert_eq!((&refused["failed_op"], &refused["id"]), (&json!("reauth"), &json!(0)));
    assert_ne!(refused["challenge"], challenge);
    // Good, but for the challenge that the attempt before used up.
    let refused = prove(&mut nats, &challenge, &next).await;
    assert_eq!(refused["code"], "reauth_failed");
    let fresh = refused["challenge"].clone();
    // For another endpoint.
    let elsewhere = fields(&nats.info["server_id"], &fresh, &next, "127.0.0.1", P256).to_string();
    nats.send(publish(&format!("$SYS.REQ.SESSION.REAUTH {INBOX}.1"), &elsewhere)).await;
    assert_eq!(nats.message().await.json()["code"], "reauth_failed");
    let end = (vec!["Authorization Violation".to_owned()], closed(1008, "reauth_failed"));
    assert_eq!(nats.closed().await, end);
    assert_eq!(harness.metric("reauthentications_total{outcome=\"accepted\"}"), 0);
}

#[tokio::test]
async fn what_is_no_proof_is_told_so_uses_the_challenge_up_and_hurts_nothing_else() {
    let harness = Harness::start().await;
    let first = harness.pki.issue(&Profile::service("billing", &[]));
    let (mut nats, challenge) = session(&harness, &first).await;
    let next = later(&harness, 7_200);
    let good: Value = serde_json::from_str(&proof(&nats, &challenge, &next)).expect("JSON");
    let mut foreign = good.clone();
    foreign["topic"] = json!("t");
    let mut known = challenge;
    for payload in ["", "x", "{}", "[]", "\u{0}", &foreign.to_string()] {
        let answer = ask(&mut nats, "REAUTH", payload).await;
        assert_eq!(
            (&answer["code"], &answer["failed_op"]),
            (&json!("bad_message"), &json!("reauth")),
            "{payload}"
        );
        assert_ne!(answer["challenge"], known, "{payload}");
        known = answer["challenge"].clone();
    }
    // The next good one is taken, asked for an answer or not.
    nats.send(publish("$SYS.REQ.SESSION.REAUTH", &proof(&nats, &known, &next))).await;
    nats.nothing_came().await;
    assert_eq!(harness.metric("reauthentications_total{outcome=\"accepted\"}"), 1);
}

#[tokio::test]
async fn a_session_is_asked_before_it_is_too_old_and_the_same_certificate_answers() {
    let limits = "max_session_age_ms = 2000";
    let harness = Harness::with(Setup { limits: limits.into(), ..Setup::default() }).await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let (mut nats, _) = session(&harness, &issued).await;
    nats.send("SUB $SYS.SESSION.* e\r\n").await;
    for _ in 0..2 {
        let demand = nats.message().await;
        assert_eq!((demand.subject.as_str(), demand.sid.as_str()), ("$SYS.SESSION.REAUTH_REQUIRED", "e"));
        let demand = demand.json();
        assert_eq!(demand["cause"], "max_age");
        let answer = prove(&mut nats, &demand["challenge"], &issued).await;
        assert_eq!(answer["op"], "ok", "{answer}");
        assert!(answer["deadline"].as_u64() > demand["deadline"].as_u64(), "{answer} after {demand}");
    }
    nats.send("UNSUB e\r\n").await;
    assert_eq!(nats.closed().await, (Vec::new(), closed(4401, "credential_deadline")));
}
