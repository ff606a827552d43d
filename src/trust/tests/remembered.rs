//! Chains that were verified before: whatever can change about them is judged again.

use super::*;

fn chain(domains: &TrustDomains, leaf: &TestLeaf, seconds: u64) -> Result<Arc<VerifiedChain>, VerifyError> {
    domains.verify(&leaf.der, &[], at(seconds))
}

#[test]
fn a_chain_is_verified_once_for_the_same_certificates() {
    let pki = TwoTiers::new();
    let domains = pki.domains(&[], &[]);
    let leaf = pki.middle.leaf("orders", 7);
    let first = chain(&domains, &leaf, NOW).expect("verified");
    let again = chain(&domains, &leaf, NOW + 1).expect("verified");
    assert!(Arc::ptr_eq(&first, &again));
    let other = chain(&domains, &pki.middle.leaf("orders", 8), NOW).expect("verified");
    assert!(!Arc::ptr_eq(&first, &other));
}

#[test]
fn what_one_peer_presents_completes_nobody_elses_chain() {
    let pki = TwoTiers::new();
    let lists = [pki.root.crl(1, &[]), pki.middle.crl(1, &[])];
    let mut block = settings(&[&pki.root], &[], &lists);
    block.revocation = RevocationSettings::DangerNone;
    let domains = domains(block).expect("a domain");
    let leaf = pki.middle.leaf("orders", 7);
    assert!(verify(&domains, &leaf, &[&pki.middle]).is_ok());
    assert_eq!(verify(&domains, &leaf, &[]).map(|_| ()), Err(VerifyError::UnknownIssuer));
}

#[test]
fn a_forged_signature_is_not_taken_for_the_real_one() {
    let pki = TwoTiers::new();
    let domains = pki.domains(&[], &[]);
    let leaf = pki.middle.leaf("orders", 7);
    assert!(chain(&domains, &leaf, NOW).is_ok());
    let mut forged = leaf.der.to_vec();
    *forged.last_mut().expect("a signature") ^= 1;
    let refusal = domains.verify(&forged.into(), &[], now()).map(|_| ());
    assert_eq!(refusal, Err(VerifyError::BadSignature));
}

#[test]
fn dates_count_each_time() {
    let root = TestCa::root("root");
    let middle = root.intermediate_with("middle", 50, |params| {
        params.not_before = date(NOW - 10);
        params.not_after = date(NOW + 10);
    });
    let mut block = settings(&[&root], &[&middle], &[root.crl(1, &[]), middle.crl(1, &[])]);
    block.revocation = RevocationSettings::DangerNone;
    let domains = domains(block).expect("a domain");
    let leaf = middle.leaf("orders", 7);
    let ends = |seconds| chain(&domains, &leaf, seconds).map(|chain| chain.deadline());
    for (seconds, is_good) in
        [(NOW, true), (NOW - 10, true), (NOW + 10, true), (NOW - 11, false), (NOW + 11, false)]
    {
        assert_eq!(ends(seconds).ok(), is_good.then_some(NOW + 10), "{seconds}");
    }
}

#[test]
fn revocation_counts_each_time() {
    let pki = TwoTiers::new();
    let leaf = pki.middle.leaf("orders", 7);
    let newer = |by_root: &[u64], by_middle: &[u64]| {
        let domains = pki.domains(&[], &[]);
        chain(&domains, &leaf, NOW).expect("verified");
        let lists = vec![pki.root.crl(2, by_root), pki.middle.crl(2, by_middle)];
        let next = domains.with_newer_lists(&[(name("corp"), lists)], now()).expect("newer lists");
        chain(&next, &leaf, NOW).map(|_| ())
    };
    assert_eq!(newer(&[], &[8]), Ok(()));
    assert!(matches!(newer(&[], &[7]), Err(VerifyError::Revoked { .. })), "the leaf");
    assert!(matches!(newer(&[50], &[]), Err(VerifyError::Revoked { .. })), "the intermediate");
}

#[test]
fn a_list_that_went_stale_vouches_for_nobody_it_vouched_for() {
    let pki = TwoTiers::new();
    let domains = pki.domains(&[], &[]);
    let leaf = pki.middle.leaf("orders", 7);
    assert!(chain(&domains, &leaf, NOW).is_ok());
    let refusal = chain(&domains, &leaf, NOW + HOUR).map(|_| ());
    assert!(matches!(refusal, Err(VerifyError::RevocationStale { .. })), "{refusal:?}");
}

/// The path to the second block's anchor begins to be good an hour after the one to the first's was found.
#[test]
fn a_second_block_that_comes_to_accept_a_remembered_chain_refuses_it() {
    let (first, second) = (TestCa::root("first"), TestCa::root("second"));
    let middle = first.intermediate("middle", 50);
    let later = second.cross_sign_with(&middle, 60, |params| params.not_before = date(NOW + HOUR));
    let block = |anchor: &TestCa, trust: &str, claim: &str| {
        let mut block = settings(&[anchor], &[], &[]);
        block.revocation = RevocationSettings::DangerNone;
        named(block, trust, claim)
    };
    let blocks = vec![block(&first, "a", "orders"), block(&second, "b", "billing")];
    let domains = TrustDomains::new(blocks).expect("no conflict");
    let (leaf, presented) = (middle.leaf("orders", 7), [middle.der.clone(), later]);
    let verify = |seconds| domains.verify(&leaf.der, &presented, at(seconds));
    assert_eq!(verify(NOW).expect("verified").trust(), &name("a"));
    let refusal = verify(NOW + HOUR).map(|_| ());
    assert_eq!(refusal, Err(VerifyError::AmbiguousTrust { first: name("a"), second: name("b") }));
}

#[test]
fn other_anchors_remember_nothing() {
    let pki = TwoTiers::new();
    let leaf = pki.middle.leaf("orders", 7);
    let first = chain(&pki.domains(&[], &[]), &leaf, NOW).expect("verified");
    let again = chain(&pki.domains(&[], &[]), &leaf, NOW).expect("verified");
    assert!(!Arc::ptr_eq(&first, &again));
}
