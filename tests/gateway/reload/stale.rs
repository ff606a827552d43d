//! Revocation lists that run out while the gateway runs, or that have run out when it starts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis::reload::Attempt;
use portcullis::server::{Server, StartError};

use super::{may_connect, refused, service, taken, tried, with};
use crate::harness::{Closed, Harness, Setup, wait_until};

const ACCEPTING: &str = "danger_accept_stale_crl = true";

async fn start(trust: &str) -> Harness {
    with(Setup { trust: trust.into(), ..Setup::default() }).await
}

/// Publishes a list that is good for a few seconds, waits until it is taken and then until it is over.
async fn run_out(harness: &Harness) {
    harness.pki.write("crl.pem", &harness.pki.ca.crl(2));
    tried(harness).await;
    let end = portcullis::expiry::revocation_end(&harness.gateway().generation()).expect("a list");
    wait_until(|| SystemTime::now() >= UNIX_EPOCH + Duration::from_secs(end)).await;
}

#[tokio::test]
async fn a_list_that_runs_out_refuses_new_handshakes_until_a_fresh_one_comes() {
    let harness = start("").await;
    let issued = service(&harness, "billing", &[]);
    run_out(&harness).await;
    assert!(!may_connect(&harness, &issued).await);
    harness.pki.publish_crl();
    taken(&harness, 3).await;
    assert!(may_connect(&harness, &issued).await);
}

#[tokio::test]
async fn a_list_that_runs_out_ends_the_sessions_it_speaks_for() {
    let limits = "stale_crl_window_ms = 0".into();
    let harness = with(Setup { limits, ..Setup::default() }).await;
    let mut peer = harness.connect("billing", &[]).await;
    run_out(&harness).await;
    let Closed::Frame(4403, reason) = peer.closed().await else { panic!("with a reason") };
    assert!(reason.starts_with("revocation_unknown retry_after_ms="), "{reason}");
}

#[tokio::test]
async fn within_the_window_sessions_go_on_and_a_fresh_list_calls_their_end_off() {
    let limits = "stale_crl_window_ms = 604800000".into();
    let harness = with(Setup { limits, ..Setup::default() }).await;
    let mut peers = Vec::new();
    for service in ["billing", "checkout", "visitor"] {
        peers.push(harness.connect(service, &[]).await);
    }
    run_out(&harness).await;
    harness.pki.publish_crl();
    taken(&harness, 3).await;
    for peer in &mut peers {
        peer.nothing_came().await;
    }
}

#[tokio::test]
async fn where_stale_lists_are_accepted_they_vouch_on_and_still_revoke() {
    let harness = start(ACCEPTING).await;
    let (kept, stolen) = (service(&harness, "billing", &[]), service(&harness, "mallory", &[]));
    harness.pki.ca.revoke(&stolen);
    run_out(&harness).await;
    assert!(may_connect(&harness, &kept).await && !may_connect(&harness, &stolen).await);
    // One that was stale already is as good, on reload and at the start.
    harness.pki.ca.revoke(&kept);
    harness.pki.write("crl.pem", &harness.pki.ca.crl(-1));
    tried(&harness).await;
    assert!(!may_connect(&harness, &kept).await);
    Server::start(&harness.config).await.expect("it starts").stop().await;
}

#[tokio::test]
async fn where_stale_lists_are_accepted_a_newer_one_applies_beside_a_broken_policy() {
    let harness = start(ACCEPTING).await;
    let stolen = service(&harness, "mallory", &[]);
    crate::harness::replace(&harness.policy, b"[[grant");
    refused(&harness).await;
    harness.pki.ca.revoke(&stolen);
    harness.pki.write("crl.pem", &harness.pki.ca.crl(-1));
    assert!(matches!(harness.reload().await, Attempt::RevocationsOnly { .. } | Attempt::Refused { .. }));
    assert!(!may_connect(&harness, &stolen).await);
}

#[tokio::test]
async fn with_a_stale_list_the_gateway_does_not_start_and_no_reload_succeeds() {
    let harness = start("").await;
    harness.pki.write("crl.pem", &harness.pki.ca.crl(-1));
    assert!(matches!(harness.reload().await, Attempt::Refused { .. }));
    assert!(matches!(Server::start(&harness.config).await, Err(StartError::Config(_))));
}
