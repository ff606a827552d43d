//! Every way in which a request is refused, and what is copied into a new certificate and what is not.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, PublicKeyData, SanType, SigningKey,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::deny::DenyList;
use crate::identity::certificate::{Fingerprint, Serial};
use crate::identity::der::{self, tag};
use crate::limits::Limits;
use crate::testing::{pem, policy};
use crate::trust::test_pki::{HOUR, NOW, TestCa, TestLeaf, domains, ecdsa_sha256, now, settings, tlv};

const DAY: u64 = 24 * HOUR;
const OPEN: &str = "[[grant]]\nname = \"all\"\nservices = [\"*\"]\npublish = [\"a\"]\n";
const RAW_SERIAL: [u8; SERIAL_BYTES] = [0xff; SERIAL_BYTES];

struct World {
    root: TestCa,
    intermediate: TestCa,
    generation: Generation,
}

impl World {
    fn new() -> Self {
        let root = TestCa::root("root");
        let intermediate = root.intermediate("renewal", 2);
        let lists = [root.crl(1, &[]), intermediate.crl(1, &[])];
        let trust = domains(settings(&[&root], &[&intermediate], &lists)).expect("a domain");
        let generation = Generation {
            number: 1,
            listeners: Vec::new(),
            trust: Arc::new(trust),
            policy: policy(OPEN),
            deny: Arc::default(),
            limits: Arc::new(Limits::default()),
            dialects: Arc::default(),
            renewal: Arc::default(),
        };
        Self { root, intermediate, generation }
    }

    fn issuer(&self, lifetime: u64) -> Issuer {
        let chain = vec![self.intermediate.der.clone()];
        let end = self.generation.trust.domains()[0].issuing_end(&chain).expect("a chain");
        let key = PrivateKeyDer::try_from(self.intermediate.key.serialize_der()).expect("PKCS#8");
        Issuer::new(chain, key, end, Duration::from_secs(lifetime)).expect("an issuer")
    }

    /// `billing`, with two units and two alternative names, issued by the root.
    fn billing(&self) -> TestLeaf {
        self.root.leaf_with("billing", 7, more_names)
    }

    fn renew(&self, leaf: &CertificateDer<'static>, body: &[u8]) -> Result<Renewed, RenewalError> {
        self.renew_by(&self.issuer(DAY), leaf, body)
    }

    fn renew_by(
        &self,
        issuer: &Issuer,
        leaf: &CertificateDer<'static>,
        body: &[u8],
    ) -> Result<Renewed, RenewalError> {
        let chain = self.generation.trust.verify(leaf, &[], now()).expect("a good certificate");
        let peer = VerifiedPeer::proven(chain);
        let identity = self.generation.trust.identify(&peer).expect("a service");
        renew(&self.generation, issuer, &peer, &identity, body, RAW_SERIAL, now())
    }

    fn refused(&self, body: &[u8]) -> RenewalError {
        self.renew(&self.billing().der, body).expect_err("refused")
    }
}

fn more_names(params: &mut CertificateParams) {
    params.distinguished_name.push(DnType::OrganizationalUnitName, "reader");
    // A name of rcgen's has one value of a type, and takes a type and its object identifier for two.
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 11]), "writer");
    params.subject_alt_names = vec![dns("billing.internal"), dns("other.internal")];
}

