//! What an attempt comes to, one after the other.

mod alone;
mod earlier;

use super::candidate::{Found, Source};
use super::*;
use crate::load::tests::{Files, POLICY};

fn reloader(files: &Files) -> (Reloader, ReloadHandle, Arc<Gateway>) {
    let loaded = files.load();
    let gateway = Arc::new(Gateway::new("test", loaded.generation));
    let (reloader, handle) = Reloader::new(gateway.clone(), files.config(), loaded.settings, loaded.digest);
    (reloader, handle, gateway)
}

fn is_revoked(gateway: &Gateway, files: &Files, serial: u64) -> bool {
    let leaf = files.authority.client("orders", serial, 600);
    gateway.generation().trust.verify(&leaf.der, &[], unix_now()).is_err()
}

#[tokio::test]
async fn a_change_is_installed_once() {
    let files = Files::new();
    let (mut reloader, handle, gateway) = reloader(&files);
    assert_eq!(reloader.attempt().await, Attempt::Unchanged);
    files.write("policy.toml", POLICY.replace("orders.>", "orders.*"));
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 2 });
    assert_eq!(reloader.attempt().await, Attempt::Unchanged);
    assert_eq!((gateway.generation_number(), handle.status().faults), (2, Vec::new()));
}

#[tokio::test]
async fn a_broken_set_changes_nothing_and_the_next_good_one_is_taken() {
    let files = Files::new();
    let (mut reloader, handle, gateway) = reloader(&files);
    let before = gateway.generation();
    files.write("policy.toml", "[[grant]]\nname = 1\n");
    files.write("gateway.key", "");
    let Attempt::Refused { faults } = reloader.attempt().await else { panic!("refused") };
    assert_eq!((faults.len(), &handle.status().faults), (2, &faults));
    assert!(Arc::ptr_eq(&gateway.generation(), &before));

    files.rotate_gateway();
    files.write("policy.toml", POLICY);
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 2 });
    assert!(handle.status().faults.is_empty());
}

#[tokio::test]
async fn files_that_are_put_back_as_they_were_end_the_fault() {
    let files = Files::new();
    let (mut reloader, handle, gateway) = reloader(&files);
    files.write("policy.toml", "broken");
    assert!(matches!(reloader.attempt().await, Attempt::Refused { .. }));
    files.write("policy.toml", POLICY);
    assert_eq!(reloader.attempt().await, Attempt::Unchanged);
    assert_eq!((handle.status().faults, gateway.generation_number()), (Vec::new(), 1));
}

#[tokio::test]
async fn a_revocation_bites_beside_a_broken_policy_and_stays_when_that_is_mended() {
    let files = Files::new();
    let (mut reloader, handle, gateway) = reloader(&files);
    files.write("policy.toml", "broken");
    files.publish_list(8, &[5]);
    let attempt = reloader.attempt().await;
    assert!(
        matches!(&attempt, Attempt::RevocationsOnly { generation: 2, faults } if faults.len() == 1),
        "{attempt:?}"
    );
    assert!(is_revoked(&gateway, &files, 5) && !handle.status().faults.is_empty());
    assert!(matches!(reloader.attempt().await, Attempt::Refused { .. }), "it is taken once");

    files.write("policy.toml", POLICY);
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 3 });
    assert!(is_revoked(&gateway, &files, 5) && handle.status().faults.is_empty());
}

/// The files are then those of the first generation, byte for byte, but not those that the gateway runs on.
#[tokio::test]
async fn going_back_behind_a_revocation_that_was_taken_alone_is_a_fault() {
    let files = Files::new();
    let (mut reloader, handle, gateway) = reloader(&files);
    let old_list = std::fs::read(files.path("crl.der")).unwrap();
    files.write("policy.toml", "broken");
    files.publish_list(8, &[5]);
    assert!(matches!(reloader.attempt().await, Attempt::RevocationsOnly { .. }));

    files.write("policy.toml", POLICY);
    files.write("crl.der", old_list);
    let attempt = reloader.attempt().await;
    assert!(matches!(attempt, Attempt::Refused { .. }), "{attempt:?}");
    assert!(is_revoked(&gateway, &files, 5) && !handle.status().faults.is_empty());
    files.publish_list(9, &[5]);
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 3 });
}

#[tokio::test]
async fn a_change_between_the_first_load_and_the_watch_is_noticed() {
    let files = Files::new();
    let loaded = files.load();
    files.write("policy.toml", POLICY.replace("orders.>", "orders.*"));
    let gateway = Arc::new(Gateway::new("test", loaded.generation));
    let (reloader, handle) = Reloader::new(gateway.clone(), files.config(), loaded.settings, loaded.digest);
    let stop = CancellationToken::new();
    let running = tokio::spawn(reloader.run(stop.clone()));
    // The first thing that it does is to look; whoever asks is answered after that.
    assert_eq!(handle.reload().await, Some(Attempt::Unchanged));
    assert_eq!(gateway.generation_number(), 2);
    stop.cancel();
    running.await.expect("it ends");
}

#[tokio::test]
async fn a_refused_set_is_tried_again_when_other_bytes_or_time_may_mend_it() {
    let files = Files::new();
    let (mut reloader, _handle, _gateway) = reloader(&files);
    assert!(!reloader.is_due().await);
    files.write("policy.toml", "broken");
    assert!(matches!(reloader.attempt().await, Attempt::Refused { .. }));
    assert!(!reloader.is_due().await, "the same bytes are refused again");

    // A file that only the refused configuration names.
    let config = std::fs::read_to_string(files.config()).unwrap();
    files.write("portcullis.toml", config.replace("policy.toml", "elsewhere.toml"));
    assert!(matches!(reloader.attempt().await, Attempt::Refused { .. }));
    assert!(!reloader.is_due().await);
    files.write("elsewhere.toml", POLICY);
    assert!(reloader.is_due().await);
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 2 });
    assert!(!reloader.is_due().await);

    files.write("crl.der", files.authority.list_of_tomorrow(9));
    assert!(matches!(reloader.attempt().await, Attempt::Refused { .. }));
    assert!(reloader.is_due().await, "a fault of time");
}

#[tokio::test]
async fn a_request_to_reload_is_answered_and_ends_with_the_gateway() {
    let files = Files::new();
    let (reloader, handle, _gateway) = reloader(&files);
    let stop = CancellationToken::new();
    let running = tokio::spawn(reloader.run(stop.clone()));
    assert_eq!(handle.reload().await, Some(Attempt::Unchanged));
    stop.cancel();
    running.await.unwrap();
    assert_eq!(handle.reload().await, None);
}
