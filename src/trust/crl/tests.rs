use rcgen::{CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, KeyUsagePurpose, RevocationReason};

use super::*;
use crate::identity::certificate::Serial;
use crate::identity::der::{elements, sole, tag};
use crate::trust::test_pki::{HOUR, NOW, TestCa, at, date, ecdsa_sha256, now, revoked_entry, tlv};

type List = CertificateRevocationListDer<'static>;

fn authorities(cas: &[&TestCa]) -> Vec<Authority> {
    cas.iter().map(|ca| Authority::parse(&ca.der).expect("a CA")).collect()
}

fn load(cas: &[&TestCa], lists: &[List]) -> Result<RevocationLists, Vec<(usize, CrlError)>> {
    RevocationLists::load(lists, &authorities(cas), now())
}

fn refusal(ca: &TestCa, list: List) -> CrlError {
    let mut faults = load(&[ca], &[list]).expect_err("refused");
    assert_eq!(faults.len(), 1);
    faults.remove(0).1
}

fn link_at(ca: &TestCa, serial: u64, points: Option<&[&str]>) -> PathLink {
    let issuer = authorities(&[ca])[0].id();
    PathLink::for_test(issuer, Serial::from_be_bytes(&serial.to_be_bytes()).expect("short"), points)
}

fn status(lists: &RevocationLists, ca: &TestCa, serial: u64) -> RevocationStatus {
    lists.status(&link_at(ca, serial, None), now())
}

fn number(value: u64) -> CrlNumber {
    CrlNumber::from_be_bytes(&value.to_be_bytes()).expect("short")
}

const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
const DELTA: &[u8] = &[0x55, 0x1d, 27];
const POINT: &[u8] = &[0x55, 0x1d, 28];
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 35];
const REASON: &[u8] = &[0x55, 0x1d, 21];
const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];

fn extension(oid: &[u8], is_critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if is_critical { &[1, 1, 0xff] } else { &[] };
    tlv(0x30, &[&tlv(0x06, &[oid]), critical, &tlv(0x04, &[value])])
}

/// A list made by hand: what stands after `thisUpdate`, and the extensions.
fn by_hand(ca: &TestCa, after_date: &[&[u8]], extensions: &[Vec<u8>]) -> List {
    let extensions = tlv(0xa0, &[&tlv(0x30, &[&extensions.concat()])]);
    let name = ca.name_der();
    let algorithm = ecdsa_sha256();
    let start: [&[u8]; 4] = [&[2, 1, 1], &algorithm, &name, &tlv(0x17, &[b"270101000000Z"])];
    ca.sign_list(&tlv(0x30, &[&start.concat(), &after_date.concat(), &extensions]))
}

fn next_update() -> Vec<u8> {
    tlv(0x17, &[b"490101000000Z"])
}

fn crl_number() -> Vec<u8> {
    extension(CRL_NUMBER, false, &[2, 1, 1])
}

#[test]
fn what_a_list_names_is_revoked_and_all_else_is_good() {
    let (ca, other) = (TestCa::root("ca"), TestCa::root("other"));
    let lists = load(&[&ca, &other], &[ca.crl(1, &[7, 300])]).expect("valid");
    assert_eq!(status(&lists, &ca, 7), RevocationStatus::Revoked);
    assert_eq!(status(&lists, &ca, 300), RevocationStatus::Revoked);
    assert_eq!(status(&lists, &ca, 8), RevocationStatus::Good);
    assert_eq!(status(&lists, &other, 7), RevocationStatus::Unknown);
    let summaries = lists.summaries();
    let [summary] = summaries.as_slice() else { panic!("one list: {summaries:?}") };
    assert_eq!((summary.issuer, summary.age.number), (authorities(&[&ca])[0].id(), number(1)));
    assert_eq!(summary.entries, 2);
}

#[test]
fn a_stale_list_vouches_for_nobody_and_still_revokes() {
    let ca = TestCa::root("ca");
    let lists = load(&[&ca], &[ca.crl(1, &[7])]).expect("valid");
    let due = NOW + HOUR;
    for (time, wanted) in [(due - 1, RevocationStatus::Good), (due, RevocationStatus::Stale { since: due })] {
        assert_eq!(lists.status(&link_at(&ca, 8, None), at(time)), wanted);
        assert_eq!(lists.status(&link_at(&ca, 7, None), at(time)), RevocationStatus::Revoked);
    }
}

