//! How far revocation lists have come, through generations and back.

use super::*;

fn block(ca: &TestCa, trust: &str, number: u64) -> TrustDomain {
    named(settings(&[ca], &[], &[ca.crl(number, &[])]), trust, trust)
}

fn set(domains: Vec<TrustDomain>) -> TrustDomains {
    TrustDomains::new(domains).expect("no conflict")
}

#[test]
fn a_ca_that_was_away_comes_back_with_no_older_list() {
    let (root, other) = (TestCa::root("root"), TestCa::root("other"));
    let first = set(vec![block(&root, "a", 5)]);
    let mut latest = first;
    for _ in 0..3 {
        let without = set(vec![block(&other, "b", 1)]);
        assert!(without.list_regressions(&latest).is_empty());
        latest = without.remembering(&latest);
    }
    let found = set(vec![block(&root, "a", 4)]).list_regressions(&latest);
    assert_eq!(found.len(), 1, "{found:?}");
    for number in [5, 6] {
        assert!(set(vec![block(&root, "a", number)]).list_regressions(&latest).is_empty());
    }
}

#[test]
fn a_ca_that_moves_to_another_block_or_whose_block_is_renamed_takes_its_mark_along() {
    let (root, other) = (TestCa::root("root"), TestCa::root("other"));
    let before = set(vec![block(&root, "a", 5), block(&other, "b", 1)]);
    let both = |number| {
        let lists = [root.crl(number, &[]), other.crl(1, &[])];
        set(vec![named(settings(&[&other, &root], &[], &lists), "b", "b")])
    };
    for (after, trust) in [(both(4), "b"), (set(vec![block(&root, "c", 4)]), "c")] {
        let found = after.list_regressions(&before);
        assert!(matches!(found.as_slice(), [(found, _)] if *found == name(trust)), "{found:?}");
    }
    assert!(both(5).list_regressions(&before).is_empty());
}

#[test]
fn a_list_that_speaks_for_less_than_one_before_goes_back_generations_later_too() {
    let root = TestCa::root("root");
    let shard = root.crl_with(9, &[], |params| {
        let distribution_point = CrlDistributionPoint { uris: vec!["http://ca/1".into()] };
        params.issuing_distribution_point =
            Some(CrlIssuingDistributionPoint { distribution_point, scope: None });
    });
    let before = set(vec![block(&root, "a", 5)]);
    let away = set(vec![block(&TestCa::root("other"), "b", 1)]).remembering(&before);
    let narrowed = set(vec![named(settings(&[&root], &[], &[shard]), "a", "a")]);
    let found = narrowed.list_regressions(&away);
    assert!(matches!(found.as_slice(), [(_, regression)] if regression.now.is_none()), "{found:?}");
}

#[test]
fn a_mark_is_set_by_lists_that_came_alone() {
    let root = TestCa::root("root");
    let before = set(vec![block(&root, "a", 5)]);
    let newer = before.with_newer_lists(&[(name("a"), vec![root.crl(7, &[])])], now()).expect("newer");
    let away = set(vec![block(&TestCa::root("other"), "b", 1)]).remembering(&newer);
    assert_eq!(set(vec![block(&root, "a", 6)]).list_regressions(&away).len(), 1);
    assert!(set(vec![block(&root, "a", 7)]).list_regressions(&away).is_empty());
}

#[test]
fn marks_do_not_grow_while_the_configuration_stays() {
    let root = TestCa::root("root");
    let mut latest = set(vec![block(&root, "a", 1)]);
    let size = format!("{:?}", latest.marks).len();
    for number in 2..9 {
        latest = set(vec![block(&root, "a", number)]).remembering(&latest);
    }
    assert_eq!(format!("{:?}", latest.marks).len(), size);
}

#[test]
fn what_stood_before_comes_back_with_the_lists_of_today() {
    let pki = TwoTiers::new();
    let lists = |root, middle: &[u64]| [pki.root.crl(root, &[]), pki.middle.crl(root, middle)];
    let block = |lists: &[_]| domains(settings(&[&pki.root], &[&pki.middle], lists)).expect("a domain");
    let (old, current) = (block(&lists(1, &[])), block(&lists(4, &[7])));
    let back = old.with_lists_of(&current, now()).expect("good now");
    let leaf = |serial| pki.middle.leaf("orders", serial);
    assert!(verify(&old, &leaf(7), &[]).is_ok(), "it was not revoked then");
    assert!(matches!(verify(&back, &leaf(7), &[]), Err(VerifyError::Revoked { .. })));
    assert!(verify(&back, &leaf(8), &[]).is_ok());
    assert!(back.list_regressions(&current).is_empty());
    assert_eq!(block(&lists(3, &[])).list_regressions(&back).len(), 2, "and it remembers how far they came");
}

