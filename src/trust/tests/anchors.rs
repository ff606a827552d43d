//! Anchors with an end that the operator gave them.

use super::*;
use crate::identity::certificate::Fingerprint;
use crate::identity::peer::EndedBy;

fn retiring(ca: &TestCa, at: u64) -> RetiringAnchor {
    RetiringAnchor { anchor: Fingerprint::of(&ca.der), at }
}

/// Roots with their lists, some of them with an end.
fn roots(roots: &[&TestCa], retire: Vec<RetiringAnchor>) -> Result<TrustDomains, Vec<TrustError>> {
    let lists: Vec<_> = roots.iter().map(|root| root.crl(1, &[])).collect();
    domains(TrustSettings { retire, ..settings(roots, &[], &lists) })
}

#[test]
fn a_path_ends_with_the_end_of_its_anchor() {
    let (old, new) = (TestCa::root("old"), TestCa::root("new"));
    let peer = |at: u64| {
        let domains = roots(&[&old, &new], vec![retiring(&old, at)]).expect("a domain");
        [&old, &new].map(|root| verify(&domains, &root.leaf("orders", 7), &[]).expect("verified"))
    };
    let ends = |peers: [VerifiedPeer; 2]| peers.map(|peer| (peer.deadline(), peer.ended_by()));
    let by_itself = (NOW + 24 * HOUR, EndedBy::Certificate);
    assert_eq!(ends(peer(NOW + HOUR)), [(NOW + HOUR, EndedBy::RetiringAnchor), by_itself]);
    assert_eq!(ends(peer(NOW)), [(NOW, EndedBy::RetiringAnchor), by_itself], "good in its last second");
    assert_eq!(ends(peer(NOW + 30 * HOUR)), [by_itself, by_itself], "the leaf ends before");
    assert_eq!(
        ends(peer(NOW + 300 * HOUR)),
        [by_itself, by_itself],
        "and so does the certificate of the anchor"
    );
}

#[test]
fn behind_its_end_an_anchor_anchors_nothing() {
    let (old, new) = (TestCa::root("old"), TestCa::root("new"));
    let domains =
        roots(&[&old, &new], vec![retiring(&old, NOW - 1)]).expect("an end in the past is no fault");
    let refusal = verify(&domains, &old.leaf("orders", 7), &[]).expect_err("refused");
    assert_eq!(refusal, VerifyError::AnchorRetired { at: NOW - 1 });
    assert!(verify(&domains, &new.leaf("orders", 7), &[]).is_ok());
}

#[test]
fn another_path_is_taken_where_one_ends_in_a_retired_anchor() {
    let (old, new) = (TestCa::root("old"), TestCa::root("new"));
    let middle = old.intermediate("middle", 50);
    let leaf = middle.leaf("orders", 7);
    let lists = [old.crl(1, &[]), new.crl(1, &[]), middle.crl(1, &[])];
    for anchors in [[&old, &new], [&new, &old]] {
        let mut block = settings(&anchors, &[&middle], &lists);
        block.intermediates.push(new.cross_sign(&middle, 60));
        block.retire = vec![retiring(&old, NOW - 1)];
        let peer = verify(&domains(block).expect("a domain"), &leaf, &[]).expect("by the other path");
        assert_eq!(peer.anchor(), Fingerprint::of(&new.der));
    }
}

#[test]
fn the_path_that_lasts_longest_is_taken_while_an_anchor_retires() {
    let (old, new) = (TestCa::root("old"), TestCa::root("new"));
    let middle = old.intermediate("middle", 50);
    let leaf = middle.leaf("orders", 7);
    let lists = [old.crl(1, &[]), new.crl(1, &[]), middle.crl(1, &[])];
    let end = |retire: Vec<RetiringAnchor>| {
        let paths = [[&old, &new], [&new, &old]].map(|anchors| {
            let mut block = settings(&anchors, &[&middle], &lists);
            block.intermediates.push(new.cross_sign(&middle, 60));
            let domains = domains(TrustSettings { retire: retire.clone(), ..block }).expect("a domain");
            verify(&domains, &leaf, &[]).expect("verified")
        });
        let [one, other] = paths.map(|peer| (peer.anchor(), peer.deadline(), peer.ended_by()));
        assert_eq!(one, other, "the order of the anchors does not matter");
        one
    };
    let (by_old, by_new) = (Fingerprint::of(&old.der), Fingerprint::of(&new.der));
    let whole = NOW + 24 * HOUR;
    assert_eq!(end(vec![retiring(&old, NOW + HOUR)]), (by_new, whole, EndedBy::Certificate));
    assert_eq!(end(vec![retiring(&new, NOW + HOUR)]), (by_old, whole, EndedBy::Certificate));
    let both =
        |first, second| end(vec![retiring(&old, NOW + first * HOUR), retiring(&new, NOW + second * HOUR)]);
    assert_eq!(both(1, 2), (by_new, NOW + 2 * HOUR, EndedBy::RetiringAnchor));
    assert_eq!(both(2, 1), (by_old, NOW + 2 * HOUR, EndedBy::RetiringAnchor));
}