#[test]
fn a_list_belongs_to_the_ca_of_its_name_and_its_key() {
    let (old, new, stranger) =
        (TestCa::root("corp root"), TestCa::root("corp root"), TestCa::root("stranger"));
    let lists = load(&[&old, &new], &[new.crl(1, &[7]), old.crl(9, &[8])]).expect("valid");
    assert_eq!(status(&lists, &new, 7), RevocationStatus::Revoked);
    assert_eq!(status(&lists, &old, 7), RevocationStatus::Good);
    assert_eq!(status(&lists, &old, 8), RevocationStatus::Revoked);
    assert_eq!(status(&lists, &new, 8), RevocationStatus::Good);

    assert_eq!(refusal(&old, new.crl(1, &[])), CrlError::BadSignature { issuer: "CN=corp root".into() });
    assert_eq!(refusal(&old, stranger.crl(1, &[])), CrlError::UnknownIssuer { issuer: "CN=stranger".into() });
}

#[test]
fn of_several_lists_the_newest_number_counts_in_any_order() {
    let ca = TestCa::root("ca");
    let (old, new) = (ca.crl(9, &[7]), ca.crl(0x100, &[8]));
    for lists in [[old.clone(), new.clone()], [new, old]] {
        let lists = load(&[&ca], &lists).expect("valid");
        assert_eq!(status(&lists, &ca, 7), RevocationStatus::Good);
        assert_eq!(status(&lists, &ca, 8), RevocationStatus::Revoked);
    }
}

#[test]
fn a_changed_byte_breaks_the_signature() {
    let ca = TestCa::root("ca");
    let list = ca.crl(1, &[0x1234]);
    let at = list.windows(2).position(|pair| pair == [0x12, 0x34]).expect("the serial");
    let mut changed = list.to_vec();
    changed[at] = 0x13;
    assert_eq!(refusal(&ca, changed.into()), CrlError::BadSignature { issuer: "CN=ca".into() });
    for bytes in [&[][..], &[0x30, 0], &list[..list.len() - 1], &[&list[..], &[0]].concat()] {
        assert_eq!(refusal(&ca, bytes.to_vec().into()), CrlError::Malformed);
    }
}

#[test]
fn an_algorithm_out_of_use_is_named_as_the_fault() {
    let ca = TestCa::root("ca");
    let list = ca.crl(1, &[]);
    // ECDSA with SHA-1 in both places where SHA-256 stood.
    let sha1 = tlv(0x30, &[&[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01]]);
    let parts: Vec<_> = elements(sole(&list, tag::SEQUENCE).expect("a list")).flatten().collect();
    let fields: Vec<_> = elements(parts[0].content).flatten().map(|field| field.raw).collect();
    let content = tlv(0x30, &[fields[0], &sha1, &fields[2..].concat()]);
    let weak = tlv(0x30, &[&content, &sha1, parts[2].raw]);
    assert_eq!(refusal(&ca, weak.into()), CrlError::UnsupportedAlgorithm { issuer: "CN=ca".into() });
}

