//! Every way in which a request is refused, and what is copied and what is not.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, PublicKeyData, SanType, SigningKey,
};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::identity::der::{self, tag};
use crate::trust::test_pki::{HOUR, NOW, TestCa, TestLeaf, domains, ecdsa_sha256, now, settings, tlv};
use crate::trust::{TrustDomains, pem};

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

struct World {
    issuer: Issuer,
    intermediate: TestCa,
    trust: TrustDomains,
    root: TestCa,
}

impl World {
    fn new() -> Self {
        let root = TestCa::root("root");
        let intermediate = root.intermediate("renewal", 2);
        let lists = [root.crl(1, &[]), intermediate.crl(1, &[])];
        let trust = domains(settings(&[&root], &[&intermediate], &lists)).expect("a domain");
        let chain = vec![intermediate.der.clone()];
        let end = trust.domains()[0].issuing_end(&chain).expect("a chain");
        assert_eq!(end, NOW + 48 * HOUR);
        let key = TestLeaf { der: intermediate.der.clone(), key: KeyPair::try_from(intermediate.key.serialize_der()).unwrap() };
        let issuer = Issuer::new(chain, key.key_der(), end, DAY).expect("an issuer");
        Self { issuer, intermediate, trust, root }
    }

    /// `billing`, with two units and two alternative names, issued by the root.
    fn billing(&self) -> TestLeaf {
        self.root.leaf_with("billing", 7, names)
    }

    fn renew(&self, leaf: &TestLeaf, body: &[u8]) -> Result<Renewed, RenewalError> {
        let peer = VerifiedPeer::proven(self.trust.verify(&leaf.der, &[], now()).expect("a good certificate"));
        let identity = self.trust.identify(&peer).expect("a service");
        renew(&self.trust, &self.issuer, &peer, &identity, body, [0xff; SERIAL_BYTES], now())
    }

    fn refused(&self, body: &[u8]) -> RenewalError {
        self.renew(&self.billing(), body).expect_err("refused")
    }
}

fn names(params: &mut CertificateParams) {
    params.distinguished_name.push(DnType::OrganizationalUnitName, "reader");
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 11]), "writer");
    params.subject_alt_names = vec![dns("billing.internal"), SanType::URI("spiffe://corp/billing".try_into().unwrap())];
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}

fn csr(edit: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    edit(&mut params);
    let key = KeyPair::generate().expect("a key");
    params.serialize_request(&key).expect("a request").der().to_vec()
}

fn own(params: &mut CertificateParams) {
    params.distinguished_name.push(DnType::CommonName, "billing");
    names(params);
}

/// A request of these fields that a P-256 key has signed.
fn signed(key: &KeyPair, fields: &[&[u8]]) -> Vec<u8> {
    let content = tlv(tag::SEQUENCE, fields);
    let signature = key.sign(&content).expect("a signature");
    tlv(tag::SEQUENCE, &[&content, &ecdsa_sha256(), &tlv(tag::BIT_STRING, &[&[0], &signature])])
}

fn parsed(der: &CertificateDer<'static>) -> X509Certificate<'static> {
    X509Certificate::from_der(Box::leak(der.to_vec().into_boxed_slice())).expect("a certificate").1
}

#[test]
fn own_names_or_none_are_certified() {
    let world = World::new();
    let leaf = world.billing();
    for request in [csr(|_| {}), csr(own), csr(|params| params.distinguished_name.push(DnType::CommonName, "billing"))
        .split_off(usize::MAX.wrapping_add(1))]
    {
        match world.renew(&leaf, &request) {
            Ok(renewed) => {
                let (old, new) = (parsed(&leaf.der), parsed(&renewed.chain[0]));
                assert_eq!(new.subject().as_raw(), old.subject().as_raw());
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}
