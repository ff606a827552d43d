//! `POST /renew`: a service with a valid certificate gets a short-lived one with its own names, and nothing else.

mod issuer;
mod refusals;
mod script;

use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, SignatureAlgorithm};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::harness::raw::{Answer, End, Head, Raw};
use crate::harness::{Closed, Harness, Issued, Logs, Profile, Renewal, Setup, wait_until};

const TYPE: &str = "application/pkcs10";

async fn start() -> Harness {
    with(Setup::default()).await
}

async fn with(setup: Setup) -> Harness {
    let renewal = Some(setup.renewal.unwrap_or_default());
    Harness::with(Setup { renewal, ..setup }).await
}

/// One with a deny list that names nobody yet.
async fn denying() -> Harness {
    let files = vec![("deny.toml", "# nobody\n".into())];
    with(Setup { before: "deny = \"deny.toml\"".into(), files, ..Setup::default() }).await
}

/// A certificate request with its key.
struct Csr {
    key: KeyPair,
    pem: String,
    der: Vec<u8>,
}

impl Csr {
    /// One that asks for no name.
    fn new() -> Self {
        Self::of(&rcgen::PKCS_ECDSA_P256_SHA256, |_| {})
    }

    fn of(algorithm: &'static SignatureAlgorithm, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        edit(&mut params);
        let request = params.serialize_request(&key).expect("a request");
        Self { pem: request.pem().expect("PEM"), der: request.der().to_vec(), key }
    }

    /// One that asks for the names of [`Profile::service`].
    fn named(service: &str, units: &[&str]) -> Self {
        Self::of(&rcgen::PKCS_ECDSA_P256_SHA256, |params| ask_for(params, service, units))
    }

    /// The certificate that answered it, to connect with.
    fn answered(&self, answer: &Answer) -> Issued {
        assert_eq!(answer.status, 200, "{answer:?} {}", String::from_utf8_lossy(&answer.body));
        let pem = String::from_utf8(answer.body.clone()).expect("PEM");
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&answer.body).map(|found| found.expect("PEM")).collect();
        let serial = read(&chain[0]).raw_serial().to_vec().into();
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("PKCS#8");
        Issued { chain, key, serial, pem, key_pem: self.key.serialize_pem() }
    }
}

fn ask_for(params: &mut CertificateParams, service: &str, units: &[&str]) {
    params.distinguished_name.push(DnType::CommonName, service);
    // A name of rcgen's has one value of a type, and takes a type and its object identifier for two.
    let kinds = [DnType::OrganizationalUnitName, DnType::CustomDnType(vec![2, 5, 4, 11])];
    kinds.into_iter().zip(units).for_each(|(kind, unit)| params.distinguished_name.push(kind, *unit));
    params.subject_alt_names = vec![
        SanType::URI(format!("spiffe://test.internal/service/{service}").try_into().expect("ASCII")),
        SanType::DnsName(format!("{service}.services.test.internal").try_into().expect("ASCII")),
    ];
}

fn read<'a>(der: &'a CertificateDer<'static>) -> X509Certificate<'a> {
    X509Certificate::from_der(der).expect("a certificate").1
}

/// Object identifier, criticality and value.
type Extension = (String, bool, Vec<u8>);

/// What a certificate says about names and usage, as bytes.
fn names(der: &CertificateDer<'static>) -> (Vec<u8>, Vec<Extension>) {
    let certificate = read(der);
    let copied = certificate
        .extensions()
        .iter()
        .filter(|found| ["2.5.29.17", "2.5.29.37"].contains(&&*found.oid.to_string()));
    let copied = copied.map(|found| (found.oid.to_string(), found.critical, found.value.to_vec())).collect();
    (certificate.subject().as_raw().to_vec(), copied)
}

async fn post(harness: &Harness, issued: &Issued, body: impl AsRef<[u8]>) -> Answer {
    let mut raw = Raw::open(harness, issued).await;
    send(&mut raw, TYPE, body.as_ref()).await
}

/// Sends a request, and checks what holds for every answer: it is whole, and ends the connection.
async fn send(raw: &mut Raw, content_type: &str, body: &[u8]) -> Answer {
    let mut bytes = Head::post("/renew", content_type, body.len()).bytes();
    bytes.extend(body);
    raw.send(&bytes).await;
    let answer = raw.answer().await;
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(raw.end().await, End::Clean);
    answer
}