fn own_names(params: &mut CertificateParams) {
    params.distinguished_name.push(DnType::CommonName, "billing");
    more_names(params);
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

/// A request of these fields, signed by `key`.
fn signed(key: &KeyPair, fields: &[&[u8]]) -> Vec<u8> {
    let content = tlv(tag::SEQUENCE, fields);
    let signature = key.sign(&content).expect("a signature");
    tlv(tag::SEQUENCE, &[&content, &ecdsa_sha256(), &tlv(tag::BIT_STRING, &[&[0], &signature])])
}

fn read<'a>(der: &'a CertificateDer<'static>) -> X509Certificate<'a> {
    X509Certificate::from_der(der).expect("a certificate").1
}

fn pem_of(der: &[u8]) -> Vec<u8> {
    pem("CERTIFICATE REQUEST", der).into_bytes()
}

#[test]
fn own_names_or_none_are_certified() {
    let world = World::new();
    let leaf = world.billing();
    let requests = [
        csr(|_| {}),
        csr(own_names),
        csr(|params| params.subject_alt_names = vec![dns("other.internal"), dns("billing.internal")]),
        csr(|params| {
            own_names(params);
            params.subject_alt_names.clear();
            let printable = DnValue::PrintableString("billing".try_into().expect("printable"));
            params.distinguished_name.push(DnType::CommonName, printable);
        }),
    ];
    for request in requests {
        for body in [request.clone(), pem_of(&request), [b"0 text before\n", &pem_of(&request)[..]].concat()]
        {
            let renewed = world.renew(&leaf.der, &body).expect("a certificate");
            let (old, new) = (read(&leaf.der), read(&renewed.chain[0]));
            assert_eq!(new.subject().as_raw(), old.subject().as_raw());
            let alternative = |of: &X509Certificate<'_>| {
                let found = of.extensions().iter().find(|found| found.oid.to_id_string() == "2.5.29.17");
                found.map(|found| (found.critical, found.value.to_vec())).expect("alternative names")
            };
            assert_eq!(alternative(&new), alternative(&old));
        }
    }
}

