//! Going back to the set before: all of it, but no revocation is undone.

use portcullis::reload::{Ask, Attempt};

use super::{dry_run, guarded, may_connect, new_pair, roll_back, service, shown, start, taken, tried, trust};
use crate::harness::{Ca, Closed, Harness, Logs, Profile, Setup, replace, wait_until};

const NARROW: &str = "[[grant]]\nname = \"own\"\nservices = [\"*\"]\npublish = [\"services.{service}.>\"]\n";

async fn publishes_orders(harness: &Harness) -> bool {
    let mut peer = harness.connect("billing", &["writer"]).await;
    let answer = peer.ask(r#"{"op":"pub","id":1,"topic":"orders.x"}"#).await;
    answer["op"] == "ok"
}

#[tokio::test]
async fn a_rollback_restores_the_set_before_and_a_second_one_goes_forward_again() {
    let logs = Logs::capture();
    let harness = start().await;
    let client = service(&harness, "billing", &["writer"]);
    let pair = new_pair(&harness);
    harness.pki.write("gateway.key", &pair.key_pem);
    replace(&harness.policy, NARROW.as_bytes());
    harness.pki.write("gateway.pem", &pair.pem);
    tried(&harness).await;
    taken(&harness, 2).await;
    assert!(!publishes_orders(&harness).await);

    assert_eq!(roll_back(&harness).await.attempt, Attempt::RolledBack { generation: 3, to: 1 });
    assert!(publishes_orders(&harness).await);
    // A policy is gone back from, which is no reason to take the old private key up again.
    assert_eq!(shown(&harness, &client).await, pair.chain[0]);
    logs.line(&["portcullis::audit", "rolled_back", "generation=3", "to=1", "forced=false", "cut=0"]).await;
    assert_eq!(harness.server.reload_handle().status().rolled_back_to, Some(1));

    assert_eq!(roll_back(&harness).await.attempt, Attempt::RolledBack { generation: 4, to: 2 });
    assert!(!publishes_orders(&harness).await);
    assert_eq!(shown(&harness, &client).await, pair.chain[0]);
    // It is what the files say: nothing is held any more.
    assert_eq!(harness.server.reload_handle().status().rolled_back_to, None);
    assert_eq!(harness.reload().await, Attempt::Unchanged);
}

#[tokio::test]
async fn a_rollback_undoes_no_revocation_and_no_list_goes_back() {
    let harness = start().await;
    let thief = service(&harness, "mallory", &[]);
    let mut session = harness.connect_as(&thief).await;
    replace(&harness.policy, NARROW.as_bytes());
    taken(&harness, 2).await;
    let list_of_then = std::fs::read_to_string(harness.pki.path("crl.pem")).expect("a list");
    harness.pki.revoke(&thief);
    assert_eq!(session.closed().await, Closed::Frame(4403, "revoked".into()));
    tried(&harness).await;
    assert_eq!(harness.gateway().generation_number(), 3);

    // The revocation is no set to go back behind: the set before is that with the other policy.
    assert_eq!(roll_back(&harness).await.attempt, Attempt::RolledBack { generation: 4, to: 1 });
    assert!(publishes_orders(&harness).await);
    assert!(!may_connect(&harness, &thief).await);
    // Nor do the files bring an older list back in now.
    harness.pki.write("crl.pem", &list_of_then);
    assert_eq!(harness.reload().await, Attempt::Held);
    assert!(!may_connect(&harness, &thief).await);
    replace(&harness.policy, format!("{NARROW}# mended\n").as_bytes());
    let attempt = harness.reload().await;
    assert!(matches!(&attempt, Attempt::Refused { faults } if faults[0].contains("back")), "{attempt:?}");
    assert!(!may_connect(&harness, &thief).await);
}

#[tokio::test]
async fn a_rollback_holds_over_reloads_and_polls_until_a_file_changes() {
    let more = "[reload]\npoll_interval_ms = 100".into();
    let harness = Harness::with(Setup { more, ..Setup::default() }).await;
    replace(&harness.policy, NARROW.as_bytes());
    taken(&harness, 2).await;
    roll_back(&harness).await;
    // The same bytes, however they come.
    replace(&harness.policy, NARROW.as_bytes());
    for _ in 0..2 {
        assert_eq!(harness.reload().await, Attempt::Held);
    }
    assert_eq!(dry_run(&harness).await.attempt, Attempt::Held);
    let held = harness.metric("reloads_total{reason=\"held\"}");
    let touched = std::fs::File::open(&harness.policy).expect("a policy");
    touched.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("touched");
    wait_until(|| harness.metric("reloads_total{reason=\"held\"}") > held).await;
    assert_eq!(harness.gateway().generation_number(), 3);
    assert!(publishes_orders(&harness).await);

    // Revocations are published all the time, and end no hold.
    let thief = service(&harness, "mallory", &[]);
    let mut session = harness.connect_as(&thief).await;
    harness.pki.revoke(&thief);
    assert_eq!(session.closed().await, Closed::Frame(4403, "revoked".into()));
    assert_eq!(harness.gateway().generation_number(), 4);
    assert!(publishes_orders(&harness).await);
    assert_eq!(harness.server.reload_handle().status().rolled_back_to, Some(1));

    replace(&harness.policy, format!("{NARROW}# mended\n").as_bytes());
    taken(&harness, 5).await;
    assert!(!publishes_orders(&harness).await);
    assert_eq!(harness.server.reload_handle().status().rolled_back_to, None);
}

#[tokio::test]
async fn there_is_nothing_to_go_back_to_before_anything_changed() {
    let harness = start().await;
    harness.pki.publish_crl();
    taken(&harness, 2).await;
    let attempt = roll_back(&harness).await.attempt;
    assert!(
        matches!(&attempt, Attempt::Refused { faults } if faults[0].starts_with("rollback:")),
        "{attempt:?}"
    );
    assert_eq!(super::faults(&harness), Vec::<String>::new(), "the files are as good as before");
}

#[tokio::test]
async fn a_rollback_that_cuts_too_many_is_held_back_unless_forced_and_can_be_seen_first() {
    let harness = guarded().await;
    let newcomer = Ca::root("new root");
    trust(&harness, &[&harness.pki.ca, &newcomer]);
    tried(&harness).await;
    let mut session = harness.connect_as(&newcomer.issue(&Profile::service("billing", &[]))).await;
    let handle = harness.server.reload_handle();
    for dry_run in [true, false] {
        let report = handle.roll_back(Ask { dry_run, force: false }).await.expect("the gateway runs");
        assert!(
            matches!(&report.attempt, Attempt::Refused { faults } if faults[0].contains("rollback --force")),
            "{report}"
        );
        assert_eq!(report.preview.cuts[0].service, "billing");
    }
    session.nothing_came().await;
    let forced = handle.roll_back(Ask { dry_run: false, force: true }).await.expect("the gateway runs");
    assert!(matches!(forced.attempt, Attempt::RolledBack { .. }), "{forced}");
    assert_eq!(session.closed().await.paced(), Closed::Frame(4403, "untrusted".into()));
}

#[tokio::test]
async fn a_set_whose_time_is_over_is_not_gone_back_to() {
    let harness = start().await;
    // The pair of now is not for the name of then, so that the old one would have to serve.
    let (name, names) = ("names = [\"localhost\"]", "names = [\"localhost\", \"old.test\"]");
    let dns = vec!["localhost".into(), "old.test".into()];
    let short = harness.pki.issue(&Profile { not_after: 2, dns, ..crate::harness::Pki::gateway_profile() });
    harness.pki.write("gateway.key", &short.key_pem);
    harness.pki.write("gateway.pem", &short.pem);
    super::reconfigure(&harness, name, names);
    tried(&harness).await;
    super::reconfigure(&harness, names, name);
    let pair = new_pair(&harness);
    harness.pki.write("gateway.key", &pair.key_pem);
    harness.pki.write("gateway.pem", &pair.pem);
    tried(&harness).await;
    let number = harness.gateway().generation_number();
    let ends = async || {
        let report = harness.server.reload_handle().roll_back(Ask { dry_run: true, force: false }).await;
        matches!(report.expect("the gateway runs").attempt, Attempt::Refused { .. })
    };
    let waiting = async {
        while !ends().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::harness::PATIENCE, waiting).await.expect("it ends");
    let attempt = roll_back(&harness).await.attempt;
    let expected = "listener[0].certificate";
    assert!(
        matches!(&attempt, Attempt::Refused { faults } if faults[0].starts_with(expected)),
        "{attempt:?}"
    );
    assert_eq!(harness.gateway().generation_number(), number);
}

#[tokio::test]
async fn a_rollback_undoes_no_denial_either() {
    let logs = Logs::capture();
    let harness = super::with(Setup {
        before: "deny = \"deny.toml\"".into(),
        files: vec![("deny.toml", "# nobody\n".into())],
        ..Setup::default()
    })
    .await;
    let mallory = service(&harness, "mallory", &[]);
    replace(&harness.policy, NARROW.as_bytes());
    taken(&harness, 2).await;
    harness.pki.write("deny.toml", "services = [\"mallory\"]\n");
    taken(&harness, 3).await;
    assert_eq!(roll_back(&harness).await.attempt, Attempt::RolledBack { generation: 4, to: 1 });
    assert!(!may_connect(&harness, &mallory).await);
    assert!(publishes_orders(&harness).await);
    // Files that are held are not tried: that nobody is denied by them now has to be told all the same.
    harness.pki.write("deny.toml", "services = [\"Checkout\"]\n");
    logs.line(&["deny: services[0]", "does not apply"]).await;
    assert!(!may_connect(&harness, &mallory).await);
    harness.pki.write("deny.toml", "services = [\"checkout\"]\n");
    harness.generation_at_least(5).await;
    assert!(!may_connect(&harness, &mallory).await && publishes_orders(&harness).await);
    assert!(!may_connect(&harness, &service(&harness, "checkout", &[])).await);
}

#[tokio::test]
async fn revocation_is_not_switched_off_by_going_back() {
    let harness = start().await;
    let lists = "crls = [\"crl.pem\"]";
    super::reconfigure(&harness, lists, "danger_no_revocation = true");
    taken(&harness, 2).await;
    super::reconfigure(&harness, "danger_no_revocation = true", lists);
    taken(&harness, 3).await;
    let thief = service(&harness, "mallory", &[]);
    harness.pki.revoke(&thief);
    taken(&harness, 4).await;
    let attempt = roll_back(&harness).await.attempt;
    let expected = "danger_no_revocation";
    assert!(matches!(&attempt, Attempt::Refused { faults } if faults[0].contains(expected)), "{attempt:?}");
    assert!(!may_connect(&harness, &thief).await);
}
