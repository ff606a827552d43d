//! Going back: the revocations and key pairs of today stay, and revoking goes on.

use super::*;
use crate::identity::certificate::Fingerprint;

fn other_policy(files: &Files) {
    files.write("policy.toml", POLICY.replace("orders.>", "orders.*"));
}

async fn roll_back(reloader: &mut Reloader) -> Attempt {
    reloader.carry_out(Source::Previous, false).await.attempt
}

fn edit(files: &Files, from: &str, to: &str) {
    let text = std::fs::read_to_string(files.config()).unwrap();
    assert!(text.contains(from), "{text}");
    files.write("portcullis.toml", text.replace(from, to));
}

fn pair(gateway: &Gateway) -> Fingerprint {
    gateway.generation().listeners[0].fingerprint
}

/// The files say other than what an operator went back to, generation 3.
async fn rolled_back(files: &Files) -> (Reloader, ReloadHandle, Arc<Gateway>) {
    let (mut reloader, handle, gateway) = reloader(files);
    other_policy(files);
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 2 });
    assert_eq!(roll_back(&mut reloader).await, Attempt::RolledBack { generation: 3, to: 1 });
    (reloader, handle, gateway)
}

fn held(generation: u64) -> Attempt {
    Attempt::RevocationsOnly { generation, faults: Vec::new() }
}

#[tokio::test]
async fn a_hold_survives_revocations_which_apply() {
    let files = Files::new();
    files.deny("");
    let (mut reloader, handle, gateway) = rolled_back(&files).await;
    let restored = gateway.generation().policy.clone();
    files.publish_list(8, &[5]);
    assert_eq!(reloader.attempt().await, held(4));
    assert!(is_revoked(&gateway, &files, 5) && !reloader.is_due().await);
    files.deny("\"07\"");
    assert_eq!(reloader.attempt().await, held(5));
    files.deny("");
    assert_eq!(reloader.attempt().await, Attempt::Held, "a denial is lifted with the whole set");
    assert_eq!(gateway.generation().deny.len(), 1);
    files.write("crl.der", "cut of");
    assert_eq!(reloader.attempt().await, Attempt::Held);
    assert!(Arc::ptr_eq(&gateway.generation().policy, &restored));
    assert_eq!((handle.status().rolled_back_to, handle.status().faults), (Some(1), Vec::new()));

    files.publish_list(9, &[5]);
    files.write("policy.toml", format!("{}# mended\n", POLICY.replace("orders.>", "orders.*")));
    // The list goes ahead.
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 7 });
    assert_eq!((handle.status().rolled_back_to, gateway.generation().deny.len()), (None, 0));
    assert!(is_revoked(&gateway, &files, 5));
}

#[tokio::test]
async fn a_new_key_pair_ends_a_hold() {
    let files = Files::new();
    let (mut reloader, handle, _gateway) = rolled_back(&files).await;
    files.rotate_gateway();
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 4 });
    assert_eq!(handle.status().rolled_back_to, None);
}

#[tokio::test]
async fn going_forward_again_after_a_revocation_ends_the_hold() {
    let files = Files::new();
    let (mut reloader, handle, gateway) = rolled_back(&files).await;
    files.publish_list(8, &[5]);
    assert_eq!(reloader.attempt().await, held(4));
    assert!(matches!(roll_back(&mut reloader).await, Attempt::RolledBack { to: 2, .. }));
    assert_eq!(handle.status().rolled_back_to, None);
    assert!(is_revoked(&gateway, &files, 5));
}

/// Otherwise its lists go stale, and then it refuses everybody, or a revocation goes nowhere.
#[tokio::test]
async fn a_set_that_came_back_goes_on_with_its_own_revocation_files_and_with_those_of_the_files() {
    let files = Files::new();
    files.deny("");
    let (mut reloader, _handle, gateway) = reloader(&files);
    edit(&files, "crls = [\"crl.der\"]", "crls = [\"moved.der\"]");
    edit(&files, "name = \"internal\"", "name = \"renamed\"");
    edit(&files, "deny.toml", "moved.toml");
    files.write("moved.der", files.authority.list(7, &[]));
    files.write("moved.toml", "# nobody\n");
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 2 });
    assert_eq!(roll_back(&mut reloader).await, Attempt::RolledBack { generation: 3, to: 1 });
    assert!(!reloader.is_due().await);

    files.publish_list(8, &[5]);
    assert!(reloader.is_due().await, "it is watched");
    assert_eq!(reloader.attempt().await, held(4));
    files.write("moved.der", files.authority.list(9, &[5, 6]));
    assert_eq!(reloader.attempt().await, held(5));
    files.write("deny.toml", "serials = [\"07\"]");
    assert_eq!(reloader.attempt().await, held(6));
    files.write("moved.toml", "serials = [\"08\"]");
    assert_eq!(reloader.attempt().await, held(7));
    assert!(is_revoked(&gateway, &files, 5) && is_revoked(&gateway, &files, 6));
    assert_eq!(gateway.generation().deny.len(), 2);
    // Nor does a broken set behind the hold cut it off.
    files.write("policy.toml", "broken");
    files.publish_list(10, &[5, 6, 9]);
    assert!(matches!(reloader.attempt().await, Attempt::RevocationsOnly { generation: 8, .. }));
    assert!(is_revoked(&gateway, &files, 9));
}

#[tokio::test]
async fn a_set_comes_back_with_what_its_own_files_revoke_by_then() {
    let files = Files::new();
    let (mut reloader, _handle, gateway) = reloader(&files);
    files.write("moved.der", files.authority.list(7, &[]));
    edit(&files, "crls = [\"crl.der\"]", "crls = [\"moved.der\"]");
    other_policy(&files);
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 2 });
    files.publish_list(8, &[5]);
    assert_eq!(reloader.attempt().await, Attempt::Unchanged, "nothing names that file now");
    assert!(matches!(roll_back(&mut reloader).await, Attempt::RolledBack { to: 1, .. }));
    assert!(is_revoked(&gateway, &files, 5));
}

#[tokio::test]
async fn a_key_pair_is_no_set_to_go_back_to() {
    let files = Files::new();
    let (mut reloader, _handle, gateway) = reloader(&files);
    other_policy(&files);
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 2 });
    let first = pair(&gateway);
    files.rotate_gateway();
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 3 });
    let second = pair(&gateway);
    assert_ne!(first, second);
    assert_eq!(roll_back(&mut reloader).await, Attempt::RolledBack { generation: 4, to: 1 });
    assert_eq!(pair(&gateway), second, "the old private key stays out of service");
    assert_eq!(roll_back(&mut reloader).await, Attempt::RolledBack { generation: 5, to: 3 });
    assert_eq!(pair(&gateway), second);
    assert_eq!(reloader.attempt().await, Attempt::Unchanged);
}

#[tokio::test]
async fn a_ca_that_was_issued_anew_is_the_same_ca() {
    let files = Files::new();
    files.write("anchors.pem", files.authority.reissued_pem());
    edit(&files, "crls = [\"crl.der\"]", "danger_no_revocation = true");
    let (mut reloader, _handle, gateway) = reloader(&files);
    files.write("anchors.pem", files.authority.pem());
    edit(&files, "danger_no_revocation = true", "crls = [\"crl.der\"]");
    files.publish_list(8, &[5]);
    assert!(matches!(reloader.attempt().await, Attempt::Installed { .. }));
    let attempt = roll_back(&mut reloader).await;
    assert!(
        matches!(&attempt, Attempt::Refused { faults } if faults[0].contains("danger_no_revocation")),
        "{attempt:?}"
    );
    assert!(is_revoked(&gateway, &files, 5));
}
