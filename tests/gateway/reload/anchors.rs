//! Anchors with an end of the operator's, and what a CA leaves behind when it goes.

use portcullis::reload::Attempt;
use time::OffsetDateTime;

use super::{may_connect, reconfigure, refused, service, start, tried, trust};
use crate::harness::{Ca, Closed, Harness, Peer, Profile, wait_until};

/// A TOML date and time in `seconds` from now, and the same in Unix seconds.
pub fn moment(seconds: i64) -> (String, u64) {
    let at = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.time().as_hms();
    let month = u8::from(month);
    let text = format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    (text, at.unix_timestamp().try_into().expect("after 1970"))
}

/// Gives the first of the anchors an end.
pub fn retire(harness: &Harness, at: &str) {
    let generation = harness.gateway().generation();
    let anchor = generation.trust.domains()[0].anchors().next().expect("an anchor").fingerprint;
    let line = format!("anchors = [\"anchors.pem\"]\nretire = [{{ anchor = \"{anchor}\", at = {at} }}]");
    reconfigure(harness, "anchors = [\"anchors.pem\"]", &line);
}

/// The deadline of a live session's certificate path, by what the gateway holds.
fn deadline(harness: &Harness, peer: &Peer) -> Option<u64> {
    let sessions = harness.gateway().registry.sessions();
    let session = sessions.iter().find(|live| live.id.to_string() == peer.hello["session"]);
    session.map(|live| live.peer.deadline())
}

/// A gateway that trusts its usual root and a new one, with a session under each.
async fn overlapping() -> (Harness, Ca, Peer, Peer) {
    let harness = start().await;
    let new_root = Ca::root("new root");
    trust(&harness, &[&harness.pki.ca, &new_root]);
    tried(&harness).await;
    let on_old = harness.connect("billing", &[]).await;
    let on_new = harness.connect_as(&new_root.issue(&Profile::service("checkout", &[]))).await;
    (harness, new_root, on_old, on_new)
}

fn over() -> Closed {
    Closed::Frame(4401, "credential_deadline".into())
}

#[tokio::test]
async fn the_end_of_an_anchor_moves_the_deadline_of_live_sessions_and_ends_them() {
    let (harness, new_root, mut on_old, mut on_new) = overlapping().await;
    let before = [&on_old, &on_new].map(|peer| deadline(&harness, peer).expect("it lives"));
    let (text, at) = moment(3_000);
    assert!(at < before[0], "the certificate outlives it");
    retire(&harness, &text);
    wait_until(|| deadline(&harness, &on_old) == Some(at)).await;
    assert_eq!(deadline(&harness, &on_new), Some(before[1]), "the other anchor has no end");

    let (sooner, _) = moment(2);
    reconfigure(&harness, &text, &sooner);
    assert_eq!(on_old.closed().await, over());
    assert!(!may_connect(&harness, &service(&harness, "billing", &[])).await, "nothing ends there any more");
    assert!(may_connect(&harness, &new_root.issue(&Profile::service("billing", &[]))).await);
    on_new.nothing_came().await;
}

#[tokio::test]
async fn an_end_in_the_past_cuts_at_once_and_can_be_taken_back() {
    let (harness, _new_root, mut on_old, mut on_new) = overlapping().await;
    let (past, _) = moment(-60);
    retire(&harness, &past);
    assert_eq!(on_old.closed().await.paced(), Closed::Frame(4403, "untrusted".into()));
    let issued = service(&harness, "billing", &[]);
    assert!(!may_connect(&harness, &issued).await);
    on_new.nothing_came().await;
    let (later, _) = moment(3_000);
    reconfigure(&harness, &past, &later);
    tried(&harness).await;
    assert!(may_connect(&harness, &issued).await);
}

#[tokio::test]
async fn an_end_for_an_unknown_anchor_is_refused() {
    let harness = start().await;
    let print = "ab".repeat(32);
    let line = format!(
        "anchors = [\"anchors.pem\"]\nretire = [{{ anchor = \"{print}\", at = 2099-01-01T00:00:00Z }}]"
    );
    reconfigure(&harness, "anchors = [\"anchors.pem\"]", &line);
    let why = refused(&harness).await;
    assert!(why.starts_with("trust[0]") && why.contains(&print), "{why}");
}

#[tokio::test]
async fn a_ca_that_was_dropped_comes_back_with_no_older_list() {
    let harness = start().await;
    let second = Ca::root("second root");
    let stolen = second.issue(&Profile::service("mallory", &[]));
    let both = |list: &str| {
        harness.pki.write("crl.pem", &format!("{}{list}", harness.pki.ca.crl(86_400)));
        harness.pki.write("anchors.pem", &format!("{}{}", harness.pki.ca.pem, second.pem));
    };
    let old_list = second.crl(86_400);
    second.revoke(&stolen);
    let new_list = second.crl(86_400);
    both(&new_list);
    tried(&harness).await;
    trust(&harness, &[&harness.pki.ca]);
    tried(&harness).await;
    harness.set_policy(&format!("{}\n# a generation in between\n", crate::harness::POLICY)).await;
    both(&old_list);
    let Attempt::Refused { faults } = harness.reload().await else { panic!("the older list is taken") };
    assert!(faults.concat().contains("goes back"), "{faults:?}");
    assert!(!may_connect(&harness, &stolen).await);
    both(&new_list);
    assert!(matches!(harness.reload().await, Attempt::Installed { .. } | Attempt::Unchanged));
    assert!(!may_connect(&harness, &stolen).await);
    assert!(may_connect(&harness, &second.issue(&Profile::service("checkout", &[]))).await);
}