#[test]
fn other_names_are_refused_and_cited() {
    let world = World::new();
    let refusal = |edit: fn(&mut CertificateParams)| match world.refused(&csr(edit)) {
        RenewalError::Names(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let asked = |asked: &str| NamesError::Attribute { asked: asked.into() };
    assert_eq!(
        refusal(|params| params.distinguished_name.push(DnType::CommonName, "checkout")),
        asked("checkout")
    );
    assert_eq!(
        refusal(|params| {
            own_names(params);
            params.distinguished_name.push(DnType::OrganizationName, "a\u{1b}[31m\n");
        }),
        asked("a\\u{1b}[31m\\n")
    );
    assert_eq!(
        refusal(|params| {
            own_names(params);
            let other_type = DnValue::TeletexString("billing".try_into().expect("an old string"));
            params.distinguished_name.push(DnType::CommonName, other_type);
        }),
        asked("billing")
    );
    // The same value under another type, the same attributes in another order, and fewer of them.
    assert_eq!(
        refusal(|params| params.distinguished_name.push(DnType::LocalityName, "billing")),
        asked("billing")
    );
    assert_eq!(
        refusal(|params| params.distinguished_name.push(DnType::CommonName, "billing")),
        NamesError::Subject
    );
    assert_eq!(
        refusal(|params| {
            more_names(params);
            params.distinguished_name.push(DnType::CommonName, "billing");
        }),
        NamesError::Subject
    );
    assert_eq!(
        refusal(|params| params.subject_alt_names = vec![dns("billing.internal"), dns("evil.internal")]),
        NamesError::AlternativeName { asked: "evil.internal".into() }
    );
    assert_eq!(
        refusal(|params| params.subject_alt_names = vec![dns("billing.internal")]),
        NamesError::Missing { missing: "other.internal".into() }
    );
    // One kind of name is not another.
    let uri = SanType::URI("billing.internal".try_into().expect("ASCII"));
    assert!(matches!(
        world.refused(&csr(|params| params.subject_alt_names = vec![uri])),
        RenewalError::Names(NamesError::AlternativeName { .. })
    ));
    let long = "x".repeat(1_000);
    match world.refused(&csr(|params| params.distinguished_name.push(DnType::CommonName, long))) {
        RenewalError::Names(NamesError::Attribute { asked }) => assert_eq!(asked, "x".repeat(80)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_without_alternative_names_gets_none() {
    let world = World::new();
    let leaf = world.root.leaf("billing", 7);
    assert!(world.renew(&leaf.der, &csr(|_| {})).is_ok());
    assert!(matches!(
        world.renew(&leaf.der, &csr(|params| params.subject_alt_names = vec![dns("billing")])),
        Err(RenewalError::Names(NamesError::AlternativeName { .. }))
    ));
}

#[test]
fn names_in_two_requests_for_extensions_are_both_looked_at() {
    let world = World::new();
    let key = KeyPair::generate().expect("a key");
    let names = |name: &str| {
        let list = tlv(tag::SEQUENCE, &[&tlv(0x82, &[name.as_bytes()])]);
        let extension = [tlv(tag::OID, &[parts::oid::ALTERNATIVE_NAMES]), tlv(tag::OCTET_STRING, &[&list])];
        let extensions = tlv(tag::SEQUENCE, &[&tlv(tag::SEQUENCE, &[&extension.concat()])]);
        let kind = tlv(tag::OID, &[parts::oid::EXTENSION_REQUEST]);
        tlv(tag::SEQUENCE, &[&kind, &tlv(tag::SET, &[&extensions])])
    };
    let leaf =
        world.root.leaf_with("billing", 7, |params| params.subject_alt_names = vec![dns("a.internal")]);
    let ask = |names: &[&[u8]]| {
        let attributes = tlv(tag::CONTEXT_0, names);
        let fields =
            [tlv(tag::INTEGER, &[&[0]]), tlv(tag::SEQUENCE, &[]), key.subject_public_key_info(), attributes];
        world.renew(&leaf.der, &signed(&key, &fields.each_ref().map(Vec::as_slice)))
    };
    assert!(ask(&[&names("a.internal")]).is_ok());
    for lists in [[names("a.internal"), names("b.internal")], [names("b.internal"), names("a.internal")]] {
        let refused = ask(&lists.each_ref().map(Vec::as_slice));
        assert!(
            matches!(refused, Err(RenewalError::Names(NamesError::AlternativeName { .. }))),
            "{refused:?}"
        );
    }
}

#[test]
fn what_is_no_request_is_refused_for_what_is_wrong_with_it() {
    let world = World::new();
    let good = csr(|_| {});
    let text = pem_of(&good);
    let key = KeyPair::generate().expect("a key");
    let public_key = key.subject_public_key_info();
    let (version, name) = (tlv(tag::INTEGER, &[&[0]]), tlv(tag::SEQUENCE, &[]));
    let nothing = tlv(tag::CONTEXT_0, &[]);
    let foreign = KeyPair::generate().expect("a key").subject_public_key_info();
    let sha1 = {
        let content = tlv(tag::SEQUENCE, &[&version, &name, &public_key, &nothing]);
        let algorithm = tlv(tag::SEQUENCE, &[&tlv(tag::OID, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01]])]);
        tlv(tag::SEQUENCE, &[&content, &algorithm, &tlv(tag::BIT_STRING, &[&[0, 1]])])
    };
    let table: [(&str, Vec<u8>, RequestError); 14] = [
        ("nothing", vec![], RequestError::Empty),
        ("white space", b" \r\n".to_vec(), RequestError::Empty),
        ("garbage", b"\xffgarbage".to_vec(), RequestError::Pem),
        ("text", b"please".to_vec(), RequestError::Pem),
        ("two blocks", [&text[..], &text[..]].concat(), RequestError::Several { count: 2 }),
        ("a cut block", text[..text.len() - 20].to_vec(), RequestError::Pem),
        ("another block", pem("CERTIFICATE", &good).into_bytes(), RequestError::Pem),
        ("cut DER", good[..good.len() - 1].to_vec(), RequestError::Malformed),
        ("bytes behind", [&good[..], b"\0"].concat(), RequestError::Malformed),
        ("bytes behind, in PEM", pem_of(&[&good[..], b"\0"].concat()), RequestError::Malformed),
        (
            "version 2",
            signed(&key, &[&tlv(tag::INTEGER, &[&[1]]), &name, &public_key, &nothing]),
            RequestError::Version,
        ),
        ("a foreign key", signed(&key, &[&version, &name, &foreign, &nothing]), RequestError::Signature),
        ("SHA-1", sha1, RequestError::SignatureAlgorithm),
        (
            "too many fields",
            signed(&key, &[&version, &name, &public_key, &nothing, &nothing]),
            RequestError::Malformed,
        ),
    ];
    for (what, body, expected) in table {
        match world.refused(&body) {
            RenewalError::Request(error) => assert_eq!(error, expected, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    assert!(world.renew(&world.billing().der, &signed(&key, &[&version, &name, &public_key])).is_ok());
}

#[test]
fn a_request_with_any_byte_changed_is_refused() {
    let world = World::new();
    let (leaf, issuer) = (world.billing(), world.issuer(DAY));
    let good = csr(own_names);
    for place in 0..good.len() {
        let mut changed = good.clone();
        changed[place] ^= 1;
        assert!(world.renew_by(&issuer, &leaf.der, &changed).is_err(), "byte {place}");
    }
}

#[test]
fn only_keys_of_these_kinds_and_strengths_are_certified() {
    let world = World::new();
    let of = |algorithm| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let request = params.serialize_request(&key).expect("a request");
        world.renew(&world.billing().der, request.der())
    };
    for good in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        assert!(of(good).is_ok(), "{good:?}");
    }
    assert!(matches!(of(&rcgen::PKCS_ECDSA_P521_SHA512), Err(RenewalError::Key(KeyError::Kind))));

    let (version, name) = (tlv(tag::INTEGER, &[&[0]]), tlv(tag::SEQUENCE, &[]));
    for (octets, bits) in [(128, 1_024), (255, 2_040), (1_025, 8_200)] {
        // As DER has it, a zero before an octet whose first bit is set.
        let modulus = tlv(tag::INTEGER, &[&[0], &vec![0xff; octets]]);
        let key = tlv(tag::SEQUENCE, &[&modulus, &tlv(tag::INTEGER, &[&[1, 0, 1]])]);
        let algorithm = tlv(tag::SEQUENCE, &[rustls::pki_types::alg_id::RSA_ENCRYPTION.as_ref()]);
        let public_key = tlv(tag::SEQUENCE, &[&algorithm, &tlv(tag::BIT_STRING, &[&[0], &key])]);
        let request = signed(&KeyPair::generate().expect("a key"), &[&version, &name, &public_key]);
        match world.refused(&request) {
            RenewalError::Key(KeyError::RsaBits { bits: told }) => assert_eq!(told, bits),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_new_certificate_has_a_random_serial_no_rights_of_a_ca_and_its_times() {
    let world = World::new();
    let renewed = world.renew(&world.billing().der, &csr(|_| {})).expect("a certificate");
    let new = read(&renewed.chain[0]);
    assert_eq!(renewed.chain.get(1), Some(&world.intermediate.der));
    assert_eq!(renewed.chain.len(), 2);
    assert_eq!(new.raw_serial(), [[0x7f].as_slice(), &[0xff; 15]].concat());
    assert_eq!(renewed.id.serial, crate::identity::certificate::Serial::from_be_bytes(new.raw_serial()));
    let times = (new.validity().not_before.timestamp(), new.validity().not_after.timestamp());
    assert_eq!(times, ((NOW - 60) as i64, (NOW + DAY) as i64));
    assert_eq!(renewed.not_after, NOW + DAY);
    let constraints = new.basic_constraints().expect("one").expect("basic constraints");
    assert!(constraints.critical && !constraints.value.ca);
    let usage = new.key_usage().expect("one").expect("a key usage");
    assert!(usage.critical && usage.value.digital_signature() && usage.value.flags == 1);
    let purposes = new.extended_key_usage().expect("one").expect("purposes").value;
    assert!(purposes.client_auth && !purposes.server_auth && !purposes.any);
    let extension = |oid: &str| {
        let found = new.extensions().iter().find(|found| found.oid.to_id_string() == oid);
        found.expect("the extension").value.to_vec()
    };
    let of_issuer = key_identifier_of(&world.intermediate.der);
    assert!(extension("2.5.29.35").ends_with(&of_issuer), "the issuer's key identifier");
    assert_eq!(extension("2.5.29.14").len(), 22);
}

fn key_identifier_of(der: &CertificateDer<'static>) -> Vec<u8> {
    let certificate = read(der);
    let found = certificate.extensions().iter().find(|found| found.oid.to_id_string() == "2.5.29.14");
    der::sole(found.expect("a key identifier").value, tag::OCTET_STRING).expect("octets").to_vec()
}

#[test]
fn a_certificate_ends_with_its_issuer_at_the_latest_and_dates_after_2049_are_written_too() {
    let world = World::new();
    let request = csr(|_| {});
    let renewed =
        world.renew_by(&world.issuer(30 * DAY), &world.billing().der, &request).expect("a certificate");
    assert_eq!(renewed.not_after, NOW + 48 * HOUR);

    let key = || PrivateKeyDer::try_from(world.intermediate.key.serialize_der()).expect("PKCS#8");
    let until = |end| {
        let chain = vec![world.intermediate.der.clone()];
        Issuer::new(chain, key(), end, Duration::from_secs(100 * 365 * DAY)).expect("an issuer")
    };
    let ended = world.renew_by(&until(NOW), &world.billing().der, &request);
    assert!(matches!(ended, Err(RenewalError::Issue(IssueError::Ended { end: NOW }))), "{ended:?}");
    let late = 2_600_000_000;
    let renewed = world.renew_by(&until(late), &world.billing().der, &request).expect("a certificate");
    assert_eq!(
        (renewed.not_after, read(&renewed.chain[0]).validity().not_after.timestamp()),
        (late, late as i64)
    );
}

/// Several values in one relative name, an old string type, a critical list of names: nothing of it is understood, and all
/// of it is kept.
#[test]
fn names_of_any_form_are_copied_byte_for_byte() {
    let world = World::new();
    let leaf = world.billing();
    let attribute = |kind: u8, string: u8, text: &[u8]| {
        tlv(tag::SEQUENCE, &[&tlv(tag::OID, &[&[0x55, 0x04, kind]]), &tlv(string, &[text])])
    };
    let subject = tlv(
        tag::SEQUENCE,
        &[
            &tlv(
                tag::SET,
                &[&attribute(11, tag::UTF8_STRING, b"eu"), &attribute(11, tag::UTF8_STRING, b"us")],
            ),
            &tlv(tag::SET, &[&attribute(10, 0x1e, b"\0A\0B")]),
            &tlv(tag::SET, &[&attribute(3, tag::PRINTABLE_STRING, b"billing")]),
        ],
    );
    // The parts of an ordinary certificate around another subject, signed anew.
    let fields: Vec<_> =
        der::elements(crate::trust::signed::Signed::parse(&leaf.der).unwrap().fields().unwrap())
            .map(|field| field.unwrap().raw.to_vec())
            .collect();
    let content = [&fields[..5].concat()[..], &subject, &fields[6..].concat()].concat();
    let odd = CertificateDer::from(world.root.sign_list(&tlv(tag::SEQUENCE, &[&content])).to_vec());
    let renewed = world.renew(&odd, &csr(|_| {})).expect("a certificate");
    assert_eq!(read(&renewed.chain[0]).subject().as_raw(), subject);
}

#[test]
fn what_the_gateway_would_not_accept_is_not_given_out() {
    let world = World::new();
    // An issuer that the domain does not know: its certificates would open no door.
    let stranger = TestCa::root("stranger");
    let key = PrivateKeyDer::try_from(stranger.key.serialize_der()).expect("PKCS#8");
    let issuer =
        Issuer::new(vec![stranger.der.clone()], key, NOW + DAY, Duration::from_secs(60)).expect("an issuer");
    let refused = world.renew_by(&issuer, &world.billing().der, &csr(|_| {}));
    let Err(RenewalError::Issue(IssueError::NotAccepted(why))) = refused else { panic!("{refused:?}") };
    assert_eq!(why, VerifyError::UnknownIssuer);
}

#[test]
fn what_the_deny_list_would_keep_out_is_not_given_out() {
    let mut world = World::new();
    let (leaf, body) = (world.billing(), csr(|_| {}));
    let issuer = Fingerprint::of(&world.intermediate.der);
    let serial = Serial::from_be_bytes(&[2]).expect("short");
    let by_fingerprint = (DenyList::new([issuer], [], []), Denied::Fingerprint(issuer));
    let by_serial = (DenyList::new([], [serial], []), Denied::Serial(serial));
    for (deny, entry) in [by_fingerprint, by_serial] {
        world.generation.deny = Arc::new(deny);
        let refused = world.renew(&leaf.der, &body);
        let Err(RenewalError::Issue(IssueError::Denied(found))) = refused else { panic!("{refused:?}") };
        assert_eq!(found, entry);
    }
    // An entry for the certificate that is presented is another's to find, before anything is issued.
    world.generation.deny = Arc::new(DenyList::new([Fingerprint::of(&leaf.der)], [], []));
    assert!(world.renew(&leaf.der, &body).is_ok());
}

#[test]
fn a_chain_issues_if_it_is_configured_whole_and_below_an_anchor() {
    use crate::trust::IssuingChainError as E;
    let root = TestCa::root("root");
    let upper = root
        .intermediate_with("upper", 2, |params| params.not_after = crate::trust::test_pki::date(NOW + HOUR));
    let lower = upper.intermediate("lower", 3);
    let foreign = root.intermediate("foreign", 4);
    let lists = [root.crl(1, &[]), upper.crl(1, &[]), lower.crl(1, &[])];
    let trust = domains(settings(&[&root], &[&upper, &lower], &lists)).expect("a domain");
    let end = |chain: &[&TestCa]| {
        let chain: Vec<_> = chain.iter().map(|ca| ca.der.clone()).collect();
        trust.domains()[0].issuing_end(&chain)
    };
    assert_eq!(end(&[&lower, &upper]), Ok(NOW + HOUR));
    assert_eq!(end(&[&upper]), Ok(NOW + HOUR));
    assert_eq!(end(&[&lower]), Err(E::NotAnchored));
    assert_eq!(end(&[&upper, &lower]), Err(E::NotIssuedByNext { position: 1 }));
    assert_eq!(end(&[&foreign]), Err(E::NotIntermediate { position: 1 }));
    assert_eq!(end(&[&lower, &upper, &root]), Err(E::NotIntermediate { position: 3 }));
    assert_eq!(end(&[]), Err(E::NotAnchored));
}

#[test]
fn a_key_of_another_certificate_issues_nothing_and_no_key_is_shown() {
    let world = World::new();
    let other = PrivateKeyDer::try_from(world.root.key.serialize_der()).expect("PKCS#8");
    let refused =
        Issuer::new(vec![world.intermediate.der.clone()], other, NOW + DAY, Duration::from_secs(60));
    assert!(matches!(refused, Err(IssuerError::Key(_))), "{refused:?}");
    let shown = format!("{:?}", world.issuer(DAY));
    assert!(shown.ends_with(".. }") && !shown.contains("key"), "{shown}");
}

proptest::proptest! {
    /// Nothing that a peer sends ends in anything but a certificate or a refusal.
    #[test]
    fn any_bytes_end_in_a_refusal(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        place in 0_usize..400,
        cut in 0_usize..400,
    ) {
        thread_local! {
            static GOOD: Vec<u8> = csr(own_names);
        }
        let look = |body: &[u8]| {
            let Ok(der) = request::der(body) else { return };
            let Ok(request) = Request::parse(&der) else { return };
            let _ = (request.check_key(), request.check_signature());
        };
        look(&bytes);
        let good = GOOD.with(Vec::clone);
        let (before, after) = good.split_at(place.min(good.len()));
        look(&[before, &bytes, after.get(cut..).unwrap_or_default()].concat());
    }
}
