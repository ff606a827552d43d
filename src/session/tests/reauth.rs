//! Proof of another certificate on a live session, and every way in which it is none.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::proofs::Attempt;
use super::world::{Frame, HOST, OPEN, Peer, World};
use crate::clock::unix_now;
use crate::deny::DenyList;
use crate::generation::{Generation, ListenerNames};
use crate::identity::TrustName;
use crate::identity::certificate::Fingerprint;
use crate::limits::Limits;
use crate::proof::Scheme;
use crate::session::CloseReason;
use crate::testing::{Authority, join, policy, with_roles};
use crate::trust::test_pki::{TestLeaf, date};

const NEW: u64 = 77;

/// A later certificate than that which a session for 600 seconds has.
fn later(world: &World) -> TestLeaf {
    world.authority.client("orders", NEW, 1_200)
}

async fn deadline(peer: &mut Peer) -> Value {
    peer.ask(9_999, json!({"op": "whoami"})).await["deadline"].clone()
}

/// Sends a proof that must fail, and makes sure that nothing else came of it.
async fn refused(peer: &mut Peer, attempt: Attempt) -> Value {
    let before = deadline(peer).await;
    let answer = peer.ask(2, attempt.message()).await;
    assert_eq!(
        (&answer["code"], &answer["failed_op"]),
        (&json!("reauth_failed"), &json!("reauth")),
        "{answer}"
    );
    assert!(!answer["reason"].as_str().unwrap().contains("common-name"), "names no rule: {answer}");
    let whoami = peer.ask(3, json!({"op": "whoami"})).await;
    assert_eq!(whoami["deadline"], before);
    assert_eq!(whoami["challenge"], answer["challenge"], "the next one");
    assert_ne!(answer["challenge"], attempt.challenge);
    answer
}

#[tokio::test(start_paused = true)]
async fn a_proof_of_a_later_certificate_moves_the_deadline_and_nothing_else() {
    let world = World::new();
    let (mut peer, mut sender) = (world.connect_for("orders", 600).await, world.connect("billing").await);
    peer.subscribe(1, "a").await;
    let leaf = later(&world);
    let answer = peer.ask(2, peer.attempt(&leaf).message()).await;
    assert_eq!(answer["op"], "ok", "{answer}");
    let (before, after) = (peer.hello["deadline"].as_u64().unwrap(), answer["deadline"].as_u64().unwrap());
    assert!((599_000..=601_000).contains(&(after - before)), "{before} {after}");
    sender.done(1, json!({"op": "pub", "topic": "a", "data": 1})).await;
    assert_eq!(peer.receive().await["data"], 1);
    let whoami = peer.ask(3, json!({"op": "whoami"})).await;
    assert_eq!((&whoami["deadline"], &whoami["challenge"]), (&answer["deadline"], &answer["challenge"]));
    let live = world.gateway.registry.sessions();
    assert!(live.iter().any(|live| live.peer.facts().fingerprint().to_string() == whoami["fingerprint"]));
}

#[tokio::test(start_paused = true)]
async fn a_session_lives_on_beyond_the_certificate_it_began_with() {
    let world = World::new();
    let mut peer = world.connect_for("orders", 30).await;
    let demand = peer.receive().await;
    assert_eq!((&demand["op"], &demand["cause"]), (&json!("reauth_required"), &json!("expiring")));
    assert_eq!(demand["deadline"], peer.hello["deadline"]);
    assert_ne!(demand["challenge"], peer.hello["challenge"]);
    let leaf = world.authority.client("orders", NEW, 100);
    let attempt = Attempt::new(&leaf, &peer.hello["session"], &demand["challenge"]);
    assert_eq!(peer.ask(2, attempt.message()).await["op"], "ok");
    let start = tokio::time::Instant::now();
    let demand = peer.text_while_alive().await;
    assert_eq!(demand["op"], "reauth_required");
    assert!(start.elapsed() > Duration::from_secs(40), "{:?}", start.elapsed());
    assert_eq!(peer.frame_while_alive().await, Frame::Close(4401, "credential_deadline".into()));
}

