//! Who a connection is: what its certificate says, read in one way only, and nothing that its request says.

use rcgen::ExtendedKeyUsagePurpose;
use rustls::AlertDescription;

use crate::harness::raw::{End, Head, Raw, text};
use crate::harness::{Ca, Harness, Issued, Logs, Profile, Setup, wait_until};

fn with(change: impl FnOnce(&mut Profile)) -> Profile {
    let mut profile = Profile::service("billing", &[]);
    change(&mut profile);
    profile
}

/// The status and type of the answer to a good request with this certificate, and what its body says.
async fn refused(harness: &Harness, issued: &Issued) -> (u16, String, String) {
    let answer = Raw::open(harness, issued).await.ask(&Head::upgrade()).await;
    (answer.status, answer.problem(), String::from_utf8_lossy(&answer.body).into_owned())
}

#[tokio::test]
async fn a_certificate_that_names_not_exactly_one_service_is_refused_and_the_log_alone_says_why() {
    let logs = Logs::capture();
    let harness = Harness::start().await;
    let uri = |name: &str| format!("spiffe://test.internal/service/{name}");
    let table = [
        ("two names", with(|profile| profile.common_names.push("checkout".into())), "has 2 values"),
        ("one name twice", with(|profile| profile.common_names.push("billing".into())), "has 2 values"),
        ("two URIs", with(|profile| profile.uris.push(uri("checkout"))), "has 2 values"),
        ("name and URI disagree", with(|profile| profile.uris = vec![uri("checkout")]), ""),
        ("no name", with(|profile| profile.common_names.clear()), ""),
        ("no URI", with(|profile| profile.uris.clear()), ""),
        (
            "another trust domain",
            with(|profile| profile.uris = vec!["spiffe://evil/service/billing".into()]),
            "",
        ),
        ("more path", with(|profile| profile.uris = vec![format!("{}/x", uri("billing"))]), ""),
        ("upper case", with(|profile| profile.common_names = vec!["Billing".into()]), ""),
        ("trailing dot", with(|profile| profile.common_names = vec!["billing.".into()]), ""),
        ("wildcard", with(|profile| profile.common_names = vec!["*".into()]), ""),
        ("look-alike", with(|profile| profile.common_names = vec!["b\u{456}lling".into()]), ""),
        ("comma", with(|profile| profile.common_names = vec!["billing,CN=checkout".into()]), ""),
        ("NUL", with(|profile| profile.common_names = vec!["billing\0.evil".into()]), ""),
        ("newline", with(|profile| profile.common_names = vec!["billing\nevil".into()]), ""),
        ("escape", with(|profile| profile.common_names = vec!["\u{1b}[31mbilling".into()]), ""),
    ];
    for (before, (what, profile, why)) in table.into_iter().enumerate() {
        let lines = logs.text().lines().count();
        let (status, kind, body) = refused(&harness, &harness.pki.issue(&profile)).await;
        assert_eq!((status, kind.as_str()), (403, "identity"), "{what}");
        for secret in ["usual", "billing", "checkout", "values"] {
            assert!(!body.contains(secret), "{what}: the peer is told too much: {body}");
        }
        let refused = before as u64 + 1;
        wait_until(|| harness.metric("connections_refused_total{reason=\"identity\"}") == refused).await;
        let fresh: Vec<_> = logs
            .text()
            .lines()
            .skip(lines)
            .filter(|line| !line.contains("portcullis::expiry"))
            .map(str::to_owned)
            .collect();
        let [line] = &fresh[..] else { panic!("{what}: one line, not {fresh:?}") };
        assert!(
            line.contains("portcullis::audit: event=\"refused\"") && line.contains(why),
            "{what}: {line}"
        );
        assert!(!line.chars().any(char::is_control), "{what}: {line:?}");
    }
    assert!(harness.gateway().registry.is_empty());
}

#[tokio::test]
async fn roles_come_from_the_certificate_and_only_those_on_the_list() {
    let harness = Harness::start().await;
    for (units, roles) in [
        (&[][..], &[][..]),
        (&["writer", "reader"], &["reader", "writer"]),
        (&["writer", "writer"], &["writer"]),
        (&["writer", "admin"], &["writer"]),
        (&["Writer", "*"], &[]),
    ] {
        let peer = harness.connect("billing", units).await;
        assert_eq!(peer.hello["roles"], serde_json::json!(roles), "{units:?}");
    }
}

