//! Certificates and revocation lists for tests, and DER by hand for those that no library would make.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    SigningKey,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use time::OffsetDateTime;

use super::{RevocationSettings, TrustDomain, TrustDomains, TrustError, TrustSettings};
use crate::identity::certificate::Field;
pub(crate) use crate::identity::der::write as tlv;
use crate::identity::mapping::{Mapping, Rule, RuleSettings, ServiceClaim, Template};
use crate::identity::{Role, RuleName, TrustName};

/// The time of all tests, in Unix seconds.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const HOUR: u64 = 3600;

pub(crate) fn now() -> UnixTime {
    at(NOW)
}

pub(crate) fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

pub(crate) fn date(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).expect("small")).expect("in range")
}

/// A certificate with its key.
pub(crate) struct TestLeaf {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key: KeyPair,
}

impl TestLeaf {
    pub(crate) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).expect("PKCS#8")
    }
}

/// A CA with its key.
pub(crate) struct TestCa {
    params: CertificateParams,
    pub(crate) key: KeyPair,
    pub(crate) der: CertificateDer<'static>,
}

impl TestCa {
    pub(crate) fn root(name: &str) -> Self {
        Self::root_with(name, |_| {})
    }

    pub(crate) fn root_with(name: &str, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = ca_params(name, 1, edit);
        let der = params.self_signed(&key).expect("a certificate").der().clone();
        Self { params, key, der }
    }

    pub(crate) fn intermediate(&self, name: &str, serial: u64) -> Self {
        self.intermediate_with(name, serial, |_| {})
    }

    pub(crate) fn intermediate_with(
        &self,
        name: &str,
        serial: u64,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = ca_params(name, serial, edit);
        let der = params.signed_by(&key, &self.issuer()).expect("a certificate").der().clone();
        Self { params, key, der }
    }

    /// A certificate for the key and name of another CA.
    pub(crate) fn cross_sign(&self, other: &Self, serial: u64) -> CertificateDer<'static> {
        self.cross_sign_with(other, serial, |_| {})
    }

    pub(crate) fn cross_sign_with(
        &self,
        other: &Self,
        serial: u64,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = other.params.clone();
        params.serial_number = Some(serial.into());
        edit(&mut params);
        params.signed_by(&other.key, &self.issuer()).expect("a certificate").der().clone()
    }

    pub(crate) fn leaf(&self, common_name: &str, serial: u64) -> TestLeaf {
        self.leaf_with(common_name, serial, |_| {})
    }

    pub(crate) fn leaf_with(
        &self,
        common_name: &str,
        serial: u64,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> TestLeaf {
        let key = KeyPair::generate().expect("a key");
        let mut params = params(common_name, serial);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        edit(&mut params);
        let der = params.signed_by(&key, &self.issuer()).expect("a certificate").der().clone();
        TestLeaf { der, key }
    }

    pub(crate) fn crl(&self, number: u64, revoked: &[u64]) -> CertificateRevocationListDer<'static> {
        self.crl_with(number, revoked, |_| {})
    }

    pub(crate) fn crl_with(
        &self,
        number: u64,
        revoked: &[u64],
        edit: impl FnOnce(&mut CertificateRevocationListParams),
    ) -> CertificateRevocationListDer<'static> {
        let mut params = CertificateRevocationListParams {
            this_update: date(NOW - HOUR),
            next_update: date(NOW + HOUR),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(|serial| revoked_entry(*serial)).collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        edit(&mut params);
        params.signed_by(&self.issuer()).expect("a list").der().clone()
    }

    /// A revocation list whose content is the caller's, with a valid ECDSA P-256 signature.
    pub(crate) fn sign_list(&self, content: &[u8]) -> CertificateRevocationListDer<'static> {
        let signature = self.key.sign(content).expect("a signature");
        tlv(0x30, &[content, &ecdsa_sha256(), &tlv(0x03, &[&[0], &signature])]).into()
    }

    /// The DER of the CA's name.
    pub(crate) fn name_der(&self) -> Vec<u8> {
        let anchor = webpki::anchor_from_trusted_cert(&self.der).expect("a certificate");
        tlv(0x30, &[&anchor.subject])
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

/// The AlgorithmIdentifier of ECDSA with SHA-256 (RFC 5758, 3.2).
pub(crate) fn ecdsa_sha256() -> Vec<u8> {
    tlv(0x30, &[&[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]])
}

pub(crate) fn revoked_entry(serial: u64) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: serial.into(),
        revocation_time: date(NOW - HOUR),
        reason_code: None,
        invalidity_date: None,
    }
}

fn params(common_name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serial_number = Some(SerialNumber::from(serial));
    params.not_before = date(NOW - 24 * HOUR);
    params.not_after = date(NOW + 24 * HOUR);
    params
}

fn ca_params(name: &str, serial: u64, edit: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = params(name, serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date(NOW - 48 * HOUR);
    params.not_after = date(NOW + 48 * HOUR);
    edit(&mut params);
    params
}

/// The mapping of one rule, `cn = "{service}"`.
pub(crate) fn common_name_mapping(claim: &str) -> Mapping {
    common_name_mapping_with_roles(claim, &[])
}

/// The same, with these organizational units as roles.
pub(crate) fn common_name_mapping_with_roles(claim: &str, roles: &[&str]) -> Mapping {
    let roles = roles.iter().map(|role| Role::parse(role).expect("a role")).collect::<Vec<_>>();
    let rule = Rule::new(RuleSettings {
        name: RuleName::parse("common-name").expect("a name"),
        matches: vec![(Field::Cn, Template::parse("{service}").expect("a template"))],
        service: None,
        roles: Vec::new(),
        roles_from: (!roles.is_empty()).then_some(Field::Ou),
        role_values: roles,
    });
    Mapping::new(vec![rule.expect("a rule")], vec![ServiceClaim::parse(claim).expect("a claim")])
}

pub(crate) fn settings(
    anchors: &[&TestCa],
    intermediates: &[&TestCa],
    lists: &[CertificateRevocationListDer<'static>],
) -> TrustSettings {
    let certificates = |authorities: &[&TestCa]| authorities.iter().map(|ca| ca.der.clone()).collect();
    TrustSettings {
        name: TrustName::parse("corp").expect("a name"),
        anchors: certificates(anchors),
        intermediates: certificates(intermediates),
        retire: Vec::new(),
        revocation: RevocationSettings::Enforced(lists.to_vec()),
        mapping: common_name_mapping("*"),
    }
}

/// The domains of this one block.
pub(crate) fn domains(settings: TrustSettings) -> Result<TrustDomains, Vec<TrustError>> {
    let domain = TrustDomain::new(settings, now())?;
    Ok(TrustDomains::new(vec![domain]).expect("one domain has no conflicts"))
}
