//! Proofs on a live session: when the client makes one, of what, and when it leaves it alone.

use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::gateway::{Gateway, HOST, Peer, SESSION};
use crate::client::{CredentialError, Event};

/// Longer than any client waits between two looks at its files.
const QUIET: Duration = Duration::from_secs(15);

async fn demand(peer: &mut Peer, challenge: &str, cause: &str) {
    peer.send(json!({"op": "reauth_required", "challenge": challenge, "deadline": 5, "cause": cause})).await;
}

async fn accept(peer: &mut Peer, proof: &Value) {
    peer.send(json!({"op": "ok", "id": proof["id"], "deadline": 99, "challenge": "BBBB"})).await;
}

async fn refuse(peer: &mut Peer, proof: &Value, code: &str) {
    peer.send(json!({"op": "err", "id": proof["id"], "code": code, "reason": "no", "challenge": "CCCC"}))
        .await;
}

/// Makes sure that nothing is proved for a while.
async fn quiet(peer: &mut Peer) {
    let proof = timeout(QUIET, peer.receive()).await;
    assert!(proof.is_err(), "{proof:?}");
}

#[tokio::test(start_paused = true)]
async fn an_expiring_certificate_is_replaced_by_a_proof_on_the_same_session() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let mut events = client.events();
    let challenge = STANDARD.encode([7_u8; 32]);
    demand(&mut peer, &challenge, "expiring").await;
    assert!(matches!(events.next().await, Some(Event::ReauthRequired { deadline: 5, .. })));
    // The old certificate proves nothing new, so the client waits for the file.
    let (outcome, _) = tokio::join!(client.publish_confirmed("x", ()), peer.confirm("pub"));
    outcome.unwrap();
    let leaf = gateway.files.rotate();

    let proof = peer.receive().await;
    assert_eq!((&proof["op"], &proof["host"]), (&json!("reauth"), &json!(HOST)));
    assert_eq!(proof["chain"][0], STANDARD.encode(&leaf));
    assert_eq!(proof["scheme"], "ecdsa_secp256r1_sha256");
    let key = std::fs::read_to_string(gateway.files.path("key.pem")).unwrap();
    let key = KeyPair::from_pem(&key).unwrap();
    let name_length = u16::try_from(HOST.len()).unwrap().to_be_bytes();
    let leaf_digest = digest::digest(&digest::SHA256, &leaf);
    let signed = [
        [0x20; 64].as_slice(),
        b"portcullis reauth v1\0",
        &name_length,
        HOST.as_bytes(),
        SESSION.as_bytes(),
        &[7; 32],
        leaf_digest.as_ref(),
    ]
    .concat();
    let signature = STANDARD.decode(proof["signature"].as_str().unwrap()).unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key_raw());
    public.verify(&signed, &signature).unwrap();
    peer.send(json!({"op": "ok", "id": proof["id"], "deadline": 99, "challenge": "BBBB"})).await;
    assert!(matches!(events.next().await, Some(Event::Reauthenticated { deadline: Some(99) })));
    assert_eq!(client.standing().borrow().as_ref().unwrap().deadline, Some(99));
}

#[tokio::test(start_paused = true)]
async fn another_certificate_in_the_files_is_proved_unasked_by_the_newest_challenge() {
    let mut gateway = Gateway::new();
    let (_client, mut peer) = gateway.connect().await;
    quiet(&mut peer).await;
    for _ in 0..3 {
        let (leaf, before) = (gateway.files.rotate(), Instant::now());
        let proof = peer.receive().await;
        assert_eq!((&proof["op"], &proof["chain"][0]), (&json!("reauth"), &json!(STANDARD.encode(&leaf))));
        assert!(before.elapsed() <= Duration::from_secs(2), "{:?}", before.elapsed());
        accept(&mut peer, &proof).await;
    }
    quiet(&mut peer).await;
}

