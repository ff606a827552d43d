use super::*;
use crate::trust::test_pki::{TestCa, ecdsa_sha256, tlv};

const CN: &[u8] = &[0x55, 0x04, 3];
const OU: &[u8] = &[0x55, 0x04, 11];

/// (type, ASN.1 tag, octets) of each attribute, grouped by relative name.
pub(crate) type Subject<'a> = &'a [&'a [(&'a [u8], u8, &'a [u8])]];

/// A certificate made by hand, which no library would make. Nobody has signed it.
pub(crate) fn certificate(subject: Subject<'_>, extensions: &[(&[u8], &[u8])]) -> Vec<u8> {
    let relative_names: Vec<_> = subject.iter().map(|attributes| tlv(0x31, &[&joined(attributes)])).collect();
    certificate_with_subject(&relative_names.concat(), extensions)
}

fn joined(attributes: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
    let attribute =
        |(kind, tag, octets): &(&[u8], u8, &[u8])| tlv(0x30, &[&tlv(0x06, &[kind]), &tlv(*tag, &[octets])]);
    attributes.iter().flat_map(attribute).collect()
}

fn certificate_with_subject(subject: &[u8], extensions: &[(&[u8], &[u8])]) -> Vec<u8> {
    let extension = |(oid, value): &(&[u8], &[u8])| tlv(0x30, &[&tlv(0x06, &[oid]), &tlv(0x04, &[value])]);
    let extensions: Vec<u8> = extensions.iter().flat_map(extension).collect();
    let validity = tlv(0x30, &[&tlv(0x17, &[b"260101000000Z"]), &tlv(0x17, &[b"270101000000Z"])]);
    let public_key = tlv(0x30, &[&ecdsa_sha256(), &tlv(0x03, &[&[0, 4]])]);
    let content = tlv(
        0x30,
        &[
            &tlv(0xa0, &[&tlv(0x02, &[&[2]])]),
            &tlv(0x02, &[&[0, 0xff, 1]]),
            &ecdsa_sha256(),
            &tlv(0x30, &[]),
            &validity,
            &tlv(0x30, &[subject]),
            &public_key,
            &tlv(0xa3, &[&tlv(0x30, &[&extensions])]),
        ],
    );
    tlv(0x30, &[&content, &ecdsa_sha256(), &tlv(0x03, &[&[0, 1, 2, 3]])])
}

const EKU: &[u8] = &[0x55, 0x1d, 37];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const SAN: &[u8] = &[0x55, 0x1d, 17];
const CLIENT_AUTH: &[u8] = &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2];
const SERVER_AUTH: &[u8] = &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
const ANY_USAGE: &[u8] = &[0x06, 4, 0x55, 0x1d, 37, 0];

