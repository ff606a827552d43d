//! Too many: the refusals that a good request gets when there is no place for it.

use std::time::Duration;

use tokio::net::TcpStream;

use super::{headers, refusal};
use crate::harness::raw::{Head, Raw};
use crate::harness::{Harness, Profile, Setup, wait_until};

async fn limited(limits: &str) -> Harness {
    Harness::with(Setup { limits: limits.into(), ..Setup::default() }).await
}

/// The status and type of what this certificate is answered now; checks that it is told when to come back.
async fn refused(harness: &Harness, service: &str) -> (u16, String) {
    let issued = harness.pki.issue(&Profile::service(service, &[]));
    let answer = Raw::open(harness, &issued).await.ask(&Head::upgrade()).await;
    let wait: u64 = answer.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((1..=60).contains(&wait));
    (answer.status, answer.problem())
}

#[tokio::test]
async fn an_address_above_its_connections_is_refused_with_429() {
    let harness = limited("max_connections_per_address = 2").await;
    let _first = harness.connect("billing", &[]).await;
    let second = harness.connect("checkout", &[]).await;
    assert_eq!(refused(&harness, "other").await, (429, "address-limit".into()));
    drop(second);
    harness.sessions(1).await;
    wait_until(|| harness.gateway().admissions.opening() == 0).await;
    harness.connect("other", &[]).await;
}

#[tokio::test]
async fn a_service_above_its_sessions_is_refused_with_429_and_others_are_not() {
    let harness = limited("max_sessions_per_service = 1").await;
    let first = harness.connect("billing", &[]).await;
    assert_eq!(refused(&harness, "billing").await, (429, "service-limit".into()));
    harness.connect("checkout", &[]).await;
    drop(first);
    wait_until(|| !harness.gateway().registry.services().keys().any(|name| name.as_str() == "billing")).await;
    wait_until(|| harness.gateway().admissions.sessions() <= 1).await;
    harness.connect("billing", &[]).await;
}

#[tokio::test]
async fn a_full_gateway_refuses_with_503() {
    let harness = limited("max_sessions = 1").await;
    let _only = harness.connect("billing", &[]).await;
    assert_eq!(refused(&harness, "checkout").await, (503, "full".into()));
}

#[tokio::test]
async fn above_the_connections_that_open_a_client_is_refused_with_503() {
    let harness = limited("max_opening = 1").await;
    let silent = TcpStream::connect(harness.address).await.expect("connected");
    wait_until(|| harness.gateway().admissions.opening() == 1).await;
    assert_eq!(refused(&harness, "billing").await, (503, "overload".into()));
    drop(silent);
    wait_until(|| harness.gateway().admissions.opening() == 0).await;
    harness.connect("billing", &[]).await;
}

#[tokio::test]
async fn a_draining_gateway_refuses_with_503() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    harness.gateway().drain(Duration::from_secs(60));
    let answer = refusal(&harness, &issued, &Head::upgrade()).await;
    assert_eq!(answer, (503, "draining".into(), headers(&[("retry-after", "5")])));
}

/// Who has asked for nothing yet takes no session from those who do, however long that lasts.
#[tokio::test]
async fn only_a_request_that_is_in_order_takes_a_place() {
    let harness = limited("max_sessions = 2\nmax_sessions_per_service = 1").await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(Raw::open(&harness, &issued).await);
    }
    harness.handshakes(4).await;
    assert_eq!(harness.gateway().admissions.sessions(), 0);
    let _session = harness.connect("billing", &[]).await;
    // Of those who waited, whose request is in order is told that there is no place, and the other what is wrong with it.
    let mut answers = Vec::new();
    for head in [Head::upgrade(), Head::upgrade().line("GET /chat HTTP/1.1")] {
        let answer = waiting.remove(0).ask(&head).await;
        answers.push((answer.status, answer.problem()));
    }
    assert_eq!(answers, [(429, "service-limit".into()), (404, "path".into())]);
    harness.connect("checkout", &[]).await;
}

/// Whatever is reached first, the 101 or the end of the peer.
#[tokio::test]
async fn a_peer_that_is_gone_when_its_101_comes_keeps_no_place() {
    let harness = limited("max_sessions_per_service = 1").await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    for count in 1..=5 {
        let mut raw = Raw::open(&harness, &issued).await;
        raw.send(&Head::upgrade().bytes()).await;
        drop(raw);
        harness.handshakes(count).await;
        wait_until(|| {
            let admissions = &harness.gateway().admissions;
            (admissions.opening(), admissions.sessions()) == (0, 0)
        })
        .await;
    }
    harness.connect("billing", &[]).await;
}

#[tokio::test]
async fn a_refused_request_gives_its_place_back() {
    let harness = limited("max_sessions_per_service = 1").await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    for _ in 0..3 {
        refusal(&harness, &issued, &Head::upgrade().line("GET /chat HTTP/1.1")).await;
        wait_until(|| harness.gateway().admissions.sessions() == 0).await;
    }
    harness.connect("billing", &[]).await;
}
