//! Chains that were verified before: whatever can change about them is judged again.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::identity::certificate::Fingerprint;
use crate::identity::peer::VerifiedChain;

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
    let mut block = settings(&[&pki.root], &[], &[]);
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
    let mut block = settings(&[&root], &[&middle], &[]);
    block.revocation = RevocationSettings::DangerNone;
    let domains = domains(block).expect("a domain");
    let leaf = middle.leaf("orders", 7);
    let first = chain(&domains, &leaf, NOW).expect("verified");
    for seconds in [NOW - 10, NOW + 10] {
        assert!(Arc::ptr_eq(&first, &chain(&domains, &leaf, seconds).expect("in date")), "{seconds}");
    }
    for seconds in [NOW - 11, NOW + 11] {
        let refusal = chain(&domains, &leaf, seconds).expect_err("out of date");
        assert!(
            matches!(refusal, VerifyError::NotYetValid { .. } | VerifyError::Expired { .. }),
            "{refusal:?}"
        );
    }
}

#[test]
fn revocation_counts_each_time() {
    let pki = TwoTiers::new();
    let leaf = pki.middle.leaf("orders", 7);
    let verdict = |by_root: &[u64], by_middle: &[u64]| {
        let domains = pki.domains(&[], &[]);
        let first = chain(&domains, &leaf, NOW).expect("verified");
        let lists = vec![pki.root.crl(2, by_root), pki.middle.crl(2, by_middle)];
        let next = domains.with_newer_lists(&[(name("corp"), lists)], now()).expect("newer lists");
        chain(&next, &leaf, NOW).map(|again| Arc::ptr_eq(&first, &again))
    };
    assert_eq!(verdict(&[], &[8]), Ok(true), "another list forgets nothing");
    assert!(matches!(verdict(&[], &[7]), Err(VerifyError::Revoked { .. })), "the leaf");
    assert!(matches!(verdict(&[50], &[]), Err(VerifyError::Revoked { .. })), "the intermediate");
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

/// The second block has a path too, and at first a stale list.
#[test]
fn a_second_block_that_comes_to_accept_a_remembered_chain_refuses_it() {
    let (first, second) = (TestCa::root("first"), TestCa::root("second"));
    let middle = first.intermediate("middle", 50);
    let crossed = second.cross_sign(&middle, 60);
    let mut accepting = settings(&[&first], &[&middle], &[]);
    accepting.revocation = RevocationSettings::DangerNone;
    let lists = |number, hours| {
        [&second, &middle]
            .map(|ca| ca.crl_with(number, &[], |list| list.next_update = date(NOW + hours * HOUR)))
    };
    let mut refusing = settings(&[&second], &[], &lists(1, 1));
    refusing.intermediates = vec![crossed];
    let blocks = vec![named(accepting, "a", "orders"), named(refusing, "b", "billing")];
    let domains = TrustDomains::new(blocks).expect("no conflict");
    let (leaf, later) = (middle.leaf("orders", 7), NOW + HOUR);
    assert_eq!(chain(&domains, &leaf, later).expect("verified").trust(), &name("a"));
    let newer = [(name("b"), lists(2, 2).to_vec())];
    let next = domains.with_newer_lists(&newer, at(later)).expect("newer lists");
    let refusal = chain(&next, &leaf, later).map(|_| ());
    assert_eq!(refusal, Err(VerifyError::AmbiguousTrust { first: name("a"), second: name("b") }));
}

/// A verdict tells which anchors it rests on, of all blocks together, and those are what a live session is judged again by.
#[test]
fn beside_another_block_a_chain_is_verified_anew() {
    let (root, other) = (TestCa::root("root"), TestCa::root("other"));
    let block =
        |ca: &TestCa, trust: &str, claim: &str| named(settings(&[ca], &[], &[ca.crl(1, &[])]), trust, claim);
    let shared = block(&root, "a", "orders");
    let alone = TrustDomains::new(vec![shared.clone()]).expect("no conflict");
    let beside = TrustDomains::new(vec![shared, block(&other, "b", "billing")]).expect("no conflict");
    let leaf = root.leaf("orders", 7);
    assert!(chain(&alone, &leaf, NOW).is_ok());
    let peer = VerifiedPeer::proven(chain(&beside, &leaf, NOW).expect("verified"));
    assert!(matches!(beside.recheck(&peer, now()), Ok(Recheck::Same)));
}

#[test]
fn what_was_loaded_anew_remembers_nothing() {
    let pki = TwoTiers::new();
    let leaf = pki.middle.leaf("orders", 7);
    let first = chain(&pki.domains(&[], &[]), &leaf, NOW).expect("verified");
    let again = chain(&pki.domains(&[], &[]), &leaf, NOW).expect("verified");
    assert!(!Arc::ptr_eq(&first, &again));
}

/// Two roots certified the intermediate, and the list of one is stale until a newer one comes. Which anchor the path rests on before
/// and after that.
fn anchors_around_a_newer_list(edit: impl FnOnce(&mut TrustSettings, [&TestCa; 2])) -> [&'static str; 2] {
    let (stale, fresh) = (TestCa::root("stale"), TestCa::root("fresh"));
    let middle = stale.intermediate("middle", 50);
    let lasting = |ca: &TestCa, number, hours| {
        ca.crl_with(number, &[], |list| list.next_update = date(NOW + hours * HOUR))
    };
    let lists = [lasting(&stale, 1, 1), lasting(&fresh, 1, 20), lasting(&middle, 1, 20)];
    let mut block = settings(&[&stale, &fresh], &[&middle], &lists);
    block.intermediates.push(fresh.cross_sign(&middle, 60));
    edit(&mut block, [&stale, &fresh]);
    let domains = domains(block).expect("a domain");
    let newer = [(name("corp"), vec![lasting(&stale, 2, 20)])];
    let next = domains.with_newer_lists(&newer, at(NOW + HOUR)).expect("a newer list");
    let leaf = middle.leaf("orders", 7);
    [&domains, &next].map(|domains| {
        let anchor = chain(domains, &leaf, NOW + HOUR).expect("verified").anchor();
        if anchor == Fingerprint::of(&stale.der) { "stale" } else { "fresh" }
    })
}

#[test]
fn a_path_that_is_not_the_first_is_looked_for_anew() {
    assert_eq!(anchors_around_a_newer_list(|_, _| {}), ["fresh", "stale"]);
}

/// A session must not end with an anchor that it can do without, and what it can do without may change.
#[test]
fn a_path_to_a_retiring_anchor_is_looked_for_anew() {
    let retire = |block: &mut TrustSettings, [_, fresh]: [&TestCa; 2]| {
        block.anchors.reverse();
        block.intermediates.reverse();
        block.retire = vec![RetiringAnchor { anchor: Fingerprint::of(&fresh.der), at: NOW + 2 * HOUR }];
    };
    assert_eq!(anchors_around_a_newer_list(retire), ["fresh", "stale"]);
}

/// The intermediate is renewed, and the peer presents the new certificate before it is valid.
#[test]
fn a_path_found_beside_another_certificate_is_looked_for_anew() {
    let root = TestCa::root("root");
    let middle = root.intermediate_with("middle", 50, |params| params.not_after = date(NOW + HOUR));
    let renewed = root.cross_sign_with(&middle, 60, |params| {
        params.not_before = date(NOW + 60);
        params.not_after = date(NOW + 20 * HOUR);
    });
    let mut block = settings(&[&root], &[&middle], &[]);
    block.revocation = RevocationSettings::DangerNone;
    let domains = domains(block).expect("a domain");
    let (leaf, presented) = (middle.leaf("orders", 7), [renewed]);
    let deadline = |seconds| domains.verify(&leaf.der, &presented, at(seconds)).expect("verified").deadline();
    assert_eq!(deadline(NOW), NOW + HOUR);
    assert_eq!(deadline(NOW + 60), NOW + 20 * HOUR);
}

/// Two roots, an intermediate certified by both for different times, and a leaf below it. The serials are 1 to 3.
struct Crossed {
    roots: [TestCa; 2],
    middle: TestCa,
    by_second: CertificateDer<'static>,
    leaf: TestLeaf,
}

static CROSSED: LazyLock<Crossed> = LazyLock::new(|| {
    let roots = [TestCa::root("first"), TestCa::root("second")];
    let middle = roots[0].intermediate_with("middle", 1, |params| {
        params.not_before = date(NOW - 10 * HOUR);
        params.not_after = date(NOW + 10 * HOUR);
    });
    let by_second = roots[1].cross_sign_with(&middle, 2, |params| {
        params.not_before = date(NOW - 5 * HOUR);
        params.not_after = date(NOW + 20 * HOUR);
    });
    let leaf = middle.leaf("orders", 3);
    Crossed { roots, middle, by_second, leaf }
});

/// What each of the three CAs' lists revokes, and for how many seconds it is fresh.
type Lists = [(Vec<u64>, u64); 3];

fn lists() -> impl Strategy<Value = Lists> {
    let list = || (prop::collection::vec(1_u64..5, 0..2), 1..26 * HOUR);
    [list(), list(), list()]
}

#[derive(Debug, Clone)]
struct Block {
    lists: Lists,
    accepts_stale: bool,
    /// When the first root retires.
    retires: Option<u64>,
    presents: [bool; 2],
}

fn block() -> impl Strategy<Value = Block> {
    let retires = prop::option::of(NOW - 2 * HOUR..NOW + 26 * HOUR);
    (lists(), any::<bool>(), retires, any::<[bool; 2]>()).prop_map(
        |(lists, accepts_stale, retires, presents)| Block { lists, accepts_stale, retires, presents },
    )
}

impl Crossed {
    fn sign(&self, lists: &Lists, number: u64) -> Vec<CertificateRevocationListDer<'static>> {
        let [first, second] = &self.roots;
        let lists = [first, second, &self.middle].into_iter().zip(lists).map(|(ca, (revoked, lasts))| {
            ca.crl_with(number, revoked, |params| params.next_update = date(NOW + lasts))
        });
        lists.collect()
    }

    fn domains(&self, block: &Block) -> TrustDomains {
        let (lists, [first, second]) = (self.sign(&block.lists, 1), &self.roots);
        let mut settings = settings(&[first, second], &[&self.middle], &[]);
        settings.retire = block
            .retires
            .map(|at| RetiringAnchor { anchor: Fingerprint::of(&first.der), at })
            .into_iter()
            .collect();
        settings.revocation = match block.accepts_stale {
            true => RevocationSettings::DangerAcceptStale(lists),
            false => RevocationSettings::Enforced(lists),
        };
        domains(settings).expect("a domain")
    }

    fn presented(&self, block: &Block) -> Vec<CertificateDer<'static>> {
        let certificates = [&self.middle.der, &self.by_second].into_iter().zip(block.presents);
        certificates.filter(|(_, is_presented)| *is_presented).map(|(each, _)| each.clone()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_chain_that_was_verified_before_is_judged_as_one_that_was_not(
        block in block(),
        newer in lists(),
        mut times in [0..52 * HOUR, 0..52 * HOUR],
    ) {
        let pki = &*CROSSED;
        times.sort_unstable();
        let [first, second] = times.map(|later| at(NOW - 26 * HOUR + later));
        let presented = pki.presented(&block);
        let newer = [(name("corp"), pki.sign(&newer, 2))];
        let (remembering, fresh) = (pki.domains(&block), pki.domains(&block));
        let _ = remembering.verify(&pki.leaf.der, &presented, first);
        let verdict = |domains: &TrustDomains| {
            let next = domains.with_newer_lists(&newer, now()).expect("newer lists");
            let chain = next.verify(&pki.leaf.der, &presented, second)?;
            Ok::<_, VerifyError>((chain.anchor(), chain.deadline(), chain.links().to_vec()))
        };
        prop_assert_eq!(verdict(&remembering), verdict(&fresh));
    }
}