#[test]
fn a_revoked_way_to_an_anchor_that_stays_leaves_the_one_that_retires() {
    let (old, new) = (TestCa::root("old"), TestCa::root("new"));
    let middle = old.intermediate("middle", 50);
    let lists = [old.crl(1, &[]), new.crl(1, &[60]), middle.crl(1, &[])];
    let mut block = settings(&[&new, &old], &[&middle], &lists);
    block.intermediates.push(new.cross_sign(&middle, 60));
    block.retire = vec![retiring(&old, NOW + HOUR)];
    let peer = verify(&domains(block).expect("a domain"), &middle.leaf("orders", 7), &[]).expect("verified");
    assert_eq!((peer.anchor(), peer.deadline()), (Fingerprint::of(&old.der), NOW + HOUR));
}

#[test]
fn a_live_peer_gets_the_new_end_of_its_anchor() {
    let (old, new) = (TestCa::root("old"), TestCa::root("new"));
    let end = |at| roots(&[&old, &new], vec![retiring(&old, at)]).expect("a domain");
    let before = roots(&[&old, &new], Vec::new()).expect("a domain");
    let peer = verify(&before, &old.leaf("orders", 7), &[]).expect("verified");
    let Ok(Recheck::Reverified(sooner)) = end(NOW + HOUR).recheck(&peer, now()) else {
        panic!("verified again")
    };
    assert_eq!((sooner.deadline(), sooner.ended_by()), (NOW + HOUR, EndedBy::RetiringAnchor));
    let Ok(Recheck::Reverified(later)) = end(NOW + 2 * HOUR).recheck(&sooner, now()) else { panic!("again") };
    assert_eq!(later.deadline(), NOW + 2 * HOUR);
    let Ok(Recheck::Reverified(free)) = before.recheck(&later, now()) else { panic!("and again") };
    assert_eq!((free.deadline(), free.ended_by()), (NOW + 24 * HOUR, EndedBy::Certificate));

    let cut = end(NOW - 1).recheck(&peer, now()).expect_err("cut");
    assert_eq!(cut, VerifyError::AnchorRetired { at: NOW - 1 });
    let late = end(NOW + HOUR).recheck(&sooner, at(NOW + HOUR + 1)).expect_err("its time came");
    assert!(matches!(late, VerifyError::Expired { not_after, .. } if not_after == NOW + HOUR), "{late:?}");
}

#[test]
fn of_two_certificates_of_one_key_the_one_that_lasts_longer_holds_the_path() {
    let root = TestCa::root("root");
    let renewed = root.cross_sign(&root, 2);
    let block = |retire| {
        let mut block = settings(&[&root], &[], &[root.crl(1, &[])]);
        block.anchors.push(renewed.clone());
        domains(TrustSettings { retire, ..block }).expect("a domain")
    };
    let peer = |retire| verify(&block(retire), &root.leaf("orders", 7), &[]).expect("verified");
    let one = peer(vec![retiring(&root, NOW + HOUR)]);
    assert_eq!((one.anchor(), one.ended_by()), (Fingerprint::of(&renewed), EndedBy::Certificate));
    let other = RetiringAnchor { anchor: Fingerprint::of(&renewed), at: NOW + 2 * HOUR };
    let both = peer(vec![retiring(&root, NOW + HOUR), other]);
    assert_eq!((both.deadline(), both.ended_by()), (NOW + 2 * HOUR, EndedBy::RetiringAnchor));
}

#[test]
fn an_end_for_what_is_no_anchor_is_a_fault_and_so_is_a_second_one() {
    let (root, other) = (TestCa::root("root"), TestCa::root("other"));
    let anchor = Fingerprint::of(&other.der);
    let refused = roots(&[&root], vec![retiring(&other, NOW + HOUR)]);
    assert_eq!(only_refusal(refused), TrustError::NoSuchAnchor { anchor });
    let middle = root.intermediate("middle", 50);
    let lists = [root.crl(1, &[]), middle.crl(1, &[])];
    let block = settings(&[&root], &[&middle], &lists);
    let refused = domains(TrustSettings { retire: vec![retiring(&middle, NOW + HOUR)], ..block });
    let anchor = Fingerprint::of(&middle.der);
    assert_eq!(only_refusal(refused), TrustError::NoSuchAnchor { anchor }, "an intermediate is no anchor");
    let refused = roots(&[&root], vec![retiring(&root, NOW + HOUR), retiring(&root, NOW + HOUR)]);
    assert_eq!(only_refusal(refused), TrustError::RetiredTwice { anchor: Fingerprint::of(&root.der) });
}

#[test]
fn anchors_are_listed_with_their_ends_and_found_by_fingerprint() {
    let (old, new) = (TestCa::root("old"), TestCa::root("new"));
    let domains = roots(&[&old, &new], vec![retiring(&old, NOW + HOUR)]).expect("a domain");
    let domain = &domains.domains()[0];
    let anchor = |ca: &TestCa, name, end, is_retiring| Anchor {
        name,
        fingerprint: Fingerprint::of(&ca.der),
        end,
        is_retiring,
    };
    let wanted = [anchor(&old, "CN=old", NOW + HOUR, true), anchor(&new, "CN=new", NOW + 48 * HOUR, false)];
    assert_eq!(domain.anchors().collect::<Vec<_>>(), wanted);
    assert_eq!(domain.anchor_name(Fingerprint::of(&new.der)), Some("CN=new"));
    assert_eq!(domain.anchor_name(Fingerprint::of(b"stranger")), None);
}
