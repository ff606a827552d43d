//! Anchors and revocation lists: nothing that goes wrong widens trust, nothing that is right waits.

use std::fs;
use std::sync::Arc;

use portcullis::reload::Attempt;
use portcullis::server::{Server, StartError};

use super::{may_connect, new_pair, reconfigure, refused, service, shown, start, taken, tried, trust};
use crate::harness::{Ca, Closed, Harness, POLICY, Profile, replace, wait_until};

const BROKEN: &str = "[[grant";

fn revoked() -> Closed {
    Closed::Frame(4403, "revoked".into())
}

/// Every way in which a file of CA certificates can be useless.
fn useless(harness: &Harness) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let leaf = service(harness, "leaf", &[]);
    let root = &harness.pki.ca.pem;
    vec![
        ("missing", None),
        ("empty", Some(Vec::new())),
        ("blank", Some(b" \n".to_vec())),
        ("no PEM", Some(b"trust me".to_vec())),
        ("cut", Some(root.as_bytes()[..root.len() / 2].to_vec())),
        ("a leaf", Some(leaf.pem.into_bytes())),
        ("a key", Some(leaf.key_pem.into_bytes())),
        ("another root without a list", Some(Ca::root("other root").pem.into_bytes())),
        ("both, one without a list", Some(format!("{root}{}", Ca::root("other root").pem).into_bytes())),
    ]
}

fn put(harness: &Harness, name: &str, bytes: Option<&[u8]>) {
    let path = harness.pki.path(name);
    match bytes {
        Some(bytes) => replace(&path, bytes),
        // It may be missing already.
        None => fs::remove_file(path).unwrap_or_default(),
    }
}

#[tokio::test]
async fn a_useless_ca_file_never_widens_trust_on_reload() {
    let harness = start().await;
    let (known, foreign) = (service(&harness, "billing", &[]), Ca::root("other root"));
    let stranger = foreign.issue(&Profile::service("billing", &[]));
    let same_name = Ca::root("test root").issue(&Profile::service("billing", &[]));
    for (how, bytes) in useless(&harness) {
        put(&harness, "anchors.pem", bytes.as_deref());
        assert!(matches!(harness.reload().await, Attempt::Refused { .. }), "{how}");
        assert!(may_connect(&harness, &known).await, "{how}");
        for other in [&stranger, &same_name] {
            assert!(!may_connect(&harness, other).await, "{how}");
        }
    }
    for (how, bytes) in [("missing", None), ("empty", Some(&b""[..])), ("none", Some(b"nothing is revoked"))]
    {
        put(&harness, "anchors.pem", Some(harness.pki.ca.pem.as_bytes()));
        put(&harness, "crl.pem", bytes);
        assert!(matches!(harness.reload().await, Attempt::Refused { .. }), "{how}");
    }
    assert_eq!(harness.gateway().generation_number(), 1);
    harness.pki.publish_crl();
    taken(&harness, 2).await;
}

/// Without lists, nothing but the faults of the file itself keeps such a set out.
#[tokio::test]
async fn a_useless_ca_file_never_widens_trust_where_nothing_is_revoked_either() {
    let harness = start().await;
    reconfigure(&harness, "crls = [\"crl.pem\"]", "danger_no_revocation = true");
    taken(&harness, 2).await;
    let known = service(&harness, "billing", &[]);
    let stranger = Ca::root("other root").issue(&Profile::service("billing", &[]));
    let needs_lists = |how: &str| how.contains("without a list");
    for (how, bytes) in useless(&harness).into_iter().filter(|(how, _)| !needs_lists(how)) {
        put(&harness, "anchors.pem", bytes.as_deref());
        assert!(matches!(harness.reload().await, Attempt::Refused { .. }), "{how}");
        assert!(may_connect(&harness, &known).await && !may_connect(&harness, &stranger).await, "{how}");
    }
    assert_eq!(harness.gateway().generation_number(), 2);
}

#[tokio::test]
async fn with_a_useless_ca_file_the_gateway_does_not_start() {
    let harness = start().await;
    for (how, bytes) in useless(&harness) {
        put(&harness, "anchors.pem", bytes.as_deref());
        let started = Server::start(&harness.config).await;
        assert!(matches!(started, Err(StartError::Config(_))), "{how}");
    }
    put(&harness, "anchors.pem", Some(harness.pki.ca.pem.as_bytes()));
    put(&harness, "crl.pem", None);
    assert!(Server::start(&harness.config).await.is_err());
    harness.pki.publish_crl();
    Server::start(&harness.config).await.expect("with both it starts").stop().await;
}

