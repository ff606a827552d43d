//! What goes ahead of a set alone: additions, under a number of their own.

use super::*;

fn denied(gateway: &Gateway) -> usize {
    gateway.generation().deny.len()
}

fn other_policy(files: &Files) {
    files.write("policy.toml", POLICY.replace("orders.>", "orders.*"));
}

#[tokio::test]
async fn a_denial_is_lifted_by_a_whole_set_alone() {
    let files = Files::new();
    files.deny("\"07\", \"08\"");
    let (mut reloader, _handle, gateway) = reloader(&files);
    files.write("policy.toml", "broken");
    files.deny("\"08\"");
    assert!(matches!(reloader.attempt().await, Attempt::Refused { .. }));
    files.deny("\"08\", \"09\"");
    assert!(matches!(reloader.attempt().await, Attempt::RevocationsOnly { generation: 2, .. }));
    assert_eq!(denied(&gateway), 3);
    assert!(matches!(reloader.attempt().await, Attempt::Refused { .. }), "they are taken once");
    files.write("policy.toml", POLICY);
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 3 });
    assert_eq!(denied(&gateway), 2);
    files.deny("");
    assert_eq!(reloader.attempt().await, Attempt::Installed { generation: 4 });
    assert_eq!(denied(&gateway), 0);
}

#[tokio::test]
async fn what_goes_ahead_of_a_good_set_lifts_nothing_either() {
    let files = Files::new();
    files.deny("\"07\"");
    let (reloader, _handle, _gateway) = reloader(&files);
    other_policy(&files);
    files.deny("\"08\"");
    let Found::Candidate(candidate) = reloader.basis().find(Source::Files, unix_now()) else {
        panic!("a good set")
    };
    let revised = candidate.revised.as_ref().expect("another denial goes ahead");
    assert_eq!((revised.deny.len(), candidate.generation.deny.len()), (2, 1));
}

#[tokio::test]
async fn a_dry_run_tells_the_number_that_the_set_gets() {
    let files = Files::new();
    let (mut reloader, _handle, gateway) = reloader(&files);
    let mut next = async |change: &dyn Fn()| {
        change();
        let told =
            dry_run::dry_run(&reloader.basis(), &gateway, Source::Files, reloader.terms(false)).attempt;
        let came = reloader.attempt().await;
        assert_eq!(told, came);
        assert_eq!(came.generation(), Some(gateway.generation_number()));
        came
    };
    let revokes_and_may_cut = || {
        other_policy(&files);
        files.publish_list(8, &[5]);
    };
    assert_eq!(next(&revokes_and_may_cut).await, Attempt::Installed { generation: 3 });
    assert_eq!(next(&|| files.publish_list(9, &[5])).await, Attempt::Installed { generation: 4 });
    let broken = || {
        files.write("policy.toml", "broken");
        files.publish_list(10, &[5, 6]);
    };
    assert!(matches!(next(&broken).await, Attempt::RevocationsOnly { generation: 5, .. }));
}