#[tokio::test(start_paused = true)]
async fn a_challenge_serves_one_attempt_whatever_comes_of_it() {
    let world = World::new();
    let (first, second) = (later(&world), world.authority.client("orders", NEW + 1, 2_400));
    let mut peer = world.connect_for("orders", 600).await;
    let accepted = peer.ask(2, peer.attempt(&first).message()).await;
    assert_eq!(accepted["op"], "ok");
    let again = peer.attempt(&second);
    let answer = refused(&mut peer, again).await;
    let attempt = Attempt::new(&second, &peer.hello["session"], &answer["challenge"]);
    assert_eq!(peer.ask(4, attempt.message()).await["op"], "ok");
}

#[tokio::test(start_paused = true)]
async fn a_demand_replaces_the_challenge_before_it() {
    let world = World::new();
    let mut peer = world.connect_for("orders", 30).await;
    assert_eq!(peer.receive().await["op"], "reauth_required");
    let crossed = peer.attempt(&later(&world));
    refused(&mut peer, crossed).await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_not_even_a_proof_uses_its_challenge_up_and_is_told_the_next() {
    let world = World::new();
    let mut peer = world.connect_for("orders", 600).await;
    let good = peer.attempt(&later(&world)).message();
    let (mut undecodable, mut with_token) = (good.clone(), good.clone());
    undecodable["scheme"] = json!(7);
    with_token["token"] = json!("a.b.c");
    let mut challenges = vec![peer.hello["challenge"].clone()];
    for (id, message, code) in [
        (1, undecodable.clone(), "bad_message"),
        (2, with_token, "unsupported"),
        (3, undecodable, "bad_message"),
        (4, good.clone(), "reauth_failed"),
        (5, good, "reauth_failed"),
    ] {
        let answer = peer.ask(id, message).await;
        assert_eq!(answer["code"], code, "{answer}");
        assert!(answer["challenge"].is_string() && !challenges.contains(&answer["challenge"]), "{answer}");
        challenges.push(answer["challenge"].clone());
    }
    let attempt = Attempt::new(&later(&world), &peer.hello["session"], challenges.last().unwrap());
    assert_eq!(peer.ask(6, attempt.message()).await["op"], "ok", "only two of them were failed proofs");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_above_the_rate_uses_its_challenge_up_and_is_told_the_next() {
    let world = World::with(Limits { messages_per_second: Some(1), ..Limits::default() });
    let mut peer = world.connect_for("orders", 600).await;
    assert_eq!(peer.ask(1, json!({"op": "whoami"})).await["op"], "ok");
    let answer = peer.ask(2, peer.attempt(&later(&world)).message()).await;
    assert_eq!(answer["code"], "rate_limited");
    assert!(answer["challenge"].is_string() && answer["challenge"] != peer.hello["challenge"], "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_proof_for_another_session_is_none() {
    let world = World::new();
    let (mut peer, other) = (world.connect_for("orders", 600).await, world.connect_for("orders", 600).await);
    let attempt =
        Attempt { session: other.hello["session"].as_str().unwrap().into(), ..peer.attempt(&later(&world)) };
    let answer = refused(&mut peer, attempt).await;
    assert!(answer["reason"].as_str().unwrap().contains("signature"), "{answer}");
}

/// What somebody relays who was dialled under another name: of the same certificate, or of no certificate of ours.
#[tokio::test(start_paused = true)]
async fn a_proof_for_another_endpoint_is_none() {
    let world = World::new();
    let mut names = ["*.gateway.test".to_owned(), "10.0.0.7".to_owned()].to_vec();
    names.push(HOST.to_owned());
    let names = Arc::new(ListenerNames::new(names));
    world.change(|next| next.listeners[0].names = names);
    for foreign in ["other.test", "*.gateway.test", "a.gateway.test", "10.0.0.8", "gateway.test.evil"] {
        let mut peer = world.connect_for("orders", 600).await;
        let attempt = Attempt { host: foreign.into(), ..peer.attempt(&later(&world)) };
        let answer = refused(&mut peer, attempt).await;
        assert!(answer["reason"].as_str().unwrap().contains("host"), "{answer}");
    }
    for own in ["GATEWAY.test", "10.0.0.7"] {
        let mut peer = world.connect_for("orders", 600).await;
        let attempt = Attempt { host: own.into(), ..peer.attempt(&later(&world)) };
        assert_eq!(peer.ask(2, attempt.message()).await["op"], "ok", "{own}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_would_not_be_let_in_is_not_let_in_by_a_proof() {
    let world = World::new();
    world.revoke(66);
    let issue =
        |edit: fn(&mut rcgen::CertificateParams)| world.authority.client_with("orders", NEW, 1_200, edit);
    let now = unix_now().as_secs();
    let tomorrow =
        world.authority.client_with("orders", NEW, 172_800, |params| params.not_before = date(now + 86_400));
    let cases = [
        ("expired", issue(|params| params.not_after = date(unix_now().as_secs() - 60))),
        ("not valid yet", tomorrow),
        ("revoked", world.authority.client("orders", 66, 1_200)),
        (
            "clientAuth",
            issue(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ),
        ("clientAuth", issue(|params| params.extended_key_usages.clear())),
        ("no issuer", Authority::new("root").client("orders", NEW, 1_200)),
        ("another service", world.authority.client("billing", NEW, 1_200)),
        ("no service", world.authority.client("Not A Name", NEW, 1_200)),
        ("deadline", world.authority.client("orders", NEW, 600)),
        ("deadline", world.authority.client("orders", NEW, 60)),
    ];
    for (reason, leaf) in cases {
        let mut peer = world.connect_for("orders", 600).await;
        let attempt = peer.attempt(&leaf);
        let answer = refused(&mut peer, attempt).await;
        assert!(answer["reason"].as_str().unwrap().contains(reason), "{reason}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_on_the_deny_list_is_not_let_in_by_a_proof() {
    let world = World::new();
    let leaf = later(&world);
    world.change(|next| next.deny = Arc::new(DenyList::new([Fingerprint::of(&leaf.der)], [], [])));
    let mut peer = world.connect_for("orders", 600).await;
    let attempt = peer.attempt(&leaf);
    let answer = refused(&mut peer, attempt).await;
    assert!(answer["reason"].as_str().unwrap().contains("denied"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_signature_must_be_of_the_certificates_key_by_the_scheme_it_names() {
    let world = World::new();
    let (leaf, other) = (later(&world), later(&world));
    let chain_of_garbage = |attempt: Attempt| Attempt { chain: vec![b"no certificate".to_vec()], ..attempt };
    type Edit<'a> = Box<dyn Fn(Attempt) -> Attempt + 'a>;
    let cases: [(&str, Edit<'_>); 6] = [
        ("signature", Box::new(|attempt| Attempt { key: other.key_der(), ..attempt })),
        ("signature", Box::new(|attempt| Attempt { challenge: "AAAA".into(), ..attempt })),
        ("does not fit", Box::new(|attempt| Attempt { stated: Scheme::Ed25519.name().into(), ..attempt })),
        (
            "does not fit",
            Box::new(|attempt| Attempt { stated: Scheme::EcdsaP384Sha384.name().into(), ..attempt }),
        ),
        ("none of", Box::new(|attempt| Attempt { stated: "ecdsa_sha1".into(), ..attempt })),
        ("not accepted", Box::new(chain_of_garbage)),
    ];
    for (reason, edit) in cases {
        let mut peer = world.connect_for("orders", 600).await;
        let attempt = edit(peer.attempt(&leaf));
        let answer = refused(&mut peer, attempt).await;
        assert!(answer["reason"].as_str().unwrap().contains(reason), "{reason}: {answer}");
    }
}

/// A name that belonged to one trust domain when the session began, and belongs to another now.
#[tokio::test(start_paused = true)]
async fn the_same_service_of_another_trust_domain_is_another() {
    let (former, world) = (Authority::new("former root"), World::new());
    let mut settings = former.settings(&[former.list(1, &[])]);
    settings.name = TrustName::parse("former").unwrap();
    let current = world.gateway.generation();
    let began = Generation {
        number: current.number,
        listeners: Vec::new(),
        trust: join([settings]),
        policy: current.policy.clone(),
        deny: current.deny.clone(),
        renewal: current.renewal.clone(),
        limits: current.limits.clone(),
        dialects: current.dialects.clone(),
    };
    let mut peer = world.open_by(&began, &former.client("orders", 6, 600), || {});
    peer.greeted().await;
    let attempt = peer.attempt(&later(&world));
    let answer = refused(&mut peer, attempt).await;
    assert!(answer["reason"].as_str().unwrap().contains("trust domain"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn the_third_failure_in_a_row_ends_the_session_and_a_success_starts_anew() {
    let world = World::new();
    let mut peer = world.connect_for("orders", 600).await;
    let (mut challenge, session) = (peer.hello["challenge"].clone(), peer.hello["session"].clone());
    let good = later(&world);
    let bad = world.authority.client("billing", NEW, 1_200);
    for (leaf, op) in
        [(&bad, "err"), (&bad, "err"), (&good, "ok"), (&bad, "err"), (&bad, "err"), (&bad, "err")]
    {
        let answer = peer.ask(2, Attempt::new(leaf, &session, &challenge).message()).await;
        assert_eq!(answer["op"], op, "{answer}");
        challenge = answer["challenge"].clone();
    }
    assert_eq!(peer.closed().await, (1008, "reauth_failed".into()));
    assert_eq!(peer.gone().await.0, CloseReason::ReauthFailed);
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_comes_between_challenge_and_proof_judges_the_proof() {
    let world = World::new();
    let mut peer = world.connect_for("orders", 600).await;
    let attempt = peer.attempt(&later(&world));
    world.revoke(NEW);
    let answer = refused(&mut peer, attempt).await;
    assert!(answer["reason"].as_str().unwrap().contains("revoked"), "{answer}");

    // The proof is on its way when the generation comes.
    let mut peer = world.connect_for("orders", 600).await;
    let leaf = world.authority.client("orders", NEW + 1, 1_200);
    peer.send({
        let mut message = peer.attempt(&leaf).message();
        message["id"] = json!(2);
        message
    })
    .await;
    world.revoke(NEW + 1);
    assert_eq!(peer.receive().await["code"], "reauth_failed");
}

#[tokio::test(start_paused = true)]
async fn after_a_proof_it_is_the_new_certificate_that_revocation_ends() {
    let world = World::new();
    let mut peer = world.connect_for("orders", 600).await;
    assert_eq!(peer.ask(2, peer.attempt(&later(&world)).message()).await["op"], "ok");
    world.revoke("orders".len() as u64);
    peer.subscribe(1, "a").await;
    world.revoke(NEW);
    assert_eq!(peer.closed().await, (4403, "revoked".into()));
}

/// Revocations that fall while proofs are under way, on other threads: whoever has proved a revoked certificate is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_session_keeps_a_certificate_that_was_revoked_while_it_was_proved() {
    const SESSIONS: u64 = 40;
    let world = World::new();
    for round in 0..5 {
        let first = 1_000 * (round + 1);
        let (mut peers, mut revoked) = (Vec::new(), HashSet::new());
        for number in 0..SESSIONS {
            let mut peer = world.connect_for("orders", 600).await;
            let leaf = world.authority.client("orders", first + number, 1_200);
            revoked.insert(Fingerprint::of(&leaf.der));
            let mut message = peer.attempt(&leaf).message();
            message["id"] = json!(2);
            peers.push(tokio::spawn(async move {
                peer.send(message).await;
                // Until its end, or until the proof is refused.
                while let Some(frame) = peer.next().await {
                    if matches!(&frame, Frame::Text(answer) if answer["op"] == "err") {
                        return peer;
                    }
                }
                peer
            }));
        }
        let serials: Vec<_> = (first..first + SESSIONS).collect();
        world.change(|next| next.trust = world.authority.trust(2 + round, &serials));
        // Each peer is told: its session is over, or its proof was refused.
        let mut left = Vec::new();
        for peer in peers {
            left.push(timeout(Duration::from_secs(10), peer).await.expect("in time").expect("no panic"));
        }
        drop(left);
        let is_held = || {
            let live = world.gateway.registry.sessions();
            live.iter().any(|live| revoked.contains(&live.peer.facts().fingerprint()))
        };
        let let_go = async {
            while is_held() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), let_go).await.expect("nobody holds a revoked certificate");
    }
}

const MESSAGES: usize = 100;
const BY_ROLE: &str = r#"
    [[grant]]
    name = "all"
    services = ["*"]
    publish = [">"]
    [[grant]]
    name = "readers"
    roles = ["reader"]
    subscribe = ["a.>"]
    [[grant]]
    name = "auditors"
    roles = ["auditor"]
    subscribe = ["b.>"]
"#;

#[tokio::test(start_paused = true)]
async fn fewer_roles_take_their_subscriptions_away_and_leave_the_rest_with_what_waits_for_it() {
    let authority = Authority::new("root");
    let trust = join([with_roles(authority.settings(&[authority.list(1, &[])]), &["reader", "auditor"])]);
    let change = |first: &mut Generation| (first.trust, first.policy) = (trust, policy(BY_ROLE));
    let world = World::of(authority, change, Limits::default());
    let issue = |serial, seconds, roles: &'static [&str]| {
        world.authority.client_with("orders", serial, seconds, |params| {
            let kinds =
                [rcgen::DnType::OrganizationalUnitName, rcgen::DnType::CustomDnType(vec![2, 5, 4, 11])];
            roles.iter().zip(kinds).for_each(|(role, kind)| params.distinguished_name.push(kind, *role));
        })
    };
    let mut peer = world.connect_as(&issue(6, 600, &["reader", "auditor"])).await;
    peer.subscribe(1, "a.x").await;
    peer.subscribe(2, "b.x").await;
    // Far more than is written before the proof is read: most of it waits in the queue.
    for _ in 0..MESSAGES {
        assert_eq!((world.publish("a.x", 2_000, 1), world.publish("b.x", 2_000, 1)), (1, 1));
    }
    let mut message = peer.attempt(&issue(NEW, 1_200, &["reader"])).message();
    message["id"] = json!(2);
    peer.send(message).await;
    let (mut stayed, mut stayed_after, mut revoked, mut proved) = (0, 0, false, false);
    while stayed < MESSAGES || !proved {
        let came = peer.receive().await;
        match (came["op"].as_str().unwrap(), came["sid"].as_u64()) {
            ("msg", Some(1)) => (stayed, stayed_after) = (stayed + 1, stayed_after + usize::from(proved)),
            ("msg", Some(2)) => assert!(!revoked, "it was taken away"),
            ("revoked_sub", Some(2)) if came["reason"] == "roles_changed" => revoked = true,
            ("ok", None) => proved = true,
            _ => panic!("{came}"),
        }
    }
    assert!(revoked && stayed_after > MESSAGES / 2, "{stayed_after} messages had waited");
    let whoami = peer.ask(3, json!({"op": "whoami"})).await;
    assert_eq!((&whoami["roles"], world.gateway.router.subscriptions()), (&json!(["reader"]), 1));
    assert_eq!(peer.ask(4, json!({"op": "sub", "sid": 2, "topic": "b.x"})).await["code"], "forbidden");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_lets_the_service_in_no_more_refuses_its_proof_by_ending_it() {
    let world = World::new();
    let mut peer = world.connect_for("orders", 600).await;
    let mut message = peer.attempt(&later(&world)).message();
    message["id"] = json!(2);
    peer.send(message).await;
    let ban = "[[grant]]\nname = \"ban\"\nservices = [\"orders\"]\nconnect = false\n";
    world.change_policy(&format!("{OPEN}\n{ban}"));
    assert_eq!(peer.closed_paced().await, (1008, "connect_forbidden".into()));
}
