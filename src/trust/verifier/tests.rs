use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::trust::test_pki::{TestCa, TestLeaf, date, domains, settings};

/// Real time, since rustls takes its own clock: certificates here are good for an hour around it.
fn real_now() -> u64 {
    UnixTime::now().as_secs()
}

struct World {
    root: TestCa,
    server: TestLeaf,
}

impl World {
    fn new() -> Self {
        let root = TestCa::root_with("root", |params| {
            params.not_before = date(real_now() - 3600);
            params.not_after = date(4_000_000_000);
        });
        let server = root.leaf_with("gateway", 2, |params| {
            params.not_before = date(real_now() - 3600);
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
            params.subject_alt_names = vec![rcgen::SanType::DnsName("gateway".try_into().expect("a name"))];
        });
        Self { root, server }
    }

    fn client(&self, edit: impl FnOnce(&mut rcgen::CertificateParams)) -> TestLeaf {
        self.root.leaf_with("orders", 7, |params| {
            params.not_before = date(real_now() - 3600);
            edit(params);
        })
    }

    fn acceptor(&self, revoked: &[u64]) -> TlsAcceptor {
        let list = self.root.crl_with(1, revoked, |params| {
            params.this_update = date(real_now() - 60);
            params.next_update = date(real_now() + 3600);
        });
        let mut settings = settings(&[&self.root], &[], &[]);
        settings.revocation = crate::trust::RevocationSettings::Enforced(vec![list]);
        let domain = crate::trust::TrustDomain::new(settings, UnixTime::now()).expect("a domain");
        let domains = crate::trust::TrustDomains::new(vec![domain]).expect("no conflict");
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(Arc::new(ClientVerifier::new(Arc::new(domains))))
            .with_single_cert(vec![self.server.der.clone()], self.server.key_der())
            .expect("a key pair");
        TlsAcceptor::from(Arc::new(config))
    }

    fn connector(&self, client: Option<&TestLeaf>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der.clone()).expect("a root");
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(leaf) => {
                builder.with_client_auth_cert(vec![leaf.der.clone()], leaf.key_der()).expect("a key pair")
            }
        };
        TlsConnector::from(Arc::new(config))
    }

    /// The server's outcome, and the alert that the client gets.
    async fn connect(
        &self,
        revoked: &[u64],
        client: Option<&TestLeaf>,
    ) -> (Result<VerifiedPeer, CaptureError<std::io::Error>>, Option<AlertDescription>) {
        self.meet(&self.acceptor(revoked), &self.connector(client)).await
    }

    /// The same for an acceptor that may have met others before.
    async fn meet(
        &self,
        acceptor: &TlsAcceptor,
        connector: &TlsConnector,
    ) -> (Result<VerifiedPeer, CaptureError<std::io::Error>>, Option<AlertDescription>) {
        use tokio::io::AsyncReadExt as _;
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = ServerName::try_from("gateway").expect("a name");
        let dial = async {
            match connector.connect(name, far).await {
                Ok(mut stream) => stream.read_u8().await.err(),
                Err(error) => Some(error),
            }
        };
        let serve = async { capture(acceptor.accept(near)).await.map(|(_, peer)| peer) };
        let (served, dialled) = tokio::join!(serve, dial);
        let alert = dialled.and_then(|error| match error.get_ref()?.downcast_ref::<Error>()? {
            Error::AlertReceived(alert) => Some(*alert),
            _ => None,
        });
        (served, alert)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[tokio::test]
async fn the_handshake_gives_out_the_verified_peer() {
    let world = World::new();
    let client = world.client(|_| {});
    let (served, alert) = world.connect(&[], Some(&client)).await;
    assert_eq!(served.expect("accepted").chain(), [client.der]);
    assert_eq!(alert, None);
}

#[tokio::test]
async fn a_refused_peer_gets_the_alert_that_says_why() {
    let world = World::new();
    let expired = world.client(|params| params.not_after = date(real_now() - 1));
    let foreign =
        world.client(|params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth]);
    let client = world.client(|_| {});
    let stranger = World::new().client(|_| {});
    for (revoked, client, wanted) in [
        (&[7][..], &client, AlertDescription::CertificateRevoked),
        (&[], &expired, AlertDescription::CertificateExpired),
        (&[], &foreign, AlertDescription::UnsupportedCertificate),
        (&[], &stranger, AlertDescription::DecryptError),
    ] {
        let (served, alert) = world.connect(revoked, Some(client)).await;
        assert!(matches!(served, Err(CaptureError::Refused { .. })), "{served:?}");
        assert_eq!(alert, Some(wanted));
    }
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_refused() {
    let (served, alert) = World::new().connect(&[], None).await;
    assert!(matches!(served, Err(CaptureError::Failed(_))), "{served:?}");
    assert_eq!(alert, Some(AlertDescription::CertificateRequired));
}

#[tokio::test]
async fn an_accept_without_verification_gives_out_nobody() {
    let accepted = capture(async { Ok::<_, ()>(()) }).await;
    assert!(matches!(accepted, Err(CaptureError::Unverified)));
}

#[test]
fn outside_of_a_capture_nobody_is_accepted() {
    let root = TestCa::root("root");
    let domains = domains(settings(&[&root], &[], &[root.crl(1, &[])])).expect("a domain");
    let verifier = ClientVerifier::new(Arc::new(domains));
    let result = verifier.verify_client_cert(&root.leaf("orders", 7).der, &[], crate::trust::test_pki::now());
    assert!(matches!(
        result,
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    ));
    assert!(verifier.client_auth_mandatory() && verifier.root_hint_subjects().is_empty());
}

#[tokio::test]
async fn a_chain_without_proof_of_the_key_gives_out_nobody() {
    let world = World::new();
    let (client, other) = (world.client(|_| {}), world.client(|_| {}));
    let stolen = TestLeaf { der: client.der.clone(), key: other.key };
    let resolver = Stolen::new(&stolen);
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates({
            let mut roots = RootCertStore::empty();
            roots.add(world.root.der.clone()).expect("a root");
            roots
        })
        .with_client_cert_resolver(Arc::new(resolver));
    let (acceptor, thief) = (world.acceptor(&[]), TlsConnector::from(Arc::new(config)));
    // Before and after the certificate's owner was there, by whom its chain is known.
    for owner in [Some(client), None] {
        let (served, _) = world.meet(&acceptor, &thief).await;
        assert!(matches!(served, Err(CaptureError::Failed(_))));
        if let Some(owner) = owner {
            let (served, _) = world.meet(&acceptor, &world.connector(Some(&owner))).await;
            assert!(served.is_ok());
        }
    }
}

/// Presents one peer's certificate and signs with another's key.
#[derive(Debug)]
struct Stolen(Arc<rustls::sign::CertifiedKey>);

impl Stolen {
    fn new(leaf: &TestLeaf) -> Self {
        let key = provider().key_provider.load_private_key(leaf.key_der()).expect("a key");
        Self(Arc::new(rustls::sign::CertifiedKey::new(vec![leaf.der.clone()], key)))
    }
}

impl rustls::client::ResolvesClientCert for Stolen {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
