//! The CA that renews: it fits, it belongs to its trust domain, and it changes while the gateway runs.

use portcullis::identity::certificate::CertificateId;

use super::{Csr, denying, post, renew, start};
use crate::harness::{Logs, Profile, wait_until};

fn faults(harness: &crate::harness::Harness) -> String {
    harness.server.reload_handle().status().faults.join("\n")
}

#[tokio::test]
async fn a_new_issuer_is_taken_while_the_gateway_runs() {
    let mut harness = start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let first = renew(&harness, &issued).await;
    let former =
        harness.pki.renewal.replace(harness.pki.ca.intermediate("next renewal", 80_000)).expect("a CA");
    // Both are trusted for a while, as what the former issued is still about.
    let next = harness.pki.renewal.as_ref().expect("a CA");
    let lists = harness.pki.ca.crl(86_400) + &former.crl(86_400) + &next.crl(86_400);
    harness.pki.write("former.pem", &former.pem);
    let config = std::fs::read_to_string(&harness.config).expect("a configuration");
    let config = config
        .replace(r#"intermediates = ["renewal.pem"]"#, r#"intermediates = ["former.pem", "renewal.pem"]"#);
    crate::harness::replace(&harness.config, config.as_bytes());
    harness.pki.write("crl.pem", &lists);
    harness.pki.write_renewal();
    wait_until(|| harness.gateway().generation_number() > 1 && faults(&harness).is_empty()).await;
    harness.reload().await;

    let second = renew(&harness, &issued).await;
    assert_eq!(first.chain[1], former.certificate);
    assert_eq!(second.chain[1], next.certificate);
    harness.connect_as(&first).await;
    harness.connect_as(&second).await;
}

#[tokio::test]
async fn a_key_that_does_not_fit_is_refused_and_the_generation_before_goes_on() {
    let logs = Logs::capture();
    let harness = start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let other = harness.pki.ca.intermediate("other", 80_000);
    harness.pki.write("renewal.key", &other.key_pem());
    wait_until(|| !faults(&harness).is_empty()).await;
    assert!(faults(&harness).contains("trust[0].renewal.key"), "{}", faults(&harness));
    assert_eq!(harness.gateway().generation_number(), 1);
    harness.connect_as(&renew(&harness, &issued).await).await;
    let line = |text: &str| text.lines().nth(1).expect("base64").to_owned();
    let own = harness.pki.renewal.as_ref().expect("a CA").key_pem();
    for key in [line(&own), line(&other.key_pem())] {
        assert!(!logs.text().contains(&key), "a key is in the log");
    }
}

#[tokio::test]
async fn a_revoked_issuer_renews_nothing() {
    let logs = Logs::capture();
    let harness = start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let issuer = harness.pki.renewal.as_ref().expect("a CA");
    harness.pki.ca.revoke_authority(issuer);
    harness.pki.publish_crl();
    harness.generation_at_least(2).await;
    let answer = post(&harness, &issued, Csr::new().pem).await;
    assert_eq!((answer.status, answer.problem().as_str()), (500, "renewal-failed"));
    logs.line(&["ERROR", "could not be renewed", "has been revoked"]).await;
    assert_eq!(harness.metric("certificates_renewed_total"), 0);
}

#[tokio::test]
async fn a_denied_issuer_renews_nothing() {
    let logs = Logs::capture();
    let harness = denying().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let issuer = CertificateId::of(&harness.pki.renewal.as_ref().expect("a CA").certificate);
    let serial = issuer.serial.expect("a serial");
    for (entry, named) in [
        (format!("fingerprints = [\"{}\"]", issuer.fingerprint), issuer.fingerprint.to_string()),
        (format!("serials = [\"{serial}\"]"), serial.to_string()),
    ] {
        harness.pki.write("deny.toml", &entry);
        harness.reload().await;
        // Whom another CA issued is let in, and what the denied one would issue is not.
        harness.connect_as(&issued).await;
        let answer = post(&harness, &issued, Csr::new().pem).await;
        assert_eq!((answer.status, answer.problem().as_str()), (500, "renewal-failed"));
        logs.line(&["ERROR", "could not be renewed", "deny list", &named]).await;
    }
    assert_eq!(harness.metric("certificates_renewed_total"), 0);
}
