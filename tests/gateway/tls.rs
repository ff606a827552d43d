//! The TLS edge: who is let in, what a refused peer reads, and that no way of saying hello changes either.

mod client_hello;
mod resumption;

use rcgen::ExtendedKeyUsagePurpose;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, NamedGroup, ProtocolVersion, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::harness::raw::{End, Raw};
use crate::harness::{Ca, Harness, Issued, Logs, PATIENCE, Pki, Profile, Setup, wait_until};

type Versions = &'static [&'static SupportedProtocolVersion];
const ONLY_12: Versions = &[&TLS12];
const ONLY_13: Versions = &[&TLS13];

/// How a connection with this configuration ends, in the handshake or at the first read behind it.
async fn end_of(harness: &Harness, config: ClientConfig) -> End {
    match harness.tls_with(config, "localhost").await {
        Ok(stream) => Raw::over(stream).end().await,
        Err(error) => End::of(&error),
    }
}

/// Every kind of certificate that must not come in: the alert, and what the audit log says of it.
fn bad_certificates(pki: &Pki) -> Vec<(Option<Issued>, AlertDescription, &'static str)> {
    let of = |change: &dyn Fn(&mut Profile)| {
        let mut profile = Profile::service("billing", &[]);
        change(&mut profile);
        Some(pki.issue(&profile))
    };
    let ordinary = Profile::service("billing", &[]);
    let revoked = pki.issue(&ordinary);
    pki.ca.revoke(&revoked);
    vec![
        (None, AlertDescription::CertificateRequired, "no certificate"),
        (Some(Ca::root("other root").issue(&ordinary)), AlertDescription::UnknownCA, "no configured CA"),
        (
            Some(Ca::root("test root").issue(&ordinary)),
            AlertDescription::DecryptError,
            "a signature in the chain",
        ),
        (
            of(&|profile| (profile.not_before, profile.not_after) = (-600, -60)),
            AlertDescription::CertificateExpired,
            "has expired",
        ),
        (of(&|profile| profile.not_before = 600), AlertDescription::CertificateExpired, "not valid before"),
        (
            of(&|profile| profile.usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            AlertDescription::UnsupportedCertificate,
            "clientAuth",
        ),
        (of(&|profile| profile.usages.clear()), AlertDescription::UnsupportedCertificate, "clientAuth"),
        (of(&|profile| profile.is_ca = true), AlertDescription::UnsupportedCertificate, "CA certificate"),
        (Some(revoked), AlertDescription::CertificateRevoked, "revoked"),
    ]
}

async fn each_bad_certificate_is_refused(listener: &str, versions: Versions) {
    let logs = Logs::capture();
    let harness = Harness::with(Setup { listener: listener.into(), ..Setup::default() }).await;
    let table = bad_certificates(&harness.pki);
    harness.pki.publish_crl();
    harness.generation_at_least(2).await;
    let mut bystander = harness.connect("checkout", &[]).await;
    for (place, (issued, alert, why)) in table.iter().enumerate() {
        let config = harness.pki.client_config_of(issued.as_ref(), versions);
        assert_eq!(end_of(&harness, config).await, End::Alert(*alert), "case {place}: {why}");
        logs.line(&["portcullis::audit", "event=\"refused\"", "kind=\"handshake\"", why]).await;
    }
    let cases = table.len() as u64;
    wait_until(|| harness.metric("connections_refused_total{reason=\"handshake\"}") == cases).await;
    wait_until(|| harness.gateway().admissions.opening() == 0).await;
    bystander.nothing_came().await;
    harness.connect("billing", &[]).await;
}

#[tokio::test]
async fn each_bad_certificate_is_refused_with_an_alert_and_audited_and_harms_nobody_else() {
    each_bad_certificate_is_refused("", ONLY_13).await;
}

#[tokio::test]
async fn tls_1_2_where_it_is_allowed_has_the_same_policy() {
    each_bad_certificate_is_refused("danger_tls12 = true", ONLY_12).await;
}

#[tokio::test]
async fn tls_1_2_is_refused_by_default() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let config = harness.pki.client_config_of(Some(&issued), ONLY_12);
    assert_eq!(end_of(&harness, config).await, End::Alert(AlertDescription::ProtocolVersion));
    let config = harness.pki.client_config_of(Some(&issued), rustls::ALL_VERSIONS);
    let stream = harness.tls_with(config, "localhost").await.expect("a handshake");
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[tokio::test]
async fn a_client_that_speaks_only_h2_is_refused_and_http_1_1_is_agreed_on() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let offering = |protocols: &[&str]| {
        let mut config = harness.pki.client_config(Some(&issued));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    };
    let alert = End::Alert(AlertDescription::NoApplicationProtocol);
    assert_eq!(end_of(&harness, offering(&["h2"])).await, alert);
    let stream = harness.tls_with(offering(&["h2", "http/1.1"]), "localhost").await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    Raw::over(stream).upgrade().await;
}