#[test]
fn a_ca_that_may_not_sign_lists_signs_none() {
    let signer = TestCa::root("ca");
    let no_signer = TestCa::root_with("ca", |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    let unstated = TestCa::root_with("ca", |params| params.key_usages = Vec::new());
    assert!(load(&[&signer], &[by_hand(&signer, &[&next_update()], &[crl_number()])]).is_ok());
    assert!(load(&[&unstated], &[by_hand(&unstated, &[&next_update()], &[crl_number()])]).is_ok());
    let refused = refusal(&no_signer, by_hand(&no_signer, &[&next_update()], &[crl_number()]));
    assert_eq!(refused, CrlError::NotListSigner { issuer: "CN=ca".into() });
}

#[test]
fn lists_that_do_not_say_all_are_refused() {
    let ca = TestCa::root("ca");
    let next = next_update();
    let uri = tlv(0xa0, &[&tlv(0xa0, &[&tlv(0x86, &[b"http://ca/1"])])]);
    let point = |fields: &[&[u8]]| extension(POINT, true, &tlv(0x30, fields));
    let reasons: &[u8] = &[0x83, 2, 0, 0x40];
    for (after_date, extensions, error) in [
        (&[][..], vec![crl_number()], CrlError::NoNextUpdate),
        (&[&next[..]], vec![extension(AUTHORITY_KEY, false, &[0x30, 0])], CrlError::NoNumber),
        (&[&next], vec![extension(CRL_NUMBER, false, &[2, 1, 0x80])], CrlError::Malformed),
        (&[&next], vec![extension(CRL_NUMBER, false, &tlv(2, &[&[1; 21]]))], CrlError::Malformed),
        (&[&next], vec![crl_number(), extension(DELTA, true, &[2, 1, 1])], CrlError::Delta),
        (&[&next], vec![crl_number(), point(&[&uri, &[0x84, 1, 0xff]])], CrlError::Indirect),
        (&[&next], vec![crl_number(), point(&[&uri, &[0x81, 1, 0xff]])], CrlError::LimitedScope),
        (&[&next], vec![crl_number(), point(&[&uri, &[0x82, 1, 0xff]])], CrlError::LimitedScope),
        (&[&next], vec![crl_number(), point(&[&uri, reasons])], CrlError::LimitedScope),
        (&[&next], vec![crl_number(), point(&[&[0x85, 1, 0xff]])], CrlError::LimitedScope),
        (&[&next], vec![crl_number(), point(&[])], CrlError::NoDistributionPointUri),
        (
            &[&next],
            vec![crl_number(), extension(&[0x2a, 3], true, &[5, 0])],
            CrlError::UnknownCriticalExtension { oid: "1.2.3".into() },
        ),
        (
            &[&next],
            vec![crl_number(), crl_number()],
            CrlError::DuplicateExtension { oid: "2.5.29.20".into() },
        ),
    ] {
        assert_eq!(refusal(&ca, by_hand(&ca, after_date, &extensions)), error);
    }
    let unknown = extension(&[0x2a, 3], false, &[5, 0]);
    assert!(load(&[&ca], &[by_hand(&ca, &[&next], &[crl_number(), unknown])]).is_ok());
}

#[test]
fn entries_of_other_issuers_or_taken_back_are_refused() {
    let ca = TestCa::root("ca");
    let with_entry = |extensions: &[u8]| {
        let entry = tlv(0x30, &[&[2, 1, 7], &tlv(0x17, &[b"260101000000Z"]), &tlv(0x30, &[extensions])]);
        by_hand(&ca, &[&next_update(), &tlv(0x30, &[&entry])], &[crl_number()])
    };
    let removed = extension(REASON, false, &[0x0a, 1, 8]);
    assert_eq!(refusal(&ca, with_entry(&removed)), CrlError::RemovedEntry);
    let foreign = extension(CERTIFICATE_ISSUER, true, &tlv(0x30, &[]));
    assert_eq!(refusal(&ca, with_entry(&foreign)), CrlError::Indirect);
    let unknown = extension(&[0x2a, 3], true, &[5, 0]);
    let refused = CrlError::Refused(webpki::Error::UnsupportedCriticalExtension);
    assert_eq!(refusal(&ca, with_entry(&unknown)), refused);

    let compromised = ca.crl_with(1, &[], |params| {
        let mut entry = revoked_entry(7);
        entry.reason_code = Some(RevocationReason::KeyCompromise);
        params.revoked_certs.push(entry);
    });
    let lists = load(&[&ca], &[compromised]).expect("valid");
    assert_eq!(status(&lists, &ca, 7), RevocationStatus::Revoked);
}

#[test]
fn a_list_of_a_time_to_come_is_refused_beyond_the_skew_of_clocks() {
    let ca = TestCa::root("ca");
    let made_at = |seconds| ca.crl_with(1, &[], |params| params.this_update = date(seconds));
    assert!(load(&[&ca], &[made_at(NOW + MAX_CLOCK_SKEW_SECS)]).is_ok());
    let this_update = NOW + MAX_CLOCK_SKEW_SECS + 1;
    assert_eq!(refusal(&ca, made_at(this_update)), CrlError::NotYetValid { this_update });
}

fn shard(ca: &TestCa, number: u64, uri: &str, revoked: &[u64]) -> List {
    ca.crl_with(number, revoked, |params| {
        params.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris: vec![uri.into()] },
            scope: None,
        });
    })
}

