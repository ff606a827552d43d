//! A change that would end too many sessions is held back; a revocation never is.

use portcullis::reload::Attempt;

use super::{dry_run, force, guarded, may_connect, reconfigure, refused, service, taken, tried, trust};
use crate::harness::{Ca, Closed, Harness, Issued, Logs, POLICY, Peer, replace, wait_until};

fn frame(code: u16, reason: &str) -> Closed {
    Closed::Frame(code, reason.into())
}

/// Five sessions of five services; a fifth of them may be cut.
async fn five(harness: &Harness) -> Vec<(Issued, Peer)> {
    let mut sessions = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let issued = service(harness, name, &[]);
        let peer = harness.connect_as(&issued).await;
        sessions.push((issued, peer));
    }
    sessions
}

fn without(services: &str) -> String {
    format!("{POLICY}[[grant]]\nname = \"out\"\nservices = [{services}]\nconnect = false\n")
}

#[tokio::test]
async fn a_policy_that_cuts_more_than_the_share_is_refused_and_forced_it_works() {
    let logs = Logs::capture();
    let harness = guarded().await;
    let mut sessions = five(&harness).await;
    replace(&harness.policy, without("\"a\", \"b\"").as_bytes());
    let why = refused(&harness).await;
    for part in
        ["reload.max_cut_percent", "2 of 5", "20 percent", "a 1 (connect_forbidden)", "reload --force"]
    {
        assert!(why.contains(part), "{why}");
    }
    for (_, peer) in &mut sessions {
        peer.nothing_came().await;
    }
    assert_eq!(harness.gateway().generation_number(), 1);
    // Asking again is no reason to take it.
    assert!(matches!(harness.reload().await, Attempt::Refused { .. }));
    assert_eq!(force(&harness).await.attempt, Attempt::Installed { generation: 2 });
    logs.line(&["portcullis::audit", "reloaded", "generation=2", "forced=true", "cut=2"]).await;
    for (_, peer) in &mut sessions[..2] {
        assert_eq!(peer.closed().await.paced(), frame(1008, "connect_forbidden"));
    }
    for (_, peer) in &mut sessions[2..] {
        peer.nothing_came().await;
    }
    assert!(super::faults(&harness).is_empty());
}

#[tokio::test]
async fn a_change_that_cuts_just_the_share_is_taken() {
    let harness = guarded().await;
    let mut sessions = five(&harness).await;
    replace(&harness.policy, without("\"a\"").as_bytes());
    taken(&harness, 2).await;
    assert_eq!(sessions[0].1.closed().await.paced(), frame(1008, "connect_forbidden"));
    sessions[1].1.nothing_came().await;
}

#[tokio::test]
async fn a_mapping_that_renames_everybody_is_refused() {
    let harness = guarded().await;
    let mut sessions = five(&harness).await;
    reconfigure(&harness, "spiffe://test.internal/service", "spiffe://tset.internal/service");
    assert!(refused(&harness).await.contains("identity_changed"));
    for (issued, peer) in &mut sessions {
        peer.nothing_came().await;
        assert!(may_connect(&harness, issued).await);
    }
}

#[tokio::test]
async fn an_anchor_that_goes_too_early_is_refused_and_its_sessions_stay() {
    let harness = guarded().await;
    let mut sessions = five(&harness).await;
    trust(&harness, &[&Ca::root("another root")]);
    assert!(refused(&harness).await.contains("untrusted"));
    for (issued, peer) in &mut sessions {
        peer.nothing_came().await;
        assert!(may_connect(&harness, issued).await);
    }
}

/// Where nobody is connected, nobody is cut.
#[tokio::test]
async fn without_sessions_nothing_is_held_back() {
    let harness = guarded().await;
    trust(&harness, &[&Ca::root("another root")]);
    tried(&harness).await;
    assert_eq!(super::faults(&harness), Vec::<String>::new());
}

#[tokio::test]
async fn a_revocation_in_a_set_that_is_held_back_bites_at_once() {
    let harness = guarded().await;
    let mut sessions = five(&harness).await;
    let (issued, _) = &sessions[4];
    harness.pki.ca.revoke(issued);
    replace(&harness.policy, without("\"a\", \"b\"").as_bytes());
    harness.pki.publish_crl();
    assert_eq!(sessions[4].1.closed().await, frame(4403, "revoked"));
    assert!(!may_connect(&harness, &sessions[4].0).await);
    tried(&harness).await;
    assert!(refused(&harness).await.contains("reload.max_cut_percent"));
    for (_, peer) in &mut sessions[..4] {
        peer.nothing_came().await;
    }
    // With the policy put back the revocation stays.
    replace(&harness.policy, POLICY.as_bytes());
    tried(&harness).await;
    assert_eq!(super::faults(&harness), Vec::<String>::new());
    assert!(!may_connect(&harness, &sessions[4].0).await);
}