#[tokio::test]
async fn reloading_one_thing_loses_no_other() {
    let harness = start().await;
    let (client, stolen) = (service(&harness, "billing", &[]), service(&harness, "mallory", &[]));
    let second = Ca::root("second root");
    let newcomer = second.issue(&Profile::service("checkout", &[]));
    harness.pki.revoke(&stolen);
    taken(&harness, 2).await;
    let state = async |second_is_trusted: bool| {
        assert!(may_connect(&harness, &client).await);
        assert!(!may_connect(&harness, &stolen).await);
        assert_eq!(may_connect(&harness, &newcomer).await, second_is_trusted);
    };
    state(false).await;
    let pair = harness.pki.rotate_gateway();
    harness.generation_at_least(3).await;
    tried(&harness).await;
    state(false).await;
    trust(&harness, &[&harness.pki.ca, &second]);
    tried(&harness).await;
    assert_eq!(shown(&harness, &client).await, pair.chain[0]);
    state(true).await;
    replace(&harness.policy, POLICY.replace("pool", "pond").as_bytes());
    tried(&harness).await;
    state(true).await;
    trust(&harness, &[&harness.pki.ca, &second]);
    tried(&harness).await;
    state(true).await;
    let pair = new_pair(&harness);
    harness.pki.write("gateway.key", &pair.key_pem);
    harness.pki.write("gateway.pem", &pair.pem);
    tried(&harness).await;
    assert_eq!(shown(&harness, &client).await, pair.chain[0]);
    state(true).await;
    trust(&harness, &[&harness.pki.ca]);
    tried(&harness).await;
    state(false).await;
    assert_eq!(shown(&harness, &client).await, pair.chain[0]);
    reconfigure(&harness, "[limits]", "[limits]\nmax_subscriptions = 7");
    tried(&harness).await;
    state(false).await;
}

#[tokio::test]
async fn a_revoked_session_is_closed_and_the_others_stay() {
    let harness = start().await;
    let issued = service(&harness, "mallory", &["writer"]);
    let mut twins = [harness.connect_as(&issued).await, harness.connect_as(&issued).await];
    let mut renewed = harness.connect("mallory", &["writer"]).await;
    let mut stays = harness.connect("billing", &[]).await;
    harness.pki.revoke(&issued);
    for session in &mut twins {
        assert_eq!(session.closed().await, revoked());
    }
    assert!(!may_connect(&harness, &issued).await);
    renewed.nothing_came().await;
    stays.nothing_came().await;
}

#[tokio::test]
async fn a_revoked_intermediate_closes_all_below_it_and_nobody_else() {
    let harness = start().await;
    let root = &harness.pki.ca;
    let (middle, other) = (root.intermediate("middle", 80_000), root.intermediate("other", 80_000));
    let publish = || {
        let lists = [root, &middle, &other].map(|ca| ca.crl(86_400)).concat();
        harness.pki.write("crl.pem", &lists);
    };
    harness.pki.write("middle.pem", &format!("{}{}", middle.pem, other.pem));
    reconfigure(&harness, "crls =", "intermediates = [\"middle.pem\"]\ncrls =");
    publish();
    tried(&harness).await;
    let below =
        [("orders", &middle), ("billing", &middle)].map(|(name, ca)| ca.issue(&Profile::service(name, &[])));
    let mut fall = [harness.connect_as(&below[0]).await, harness.connect_as(&below[1]).await];
    let mut beside = harness.connect_as(&other.issue(&Profile::service("checkout", &[]))).await;
    let mut above = harness.connect("mallory", &[]).await;
    root.revoke_authority(&middle);
    publish();
    for session in &mut fall {
        assert_eq!(session.closed().await, revoked());
    }
    for issued in &below {
        assert!(!may_connect(&harness, issued).await);
    }
    beside.nothing_came().await;
    above.nothing_came().await;
}

#[tokio::test]
async fn what_was_replaced_is_given_back_though_sessions_of_every_generation_live() {
    let harness = start().await;
    let mut sessions = Vec::new();
    let mut replaced = Vec::new();
    for _ in 0..50 {
        sessions.push(harness.connect("billing", &[]).await);
        replaced.push(Arc::downgrade(&harness.gateway().generation().trust));
        harness.pki.publish_crl();
        tried(&harness).await;
    }
    assert_eq!(harness.gateway().generation_number(), 51);
    wait_until(|| replaced.iter().all(|trust| trust.strong_count() == 0)).await;
    sessions.iter_mut().for_each(|session| assert_eq!(session.hello["service"], "billing"));
}