#[tokio::test]
async fn the_hybrid_key_exchange_is_taken_where_it_is_offered() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let group = async |config| {
        let stream = harness.tls_with(config, "localhost").await.expect("a handshake");
        stream.get_ref().1.negotiated_key_exchange_group().map(|group| group.name())
    };
    let usual = harness.pki.client_config(Some(&issued));
    assert_eq!(group(usual.clone()).await, Some(NamedGroup::X25519MLKEM768));
    let mut classical = (*portcullis::tls::provider()).clone();
    classical.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    let config = ClientConfig::builder_with_provider(classical.into())
        .with_protocol_versions(ONLY_13)
        .expect("versions")
        .with_root_certificates(harness.pki.roots())
        .with_client_auth_cert(issued.chain.clone(), issued.key.clone_key())
        .expect("a key");
    assert_eq!(group(config).await, Some(NamedGroup::X25519));
}

/// A certificate with some 20 KB of names.
fn bulky(pki: &Pki) -> Issued {
    let mut profile = Profile::service("bulky", &[]);
    profile.dns = (0..330).map(|place| format!("{place:03}.{}.internal", "a".repeat(48))).collect();
    pki.issue(&profile)
}

#[tokio::test]
async fn a_chain_of_too_many_certificates_is_refused() {
    let harness = Harness::start().await;
    let mut issued = harness.pki.issue(&Profile::service("billing", &[]));
    let filler = harness.pki.issue(&Profile::service("filler", &[])).chain.remove(0);
    issued.chain.extend(std::iter::repeat_n(filler.clone(), 9));
    Raw::session(&harness, &issued).await;
    issued.chain.push(filler);
    let end = end_of(&harness, harness.pki.client_config(Some(&issued))).await;
    assert_eq!(end, End::Alert(AlertDescription::BadCertificate));
}

#[tokio::test]
async fn a_chain_of_too_many_bytes_is_refused_without_a_reset() {
    let logs = Logs::capture();
    let harness = Harness::start().await;
    for copies in [4, 9] {
        let mut issued = harness.pki.issue(&Profile::service("billing", &[]));
        let bulky = bulky(&harness.pki).chain.remove(0);
        issued.chain.extend(std::iter::repeat_n(bulky, copies));
        assert!(issued.chain.iter().map(|certificate| certificate.len()).sum::<usize>() > 64 * 1024);
        let end = end_of(&harness, harness.pki.client_config(Some(&issued))).await;
        // What does not even fit the buffer of the TLS library ends the connection without a word.
        assert!(matches!(end, End::Alert(_) | End::Truncated), "{copies} copies: {end:?}");
        logs.line(&["event=\"refused\"", "kind=\"handshake\""]).await;
    }
    harness.connect("billing", &[]).await;
}

#[tokio::test]
async fn many_cas_of_one_name_do_not_keep_the_verifier_busy() {
    let harness = Harness::start().await;
    let mill: Vec<_> = (0..9).map(|_| Ca::root("mill")).collect();
    let mut issued = Ca::root("mill").issue(&Profile::service("billing", &[]));
    issued.chain.extend(mill.iter().map(|ca| ca.certificate.clone()));
    let end = end_of(&harness, harness.pki.client_config(Some(&issued))).await;
    assert!(matches!(end, End::Alert(_)), "{end:?}");
    harness.connect("billing", &[]).await;
}

#[tokio::test]
async fn a_peer_that_is_slow_in_tls_is_closed_by_the_deadline() {
    let logs = Logs::capture();
    let limits = "open_deadline_ms = 300".into();
    let harness = Harness::with(Setup { limits, ..Setup::default() }).await;
    for (count, said) in [&b""[..], &[0x16], &[0x16, 0x03, 0x01, 0x40, 0x00, 0x01]].into_iter().enumerate() {
        let started = Instant::now();
        let mut socket = TcpStream::connect(harness.address).await.expect("connected");
        socket.write_all(said).await.expect("written");
        let closed = timeout(PATIENCE, socket.read(&mut [0; 64])).await.expect("closed in time");
        assert!(!matches!(closed, Ok(1..)), "{closed:?}");
        assert!(started.elapsed().as_millis() >= 250, "closed before the deadline");
        logs.line(&["event=\"refused\"", "kind=\"deadline\""]).await;
        let refused = count as u64 + 1;
        wait_until(|| harness.metric("connections_refused_total{reason=\"deadline\"}") == refused).await;
    }
    wait_until(|| harness.gateway().admissions.opening() == 0).await;
}

#[tokio::test]
async fn what_is_no_tls_is_refused() {
    let logs = Logs::capture();
    let harness = Harness::start().await;
    let mut socket = TcpStream::connect(harness.address).await.expect("connected");
    socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("written");
    let mut answer = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("an end in time").expect("no reset");
    assert_eq!(answer.first(), Some(&0x15), "a TLS alert");
    logs.line(&["event=\"refused\"", "kind=\"handshake\""]).await;
}