/// Renews with a request that asks for no name.
async fn renew(harness: &Harness, issued: &Issued) -> Issued {
    let csr = Csr::new();
    csr.answered(&post(harness, issued, &csr.pem).await)
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

#[tokio::test]
async fn a_service_renews_its_certificate_and_connects_with_the_new_one() {
    let logs = Logs::capture();
    let harness = start().await;
    let old = harness.pki.issue(&Profile::service("billing", &["writer", "reader"]));
    let csr = Csr::named("billing", &["writer", "reader"]);
    let answer = post(&harness, &old, &csr.pem).await;
    assert_eq!(answer.header("content-type"), Some("application/pem-certificate-chain"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let new = csr.answered(&answer);

    assert_eq!(names(&new.chain[0]), names(&old.chain[0]));
    let (of_old, of_new) = (read(&old.chain[0]), read(&new.chain[0]));
    assert_ne!(of_new.public_key().raw, of_old.public_key().raw);
    assert_ne!(of_new.raw_serial(), of_old.raw_serial());
    assert_eq!(of_new.raw_serial().len(), 16);
    assert!(!of_new.is_ca());
    let usage = of_new.key_usage().expect("one key usage").expect("a key usage").value;
    assert!(usage.digital_signature() && usage.flags == 1, "{usage}");
    assert_eq!(new.chain[1..], [harness.pki.renewal.as_ref().expect("a CA").certificate.clone()]);

    let peer = harness.connect_as(&new).await;
    assert_eq!(
        (&peer.hello["service"], &peer.hello["roles"]),
        (&"billing".into(), &serde_json::json!(["reader", "writer"]))
    );
    assert_eq!(harness.metric("certificates_renewed_total"), 1);
    let admitted = logs.line(&["event=\"admitted\""]).await;
    let value = |line: &str, field: &str| {
        let rest = line.split_once(&format!(" {field}=\"")).expect("the field").1;
        rest.split_once('"').expect("its end").0.to_owned()
    };
    let renewed = logs
        .line(&[
            "event=\"renewed\"",
            "service=\"billing\"",
            "trust=\"internal\"",
            "generation=1",
            "peer=127.0.0.1:",
        ])
        .await;
    assert_eq!(value(&renewed, "issued_serial"), value(&admitted, "serial"));
    assert_eq!(value(&renewed, "issued_fingerprint"), value(&admitted, "fingerprint"));
    assert!(renewed.contains(&format!("not_after={}", of_new.validity().not_after.timestamp())), "{renewed}");
    assert_ne!(value(&renewed, "serial"), value(&renewed, "issued_serial"));
    assert_eq!(value(&renewed, "issuer"), "CN=test root");
    assert!(!logs.text().contains("event=\"refused\""), "a renewal is no refusal");

    // And again, with what was renewed.
    let third = renew(&harness, &new).await;
    assert_eq!(names(&third.chain[0]), names(&old.chain[0]));
    harness.connect_as(&third).await;
}

#[tokio::test]
async fn keys_of_every_supported_kind_are_certified_from_pem_and_from_der() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let harness = start().await;
        let issued = harness.pki.issue(&Profile::service("billing", &[]));
        let csr = Csr::of(algorithm, |_| {});
        for body in [csr.pem.as_bytes(), &csr.der] {
            let new = csr.answered(&post(&harness, &issued, body).await);
            harness.connect_as(&new).await;
        }
    }
}

#[tokio::test]
async fn a_body_in_chunks_is_a_body() {
    let harness = start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let csr = Csr::new();
    let mut raw = Raw::open(&harness, &issued).await;
    let head = Head::post("/renew", TYPE, 0)
        .with("Content-Length", &[])
        .and("Transfer-Encoding", "chunked")
        .and("Expect", "100-continue");
    assert_eq!(raw.ask(&head).await.status, 100);
    let (first, rest) = csr.der.split_at(40);
    for part in [first, rest, &[]] {
        raw.send(&[format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()).await;
    }
    let new = csr.answered(&raw.answer().await);
    harness.connect_as(&new).await;
}

#[tokio::test]
async fn a_certificate_lives_no_longer_than_configured_and_no_longer_than_its_issuer() {
    for (ca_seconds, lines, expected) in [
        (80_000, "lifetime_ms = 60000", 60),
        (7_200, "lifetime_ms = 2592000000", 7_200),
        (80_000, "", 80_000),
    ] {
        let harness = with(Setup { renewal: Some(Renewal { ca_seconds, lines }), ..Setup::default() }).await;
        let before = now();
        let new = renew(&harness, &harness.pki.issue(&Profile::service("billing", &[]))).await;
        let validity = read(&new.chain[0]).validity().clone();
        let (begin, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        assert!((before - 60..=now() - 60).contains(&begin), "{begin}");
        // The CA was made some moments before.
        assert!((before + expected - 10..=now() + expected).contains(&end), "{lines}: {}", end - before);
        let of_issuer = read(&new.chain[1]).validity().not_after.timestamp();
        assert!(end <= of_issuer);
    }
}

#[tokio::test]
async fn what_was_renewed_is_revoked_like_any_other() {
    let harness = start().await;
    let old = harness.pki.issue(&Profile::service("billing", &[]));
    let new = renew(&harness, &old).await;
    let mut peer = harness.connect_as(&new).await;
    // Revoking the certificate that was presented does not revoke what came of it.
    harness.pki.revoke(&old);
    harness.generation_at_least(2).await;
    harness.connect_as(&new).await;
    harness.pki.renewal.as_ref().expect("a CA").revoke(&new);
    harness.pki.publish_crl();
    assert_eq!(peer.closed().await, Closed::Frame(4403, "revoked".into()));
    let mut raw = Raw::open(&harness, &new).await;
    assert_eq!(raw.end().await, End::Alert(rustls::AlertDescription::CertificateRevoked));
}

#[tokio::test]
async fn renewals_under_way_take_no_session_from_their_service_nor_from_others() {
    let limits = "max_sessions = 2\nmax_sessions_per_service = 1".into();
    let harness = with(Setup { limits, ..Setup::default() }).await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let csr = Csr::new();
    let mut under_way = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::open(&harness, &issued).await;
        let head = Head::post("/renew", TYPE, csr.der.len()).and("Expect", "100-continue");
        assert_eq!(raw.ask(&head).await.status, 100);
        under_way.push(raw);
    }
    let _own = harness.connect_as(&issued).await;
    let _another = harness.connect("checkout", &[]).await;
    for mut raw in under_way {
        raw.send(&csr.der).await;
        csr.answered(&raw.answer().await);
    }
}

#[tokio::test]
async fn a_service_that_has_all_its_sessions_still_renews() {
    let harness = with(Setup { limits: "max_sessions_per_service = 1".into(), ..Setup::default() }).await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let _peer = harness.connect_as(&issued).await;
    let new = renew(&harness, &issued).await;
    let answer = Raw::open(&harness, &new).await.ask(&Head::upgrade()).await;
    assert_eq!((answer.status, answer.problem().as_str()), (429, "service-limit"));
    wait_until(|| harness.gateway().admissions.sessions() == 1).await;
}