#[test]
fn what_stood_before_does_not_come_back_with_a_list_that_is_stale_behind_or_of_a_ca_out_of_date() {
    let root = TestCa::root("root");
    let old = set(vec![block(&root, "a", 5)]);
    let gone = set(vec![block(&TestCa::root("other"), "b", 1)]);

    let refused = old.with_lists_of(&gone, at(NOW + HOUR)).expect_err("stale");
    assert!(matches!(refused.as_slice(), [TrustError::StaleRevocationList { .. }]), "{refused:?}");
    let refused = old.with_lists_of(&gone, at(NOW + 49 * HOUR)).expect_err("over");
    assert!(matches!(refused.as_slice(), [TrustError::Expired { .. }, ..]), "{refused:?}");

    // The CA's list came further, and then the CA was dropped with it.
    let further = set(vec![block(&root, "a", 9)]);
    let gone = gone.remembering(&further);
    let refused = old.with_lists_of(&gone, now()).expect_err("behind");
    assert!(
        matches!(refused.as_slice(), [TrustError::RevocationListWentBack { now: Some(_), .. }]),
        "{refused:?}"
    );
    let back = further.with_lists_of(&gone, now()).expect("as far as it came");
    assert!(back.list_regressions(&gone).is_empty());
}

#[test]
fn what_stood_before_with_lists_by_part_comes_back_with_the_complete_one_alone() {
    let root = TestCa::root("root");
    let shard = root.crl_with(5, &[], |params| {
        let distribution_point = CrlDistributionPoint { uris: vec!["http://ca/1".into()] };
        params.issuing_distribution_point =
            Some(CrlIssuingDistributionPoint { distribution_point, scope: None });
    });
    let old = set(vec![named(settings(&[&root], &[], &[shard]), "a", "a")]);
    let fresh = root.crl_with(6, &[], |params| params.next_update = date(NOW + 9 * HOUR));
    let current = set(vec![named(settings(&[&root], &[], &[fresh]), "a", "a")]);
    let back = old.with_lists_of(&current, at(NOW + 2 * HOUR)).expect("the stale part is outdone");
    let peer = verify(&current, &root.leaf("a", 7), &[]).expect("verified");
    assert_eq!(back.stale_at(&peer), Some(NOW + 9 * HOUR));
}

#[test]
fn a_list_that_is_stale_goes_ahead_only_where_stale_ones_are_accepted() {
    let root = TestCa::root("root");
    let lasting = |number, revoked: &[u64], hours| {
        root.crl_with(number, revoked, |params| params.next_update = date(NOW + hours * HOUR))
    };
    let block = |list, accepted| {
        let lists = vec![list];
        let revocation = match accepted {
            true => RevocationSettings::DangerAcceptStale(lists),
            false => RevocationSettings::Enforced(lists),
        };
        set(vec![named(TrustSettings { revocation, ..settings(&[&root], &[], &[]) }, "a", "a")])
    };
    let newer = block(lasting(6, &[7], 1), true);
    let later = at(NOW + 2 * HOUR);
    let judged = |accepted, serial| {
        let merged = block(lasting(5, &[], 9), accepted).with_revocations_of(&newer, later);
        let leaf = root.leaf_with("a", serial, |params| params.not_after = date(NOW + 9 * HOUR));
        merged.verify(&leaf.der, &[], later).map(|_| ())
    };
    assert!(matches!(judged(true, 7), Err(VerifyError::Revoked { .. })));
    assert!(judged(true, 8).is_ok());
    assert!(judged(false, 8).is_ok(), "nobody is refused for a list that a wider domain accepted");
}

#[test]
fn a_list_of_the_same_number_that_revokes_less_is_no_newer_one() {
    let root = TestCa::root("root");
    let issued = |revoked: &[u64], minutes: u64| {
        root.crl_with(5, revoked, |params| params.this_update = date(NOW - HOUR + minutes * 60))
    };
    let with = |list| set(vec![named(settings(&[&root], &[], &[list]), "a", "a")]);
    let before = with(issued(&[7], 0));
    for less in [issued(&[], 1), issued(&[8], 1)] {
        let found = with(less.clone()).list_regressions(&before);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(before.with_newer_lists(&[(name("a"), vec![less])], now()).is_none());
    }
    for more in [issued(&[7], 1), issued(&[7, 8], 1)] {
        assert!(with(more.clone()).list_regressions(&before).is_empty());
        assert!(before.with_newer_lists(&[(name("a"), vec![more])], now()).is_some());
    }
}