#[test]
fn lists_by_distribution_point_add_up_and_vouch_for_their_own_only() {
    let ca = TestCa::root("ca");
    let lists = load(&[&ca], &[shard(&ca, 5, "http://ca/1", &[7]), shard(&ca, 2, "http://ca/2", &[8])])
        .expect("valid");
    for (serial, points, wanted) in [
        (7, Some(&["http://ca/1"][..]), RevocationStatus::Revoked),
        (7, Some(&["http://ca/2"]), RevocationStatus::Revoked),
        (8, None, RevocationStatus::Revoked),
        (9, Some(&["http://ca/2"]), RevocationStatus::Good),
        (9, Some(&["http://gone", "http://ca/1"]), RevocationStatus::Good),
        (9, Some(&["http://ca/3"]), RevocationStatus::Unknown),
        (9, Some(&[]), RevocationStatus::Unknown),
        (9, None, RevocationStatus::Good),
    ] {
        assert_eq!(lists.status(&link_at(&ca, serial, points), now()), wanted, "{serial} {points:?}");
    }
    // A complete list speaks for every certificate, whatever distribution point that names.
    let complete = load(&[&ca], &[ca.crl(1, &[7])]).expect("valid");
    assert_eq!(complete.status(&link_at(&ca, 9, Some(&["http://ca/3"])), now()), RevocationStatus::Good);
    assert_eq!(complete.status(&link_at(&ca, 7, Some(&["http://ca/3"])), now()), RevocationStatus::Revoked);

    let users_only = ca.crl_with(1, &[], |params| {
        params.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris: vec!["http://ca/1".into()] },
            scope: Some(CrlScope::UserCertsOnly),
        });
    });
    assert_eq!(refusal(&ca, users_only), CrlError::LimitedScope);
}

#[test]
fn a_list_of_two_distribution_points_speaks_for_the_certificates_of_either() {
    let ca = TestCa::root("ca");
    let points = ["http://ca/1", "http://ca/2"];
    let list = ca.crl_with(1, &[7], |params| {
        let uris = points.map(String::from).to_vec();
        params.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris },
            scope: None,
        });
    });
    let lists = load(&[&ca], &[list]).expect("valid");
    for point in &points {
        let status = |serial| lists.status(&link_at(&ca, serial, Some(&[*point])), now());
        assert_eq!([7, 8].map(status), [RevocationStatus::Revoked, RevocationStatus::Good], "{point}");
    }
    let elsewhere = lists.status(&link_at(&ca, 8, Some(&["http://ca/3"])), now());
    assert_eq!(elsewhere, RevocationStatus::Unknown);
}

#[test]
fn a_newer_list_is_merged_whatever_lies_beside_it() {
    let (ca, other) = (TestCa::root("ca"), TestCa::root("other"));
    let cas = authorities(&[&ca, &other]);
    let lists = load(&[&ca, &other], &[ca.crl(5, &[]), other.crl(5, &[])]).expect("valid");
    let merge = |offered: &[List]| lists.merge_newer(offered, &cas, StaleLists::Refused, now());

    let garbage = List::from(b"garbage".to_vec());
    let merged = merge(&[garbage.clone(), ca.crl(6, &[7]), other.crl(4, &[7])]).expect("newer");
    assert_eq!(status(&merged, &ca, 7), RevocationStatus::Revoked);
    assert_eq!(status(&merged, &other, 7), RevocationStatus::Good);
    assert_eq!(status(&lists, &ca, 7), RevocationStatus::Good, "the old set stays as it was");

    let stale = ca.crl_with(9, &[7], |params| params.next_update = date(NOW));
    let stranger = TestCa::root("ca").crl(9, &[7]);
    let accepting = lists.merge_newer(std::slice::from_ref(&stale), &cas, StaleLists::Accepted, now());
    assert_eq!(status(&accepting.expect("newer"), &ca, 7), RevocationStatus::Revoked);
    for offered in [&[][..], &[garbage], &[ca.crl(5, &[7])], &[ca.crl(4, &[7])], &[stale], &[stranger]] {
        assert!(merge(offered).is_none());
    }
}

