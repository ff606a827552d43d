//! Certificates by name: good ones, and every kind of bad one.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber,
};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use time::{Duration, OffsetDateTime};

use super::replace;

/// A CA that issues, revokes and publishes.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// Of an intermediate, by the CA above it.
    serial: Option<SerialNumber>,
    pub certificate: CertificateDer<'static>,
    pub pem: String,
    revoked: Mutex<Vec<SerialNumber>>,
    crl_number: AtomicU64,
    serials: AtomicU64,
}

/// The certificates of one test, and the files of its gateway.
pub struct Pki {
    folder: PathBuf,
    pub ca: Ca,
}

/// What a certificate says.
#[derive(Debug, Clone)]
pub struct Profile {
    pub common_names: Vec<String>,
    pub units: Vec<String>,
    pub uris: Vec<String>,
    pub dns: Vec<String>,
    pub usages: Vec<ExtendedKeyUsagePurpose>,
    pub is_ca: bool,
    /// Seconds from now; negative is the past.
    pub not_before: i64,
    pub not_after: i64,
}

impl Profile {
    /// An ordinary certificate of a service.
    pub fn service(name: &str, roles: &[&str]) -> Self {
        Self {
            common_names: vec![name.into()],
            units: roles.iter().map(ToString::to_string).collect(),
            uris: vec![format!("spiffe://test.internal/service/{name}")],
            dns: vec![format!("{name}.services.test.internal")],
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
            is_ca: false,
            not_before: -300,
            not_after: 3_600,
        }
    }
}

/// A certificate with its key.
pub struct Issued {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub serial: SerialNumber,
    pub pem: String,
    pub key_pem: String,
}

impl Ca {
    /// A root of this common name. Two of one name have different keys.
    pub fn root(name: &str) -> Self {
        Self::make(name, None)
    }

    /// A CA below this one.
    pub fn intermediate(&self, name: &str) -> Self {
        Self::make(name, Some(self))
    }

    fn make(name: &str, above: Option<&Self>) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_times(&mut params, -3_600, 86_400);
        let key = KeyPair::generate().expect("a key");
        params.serial_number = above.map(|above| above.serials.fetch_add(1, Ordering::SeqCst).into());
        let certificate = match above {
            None => params.self_signed(&key),
            Some(above) => params.signed_by(&key, &above.issuer),
        };
        let certificate = certificate.expect("a CA");
        Self {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            serial: params.serial_number.clone(),
            issuer: Issuer::new(params, key),
            revoked: Mutex::default(),
            crl_number: AtomicU64::new(1),
            serials: AtomicU64::new(1),
        }
    }

    pub fn issue(&self, profile: &Profile) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let subject = &mut params.distinguished_name;
        push_all(subject, DnType::CommonName, &[2, 5, 4, 3], &profile.common_names);
        push_all(subject, DnType::OrganizationalUnitName, &[2, 5, 4, 11], &profile.units);
        let uris = profile.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().expect("ASCII")));
        let dns = profile.dns.iter().map(|name| SanType::DnsName(name.as_str().try_into().expect("ASCII")));
        params.subject_alt_names = uris.chain(dns).collect();
        params.extended_key_usages = profile.usages.clone();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if profile.is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        }
        set_times(&mut params, profile.not_before, profile.not_after);
        let serial = SerialNumber::from(self.serials.fetch_add(1, Ordering::SeqCst));
        params.serial_number = Some(serial.clone());
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS#8"),
            serial,
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// Revokes a certificate in the next list.
    pub fn revoke(&self, issued: &Issued) {
        self.revoked.lock().unwrap().push(issued.serial.clone());
    }

    /// Revokes a CA below this one in the next list.
    pub fn revoke_intermediate(&self, below: &Self) {
        self.revoked.lock().unwrap().extend(below.serial.clone());
    }

    /// The next list, good for `seconds`.
    pub fn crl(&self, seconds: i64) -> String {
        let revoked = self.revoked.lock().unwrap();
        let now = OffsetDateTime::now_utc();
        let entry = |serial: &SerialNumber| RevokedCertParams {
            serial_number: serial.clone(),
            revocation_time: now - Duration::minutes(1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: now - Duration::minutes(5),
            next_update: now + Duration::seconds(seconds),
            crl_number: SerialNumber::from(self.crl_number.fetch_add(1, Ordering::SeqCst)),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }
}

impl Pki {
    /// Makes a root and the gateway's files: `anchors.pem`, `crl.pem`, `gateway.pem`, `gateway.key`.
    pub fn new(folder: &Path) -> Self {
        let pki = Self { folder: folder.into(), ca: Ca::root("test root") };
        pki.write("anchors.pem", &pki.ca.pem);
        pki.publish_crl();
        pki.rotate_gateway();
        pki
    }

    /// The path of one of the gateway's files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        replace(&self.path(name), text.as_bytes());
    }

    pub fn issue(&self, profile: &Profile) -> Issued {
        self.ca.issue(profile)
    }

    pub fn revoke(&self, issued: &Issued) {
        self.ca.revoke(issued);
        self.publish_crl();
    }

    pub fn publish_crl(&self) {
        self.write("crl.pem", &self.ca.crl(86_400));
    }

    /// A new certificate and key for the gateway, key first.
    pub fn rotate_gateway(&self) -> Issued {
        let issued = self.issue(&Self::gateway_profile());
        self.write("gateway.key", &issued.key_pem);
        self.write("gateway.pem", &issued.pem);
        issued
    }

    pub fn gateway_profile() -> Profile {
        let mut profile = Profile::service("gateway", &[]);
        profile.dns = vec!["localhost".into()];
        profile.uris.clear();
        profile.usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        profile
    }

    /// What a client trusts.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.certificate.clone()).expect("a root");
        roots
    }

    /// A client that trusts this PKI, never resumes, and presents `issued` if there is one.
    pub fn client_config(&self, issued: Option<&Issued>) -> ClientConfig {
        self.client_config_of(issued, rustls::ALL_VERSIONS)
    }

    /// The same for these versions of TLS alone.
    pub fn client_config_of(
        &self,
        issued: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(portcullis::tls::provider())
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(self.roots());
        let mut config = match issued {
            Some(issued) => {
                builder.with_client_auth_cert(issued.chain.clone(), issued.key.clone_key()).expect("key")
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        config
    }
}

/// Adds one attribute with up to two values, in their order. A name of rcgen's has one value of a type, and takes a type
/// and its object identifier for two.
fn push_all(subject: &mut DistinguishedName, kind: DnType, oid: &[u64], values: &[String]) {
    assert!(values.len() <= 2, "rcgen cannot write {values:?}");
    let kinds = [kind, DnType::CustomDnType(oid.into())];
    values.iter().zip(kinds).for_each(|(value, kind)| subject.push(kind, value.as_str()));
}

fn set_times(params: &mut CertificateParams, not_before: i64, not_after: i64) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now + Duration::seconds(not_before);
    params.not_after = now + Duration::seconds(not_after);
}