#[tokio::test]
async fn nothing_of_a_revoked_session_is_delivered_after_the_verdict() {
    let harness = start().await;
    let issued = service(&harness, "mallory", &["writer"]);
    let mut mallory = harness.connect_as(&issued).await;
    let mut reader = harness.connect("billing", &["reader"]).await;
    reader.ok(r#"{"op":"sub","id":1,"sid":"s","topic":"orders.>"}"#).await;
    mallory.ok(r#"{"op":"pub","id":1,"topic":"orders.before"}"#).await;
    harness.pki.revoke(&issued);
    harness.generation_at_least(2).await;
    // The session may have been told already; what is sent now has no effect in any case.
    let text = tokio_tungstenite::tungstenite::Message::text(r#"{"op":"pub","id":2,"topic":"orders.after"}"#);
    let _ = mallory.send_frame(text).await;
    assert_eq!(mallory.closed().await, revoked());
    assert_eq!(reader.expect("msg").await["topic"], "orders.before");
    reader.nothing_came().await;
}

#[tokio::test]
async fn a_broken_policy_does_not_hold_up_a_revocation() {
    let harness = start().await;
    let issued = service(&harness, "mallory", &["writer"]);
    let mut mallory = harness.connect_as(&issued).await;
    let mut stays = harness.connect("billing", &["writer"]).await;
    let old_list = fs::read_to_string(harness.pki.path("crl.pem")).expect("a list");
    replace(&harness.policy, BROKEN.as_bytes());
    refused(&harness).await;
    harness.pki.revoke(&issued);
    assert_eq!(mallory.closed().await, revoked());
    assert!(refused(&harness).await.contains("policy"), "the fault still shows");
    assert!(!may_connect(&harness, &issued).await);
    // The rest is as before.
    stays.ok(r#"{"op":"pub","id":1,"topic":"orders.x"}"#).await;
    assert_eq!(harness.gateway().generation_number(), 2);
    // Not even with the very files of the generation before does the list go back.
    harness.pki.write("crl.pem", &old_list);
    replace(&harness.policy, POLICY.as_bytes());
    tried(&harness).await;
    assert!(!may_connect(&harness, &issued).await);
    harness.pki.publish_crl();
    harness.generation_at_least(3).await;
    tried(&harness).await;
    assert_eq!(super::faults(&harness), Vec::<String>::new());
    assert!(!may_connect(&harness, &issued).await);
}

#[tokio::test]
async fn broken_anchors_key_pair_or_configuration_do_not_hold_up_a_revocation_either() {
    let harness = start().await;
    let mut turn = 1;
    for broken in ["anchors.pem", "gateway.pem", "gateway.key", "portcullis.toml"] {
        let issued = service(&harness, "mallory", &[]);
        let mut mallory = harness.connect_as(&issued).await;
        let good = fs::read(harness.pki.path(broken)).expect("a file");
        put(&harness, broken, Some(b"nonsense = "));
        refused(&harness).await;
        harness.pki.revoke(&issued);
        assert_eq!(mallory.closed().await, revoked(), "{broken}");
        put(&harness, broken, Some(&good));
        tried(&harness).await;
        assert!(!may_connect(&harness, &issued).await, "{broken}");
        assert!(harness.gateway().generation_number() > turn);
        turn = harness.gateway().generation_number();
        assert_eq!(super::faults(&harness), Vec::<String>::new(), "{broken}");
    }
}

#[tokio::test]
async fn a_list_that_goes_back_is_refused() {
    let harness = start().await;
    let issued = service(&harness, "mallory", &[]);
    let before = fs::read_to_string(harness.pki.path("crl.pem")).expect("a list");
    harness.pki.revoke(&issued);
    taken(&harness, 2).await;
    harness.pki.write("crl.pem", &before);
    let why = refused(&harness).await;
    assert!(why.contains("goes back"), "{why}");
    assert!(!may_connect(&harness, &issued).await);
    // Beside the newer one the older one does no harm.
    let newer = harness.pki.ca.crl(86_400);
    harness.pki.write("crl.pem", &format!("{before}{newer}"));
    taken(&harness, 3).await;
    assert!(!may_connect(&harness, &issued).await);
    harness.pki.write("crl.pem", &format!("{}{before}", harness.pki.ca.crl(86_400)));
    taken(&harness, 4).await;
    assert!(!may_connect(&harness, &issued).await);
}

#[tokio::test]
async fn a_list_of_the_wrong_signer_or_past_its_time_is_refused() {
    let harness = start().await;
    let client = service(&harness, "billing", &[]);
    let impostor = Ca::root("test root");
    for (list, why) in [
        (impostor.crl(86_400), "trust[0]"),
        (Ca::root("other root").crl(86_400), "trust[0]"),
        (harness.pki.ca.crl(-1), "trust[0]"),
    ] {
        harness.pki.write("crl.pem", &list);
        assert!(refused(&harness).await.contains(why));
        assert!(may_connect(&harness, &client).await, "the list before still holds");
        harness.pki.publish_crl();
        tried(&harness).await;
    }
}
