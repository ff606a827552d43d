//! What the tests of the upper layers stand on: an authority whose certificates and lists are in date today, and
//! policies as an operator writes them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateRevocationListDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig, ServerConnection,
    SideData, SupportedCipherSuite,
};

use crate::clock::unix_now;
use crate::config::parse_policy;
use crate::policy::Policy;
use crate::trust::test_pki::{HOUR, TestCa, TestLeaf, common_name_mapping_with_roles, date, settings};
use crate::trust::{TrustDomain, TrustDomains, TrustSettings};

/// A root that was made yesterday and lasts for days.
pub(crate) struct Authority {
    ca: TestCa,
    today: u64,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let today = unix_now().as_secs();
        let ca = TestCa::root_with(name, |params| {
            params.not_before = date(today - 24 * HOUR);
            params.not_after = date(today + 96 * HOUR);
        });
        Self { ca, today }
    }

    /// A CA below this one.
    pub(crate) fn intermediate(&self, name: &str, serial: u64, edit: fn(&mut CertificateParams)) -> Self {
        let ca = self.ca.intermediate_with(name, serial, |params| {
            params.not_before = date(self.today - HOUR);
            params.not_after = date(self.today + 48 * HOUR);
            edit(params);
        });
        Self { ca, today: self.today }
    }

    pub(crate) fn key_pem(&self) -> String {
        self.ca.key.serialize_pem()
    }

    /// A service's certificate, good for `seconds` from now.
    pub(crate) fn client(&self, service: &str, serial: u64, seconds: u64) -> TestLeaf {
        self.client_with(service, serial, seconds, |_| {})
    }

    pub(crate) fn client_with(
        &self,
        service: &str,
        serial: u64,
        seconds: u64,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> TestLeaf {
        self.ca.leaf_with(service, serial, |params| {
            params.not_before = date(self.today - HOUR);
            params.not_after = date(unix_now().as_secs() + seconds);
            edit(params);
        })
    }

    /// A certificate for a gateway called `localhost`.
    pub(crate) fn gateway(&self, seconds: u64) -> TestLeaf {
        self.ca.leaf_with("gateway", 1_000, |params| {
            params.not_before = date(self.today - HOUR);
            params.not_after = date(unix_now().as_secs() + seconds);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().expect("a name"))];
        })
    }

    /// A list of these dates that revokes nothing.
    pub(crate) fn list_between(
        &self,
        number: u64,
        this_update: u64,
        next_update: u64,
    ) -> CertificateRevocationListDer<'static> {
        self.ca.crl_with(number, &[], |params| {
            (params.this_update, params.next_update) = (date(this_update), date(next_update));
        })
    }

    pub(crate) fn list(&self, number: u64, revoked: &[u64]) -> CertificateRevocationListDer<'static> {
        self.ca.crl_with(number, revoked, |params| {
            params.this_update = date(self.today - HOUR);
            params.next_update = date(self.today + 24 * HOUR);
        })
    }

    /// A list that is good for `seconds` from now.
    pub(crate) fn list_for(&self, number: u64, seconds: u64) -> CertificateRevocationListDer<'static> {
        self.ca.crl_with(number, &[], |params| {
            params.this_update = date(self.today - HOUR);
            params.next_update = date(unix_now().as_secs() + seconds);
        })
    }

    /// A list that is not valid yet.
    pub(crate) fn list_of_tomorrow(&self, number: u64) -> CertificateRevocationListDer<'static> {
        self.ca.crl_with(number, &[], |params| {
            params.this_update = date(self.today + 24 * HOUR);
            params.next_update = date(self.today + 48 * HOUR);
        })
    }

    /// The domain of this authority, in which a common name is the service.
    pub(crate) fn trust(&self, number: u64, revoked: &[u64]) -> Arc<TrustDomains> {
        join([self.settings(&[self.list(number, revoked)])])
    }

    /// What that domain is made of, with these lists.
    pub(crate) fn settings(&self, lists: &[CertificateRevocationListDer<'static>]) -> TrustSettings {
        settings(&[&self.ca], &[], lists)
    }

    /// Another certificate of the same name and key.
    pub(crate) fn reissued_pem(&self) -> String {
        pem("CERTIFICATE", &self.ca.cross_sign(&self.ca, 2))
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.ca.der)
    }
}

/// The same block, in which the organizational units are the roles.
pub(crate) fn with_roles(settings: TrustSettings, roles: &[&str]) -> TrustSettings {
    TrustSettings { mapping: common_name_mapping_with_roles("*", roles), ..settings }
}

/// The domains of these blocks.
pub(crate) fn join(blocks: impl IntoIterator<Item = TrustSettings>) -> Arc<TrustDomains> {
    let domain = |settings| TrustDomain::new(settings, unix_now()).expect("a domain");
    Arc::new(TrustDomains::new(blocks.into_iter().map(domain).collect()).expect("no conflicts"))
}

/// One PEM block.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// The policy of a file with this text.
pub(crate) fn policy(text: &str) -> Arc<Policy> {
    Arc::new(Policy::new(parse_policy(text).expect("a policy file")).expect("a policy"))
}

/// A client and a server after their handshake in memory, each with one cipher suite.
pub(crate) fn connected(
    theirs: SupportedCipherSuite,
    ours: SupportedCipherSuite,
) -> (ClientConnection, ServerConnection) {
    const NAME: &str = "gateway";
    let issued = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let (certificate, key) =
        (issued.cert.der().clone(), PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let with =
        |suite| Arc::new(CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() });
    let client = ClientConfig::builder_with_provider(with(theirs))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(with(ours))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .expect("a key pair");
    let name = ServerName::try_from(NAME).expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
    while client.is_handshaking() || server.is_handshaking() {
        server.read_tls(&mut &records(&mut client)[..]).expect("a slice");
        server.process_new_packets().expect("a handshake");
        client.read_tls(&mut &records(&mut server)[..]).expect("a slice");
        client.process_new_packets().expect("a handshake");
    }
    (client, server)
}

/// What one side of a connection has to send.
pub(crate) fn records<S: SideData>(from: &mut ConnectionCommon<S>) -> Vec<u8> {
    let mut records = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut records).expect("room");
    }
    records
}