#[test]
fn going_back_is_seen() {
    let (ca, other) = (TestCa::root("ca"), TestCa::root("other"));
    let before = load(&[&ca, &other], &[ca.crl(5, &[]), other.crl(5, &[])]).expect("valid");
    let after = load(&[&ca, &other], &[ca.crl(4, &[]), other.crl(5, &[])]).expect("valid");
    let cas = authorities(&[&ca, &other]);
    let issuer = cas[0].id();
    let wanted = CrlRegression { issuer, before: age(5, NOW - HOUR), now: Some(age(4, NOW - HOUR)) };
    assert_eq!(after.regressions(&Marks::of([&before]), issuer), [wanted]);
    assert_eq!(after.regressions(&Marks::of([&before]), cas[1].id()), []);
    assert_eq!(before.regressions(&Marks::of([&after]), issuer), []);
}

fn age(value: u64, this_update: u64) -> CrlAge {
    CrlAge { number: number(value), this_update }
}

#[test]
fn a_list_is_succeeded_by_one_that_speaks_for_as_many_certificates_and_is_not_older() {
    let ca = TestCa::root("ca");
    let issuer = authorities(&[&ca])[0].id();
    let one = |value| shard(&ca, value, "http://ca/1", &[]);
    let two = |value| shard(&ca, value, "http://ca/2", &[]);
    let dated = |value, this_update| ca.crl_with(value, &[], |params| params.this_update = date(this_update));
    let (then, earlier) = (NOW - HOUR, NOW - 2 * HOUR);
    for (before, after, wanted) in [
        (vec![ca.crl(5, &[])], vec![one(9), two(9)], vec![(age(5, then), None)]),
        (vec![one(5), two(3)], vec![one(6)], vec![(age(3, then), None)]),
        (vec![one(5), two(3)], vec![one(6), two(2)], vec![(age(3, then), Some(age(2, then)))]),
        (vec![ca.crl(5, &[])], vec![dated(5, earlier)], vec![(age(5, then), Some(age(5, earlier)))]),
        (vec![dated(5, earlier)], vec![ca.crl(5, &[])], vec![]),
        (vec![one(5), two(3)], vec![ca.crl(5, &[])], vec![]),
        (vec![ca.crl(5, &[]), one(3)], vec![ca.crl(5, &[])], vec![]),
    ] {
        let (before, after) = (load(&[&ca], &before).expect("valid"), load(&[&ca], &after).expect("valid"));
        let found: Vec<_> = after
            .regressions(&Marks::of([&before]), issuer)
            .iter()
            .map(|each| (each.before, each.now))
            .collect();
        assert_eq!(found, wanted);
    }
}

#[test]
fn a_hundred_thousand_entries_are_held_in_two_megabytes() {
    let ca = TestCa::root("ca");
    let entry = |serial: u32| {
        let serial = [&[1_u8; 15][..], &serial.to_be_bytes()].concat();
        tlv(0x30, &[&tlv(2, &[&serial]), &tlv(0x17, &[b"260101000000Z"])])
    };
    let entries: Vec<u8> = (0..100_000).flat_map(entry).collect();
    let list = by_hand(&ca, &[&next_update(), &tlv(0x30, &[&entries])], &[crl_number()]);
    let started = std::time::Instant::now();
    let lists = load(&[&ca], &[list]).expect("valid");
    let took = started.elapsed();
    assert_eq!(lists.summaries()[0].entries, 100_000);
    assert!(took < std::time::Duration::from_secs(5), "unoptimised, on a busy machine: {took:?}");
    assert_eq!(size_of::<Serial>(), 20);
}

proptest::proptest! {
    #[test]
    fn a_list_with_any_byte_changed_is_refused(at: proptest::sample::Index, to: u8) {
        static CA: std::sync::LazyLock<(TestCa, List)> = std::sync::LazyLock::new(|| {
            let ca = TestCa::root("ca");
            let list = shard(&ca, 1, "http://ca/1", &[7]);
            (ca, list)
        });
        let (ca, list) = &*CA;
        let mut changed = list.to_vec();
        let at = at.index(changed.len());
        proptest::prop_assume!(changed[at] != to);
        changed[at] = to;
        proptest::prop_assert!(load(&[ca], &[changed.into()]).is_err());
    }
}
