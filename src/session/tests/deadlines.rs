//! The maximum age of a session, and revocation lists that go stale under it.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::proofs::Attempt;
use super::world::{Frame, Peer, World};
use crate::clock::unix_now;
use crate::limits::Limits;
use crate::testing::{Authority, join};
use crate::trust::test_pki::{TestLeaf, at, date};
use crate::trust::{TrustDomain, TrustDomains};

fn aged(seconds: u64) -> Limits {
    Limits { max_session_age: Some(Duration::from_secs(seconds)), ..Limits::default() }
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_at_its_maximum_age_unless_it_proves_itself() {
    let world = World::with(aged(100));
    let start = Instant::now();
    let mut peer = world.connect("orders").await;
    let whoami = peer.ask(1, json!({"op": "whoami"})).await;
    assert_eq!(whoami["deadline"], peer.hello["deadline"]);
    assert!(whoami["deadline"].as_u64() < whoami["expires"].as_u64(), "{whoami}");
    let demand = peer.text_while_alive().await;
    assert_eq!((&demand["op"], &demand["cause"]), (&json!("reauth_required"), &json!("max_age")));
    assert!((50..=75).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!(peer.frame_while_alive().await, Frame::Close(4401, "credential_deadline".into()));
    assert!(start.elapsed().abs_diff(Duration::from_secs(100)) < Duration::from_millis(10));
}

/// What a certificate of a minute is like, too: asked about once for each, with room for the answer, and never in a loop.
#[tokio::test(start_paused = true)]
async fn a_maximum_age_of_a_minute_asks_once_a_minute_and_the_same_certificate_answers() {
    let world = World::with(aged(60));
    let leaf = world.authority.client("orders", 6, 3_600);
    let mut peer = world.connect_as(&leaf).await;
    let (start, mut demands) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(600) {
        let demand = peer.text_while_alive().await;
        assert_eq!(demand["op"], "reauth_required", "{demand}");
        demands += 1;
        let attempt = Attempt::new(&leaf, &peer.hello["session"], &demand["challenge"]);
        assert_eq!(peer.ask(demands, attempt.message()).await["op"], "ok");
    }
    // Between half and three quarters of the minute are over when it is asked.
    assert!((13..=21).contains(&demands), "{demands}");
    let challenge = peer.ask(1, json!({"op": "whoami"})).await["challenge"].clone();
    let again = Attempt::new(&leaf, &peer.hello["session"], &challenge);
    assert_eq!(peer.ask(2, again.message()).await["code"], "reauth_failed", "nothing to gain by it");
}

#[tokio::test(start_paused = true)]
async fn a_maximum_age_that_a_reload_brings_asks_first() {
    let world = World::new();
    let mut peer = world.connect("orders").await;
    let start = Instant::now();
    world.change(|next| {
        next.limits = Limits { max_session_age: Some(Duration::from_secs(20)), ..Limits::default() }.into()
    });
    assert_eq!(peer.text_while_alive().await["cause"], "max_age");
    assert_eq!(peer.frame_while_alive().await, Frame::Close(4401, "credential_deadline".into()));
    assert!(start.elapsed().abs_diff(Duration::from_secs(20)) < Duration::from_millis(10));
}

/// A gateway whose revocation list goes stale after 100 seconds.
fn going_stale(window: u64) -> World {
    let authority = Authority::new("root");
    let trust = join([authority.settings(&[authority.list_for(1, 100)])]);
    let limits = Limits { stale_crl_window: Duration::from_secs(window), ..Limits::default() };
    World::of(authority, |first| first.trust = trust, limits)
}

#[tokio::test(start_paused = true)]
async fn sessions_of_a_stale_list_end_over_the_window() {
    let world = going_stale(400);
    let start = Instant::now();
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut peer = world.connect("orders").await;
        waiting.push(tokio::spawn(async move {
            let end = peer.frame_while_alive().await;
            assert_eq!(end, Frame::Close(4403, "revocation_unknown retry_after_ms=10000".into()));
            start.elapsed().as_secs()
        }));
    }
    let mut ends = HashSet::new();
    for peer in waiting {
        let end = peer.await.unwrap();
        assert!((98..=500).contains(&end), "{end}");
        ends.insert(end / 10);
    }
    assert!(ends.len() > 5, "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_window_they_end_at_once() {
    let world = going_stale(0);
    let start = Instant::now();
    let mut peer = world.connect("orders").await;
    assert!(matches!(peer.frame_while_alive().await, Frame::Close(4403, _)));
    assert!((98..=101).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_fresh_list_calls_their_end_off() {
    let world = going_stale(400);
    let mut peer = world.connect("orders").await;
    world.change(|next| next.trust = world.authority.trust(2, &[]));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1_000) {
        assert_eq!(peer.next().await, Some(Frame::Ping));
        peer.frame(0x8a, b"").await;
    }
    peer.subscribe(1, "a").await;
}

/// A gateway whose revocation list goes stale under a session that may stay on for weeks.
async fn stale_under_a_session() -> (World, Peer) {
    let limits = Limits { stale_crl_window: Duration::from_secs(10_000_000), ..Limits::default() };
    let world = World::with(limits);
    let peer = world.connect_for("orders", 600).await;
    let now = unix_now().as_secs();
    let settings = world.authority.settings(&[world.authority.list_between(1, now - 3_600, now - 1)]);
    let domain = TrustDomain::new(settings, at(now - 10)).expect("it was fresh then");
    world.change(|next| next.trust = TrustDomains::new(vec![domain]).expect("one domain").into());
    (world, peer)
}

/// A proof of `leaf`; its answer and the wait that it asks for.
async fn prove(peer: &mut Peer, leaf: &TestLeaf) -> (serde_json::Value, Option<Duration>) {
    let challenge = peer.ask(1, json!({"op": "whoami"})).await["challenge"].clone();
    let answer = peer.ask(2, Attempt::new(leaf, &peer.hello["session"], &challenge).message()).await;
    let wait = answer["retry_after_ms"].as_u64().map(Duration::from_millis);
    (answer, wait)
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_a_stale_list_holds_up_is_put_off_and_taken_once_there_is_a_fresh_one() {
    let (world, mut peer) = stale_under_a_session().await;
    let leaf = world.authority.client("orders", 77, 1_200);
    for _ in 0..6 {
        let (answer, wait) = prove(&mut peer, &leaf).await;
        assert_eq!(answer["code"], "unavailable", "{answer}");
        assert!(answer["challenge"].is_string(), "{answer}");
        let wait = wait.expect("a time");
        assert!((1..=30).contains(&wait.as_secs()), "{wait:?}");
        tokio::time::sleep(wait).await;
    }
    world.change(|next| next.trust = world.authority.trust(2, &[]));
    assert_eq!(prove(&mut peer, &leaf).await.0["op"], "ok");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_for_a_fresh_list_fails_by_that() {
    let (world, mut peer) = stale_under_a_session().await;
    let leaf = world.authority.client("orders", 77, 1_200);
    for _ in 0..4 {
        assert_eq!(prove(&mut peer, &leaf).await.0["code"], "unavailable");
    }
    assert_eq!(peer.closed().await, (1008, "reauth_failed".into()));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_is_not_valid_yet_is_told_when_it_is_if_that_comes_in_time() {
    let now = unix_now().as_secs();
    for (begins, expected) in [(60, Some(58..=60)), (590, None), (172_800, None)] {
        let world = World::new();
        let mut peer = world.connect_for("orders", 600).await;
        let edit = |params: &mut rcgen::CertificateParams| params.not_before = date(now + begins);
        let leaf = world.authority.client_with("orders", 77, 259_200, edit);
        for _ in 0..3 {
            let (answer, wait) = prove(&mut peer, &leaf).await;
            assert_eq!(answer["code"], "reauth_failed", "{answer}");
            let seconds = wait.map(|wait| wait.as_secs());
            assert_eq!(seconds.is_some(), expected.is_some(), "{answer}");
            assert!(expected.iter().all(|range| seconds.is_some_and(|wait| range.contains(&wait))));
        }
        assert_eq!(peer.closed().await, (1008, "reauth_failed".into()), "it counts");
    }
}