#[tokio::test(start_paused = true)]
async fn a_maximum_age_is_answered_with_the_same_certificate_each_time() {
    let mut gateway = Gateway::new();
    let (_client, mut peer) = gateway.connect().await;
    for _ in 0..3 {
        demand(&mut peer, "AAAA", "max_age").await;
        let proof = peer.receive().await;
        assert_eq!(proof["chain"][0], STANDARD.encode(&peer.leaf));
        accept(&mut peer, &proof).await;
    }
    quiet(&mut peer).await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_was_refused_is_left_alone_until_there_is_another_or_the_gateway_asks_anew() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let mut events = client.events();
    let refused = gateway.files.rotate();
    let proof = peer.receive().await;
    refuse(&mut peer, &proof, "reauth_failed").await;
    assert!(matches!(events.next().await, Some(Event::ReauthRejected { .. })));
    quiet(&mut peer).await;
    let leaf = gateway.files.rotate();
    let proof = peer.receive().await;
    assert_eq!(proof["chain"][0], STANDARD.encode(&leaf));
    refuse(&mut peer, &proof, "reauth_failed").await;
    quiet(&mut peer).await;
    // It may have been refused for a reason that passed.
    demand(&mut peer, "DDDD", "expiring").await;
    let proof = peer.receive().await;
    assert_eq!(proof["chain"][0], STANDARD.encode(&leaf));
    assert_ne!(leaf, refused);
    refuse(&mut peer, &proof, "reauth_failed").await;
    quiet(&mut peer).await;
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_crossed_a_demand_is_made_again_by_the_newer_challenge() {
    let mut gateway = Gateway::new();
    let (_client, mut peer) = gateway.connect().await;
    let leaf = gateway.files.rotate();
    let crossed = peer.receive().await;
    demand(&mut peer, "DDDD", "expiring").await;
    refuse(&mut peer, &crossed, "reauth_failed").await;
    let again = peer.receive().await;
    assert_eq!(again["chain"][0], STANDARD.encode(&leaf));
    assert_ne!(again["signature"], crossed["signature"]);
    refuse(&mut peer, &again, "reauth_failed").await;
    quiet(&mut peer).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_passes_is_tried_again_when_the_gateway_says() {
    let mut gateway = Gateway::new();
    let (_client, mut peer) = gateway.connect().await;
    let (leaf, before) = (gateway.files.rotate(), Instant::now());
    let proof = peer.receive().await;
    peer.send(json!({
        "op": "err", "id": proof["id"], "code": "rate_limited", "reason": "no", "challenge": "CCCC",
        "retry_after_ms": 9_000,
    }))
    .await;
    assert_eq!(peer.receive().await["chain"][0], STANDARD.encode(&leaf));
    assert!(before.elapsed() >= Duration::from_secs(9), "{:?}", before.elapsed());
}

/// As often as it takes, and by the gateway's pace: a wait that doubles would pass the deadline.
#[tokio::test(start_paused = true)]
async fn a_certificate_that_could_not_be_judged_or_is_not_valid_yet_is_tried_again_and_again() {
    let mut gateway = Gateway::new();
    let (_client, mut peer) = gateway.connect().await;
    let leaf = gateway.files.rotate();
    let mut proof = peer.receive().await;
    for code in ["unavailable", "reauth_failed"].repeat(5) {
        let before = Instant::now();
        peer.send(json!({
            "op": "err", "id": proof["id"], "code": code, "reason": "not now", "challenge": "CCCC",
            "retry_after_ms": 2_000,
        }))
        .await;
        proof = peer.receive().await;
        assert_eq!(proof["chain"][0], STANDARD.encode(&leaf));
        let waited = before.elapsed().as_millis();
        assert!((2_000..=2_600).contains(&waited), "{waited}");
    }
    refuse(&mut peer, &proof, "reauth_failed").await;
    quiet(&mut peer).await;
}

#[tokio::test(start_paused = true)]
async fn files_that_stay_broken_are_told_once_and_mended_ones_are_proved() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let mut events = client.events();
    let old_key = std::fs::read(gateway.files.path("key.pem")).unwrap();
    let leaf = gateway.files.rotate();
    let new_key = std::fs::read(gateway.files.path("key.pem")).unwrap();
    std::fs::write(gateway.files.path("key.pem"), old_key).unwrap();
    let Some(Event::ReauthImpossible { error }) = events.next().await else { panic!("no event") };
    assert!(matches!(*error, CredentialError::Pair { .. }), "{error:?}");
    quiet(&mut peer).await;
    std::fs::write(gateway.files.path("key.pem"), new_key).unwrap();
    let proof = peer.receive().await;
    assert_eq!(proof["chain"][0], STANDARD.encode(&leaf));
    accept(&mut peer, &proof).await;
    assert!(matches!(events.next().await, Some(Event::Reauthenticated { .. })), "told once");
}
