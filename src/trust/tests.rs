mod anchors;
mod differential;
mod marks;
mod remembered;

use rcgen::{
    CertificateParams, CrlDistributionPoint, CrlIssuingDistributionPoint, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::test_pki::{HOUR, NOW, TestCa, TestLeaf, at, common_name_mapping, date, domains, now, settings};
use super::*;
use crate::identity::certificate::{CertificateError, Serial};
use crate::identity::mapping::MappingError;

fn verify(
    domains: &TrustDomains,
    leaf: &TestLeaf,
    presented: &[&TestCa],
) -> Result<VerifiedPeer, VerifyError> {
    let presented: Vec<_> = presented.iter().map(|ca| ca.der.clone()).collect();
    domains.verify(&leaf.der, &presented, now()).map(VerifiedPeer::proven)
}

#[test]
fn a_peer_moves_to_another_path_of_its_own_certificate_only() {
    let pki = TwoTiers::new();
    let domains = pki.domains(&[], &[]);
    let (own, other) = (pki.middle.leaf("orders", 7), pki.middle.leaf("orders", 7));
    let peer = verify(&domains, &own, &[]).expect("verified");
    let chain = |leaf: &TestLeaf| domains.verify(&leaf.der, &[], now()).expect("verified");
    assert!(peer.by_another_path(chain(&own)).is_some());
    assert!(peer.by_another_path(chain(&other)).is_none(), "that key was never proven");
}

fn only_refusal(result: Result<TrustDomains, Vec<TrustError>>) -> TrustError {
    let mut faults = result.expect_err("refused");
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.remove(0)
}

fn name(text: &str) -> TrustName {
    TrustName::parse(text).expect("a name")
}

fn named(mut settings: TrustSettings, trust: &str, claim: &str) -> TrustDomain {
    settings.name = name(trust);
    settings.mapping = common_name_mapping(claim);
    TrustDomain::new(settings, now()).expect("a domain")
}

/// A root with an intermediate below it, and fresh lists of both.
struct TwoTiers {
    root: TestCa,
    middle: TestCa,
}

impl TwoTiers {
    fn new() -> Self {
        let root = TestCa::root("root");
        let middle = root.intermediate("middle", 50);
        Self { root, middle }
    }

    fn domains(&self, revoked_by_root: &[u64], revoked_by_middle: &[u64]) -> TrustDomains {
        let lists = [self.root.crl(1, revoked_by_root), self.middle.crl(1, revoked_by_middle)];
        domains(settings(&[&self.root], &[&self.middle], &lists)).expect("a domain")
    }
}

#[test]
fn a_peer_is_verified_and_identified() {
    let pki = TwoTiers::new();
    let domains = pki.domains(&[], &[]);
    let leaf = pki.middle.leaf("orders", 7);
    let peer = verify(&domains, &leaf, &[&pki.middle]).expect("verified");

    assert_eq!(peer.trust(), &name("corp"));
    assert_eq!(peer.deadline(), NOW + 24 * HOUR);
    assert_eq!(peer.chain(), [leaf.der.clone(), pki.middle.der.clone()]);
    let serials: Vec<_> = peer.links().iter().map(|link| link.serial().to_string()).collect();
    assert_eq!(serials, ["07", "32"]);
    let issuers: Vec<_> =
        peer.links().iter().map(|link| domains.domains()[0].authority_name(link.issuer())).collect();
    assert_eq!(issuers, [Some("CN=middle"), Some("CN=root")]);

    let identity = domains.identify(&peer).expect("an identity");
    assert_eq!((identity.service().as_str(), identity.trust()), ("orders", &name("corp")));
}

#[test]
fn a_configured_intermediate_completes_the_chain() {
    let pki = TwoTiers::new();
    let leaf = pki.middle.leaf("orders", 7);
    let peer = verify(&pki.domains(&[], &[]), &leaf, &[]).expect("verified");
    assert_eq!(peer.chain().len(), 2);
    // What was presented beyond the path is not kept.
    let peer = verify(&pki.domains(&[], &[]), &leaf, &[&pki.root, &pki.middle]).expect("verified");
    assert_eq!(peer.chain().len(), 2);
}

#[test]
fn revoked_leaf_and_revoked_intermediate_are_refused() {
    let pki = TwoTiers::new();
    let leaf = pki.middle.leaf("orders", 7);
    let serial = |number| Serial::from_be_bytes(&[number]).expect("short");
    for (domains, revoked) in [(pki.domains(&[], &[7]), 7), (pki.domains(&[50], &[]), 50)] {
        let refusal = verify(&domains, &leaf, &[&pki.middle]).expect_err("refused");
        assert!(matches!(refusal, VerifyError::Revoked { serial: found, .. } if found == serial(revoked)));
        assert!(verify(&domains, &pki.root.leaf("other", 8), &[]).is_ok(), "others under the root stay");
    }
}

#[test]
fn an_intermediate_that_is_not_configured_has_no_list() {
    let pki = TwoTiers::new();
    let domains = domains(settings(&[&pki.root], &[], &[pki.root.crl(1, &[])])).expect("a domain");
    let refusal = verify(&domains, &pki.middle.leaf("orders", 7), &[&pki.middle]).expect_err("refused");
    assert!(matches!(refusal, VerifyError::RevocationUnknown { .. }), "{refusal:?}");
}

#[test]
fn a_list_that_goes_stale_refuses_whom_it_spoke_for() {
    let pki = TwoTiers::new();
    let domains = pki.domains(&[], &[]);
    let leaf = pki.middle.leaf("orders", 7);
    let refusal = domains.verify(&leaf.der, &[], at(NOW + HOUR)).expect_err("refused");
    assert!(matches!(refusal, VerifyError::RevocationStale { since, .. } if since == NOW + HOUR));
}

#[test]
fn a_list_that_goes_stale_closes_nobody_while_others_get_newer() {
    let pki = TwoTiers::new();
    let before = pki.domains(&[50], &[9]);
    let spared = pki.domains(&[], &[9]);
    let live = verify(&spared, &pki.middle.leaf("orders", 7), &[]).expect("verified");
    let later = at(NOW + HOUR);
    let newer =
        |revoked: &[u64]| pki.middle.crl_with(2, revoked, |params| params.next_update = date(NOW + 3 * HOUR));
    let after = |revoked: &[u64]| {
        spared.with_newer_lists(&[(name("corp"), vec![newer(revoked)])], later).expect("newer")
    };
    assert!(matches!(spared.recheck(&live, later), Ok(Recheck::Same)));
    assert!(matches!(after(&[]).recheck(&live, later), Ok(Recheck::Same)), "the root's list is stale");
    assert!(matches!(after(&[7]).recheck(&live, later), Err(VerifyError::Revoked { .. })));
    assert!(matches!(before.recheck(&live, later), Err(VerifyError::Revoked { .. })), "a stale list revokes");
    let fresh = pki.middle.leaf("orders", 8);
    let refusal = after(&[]).verify(&fresh.der, &[], later).expect_err("refused");
    assert!(matches!(refusal, VerifyError::RevocationStale { since, .. } if since == NOW + HOUR));
}

#[test]
fn a_stale_list_that_is_accepted_vouches_on_and_still_revokes() {
    let pki = TwoTiers::new();
    let lists = || {
        let stale = |params: &mut rcgen::CertificateRevocationListParams| params.next_update = date(NOW);
        vec![pki.root.crl_with(1, &[], stale), pki.middle.crl_with(1, &[7], stale)]
    };
    let block = |revocation| TrustSettings { revocation, ..settings(&[&pki.root], &[&pki.middle], &[]) };
    let refused = domains(block(RevocationSettings::Enforced(lists()))).expect_err("refused");
    assert!(matches!(refused.as_slice(), [TrustError::StaleRevocationList { .. }, _]), "{refused:?}");

    let accepting = domains(block(RevocationSettings::DangerAcceptStale(lists()))).expect("a domain");
    let peer = verify(&accepting, &pki.middle.leaf("orders", 8), &[]).expect("verified");
    assert!(matches!(accepting.recheck(&peer, now()), Ok(Recheck::Same)));
    assert_eq!(accepting.stale_at(&peer), None);
    let refusal = verify(&accepting, &pki.middle.leaf("orders", 7), &[]).expect_err("refused");
    assert!(matches!(refusal, VerifyError::Revoked { .. }), "{refusal:?}");
    let other = pki.root.intermediate("other", 60);
    let refusal = verify(&accepting, &other.leaf("orders", 8), &[&other]).expect_err("refused");
    assert!(
        matches!(refusal, VerifyError::RevocationUnknown { .. }),
        "no list is no stale list: {refusal:?}"
    );
}

#[test]
fn the_first_list_of_a_path_to_go_stale_is_told() {
    let root = TestCa::root("root");
    let middle = root.intermediate("middle", 50);
    let ends = |of_root: u64, of_middle: u64| {
        let list = |ca: &TestCa, end| ca.crl_with(1, &[], |params| params.next_update = date(end));
        let lists = [list(&root, of_root), list(&middle, of_middle)];
        domains(settings(&[&root], &[&middle], &lists)).expect("a domain")
    };
    let peer = |ca: &TestCa| verify(&ends(NOW + 1, NOW + 2), &ca.leaf("orders", 7), &[]).expect("verified");
    let (above, below) = (peer(&root), peer(&middle));
    for (of_root, of_middle, wanted) in [(NOW + 1, NOW + 2, [1, 1]), (NOW + 3, NOW + 2, [3, 2])] {
        let domains = ends(of_root, of_middle);
        assert_eq!([&above, &below].map(|peer| domains.stale_at(peer)), wanted.map(|more| Some(NOW + more)));
    }
    let mut unrevoked = settings(&[&root], &[&middle], &[]);
    unrevoked.revocation = RevocationSettings::DangerNone;
    assert_eq!(domains(unrevoked).expect("a domain").stale_at(&below), None);
    let elsewhere = named(settings(&[&root], &[], &[root.crl(1, &[])]), "other", "*");
    assert_eq!(TrustDomains::new(vec![elsewhere]).expect("no conflict").stale_at(&below), None);
}

#[test]
fn a_list_that_is_missing_is_not_hidden_by_one_that_is_stale() {
    let pki = TwoTiers::new();
    let unlisted = domains(settings(&[&pki.root], &[], &[pki.root.crl(1, &[])])).expect("a domain");
    let live = verify(&pki.domains(&[], &[]), &pki.middle.leaf("orders", 7), &[]).expect("verified");
    let refusal = unlisted.recheck(&live, at(NOW + HOUR)).expect_err("refused");
    assert!(matches!(refusal, VerifyError::RevocationUnknown { .. }), "{refusal:?}");
}

#[test]
fn a_certificate_is_judged_by_the_list_of_a_distribution_point_it_names() {
    let root = TestCa::root("root");
    let point = |uri: &str| CrlDistributionPoint { uris: vec![uri.into()] };
    let list = |uri: &str, revoked: &[u64]| {
        root.crl_with(1, revoked, |params| {
            let distribution_point = point(uri);
            params.issuing_distribution_point =
                Some(CrlIssuingDistributionPoint { distribution_point, scope: None });
        })
    };
    let leaf = |points: &[&str]| {
        root.leaf_with("orders", 7, |params| {
            params.crl_distribution_points = points.iter().map(|uri| point(uri)).collect();
        })
    };
    let judge = |lists: &[CertificateRevocationListDer<'static>], points: &[&str]| {
        let domains = domains(settings(&[&root], &[], lists)).expect("a domain");
        verify(&domains, &leaf(points), &[]).map(|_| ())
    };
    let (one, two) = (list("http://ca/1", &[8]), list("http://ca/2", &[7]));
    let only_one = std::slice::from_ref(&one);
    assert_eq!(judge(only_one, &["http://ca/1"]), Ok(()));
    assert_eq!(judge(only_one, &["http://gone", "http://ca/1"]), Ok(()), "the second point counts too");
    let unknown = judge(only_one, &["http://ca/2"]);
    assert!(matches!(unknown, Err(VerifyError::RevocationUnknown { .. })), "{unknown:?}");
    let revoked = judge(&[one.clone(), two], &["http://ca/2"]);
    assert!(matches!(revoked, Err(VerifyError::Revoked { .. })), "{revoked:?}");
    assert_eq!(judge(&[root.crl(1, &[8])], &["http://ca/2"]), Ok(()), "a complete list needs no match");
}

#[test]
fn without_revocation_nothing_is_revoked() {
    let pki = TwoTiers::new();
    let mut settings = settings(&[&pki.root], &[], &[]);
    settings.revocation = RevocationSettings::DangerNone;
    let domains = domains(settings).expect("a domain");
    assert!(verify(&domains, &pki.middle.leaf("orders", 7), &[&pki.middle]).is_ok());
    assert!(domains.domains()[0].revocation_lists().is_none());
}

#[test]
fn chains_are_refused_for_what_is_wrong_with_them() {
    let pki = TwoTiers::new();
    let domains = pki.domains(&[], &[]);
    let (imposter, stranger) = (TestCa::root("root"), TestCa::root("stranger"));
    let leaf_with = |edit: fn(&mut CertificateParams)| pki.middle.leaf_with("orders", 7, edit);
    let refusal = |leaf: &TestLeaf| verify(&domains, leaf, &[]).expect_err("refused");

    let expired = leaf_with(|params| params.not_after = date(NOW - 1));
    assert_eq!(refusal(&expired), VerifyError::Expired { now: now(), not_after: NOW - 1 });
    let early = leaf_with(|params| params.not_before = date(NOW + 1));
    assert_eq!(refusal(&early), VerifyError::NotYetValid { now: now(), not_before: NOW + 1 });
    assert_eq!(refusal(&leaf_with(|params| params.extended_key_usages.clear())), VerifyError::WrongUsage);
    let server = leaf_with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert_eq!(refusal(&server), VerifyError::WrongUsage);
    let ca = leaf_with(|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    assert_eq!(refusal(&ca), VerifyError::CaAsPeer);
    assert_eq!(refusal(&stranger.leaf("orders", 7)), VerifyError::UnknownIssuer);
    assert_eq!(refusal(&imposter.leaf("orders", 7)), VerifyError::BadSignature);
    assert!(matches!(
        domains.verify(&CertificateDer::from(vec![0x30, 0]), &[], now()),
        Err(VerifyError::Other(_))
    ));

    let signer = leaf_with(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    let peer = verify(&domains, &signer, &[]).expect("verified");
    assert_eq!(domains.identify(&peer), Err(IdentifyError::Mapping(MappingError::SignsCertificates)));
}

#[test]
fn a_serial_beyond_twenty_octets_is_refused() {
    let pki = TwoTiers::new();
    let leaf = pki.middle.leaf_with("orders", 7, |params| params.serial_number = Some(vec![1; 21].into()));
    let refusal = verify(&pki.domains(&[], &[]), &leaf, &[]).expect_err("refused");
    assert_eq!(refusal, VerifyError::Certificate(CertificateError::Serial));
}

#[test]
fn the_size_of_a_chain_is_bounded() {
    let pki = TwoTiers::new();
    let domains = pki.domains(&[], &[]);
    let leaf = pki.middle.leaf("orders", 7);
    let most = vec![pki.middle.der.clone(); MAX_CHAIN_CERTIFICATES - 1];
    assert!(domains.verify(&leaf.der, &most, now()).is_ok());
    let too_many = vec![pki.middle.der.clone(); MAX_CHAIN_CERTIFICATES];
    let too_large = [CertificateDer::from(vec![0; MAX_CHAIN_BYTES])];
    for presented in [&too_many[..], &too_large] {
        let refusal = domains.verify(&leaf.der, presented, now()).expect_err("refused");
        assert!(matches!(refusal, VerifyError::ChainTooLong { .. }));
    }
}

#[test]
fn the_deadline_is_the_earliest_end_of_the_path_and_its_anchor() {
    let ends = |root: u64, middle: u64, leaf: u64| {
        let root = TestCa::root_with("root", |params| params.not_after = date(root));
        let middle = root.intermediate_with("middle", 50, |params| params.not_after = date(middle));
        let lists = [root.crl(1, &[]), middle.crl(1, &[])];
        let domains = domains(settings(&[&root], &[&middle], &lists)).expect("a domain");
        let leaf = middle.leaf_with("orders", 7, |params| params.not_after = date(leaf));
        verify(&domains, &leaf, &[]).map(|peer| peer.deadline())
    };
    assert_eq!(ends(NOW + 3, NOW + 2, NOW + 1), Ok(NOW + 1));
    assert_eq!(ends(NOW + 3, NOW + 1, NOW + 2), Ok(NOW + 1));
    assert_eq!(ends(NOW + 1, NOW + 3, NOW + 2), Ok(NOW + 1));
}

#[test]
fn an_anchor_that_expired_after_it_was_loaded_anchors_nothing() {
    let root = TestCa::root_with("root", |params| params.not_after = date(NOW + 1));
    let domains = domains(settings(&[&root], &[], &[root.crl(1, &[])])).expect("a domain");
    let leaf = root.leaf("orders", 7);
    let refusal = domains.verify(&leaf.der, &[], at(NOW + 2)).expect_err("refused");
    assert_eq!(refusal, VerifyError::Expired { now: at(NOW + 2), not_after: NOW + 1 });
}

#[test]
fn another_path_is_taken_where_one_is_revoked() {
    let (one, two) = (TestCa::root("one"), TestCa::root("two"));
    let middle = one.intermediate("middle", 50);
    let crossed = two.cross_sign(&middle, 60);
    let leaf = middle.leaf("orders", 7);
    let domains = |by_one: &[u64], by_two: &[u64]| {
        let lists = [one.crl(1, by_one), two.crl(1, by_two), middle.crl(1, &[])];
        test_pki::domains(settings(&[&one, &two], &[&middle], &lists)).expect("a domain")
    };
    let presented = [middle.der.clone(), crossed];
    assert!(domains(&[50], &[]).verify(&leaf.der, &presented, now()).is_ok());
    assert!(domains(&[], &[60]).verify(&leaf.der, &presented, now()).is_ok());
    let refusal = domains(&[50], &[60]).verify(&leaf.der, &presented, now()).expect_err("refused");
    assert!(matches!(refusal, VerifyError::Revoked { .. }));
}

#[test]
fn faults_of_a_domain_are_named_and_reported_together() {
    let pki = TwoTiers::new();
    let (root, middle) = (&pki.root, &pki.middle);
    let (root_list, middle_list) = (root.crl(1, &[]), middle.crl(1, &[]));
    let lists = [root_list.clone(), middle_list.clone()];
    let load =
        |anchors: &[&TestCa], intermediates: &[&TestCa], lists: &[CertificateRevocationListDer<'static>]| {
            domains(settings(anchors, intermediates, lists))
        };
    let name = || "CN=middle".to_owned();

    assert_eq!(
        only_refusal(load(&[root], &[middle], std::slice::from_ref(&root_list))),
        TrustError::NoRevocationList { name: name() }
    );
    let stale = middle.crl_with(1, &[], |params| params.next_update = date(NOW));
    assert_eq!(
        only_refusal(load(&[root], &[middle], &[root_list.clone(), stale.clone()])),
        TrustError::StaleRevocationList { name: name(), since: NOW }
    );
    let newer = middle.crl(2, &[]);
    assert!(
        load(&[root], &[middle], &[root_list.clone(), stale, newer]).is_ok(),
        "an old file beside a new one"
    );
    assert_eq!(
        only_refusal(load(&[root], &[middle, middle], &lists)),
        TrustError::Duplicate { name: name() }
    );
    assert_eq!(only_refusal(load(&[], &[], &[])), TrustError::NoAnchor);

    let imposter = TestCa::root("root");
    let refused = load(&[&imposter], &[middle], &[imposter.crl(1, &[]), middle_list.clone()]);
    assert_eq!(only_refusal(refused), TrustError::NotAnchored { name: name() });

    let leaf = root.leaf("orders", 7);
    let mut no_ca = settings(&[root], &[], std::slice::from_ref(&root_list));
    no_ca.anchors.push(leaf.der);
    let source = AuthorityError::NotCa { name: "CN=orders".into() };
    let fault = TrustError::Authority { kind: AuthorityKind::Anchor, position: 2, source };
    assert_eq!(only_refusal(domains(no_ca)), fault);

    let old = TestCa::root_with("old", |params| params.not_after = date(NOW - 1));
    let early = TestCa::root_with("early", |params| params.not_before = date(NOW + 1));
    let all = [root_list, b"garbage".to_vec().into()];
    let faults = load(&[root, &old, &early], &[], &all).expect_err("refused");
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults.contains(&TrustError::Expired { name: "CN=old".into(), not_after: NOW - 1 }));
    assert!(faults.contains(&TrustError::NotYetValid { name: "CN=early".into(), not_before: NOW + 1 }));
    assert!(faults.iter().any(|fault| matches!(fault, TrustError::RevocationList { position: 2, .. })));
}

#[test]
fn an_intermediate_may_chain_through_another_in_any_order() {
    let pki = TwoTiers::new();
    let low = pki.middle.intermediate("low", 51);
    let lists = [pki.root.crl(1, &[]), pki.middle.crl(1, &[]), low.crl(1, &[])];
    let domains = domains(settings(&[&pki.root], &[&low, &pki.middle], &lists)).expect("a domain");
    assert_eq!(verify(&domains, &low.leaf("orders", 7), &[]).map(|peer| peer.links().len()), Ok(3));
}

#[test]
fn the_same_subject_from_a_second_ca_is_another_trust_domain_or_refused() {
    let (ours, theirs) = (TestCa::root("ours"), TestCa::root("theirs"));
    let block =
        |ca: &TestCa, trust: &str, claim: &str| named(settings(&[ca], &[], &[ca.crl(1, &[])]), trust, claim);
    let domains = TrustDomains::new(vec![block(&ours, "a", "orders"), block(&theirs, "b", "billing")]);
    let domains = domains.expect("no conflict");
    let peer = verify(&domains, &theirs.leaf("orders", 7), &[]).expect("verified");
    assert_eq!(peer.trust(), &name("b"));
    let refusal = domains.identify(&peer).expect_err("refused");
    assert!(matches!(refusal, IdentifyError::Mapping(MappingError::NotClaimed { .. })));

    let refusal = verify(&domains, &TestCa::root("other").leaf("orders", 7), &[]).expect_err("refused");
    assert_eq!(refusal, VerifyError::UnknownIssuer);
}

#[test]
fn a_chain_that_two_domains_accept_is_refused() {
    let root = TestCa::root("root");
    let block = |trust: &str, claim: &str| named(settings(&[&root], &[], &[root.crl(1, &[])]), trust, claim);
    let domains = TrustDomains::new(vec![block("a", "orders"), block("b", "billing")]).expect("no conflict");
    let refusal = verify(&domains, &root.leaf("orders", 7), &[]).expect_err("refused");
    assert_eq!(refusal, VerifyError::AmbiguousTrust { first: name("a"), second: name("b") });
}

#[test]
fn the_most_telling_of_the_domains_refusals_is_given() {
    let (ours, theirs) = (TestCa::root("ours"), TestCa::root("theirs"));
    let revoking = || named(settings(&[&ours], &[], &[ours.crl(1, &[7])]), "a", "orders");
    let other = || named(settings(&[&theirs], &[], &[theirs.crl(1, &[])]), "b", "billing");
    for blocks in [vec![revoking(), other()], vec![other(), revoking()]] {
        let domains = TrustDomains::new(blocks).expect("no conflict");
        let refusal = verify(&domains, &ours.leaf("orders", 7), &[]).expect_err("refused");
        assert!(matches!(refusal, VerifyError::Revoked { .. }));
    }
}

#[test]
fn domains_that_share_a_name_or_a_claim_do_not_go_together() {
    let root = TestCa::root("root");
    let block = |trust: &str, claim: &str| named(settings(&[&root], &[], &[root.crl(1, &[])]), trust, claim);
    let faults = TrustDomains::new(vec![block("a", "or*"), block("a", "orders")]).expect_err("refused");
    assert_eq!(faults.len(), 2);
    assert_eq!(faults[0], TrustSetError::DuplicateName { name: name("a") });
    assert!(matches!(faults[1], TrustSetError::ClaimsOverlap { .. }));
    assert_eq!(TrustDomains::new(Vec::new()).map(|_| ()), Err(vec![TrustSetError::Empty]));
}

#[test]
fn a_live_peer_is_judged_by_the_new_lists() {
    let pki = TwoTiers::new();
    let before = pki.domains(&[], &[]);
    let peer = verify(&before, &pki.middle.leaf("orders", 7), &[]).expect("verified");
    let same = |result| matches!(result, Ok(Recheck::Same));
    assert!(same(before.recheck(&peer, now())));
    assert!(same(pki.domains(&[51], &[8]).recheck(&peer, now())), "others' revocations close nobody");
    for after in [pki.domains(&[], &[7]), pki.domains(&[50], &[])] {
        assert!(matches!(after.recheck(&peer, now()), Err(VerifyError::Revoked { .. })));
    }
    let late = at(NOW + 24 * HOUR + 1);
    assert!(matches!(before.recheck(&peer, late), Err(VerifyError::Expired { .. })));
}

#[test]
fn a_live_peer_is_verified_again_when_anchors_change() {
    let pki = TwoTiers::new();
    let peer = verify(&pki.domains(&[], &[]), &pki.middle.leaf("orders", 7), &[]).expect("verified");
    let added = TestCa::root("added");
    let lists = [pki.root.crl(1, &[]), pki.middle.crl(1, &[]), added.crl(1, &[])];
    let block = |anchors: &[&TestCa]| settings(anchors, &[&pki.middle], &lists);

    let more = domains(block(&[&pki.root, &added])).expect("a domain");
    let Ok(Recheck::Reverified(again)) = more.recheck(&peer, now()) else { panic!("verified again") };
    assert_eq!(again.links(), peer.links());
    assert!(matches!(more.recheck(&again, now()), Ok(Recheck::Same)));

    let mut replaced = settings(&[&added], &[], &[added.crl(1, &[])]);
    replaced.revocation = RevocationSettings::DangerNone;
    let refusal = domains(replaced).expect("a domain").recheck(&peer, now()).expect_err("refused");
    assert_eq!(refusal, VerifyError::UnknownIssuer);

    let renamed =
        TrustDomains::new(vec![named(block(&[&pki.root, &added]), "other", "*")]).expect("no conflict");
    assert_eq!(renamed.recheck(&peer, now()).map(|_| ()), Err(VerifyError::TrustRemoved));
    assert_eq!(renamed.identify(&peer), Err(IdentifyError::TrustRemoved));
}

#[test]
fn a_second_domain_that_comes_to_accept_a_live_peer_refuses_it() {
    let (root, other) = (TestCa::root("root"), TestCa::root("other"));
    let block = |anchors: &[&TestCa], trust: &str, claim: &str| {
        let lists: Vec<_> = anchors.iter().map(|ca| ca.crl(1, &[])).collect();
        named(settings(anchors, &[], &lists), trust, claim)
    };
    let before = TrustDomains::new(vec![block(&[&root], "a", "orders"), block(&[&other], "b", "billing")]);
    let peer = verify(&before.expect("no conflict"), &root.leaf("orders", 7), &[]).expect("verified");
    let after =
        TrustDomains::new(vec![block(&[&root], "a", "orders"), block(&[&other, &root], "b", "billing")]);
    let refusal = after.expect("no conflict").recheck(&peer, now()).expect_err("refused");
    assert!(matches!(refusal, VerifyError::AmbiguousTrust { .. }));
}

#[test]
fn newer_lists_apply_on_their_own() {
    let pki = TwoTiers::new();
    let live = pki.domains(&[], &[]);
    let peer = verify(&live, &pki.middle.leaf("orders", 7), &[]).expect("verified");
    let newer =
        live.with_newer_lists(&[(name("corp"), vec![pki.middle.crl(2, &[7])])], now()).expect("newer");
    assert!(matches!(newer.recheck(&peer, now()), Err(VerifyError::Revoked { .. })));
    assert!(live.with_newer_lists(&[(name("corp"), vec![pki.middle.crl(1, &[7])])], now()).is_none());
    assert!(live.with_newer_lists(&[(name("other"), vec![pki.middle.crl(2, &[7])])], now()).is_none());

    let regressions = live.list_regressions(&newer);
    assert_eq!(regressions.len(), 1);
    assert_eq!(live.domains()[0].authority_name(regressions[0].1.issuer), Some("CN=middle"));
    assert!(newer.list_regressions(&live).is_empty());
}

#[test]
fn another_name_for_a_block_forgets_no_list() {
    let root = TestCa::root("root");
    let block = |trust: &str, number| {
        let block = named(settings(&[&root], &[], &[root.crl(number, &[])]), trust, "orders");
        TrustDomains::new(vec![block]).expect("no conflict")
    };
    let before = block("a", 5);
    let found = block("b", 4).list_regressions(&before);
    assert!(matches!(found.as_slice(), [(trust, _)] if *trust == name("b")), "{found:?}");
    assert!(block("b", 5).list_regressions(&before).is_empty());
    let unrelated = TestCa::root("other");
    let unrelated = domains(settings(&[&unrelated], &[], &[unrelated.crl(1, &[])])).expect("a domain");
    assert!(unrelated.list_regressions(&before).is_empty(), "a CA that left takes its list along");
}
