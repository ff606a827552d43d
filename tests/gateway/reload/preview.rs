//! What a change would do is told before it is done, by the very verdicts that it would bring.

use portcullis::reload::Attempt;
use portcullis::reload::changes::ListState;
use portcullis::session::CloseReason;

use super::{dry_run, force, guarded, may_connect, service, start, tried, trust};
use crate::harness::{Ca, Harness, POLICY, Profile, replace};

const WITHOUT_BILLING: &str = "[[grant]]\nname = \"out\"\nservices = [\"billing\"]\nconnect = false\n";

/// Puts files in place while nobody looks: the gateway is asked before it notices.
fn put_policy(harness: &Harness, policy: &str) {
    replace(&harness.policy, policy.as_bytes());
}

/// A gateway that takes no file by itself, so that a dry run finds what nobody tried yet: everything but the last is
/// held back by the guard.
async fn with_sessions() -> (Harness, Vec<crate::harness::Peer>) {
    let harness = guarded().await;
    let mut peers = Vec::new();
    for name in ["billing", "billing", "checkout"] {
        peers.push(harness.connect(name, &["reader"]).await);
    }
    (harness, peers)
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_names_the_services() {
    let (harness, mut peers) = with_sessions().await;
    put_policy(&harness, &format!("{POLICY}{WITHOUT_BILLING}"));
    let report = dry_run(&harness).await;
    assert!(report.dry_run && matches!(&report.attempt, Attempt::Refused { faults } if faults.len() == 1));
    assert_eq!((report.preview.live, report.preview.cut()), (3, 2));
    let cut = &report.preview.cuts[0];
    assert_eq!(
        (cut.service.as_str(), cut.reason, cut.sessions),
        ("billing", CloseReason::ConnectForbidden, 2)
    );
    assert_eq!(report.preview.sessions.len(), 2);
    assert!(report.preview.sessions.iter().all(|session| session.why.contains("out")), "{report}");
    assert_eq!(report.changes.grants.added, ["out"]);
    let text = report.to_string();
    for part in ["would be refused", "grant         + out", "cut           - 2 billing (connect_forbidden)"] {
        assert!(text.contains(part), "{text}");
    }
    for peer in &mut peers {
        peer.nothing_came().await;
    }
    assert_eq!(harness.gateway().generation_number(), 1);
}

#[tokio::test]
async fn a_dry_run_tells_whose_rights_change() {
    let (harness, mut peers) = with_sessions().await;
    put_policy(&harness, &POLICY.replace("billing.quote\"]", "billing.price\"]"));
    let report = dry_run(&harness).await;
    // It may have been noticed and taken meanwhile: nobody is cut by it.
    if let Attempt::Installed { generation: 2 } = report.attempt {
        let rights: Vec<_> =
            report.preview.rights_changed.iter().map(|each| (each.service.as_str(), each.sessions)).collect();
        assert_eq!(rights, [("billing", 2), ("checkout", 1)]);
        assert_eq!(report.changes.grants.changed, ["billing-answers", "checkout-asks"]);
    } else {
        assert_eq!(report.attempt, Attempt::Unchanged);
    }
    for peer in &mut peers {
        peer.nothing_came().await;
    }
}

#[tokio::test]
async fn a_forced_reload_tells_anchors_and_lists_that_came_and_went() {
    let harness = start().await;
    let (old, next) = (&harness.pki.ca, Ca::root("next \u{1b}[31mroot"));
    let issued = service(&harness, "billing", &[]);
    let mut session = harness.connect_as(&issued).await;
    trust(&harness, &[old, &next]);
    let report = force(&harness).await;
    // The change may have been taken before it was asked for.
    if let Attempt::Installed { .. } = report.attempt {
        let change = &report.changes.trust[0];
        assert_eq!(change.anchors.added[0].name, "CN=next \u{1b}[31mroot");
        let list = change.lists.iter().find(|list| list.ca == "CN=test root").expect("a list");
        let state = |number: &str| Some(ListState { number: number.into(), entries: 0 });
        assert_eq!((&list.before, &list.after), (&state("01"), &state("02")));
        assert!(!report.to_string().contains('\u{1b}'), "{report}");
    }
    tried(&harness).await;
    session.nothing_came().await;
    assert!(may_connect(&harness, &next.issue(&Profile::service("checkout", &[]))).await);
}

#[tokio::test]
async fn a_broken_set_is_told_with_its_faults_and_with_what_it_revokes() {
    let (harness, mut peers) = with_sessions().await;
    let report = dry_run(&harness).await;
    assert_eq!(report.attempt, Attempt::Unchanged);
    put_policy(&harness, "[[grant");
    tried(&harness).await;
    let report = dry_run(&harness).await;
    assert!(
        matches!(&report.attempt, Attempt::Refused { faults } if faults[0].contains("policy")),
        "{report}"
    );
    for peer in &mut peers {
        peer.nothing_came().await;
    }
}
