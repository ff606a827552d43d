//! Our verdict on revocation against webpki's own, over many small hierarchies.

use std::sync::LazyLock;

use proptest::prelude::*;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

use crate::trust::signed::ALGORITHMS;
use crate::trust::test_pki::{HOUR, NOW, TestCa, TestLeaf, at, date, domains, settings};
use crate::trust::{TrustDomains, VerifyError};

/// Root, two intermediates one below the other, and a leaf under each CA. The serials are 1 to 5.
struct Hierarchy {
    cas: [TestCa; 3],
    leaves: [TestLeaf; 3],
}

static HIERARCHY: LazyLock<Hierarchy> = LazyLock::new(|| {
    let root = TestCa::root("root");
    let upper = root.intermediate("upper", 1);
    let lower = upper.intermediate("lower", 2);
    let leaves = [root.leaf("a", 3), upper.leaf("b", 4), lower.leaf("c", 5)];
    Hierarchy { cas: [root, upper, lower], leaves }
});

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Revoked,
    NotKnownGood,
}

/// What each CA's list revokes, and for how many seconds it is fresh.
type Lists = [(Vec<u64>, u64); 3];

fn sign(lists: &Lists) -> Vec<CertificateRevocationListDer<'static>> {
    let signed = HIERARCHY.cas.iter().zip(lists).map(|(ca, (revoked, lasts))| {
        ca.crl_with(1, revoked, |params| params.next_update = date(NOW + lasts))
    });
    signed.collect()
}

fn ours(domains: &TrustDomains, leaf: &TestLeaf, time: UnixTime) -> Verdict {
    match domains.verify(&leaf.der, &[], time) {
        Ok(_) => Verdict::Good,
        Err(VerifyError::Revoked { .. }) => Verdict::Revoked,
        Err(VerifyError::RevocationStale { .. } | VerifyError::RevocationUnknown { .. }) => {
            Verdict::NotKnownGood
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn theirs(lists: &[CertificateRevocationListDer<'_>], leaf: &TestLeaf, time: UnixTime) -> Verdict {
    let [root, upper, lower] = &HIERARCHY.cas;
    let parse = |list| CertRevocationList::from(BorrowedCertRevocationList::from_der(list).expect("valid"));
    let lists: Vec<_> = lists.iter().map(|list| parse(list)).collect();
    let lists: Vec<_> = lists.iter().collect();
    let options = RevocationOptionsBuilder::new(&lists)
        .expect("lists")
        .with_depth(RevocationCheckDepth::Chain)
        .with_status_policy(UnknownStatusPolicy::Deny)
        .with_expiration_policy(ExpirationPolicy::Enforce)
        .build();
    let anchors = [webpki::anchor_from_trusted_cert(&root.der).expect("a CA")];
    let intermediates: [CertificateDer<'_>; 2] = [upper.der.clone(), lower.der.clone()];
    let certificate = EndEntityCert::try_from(&leaf.der).expect("a certificate");
    let usage = KeyUsage::client_auth();
    let result = certificate.verify_for_usage(
        ALGORITHMS.all,
        &anchors,
        &intermediates,
        time,
        usage,
        Some(options),
        None,
    );
    match result.map(|_| ()) {
        Ok(()) => Verdict::Good,
        Err(webpki::Error::CertRevoked) => Verdict::Revoked,
        Err(webpki::Error::CrlExpired { .. } | webpki::Error::UnknownRevocationStatus) => {
            Verdict::NotKnownGood
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn lists() -> impl Strategy<Value = Lists> {
    let list = || (prop::collection::vec(1_u64..7, 0..4), 1..2 * HOUR);
    [list(), list(), list()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn our_verdict_is_that_of_webpki(lists in lists(), later in prop_oneof![Just(0), 0..2 * HOUR]) {
        let signed = sign(&lists);
        let [root, upper, lower] = &HIERARCHY.cas;
        let domains = domains(settings(&[root], &[upper, lower], &signed)).expect("a domain");
        for leaf in &HIERARCHY.leaves {
            let time = at(NOW + later);
            match (ours(&domains, leaf, time), theirs(&signed, leaf, time)) {
                // webpki looks at the age first; for us what a list revokes stays revoked when the list is old.
                (Verdict::Revoked, Verdict::NotKnownGood) => prop_assert!(later > 0),
                (ours, theirs) => prop_assert_eq!(ours, theirs),
            }
        }
    }
}
