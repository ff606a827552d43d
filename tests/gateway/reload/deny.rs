//! The emergency deny list: it acts at once, on the living and at the door, and whatever else is broken.

use std::fs;

use portcullis::identity::certificate::CertificateId;
use portcullis::reload::Attempt;
use portcullis::server::{Server, StartError};
use tokio_tungstenite::tungstenite::Error;

use super::{may_connect, refused, service, taken, tried, with};
use crate::harness::{Closed, Harness, Issued, Logs, POLICY, Setup, replace, wait_until};

const NOBODY: &str = "# nobody\n";

async fn start() -> Harness {
    with(Setup {
        before: "deny = \"deny.toml\"".into(),
        files: vec![("deny.toml", NOBODY.into())],
        ..Setup::default()
    })
    .await
}

fn deny(harness: &Harness, text: &str) {
    harness.pki.write("deny.toml", text);
}

fn denied() -> Closed {
    Closed::Frame(4403, "denied".into())
}

fn id(issued: &Issued) -> CertificateId {
    CertificateId::of(&issued.chain[0])
}

/// The status and the problem document of a refusal.
async fn at_the_door(harness: &Harness, issued: &Issued) -> (u16, String) {
    match harness.try_connect(issued).await {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8_lossy(body).into_owned())
        }
        Err(error) => panic!("no answer: {error}"),
        Ok(_) => panic!("let in"),
    }
}

#[tokio::test]
async fn each_kind_of_entry_closes_whom_it_names_and_keeps_them_out() {
    let logs = Logs::capture();
    let harness = start().await;
    let mallory = service(&harness, "mallory", &["writer"]);
    let (print, serial) =
        (id(&mallory).fingerprint.to_string(), id(&mallory).serial.expect("a serial").to_string());
    let colons =
        print.to_uppercase().as_bytes().chunks(2).map(String::from_utf8_lossy).collect::<Vec<_>>().join(":");
    let mut stays = harness.connect("billing", &["writer"]).await;
    for (entry, named) in [
        ("services = [\"mallory\"]".to_owned(), "the service mallory".to_owned()),
        (format!("fingerprints = [\"{print}\"]"), format!("fingerprint {print}")),
        (format!("fingerprints = [\"{colons}\"]"), format!("fingerprint {print}")),
        (format!("serials = [\"{serial}\"]"), format!("serial {serial}")),
        (format!("serials = [\"00:{}\"]", serial.to_uppercase()), format!("serial {serial}")),
    ] {
        let mut session = harness.connect_as(&mallory).await;
        let session_id = session.hello["session"].as_str().expect("an id").to_owned();
        deny(&harness, &entry);
        assert_eq!(session.closed().await, denied(), "{entry}");
        logs.line(&["event=\"ended\"", &session_id, "reason=\"denied\"", &named]).await;

        let (status, problem) = at_the_door(&harness, &mallory).await;
        assert!(status == 403 && problem.contains("urn:portcullis:problem:denied"), "{status} {problem}");
        assert!(!problem.contains(&print), "the peer does not learn the entry: {problem}");
        logs.line(&["event=\"refused\"", "kind=\"denied\"", &named]).await;

        deny(&harness, NOBODY);
        tried(&harness).await;
        assert!(may_connect(&harness, &mallory).await, "{entry}");
    }
    for series in ["sessions_closed_total", "connections_refused_total"] {
        wait_until(|| harness.metric(&format!("{series}{{reason=\"denied\"}}")) == 5).await;
    }
    stays.ok(r#"{"op":"pub","id":1,"topic":"orders.x"}"#).await;
}

#[tokio::test]
async fn a_denied_service_is_kept_out_whatever_its_certificate() {
    let harness = start().await;
    let mut first = harness.connect("mallory", &[]).await;
    let mut second = harness.connect("mallory", &["writer"]).await;
    deny(&harness, "services = [\"mallory\"]");
    assert_eq!((first.closed().await, second.closed().await), (denied(), denied()));
    assert!(!may_connect(&harness, &service(&harness, "mallory", &[])).await);
    assert!(may_connect(&harness, &service(&harness, "billing", &[])).await);
}

#[tokio::test]
async fn a_broken_policy_does_not_hold_up_a_denial() {
    let harness = start().await;
    let issued = service(&harness, "mallory", &["writer"]);
    let mut mallory = harness.connect_as(&issued).await;
    let mut stays = harness.connect("billing", &["writer"]).await;
    replace(&harness.policy, b"[[grant");
    refused(&harness).await;
    deny(&harness, "services = [\"mallory\"]");
    assert_eq!(mallory.closed().await, denied());
    assert!(refused(&harness).await.contains("policy"), "the fault still shows");
    assert!(!may_connect(&harness, &issued).await);
    stays.ok(r#"{"op":"pub","id":1,"topic":"orders.x"}"#).await;
    replace(&harness.policy, POLICY.as_bytes());
    taken(&harness, 3).await;
    assert!(!may_connect(&harness, &issued).await);
}

#[tokio::test]
async fn a_broken_deny_file_keeps_the_old_list_and_starts_no_gateway() {
    let harness = start().await;
    let (mallory, billing) = (service(&harness, "mallory", &[]), service(&harness, "billing", &[]));
    let good = "services = [\"mallory\"]";
    for broken in
        [None, Some(""), Some("services = ["), Some("services = [\"Mallory\"]"), Some("service = []")]
    {
        deny(&harness, good);
        tried(&harness).await;
        match broken {
            Some(text) => deny(&harness, text),
            None => fs::remove_file(harness.pki.path("deny.toml")).expect("removed"),
        }
        let Attempt::Refused { faults } = harness.reload().await else { panic!("{broken:?} is taken") };
        assert!(faults.iter().all(|fault| fault.starts_with("deny")), "{faults:?}");
        assert!(!may_connect(&harness, &mallory).await, "{broken:?}");
        assert!(may_connect(&harness, &billing).await, "{broken:?}");
        assert!(matches!(Server::start(&harness.config).await, Err(StartError::Config(_))), "{broken:?}");
    }
    // Nor does it hold up a revocation list.
    let mut session = harness.connect_as(&billing).await;
    harness.pki.revoke(&billing);
    assert_eq!(session.closed().await, Closed::Frame(4403, "revoked".into()));
    assert!(!may_connect(&harness, &mallory).await);
}