#[tokio::test]
async fn a_mass_revocation_is_applied_and_raises_an_alarm() {
    let logs = Logs::capture();
    let harness = guarded().await;
    let mut sessions = five(&harness).await;
    sessions[..2].iter().for_each(|(issued, _)| harness.pki.ca.revoke(issued));
    harness.pki.publish_crl();
    for (_, peer) in &mut sessions[..2] {
        assert_eq!(peer.closed().await, frame(4403, "revoked"));
    }
    wait_until(|| harness.metric("mass_revocations_total") == 1).await;
    logs.line(&["portcullis::audit", "mass_revocation", "sessions=2", "live=5", "a 1, b 1"]).await;
    // One of three is above the share as well; one of ten is not.
    let mut more = Vec::new();
    for name in ["f", "g", "h", "i", "j", "k", "l"] {
        more.push(harness.connect(name, &[]).await);
    }
    harness.sessions(10).await;
    harness.pki.revoke(&sessions[2].0);
    assert_eq!(sessions[2].1.closed().await, frame(4403, "revoked"));
    tried(&harness).await;
    assert_eq!(harness.metric("mass_revocations_total"), 1);
}

/// Whom only the whole set would revoke is not revoked while that is held back.
#[tokio::test]
async fn a_revocation_that_is_held_back_with_its_set_raises_no_alarm() {
    let logs = Logs::capture();
    let harness = guarded().await;
    let (lists, none) = ("crls = [\"crl.pem\"]", "danger_no_revocation = true");
    reconfigure(&harness, lists, none);
    taken(&harness, 2).await;
    let mut sessions = five(&harness).await;
    sessions[..2].iter().for_each(|(issued, _)| harness.pki.ca.revoke(issued));
    harness.pki.publish_crl();
    replace(&harness.policy, without("\"c\", \"d\"").as_bytes());
    refused(&harness).await;
    reconfigure(&harness, none, lists);
    tried(&harness).await;
    let why = refused(&harness).await;
    assert!(why.contains("2 of 3"), "whom it revokes would not stay otherwise: {why}");
    assert_eq!(harness.metric("mass_revocations_total"), 0);
    for (_, peer) in &mut sessions {
        peer.nothing_came().await;
    }
    assert!(matches!(force(&harness).await.attempt, Attempt::Installed { .. }));
    assert_eq!(sessions[0].1.closed().await, frame(4403, "revoked"));
    assert_eq!(harness.metric("mass_revocations_total"), 1);
    logs.line(&["portcullis::audit", "mass_revocation", "sessions=2", "live=5", "a 1, b 1"]).await;
}

/// It would empty the gateway as well, a moment later.
#[tokio::test]
async fn an_anchor_that_is_to_end_in_a_moment_is_refused_and_its_sessions_stay() {
    let harness = guarded().await;
    let mut sessions = five(&harness).await;
    let (soon, _) = super::anchors::moment(60);
    super::anchors::retire(&harness, &soon);
    assert!(refused(&harness).await.contains("credential_deadline"));
    for (_, peer) in &mut sessions {
        peer.nothing_came().await;
    }
    let (later, _) = super::anchors::moment(3_000);
    reconfigure(&harness, &soon, &later);
    tried(&harness).await;
    assert_eq!(super::faults(&harness), Vec::<String>::new());
}

#[tokio::test]
async fn an_empty_or_broken_anchor_file_is_refused_even_when_forced() {
    let harness = guarded().await;
    let mut session = harness.connect("billing", &[]).await;
    for useless in ["", "no PEM"] {
        harness.pki.write("anchors.pem", useless);
        assert!(matches!(force(&harness).await.attempt, Attempt::Refused { .. }), "{useless:?}");
        assert!(matches!(dry_run(&harness).await.attempt, Attempt::Refused { .. }), "{useless:?}");
    }
    session.nothing_came().await;
    assert_eq!(harness.gateway().generation_number(), 1);
}

/// A set that is held back names other files; those of the set in force are still the ones that count.
#[tokio::test]
async fn what_is_revoked_where_it_was_before_counts_though_another_set_is_held_back() {
    let harness = guarded().await;
    let mut sessions = five(&harness).await;
    harness.pki.write("elsewhere.pem", &harness.pki.ca.crl(86_400));
    let text = std::fs::read_to_string(&harness.config).unwrap();
    let text = text.replace("[\"crl.pem\"]", "[\"elsewhere.pem\"]");
    replace(&harness.config, text.replace("spiffe://test.internal", "spiffe://tset.internal").as_bytes());
    assert!(refused(&harness).await.contains("reload.max_cut_percent"));
    harness.pki.ca.revoke(&sessions[0].0);
    harness.pki.write("crl.pem", &harness.pki.ca.crl(86_400));
    assert_eq!(sessions[0].1.closed().await, frame(4403, "revoked"));
    sessions[1].1.nothing_came().await;
}