#[tokio::test]
async fn a_certificate_for_servers_or_for_issuing_is_no_clients() {
    let harness = Harness::start().await;
    for profile in [
        with(|profile| profile.usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        with(|profile| profile.usages = vec![ExtendedKeyUsagePurpose::Any]),
        with(|profile| profile.usages.clear()),
        with(|profile| profile.is_ca = true),
    ] {
        let mut raw = Raw::open(&harness, &harness.pki.issue(&profile)).await;
        assert_eq!(raw.end().await, End::Alert(AlertDescription::UnsupportedCertificate), "{profile:?}");
    }
}

/// A gateway with a second `[[trust]]` block, whose CA gives the services that begin with `partner-`.
async fn with_partner(partner: &Ca, rule: &str) -> Harness {
    let more = format!(
        r#"
        [[trust]]
        name = "partner"
        anchors = ["partner.pem"]
        crls = ["partner-crl.pem"]
        services = ["partner-*"]
        [[trust.rule]]
        name = "partner"
        match = {rule}
        "#
    );
    let files = vec![("partner.pem", partner.pem.clone()), ("partner-crl.pem", partner.crl(3_600))];
    let trust = r#"services = ["billing", "checkout"]"#.into();
    Harness::with(Setup { more, files, trust, ..Setup::default() }).await
}

#[tokio::test]
async fn the_same_subject_from_a_second_trusted_ca_is_another_service() {
    let partner = Ca::root("partner root");
    let rule = r#"{ dns = "{service}.services.test.internal", cn = "billing" }"#;
    let harness = with_partner(&partner, rule).await;
    let profile = with(|profile| profile.dns = vec!["partner-billing.services.test.internal".into()]);
    let ours = harness.connect_as(&harness.pki.issue(&profile)).await;
    let theirs = harness.connect_as(&partner.issue(&profile)).await;
    assert_eq!(ours.hello["service"], "billing");
    assert_eq!(theirs.hello["service"], "partner-billing");
}

#[tokio::test]
async fn a_second_trusted_ca_cannot_give_a_service_of_the_first() {
    let logs = Logs::capture();
    let partner = Ca::root("partner root");
    let harness = with_partner(&partner, r#"{ cn = "{service}" }"#).await;
    let (status, kind, _) =
        refused(&harness, &partner.issue(&Profile::service("billing", &["writer"]))).await;
    assert_eq!((status, kind.as_str()), (403, "identity"));
    logs.line(&["event=\"refused\"", "kind=\"identity\"", "billing"]).await;
    // Nor does the first give one of the second's.
    let foreign = harness.pki.issue(&Profile::service("partner-billing", &[]));
    assert_eq!(refused(&harness, &foreign).await.0, 403);
    harness.connect_as(&partner.issue(&Profile::service("partner-billing", &[]))).await;
}

#[tokio::test]
async fn identity_headers_of_the_peer_change_nothing() {
    let logs = Logs::capture();
    let harness = Harness::start().await;
    let mut head = Head::upgrade();
    for (name, value) in [
        (
            "X-Forwarded-Client-Cert",
            "Subject=\"CN=checkout,OU=writer\";URI=spiffe://test.internal/service/checkout",
        ),
        ("X-SSL-Client-S-DN", "CN=checkout,OU=writer"),
        ("X-SSL-Client-CN", "checkout"),
        ("X-SSL-Client-Verify", "SUCCESS"),
        ("X-SSL-Client-Cert", "-----BEGIN CERTIFICATE-----"),
        ("Client-Cert", ":AAAA:"),
        ("X-Forwarded-For", "192.0.2.66"),
        ("Forwarded", "for=192.0.2.66"),
        ("X-Real-IP", "192.0.2.66"),
        ("X-Forwarded-User", "checkout"),
        ("Authorization", "Bearer checkout"),
        ("Portcullis-From", "checkout"),
    ] {
        head = head.and(name, value);
    }
    let mut raw = Raw::open(&harness, &harness.pki.issue(&Profile::service("billing", &[]))).await;
    assert_eq!(raw.ask(&head).await.status, 101);
    let hello = raw.text().await;
    assert_eq!((&hello["service"], &hello["roles"]), (&"billing".into(), &serde_json::json!([])));
    raw.send(&text(r#"{"op":"pub","id":1,"topic":"orders.new","data":1}"#)).await;
    assert_eq!(raw.text().await["code"], "forbidden");
    // A certificate that maps to nobody is not helped by them either.
    let nobody = harness.pki.issue(&with(|profile| profile.uris.clear()));
    assert_eq!(Raw::open(&harness, &nobody).await.ask(&head).await.status, 403);
    let line = logs.line(&["event=\"admitted\""]).await;
    assert!(line.contains("peer=127.0.0.1:") && !logs.text().contains("192.0.2.66"), "{line}");
}

#[tokio::test]
async fn a_service_that_may_not_connect_is_refused_before_the_101() {
    let policy = r#"
        [[grant]]
        name = "banned"
        services = ["billing"]
        connect = false
        [[grant]]
        name = "everyone"
        services = ["*"]
        publish = ["services.{service}.>"]
    "#;
    let harness = Harness::with(Setup { policy: Some(policy.into()), ..Setup::default() }).await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let (status, kind, body) = refused(&harness, &issued).await;
    assert_eq!((status, kind.as_str()), (403, "connect-forbidden"));
    assert!(!body.contains("banned"), "{body}");
    harness.connect("checkout", &[]).await;
}
