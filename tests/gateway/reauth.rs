//! Another certificate on a live session, over real TLS: every kind of key, and the client library through rotation after
//! rotation without a reconnect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis::client::{Client, Event};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Files, event};
use crate::harness::{Harness, Issued, PATIENCE, Peer, Profile, Setup};

/// What is signed, put together here from the words of the protocol and by nothing of the crate's.
fn signed(host: &str, session: &str, challenge: &[u8], leaf: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x20; 64];
    bytes.extend(b"portcullis reauth v1\0");
    bytes.extend(u16::try_from(host.len()).expect("short").to_be_bytes());
    bytes.extend(host.as_bytes());
    bytes.extend(session.as_bytes());
    bytes.extend(challenge);
    bytes.extend(digest::digest(&digest::SHA256, leaf).as_ref());
    bytes
}

/// A proof of `issued` for this session.
fn proof(
    peer: &Peer,
    challenge: &Value,
    issued: &Issued,
    host: &str,
    scheme: (SignatureScheme, &str),
) -> Value {
    let mut proof = fields(&peer.hello["session"], challenge, issued, host, scheme);
    (proof["op"], proof["id"]) = (json!("reauth"), json!(1));
    proof
}

/// What a proof says in either dialect.
pub fn fields(
    session: &Value,
    challenge: &Value,
    issued: &Issued,
    host: &str,
    scheme: (SignatureScheme, &str),
) -> Value {
    let challenge = STANDARD.decode(challenge.as_str().expect("a challenge")).expect("base64");
    let session = session.as_str().expect("an id");
    let signer =
        any_supported_type(&issued.key).expect("a key").choose_scheme(&[scheme.0]).expect("a scheme");
    let signature = signer.sign(&signed(host, session, &challenge, &issued.chain[0])).expect("signed");
    let chain: Vec<_> = issued.chain.iter().map(|each| STANDARD.encode(each)).collect();
    json!({
        "chain": chain, "host": host, "scheme": scheme.1, "signature": STANDARD.encode(signature),
    })
}

pub const P256: (SignatureScheme, &str) = (SignatureScheme::ECDSA_NISTP256_SHA256, "ecdsa_secp256r1_sha256");

