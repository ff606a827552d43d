//! A saved session never comes back in: each handshake is a full one and each asks the verifier.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::{AlertDescription, ClientConfig, HandshakeKind, NamedGroup, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{ONLY_12, ONLY_13, Versions, end_of};
use crate::harness::raw::{End, Raw};
use crate::harness::{Ca, Closed, Harness, Issued, Pki, Profile, Setup, replace};

/// A client's memory that counts what a server gave it to come back with.
#[derive(Debug)]
struct Memory {
    kept: ClientSessionMemoryCache,
    given: AtomicUsize,
}

impl Memory {
    fn new() -> Arc<Self> {
        Arc::new(Self { kept: ClientSessionMemoryCache::new(8), given: AtomicUsize::new(0) })
    }

    fn given(&self) -> usize {
        self.given.load(Ordering::SeqCst)
    }

    fn client(self: &Arc<Self>, pki: &Pki, issued: &Issued, versions: Versions) -> ClientConfig {
        let mut config = pki.client_config_of(Some(issued), versions);
        config.resumption = Resumption::store(self.clone());
        config.enable_early_data = true;
        config
    }
}

impl ClientSessionStore for Memory {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.given.fetch_add(1, Ordering::SeqCst);
        self.kept.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.kept.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.given.fetch_add(1, Ordering::SeqCst);
        self.kept.insert_tls13_ticket(server, value);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(server)
    }
}

async fn gateway(listener: &str) -> Harness {
    Harness::with(Setup { listener: listener.into(), ..Setup::default() }).await
}

/// A session behind a handshake that was a full one.
async fn full_handshake(harness: &Harness, config: &ClientConfig) -> Raw {
    let stream = harness.tls_with(config.clone(), "localhost").await.expect("a handshake");
    let mut raw = Raw::over(stream);
    raw.upgrade().await;
    assert_ne!(raw.stream().get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    raw
}

/// Every configuration a gateway builds: the first, one of a full reload, one of revocation lists alone.
async fn no_ticket_is_given(listener: &str, versions: Versions) {
    let harness = gateway(listener).await;
    let memory = Memory::new();
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let config = memory.client(&harness.pki, &issued, versions);
    for generation in 1..=3 {
        harness.generation_at_least(generation).await;
        for _ in 0..2 {
            full_handshake(&harness, &config).await;
            assert_eq!(memory.given(), 0, "generation {generation}");
        }
        match generation {
            1 => harness.pki.publish_crl(),
            _ => {
                replace(&harness.policy, b"broken");
                harness.pki.publish_crl();
            }
        }
    }
}

#[tokio::test]
async fn no_ticket_is_given_by_any_configuration() {
    no_ticket_is_given("", ONLY_13).await;
}

#[tokio::test]
async fn no_session_is_given_over_tls_1_2_either() {
    no_ticket_is_given("danger_tls12 = true", ONLY_12).await;
}

async fn revoked_client_comes_back(listener: &str, versions: Versions) {
    let harness = gateway(listener).await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let config = Memory::new().client(&harness.pki, &issued, versions);
    let mut session = full_handshake(&harness, &config).await;
    harness.pki.revoke(&issued);
    assert_eq!(session.closed().await, Closed::Frame(4403, "revoked".into()));
    assert_eq!(end_of(&harness, config).await, End::Alert(AlertDescription::CertificateRevoked));
}

#[tokio::test]
async fn a_revoked_client_that_comes_back_is_refused() {
    revoked_client_comes_back("", ONLY_13).await;
}

#[tokio::test]
async fn a_revoked_client_that_comes_back_over_tls_1_2_is_refused() {
    revoked_client_comes_back("danger_tls12 = true", ONLY_12).await;
}

#[tokio::test]
async fn a_client_whose_ca_was_removed_is_refused_when_it_comes_back() {
    let harness = gateway("").await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let config = Memory::new().client(&harness.pki, &issued, ONLY_13);
    let mut session = full_handshake(&harness, &config).await;
    let successor = Ca::root("successor");
    harness.pki.write("crl.pem", &successor.crl(3_600));
    harness.pki.write("anchors.pem", &successor.pem);
    assert_eq!(session.closed().await.paced(), Closed::Frame(4403, "untrusted".into()));
    assert_eq!(end_of(&harness, config).await, End::Alert(AlertDescription::UnknownCA));
}

#[tokio::test]
async fn a_client_whose_mapping_changed_is_refused_when_it_comes_back() {
    let harness = gateway("").await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let config = Memory::new().client(&harness.pki, &issued, ONLY_13);
    let mut session = full_handshake(&harness, &config).await;
    let text = std::fs::read_to_string(&harness.config).expect("the configuration");
    let changed = text.replace("spiffe://test.internal/service", "spiffe://elsewhere.internal/service");
    replace(&harness.config, changed.as_bytes());
    assert_eq!(session.closed().await.paced(), Closed::Frame(1008, "identity_changed".into()));
    let stream = harness.tls_with(config, "localhost").await.expect("a handshake");
    assert_eq!(Raw::over(stream).ask(&crate::harness::raw::Head::upgrade()).await.status, 403);
}

#[tokio::test]
async fn a_client_whose_certificate_expired_is_refused_when_it_comes_back() {
    let harness = gateway("").await;
    let mut profile = Profile::service("billing", &[]);
    profile.not_after = 3;
    let issued = harness.pki.issue(&profile);
    let config = Memory::new().client(&harness.pki, &issued, ONLY_13);
    let mut session = full_handshake(&harness, &config).await;
    assert_eq!(session.closed().await, Closed::Frame(4401, "credential_deadline".into()));
    assert_eq!(end_of(&harness, config).await, End::Alert(AlertDescription::CertificateExpired));
}

/// The control: against a server that does give tickets, the same client's memory fills and its second handshake is a
/// resumed one. So the tests above can fail.
#[tokio::test]
async fn the_same_client_does_resume_where_a_server_lets_it() {
    for versions in [ONLY_13, ONLY_12] {
        let folder = tempfile::tempdir().expect("a folder");
        let pki = Pki::new(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let acceptor = TlsAcceptor::from(Arc::new(with_tickets(&pki)));
        let serving = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.expect("a client");
                let mut stream = acceptor.accept(socket).await.expect("a handshake");
                stream.write_all(b"hello").await.expect("written");
                let _ = stream.read(&mut [0; 1]).await;
            }
        });
        let memory = Memory::new();
        let issued = pki.issue(&Profile::service("billing", &[]));
        let connector = tokio_rustls::TlsConnector::from(Arc::new(memory.client(&pki, &issued, versions)));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let socket = TcpStream::connect(address).await.expect("connected");
            let name = ServerName::try_from("localhost").expect("a name");
            let mut stream = connector.connect(name, socket).await.expect("a handshake");
            stream.read_exact(&mut [0; 5]).await.expect("a greeting");
            kinds.push(stream.get_ref().1.handshake_kind());
        }
        serving.abort();
        assert!(memory.given() > 0);
        assert_eq!(kinds.last(), Some(&Some(HandshakeKind::Resumed)), "{kinds:?}");
    }
}

fn with_tickets(pki: &Pki) -> ServerConfig {
    let provider = portcullis::tls::provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(pki.roots().into(), provider.clone());
    let gateway = pki.rotate_gateway();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(gateway.chain, gateway.key)
        .expect("a key pair");
    config.ticketer = Ticketer::new().expect("a ticketer");
    config
}