fn facts(subject: Subject<'_>, extensions: &[(&[u8], &[u8])]) -> CertificateFacts {
    CertificateFacts::parse(&certificate(subject, extensions)).expect("a readable certificate")
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn values(facts: &CertificateFacts, field: Field) -> Vec<Value> {
    facts.values(field).cloned().collect()
}

#[test]
fn every_value_of_an_attribute_is_kept_wherever_it_stands() {
    let (a, b, unit) = ((CN, 0x0c, &b"a"[..]), (CN, 0x13, &b"b"[..]), (OU, 0x0c, &b"u"[..]));
    for (subject, names, units) in [
        (&[&[a][..], &[b]][..], &["a", "b"][..], 0),
        (&[&[a], &[a]], &["a", "a"], 0),
        (&[&[a, b]], &["a", "b"], 0),
        (&[&[a, unit]], &["a"], 1),
        (&[&[unit], &[a], &[unit]], &["a"], 2),
        (&[], &[], 0),
    ] {
        let facts = facts(subject, &[]);
        let wanted: Vec<_> = names.iter().map(|name| text(name)).collect();
        assert_eq!(values(&facts, Field::Cn), wanted);
        assert_eq!(facts.values(Field::Ou).count(), units);
    }
}

#[test]
fn string_types_are_decoded_strictly_or_not_at_all() {
    let undecodable = |tag| Value::Undecodable { tag };
    for (tag, octets, wanted) in [
        (0x0c, "orders".as_bytes(), text("orders")),
        (0x0c, "\u{43e}rders".as_bytes(), text("\u{43e}rders")),
        (0x0c, b"a\0b\n\x1b[31m", text("a\0b\n\x1b[31m")),
        (0x0c, b"a, CN=b + \"c\"", text("a, CN=b + \"c\"")),
        (0x0c, b"\xff", undecodable(0x0c)),
        (0x13, b"orders", text("orders")),
        (0x13, b"or*ders", undecodable(0x13)),
        (0x13, b"a\0", undecodable(0x13)),
        (0x16, b"a*", text("a*")),
        (0x16, "é".as_bytes(), undecodable(0x16)),
        (0x1e, b"\0a\0b", undecodable(0x1e)),
        (0x1c, b"\0\0\0a", undecodable(0x1c)),
        (0x14, b"orders", undecodable(0x14)),
        (0x04, b"orders", undecodable(0x04)),
    ] {
        assert_eq!(values(&facts(&[&[(CN, tag, octets)]], &[]), Field::Cn), [wanted], "{tag:#x} {octets:x?}");
    }
}

#[test]
fn a_subject_that_hides_something_is_refused() {
    let name = tlv(0x31, &[&joined(&[(CN, 0x0c, b"a")])]);
    let three_parts = tlv(0x30, &[&tlv(0x06, &[CN]), &tlv(0x0c, &[b"a"]), &tlv(0x0c, &[b"b"])]);
    for hidden in
        [&[0x31, 0x05, 0x30][..], &tlv(0x30, &[]), &tlv(0x31, &[&[1, 1, 0xff]]), &tlv(0x31, &[&three_parts])]
    {
        let der = certificate_with_subject(&[&name, hidden].concat(), &[]);
        let result = CertificateFacts::parse(&der);
        assert!(
            matches!(result, Err(CertificateError::Subject | CertificateError::Unreadable)),
            "{hidden:x?} {result:?}"
        );
    }
}

#[test]
fn alternative_names_are_read_by_kind() {
    let names = tlv(
        0x30,
        &[
            &tlv(0x82, &[b"a.example"]),
            &tlv(0x82, &[b"*.example"]),
            &tlv(0x86, &[b"spiffe://corp/a"]),
            &tlv(0x81, &[b"a@example"]),
            &tlv(0x87, &[&[127, 0, 0, 1]]),
        ],
    );
    let facts = facts(&[], &[(SAN, &names)]);
    assert_eq!(values(&facts, Field::Dns), [text("a.example"), text("*.example")]);
    assert_eq!(values(&facts, Field::Uri), [text("spiffe://corp/a")]);
    assert_eq!(values(&facts, Field::Email), [text("a@example")]);
    assert_eq!(facts.other_names(), 1);
}

#[test]
fn usage_is_read_from_the_extensions() {
    let usage = |oids: &[&[u8]]| facts(&[], &[(EKU, &tlv(0x30, oids))]).client_usage();
    assert_eq!(facts(&[], &[]).client_usage(), ClientUsage::Unstated);
    assert_eq!(usage(&[CLIENT_AUTH]), ClientUsage::Stated);
    assert_eq!(usage(&[SERVER_AUTH, CLIENT_AUTH]), ClientUsage::Stated);
    assert_eq!(usage(&[SERVER_AUTH]), ClientUsage::Foreign);
    assert_eq!(usage(&[ANY_USAGE]), ClientUsage::Foreign);

    let ca = facts(&[], &[(BASIC_CONSTRAINTS, &tlv(0x30, &[&[1, 1, 0xff]]))]);
    assert!(ca.is_ca() && !ca.signs_certificates());
    let signer = facts(&[], &[(KEY_USAGE, &[3, 2, 2, 0b0000_0100])]);
    assert!(signer.signs_certificates() && !signer.is_ca());
    assert!(!facts(&[], &[(KEY_USAGE, &[3, 2, 7, 0b1000_0000])]).signs_certificates());
}

#[test]
fn certificates_that_cannot_be_read_whole_are_refused() {
    let client = tlv(0x30, &[CLIENT_AUTH]);
    let whole = certificate(&[], &[(EKU, &client)]);
    assert!(CertificateFacts::parse(&whole).is_ok());

    let malformed = |result| matches!(result, Err(CertificateError::Malformed(_)));
    assert!(malformed(CertificateFacts::parse(&[&whole[..], &[0]].concat())), "trailing byte");
    assert!(malformed(CertificateFacts::parse(&whole[..whole.len() - 1])), "cut off");
    assert!(malformed(CertificateFacts::parse(&[])), "empty");
    assert!(
        malformed(CertificateFacts::parse(&certificate(&[], &[(EKU, &client), (EKU, &client)]))),
        "twice"
    );

    let unknown: &[u8] = &[0x2a, 3];
    let result = CertificateFacts::parse(&certificate(&[], &[(unknown, &[5, 0]), (unknown, &[5, 0])]));
    assert_eq!(result, Err(CertificateError::DuplicateExtension));

    for (oid, value) in [
        (EKU, [&client[..], &[5, 0]].concat()),
        (SAN, tlv(0x30, &[&[0x82, 5, b'a']])),
        (BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff], &[1, 1, 0xff], &[1, 1, 0xff]])),
        (KEY_USAGE, vec![4, 1, 0]),
    ] {
        let result = CertificateFacts::parse(&certificate(&[], &[(oid, &value)]));
        assert!(
            matches!(result, Err(CertificateError::Extension { .. } | CertificateError::Malformed(_))),
            "{value:x?} {result:?}"
        );
    }
    for name in [tlv(0x82, &[b"\xff"]), tlv(0x82, &["é".as_bytes()]), tlv(0x86, &["\u{200b}".as_bytes()])] {
        let result = CertificateFacts::parse(&certificate(&[], &[(SAN, &tlv(0x30, &[&name]))]));
        assert_eq!(result, Err(CertificateError::AlternativeName));
    }
}

#[test]
fn dates_serial_and_fingerprint_are_those_of_the_certificate() {
    let facts = facts(&[], &[]);
    assert_eq!((facts.not_before(), facts.not_after()), (1_767_225_600, 1_798_761_600));
    assert_eq!(facts.serial().to_string(), "ff01");

    let leaf = TestCa::root("ca").leaf("orders", 7);
    let facts = CertificateFacts::parse(&leaf.der).expect("a readable certificate");
    assert_eq!(facts.serial().to_string(), "07");
    assert_eq!(facts.fingerprint(), Fingerprint::of(&leaf.der));
    assert_eq!(facts.fingerprint().to_string().len(), 64);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(at in 0_usize..400, to: u8) {
        let mut der = certificate(&[&[(CN, 0x0c, b"a")]], &[(EKU, &tlv(0x30, &[CLIENT_AUTH]))]);
        let at = at % der.len();
        der[at] = to;
        let _ = CertificateFacts::parse(&der);
    }
}