#[tokio::test]
async fn each_kind_of_key_proves_itself_by_each_of_its_schemes() {
    let harness = Harness::start().await;
    let mut peer = harness.connect("billing", &["reader"]).await;
    peer.ok(r#"{"op":"sub","id":1,"sid":1,"topic":"orders.>"}"#).await;
    let kinds = [
        (&PKCS_ECDSA_P256_SHA256, vec![P256]),
        (&PKCS_ECDSA_P384_SHA384, vec![(SignatureScheme::ECDSA_NISTP384_SHA384, "ecdsa_secp384r1_sha384")]),
        (&PKCS_ED25519, vec![(SignatureScheme::ED25519, "ed25519")]),
        (
            &PKCS_RSA_SHA256,
            vec![
                (SignatureScheme::RSA_PSS_SHA256, "rsa_pss_rsae_sha256"),
                (SignatureScheme::RSA_PSS_SHA384, "rsa_pss_rsae_sha384"),
                (SignatureScheme::RSA_PSS_SHA512, "rsa_pss_rsae_sha512"),
            ],
        ),
    ];
    let mut profile = Profile::service("billing", &["reader"]);
    let (mut challenge, mut deadline) = (peer.hello["challenge"].clone(), peer.hello["deadline"].as_u64());
    for (kind, schemes) in kinds {
        let key = KeyPair::generate_for(kind).expect("a key");
        for scheme in schemes {
            profile.not_after += 600;
            let issued = harness.pki.ca.issue_for(&profile, &key);
            let answer = peer.ok(proof(&peer, &challenge, &issued, "localhost", scheme).to_string()).await;
            assert!(answer["deadline"].as_u64() > deadline, "{}: {answer}", scheme.1);
            (challenge, deadline) = (answer["challenge"].clone(), answer["deadline"].as_u64());
        }
    }
    assert_eq!(harness.metric("reauthentications_total{outcome=\"accepted\"}"), 6);
    let mut writer = harness.connect("checkout", &["writer"]).await;
    writer.ok(r#"{"op":"pub","id":1,"topic":"orders.x","data":1}"#).await;
    assert_eq!(peer.expect("msg").await["data"], 1);
}

#[tokio::test]
async fn a_refused_proof_leaves_the_session_as_it_was_and_the_third_in_a_row_ends_it() {
    let harness = Harness::start().await;
    let mut peer = harness.connect("billing", &[]).await;
    let later = Profile { not_after: 7_200, ..Profile::service("billing", &[]) };
    let issued = harness.pki.issue(&later);
    let first = peer.hello["challenge"].clone();
    // For another endpoint, then the challenge of that attempt again, then one whose chain nobody knows.
    peer.send(proof(&peer, &first, &issued, "127.0.0.1", P256).to_string()).await;
    let refused = peer.expect("err").await;
    assert_eq!((&refused["code"], &refused["failed_op"]), (&json!("reauth_failed"), &json!("reauth")));
    assert_ne!(refused["challenge"], first);
    peer.send(proof(&peer, &first, &issued, "localhost", P256).to_string()).await;
    let refused = peer.expect("err").await;
    assert_eq!(refused["code"], "reauth_failed");
    let whoami = peer.ok(r#"{"op":"whoami","id":2}"#).await;
    assert_eq!((&whoami["deadline"], &whoami["challenge"]), (&peer.hello["deadline"], &refused["challenge"]));
    let foreign = crate::harness::Ca::root("other root").issue(&later);
    peer.send(proof(&peer, &refused["challenge"], &foreign, "localhost", P256).to_string()).await;
    assert_eq!(peer.closed().await, crate::harness::Closed::Frame(1008, "reauth_failed".into()));
    assert_eq!(harness.metric("reauthentications_total{outcome=\"failed\"}"), 3);
}

/// Publishes numbers to `client`'s own space until told to stop, and tells how many.
async fn publish(harness: &Harness, topic: &str, stop: Arc<AtomicBool>) -> u64 {
    let mut publisher = harness.connect("checkout", &["writer"]).await;
    let mut sent = 0;
    while !stop.load(Ordering::SeqCst) {
        publisher.ok(json!({"op": "pub", "id": 1, "topic": topic, "data": sent}).to_string()).await;
        sent += 1;
        sleep(Duration::from_millis(5)).await;
    }
    publisher.ok(json!({"op": "pub", "id": 1, "topic": topic, "data": "end"}).to_string()).await;
    sent
}

/// The client library on one connection, for longer than two of its certificates live one after the other. They are
/// renewed early, because a machine that runs all tests at once may stand still for seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_ten_certificates_on_one_connection_and_loses_nothing() {
    const LIFETIMES: usize = 10;
    let harness = Harness::start().await;
    let short = Profile { not_after: 6, ..Profile::service("billing", &["reader"]) };
    let files = Files::write(&harness, "billing", &harness.pki.issue(&short));
    let client = Client::connect(files.options(&harness)).await.expect("a session");
    let session = client.standing().borrow().clone().expect("a session").session.clone();
    let mut orders = client.subscribe("orders.>").await.expect("granted");
    let mut events = client.events();
    let (began, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));

    let renewing = async {
        for _ in 0..LIFETIMES {
            sleep(Duration::from_millis(1_300)).await;
            files.replace(&harness.pki.issue(&short));
            event(&mut events, |event| match event {
                Event::Reauthenticated { .. } => Some(()),
                Event::ReauthRequired { .. } => None,
                other => panic!("only proofs were expected, not {other:?}"),
            })
            .await;
        }
        stop.store(true, Ordering::SeqCst);
    };
    let reading = async {
        let mut received = 0;
        loop {
            let message =
                timeout(PATIENCE, orders.next()).await.expect("in time").expect("the session lives");
            let data = message.json::<Value>().expect("JSON");
            if data == "end" {
                return received;
            }
            assert_eq!(data, received, "every message once and in order");
            received += 1;
        }
    };
    let ((), received, sent) = tokio::join!(renewing, reading, publish(&harness, "orders.x", stop.clone()));
    assert_eq!((received, orders.missed()), (sent, 0));
    assert!(began.elapsed() > Duration::from_secs(13) && sent > 100, "{sent} in {:?}", began.elapsed());
    assert_eq!(client.standing().borrow().clone().expect("a session").session, session);
    assert_eq!(harness.metric("reauthentications_total{outcome=\"failed\"}"), 0);
}

/// A maximum age is served by proving the same certificate again.
#[tokio::test]
async fn a_client_proves_its_certificate_again_before_the_session_is_too_old() {
    let harness =
        Harness::with(Setup { limits: "max_session_age_ms = 2000".into(), ..Setup::default() }).await;
    let files = Files::write(&harness, "billing", &harness.pki.issue(&Profile::service("billing", &[])));
    let client = Client::connect(files.options(&harness)).await.expect("a session");
    let mut events = client.events();
    for _ in 0..3 {
        let cause = event(&mut events, |event| match event {
            Event::ReauthRequired { cause, .. } => Some(cause.clone()),
            other => panic!("{other:?}"),
        })
        .await;
        assert_eq!(cause, "max_age");
        event(&mut events, |event| match event {
            Event::Reauthenticated { .. } => Some(()),
            other => panic!("{other:?}"),
        })
        .await;
    }
}

/// Without a client that proves anything, certificates of a second end one session each and nothing loops.
#[tokio::test]
async fn a_session_that_proves_nothing_ends_once_at_its_deadline() {
    let harness = Harness::start().await;
    let short = Profile { not_after: 1, ..Profile::service("billing", &[]) };
    let mut peer = harness.connect_as(&harness.pki.issue(&short)).await;
    let demand = peer.expect("reauth_required").await;
    assert_eq!((&demand["deadline"], &demand["cause"]), (&peer.hello["deadline"], &json!("expiring")));
    assert_ne!(demand["challenge"], peer.hello["challenge"]);
    assert_eq!(peer.closed().await, crate::harness::Closed::Frame(4401, "credential_deadline".into()));
}
