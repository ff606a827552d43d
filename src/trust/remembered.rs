//! Chains that were verified before, so that a peer that comes again costs no CA's signature again.
//!
//! That a CA signed a certificate never changes. What does, dates and revocation, is judged by whoever takes a chain from here.

use std::collections::HashMap;
use std::fmt;
use std::mem::{replace, take};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::CertificateDer;

use crate::identity::peer::VerifiedChain;

/// Most chains of one age. There are two, so half of what a trust domain remembers.
const AGE_CHAINS: usize = 4096;
/// Most bytes of certificates of a chain that is remembered; a longer one is verified each time. It bounds what is read from them too.
const MOST_BYTES: usize = 8 * 1024;

/// What a peer presented: SHA-256 over its certificates in their order, each behind its length.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PresentedId([u8; 32]);

impl PresentedId {
    /// Of the peer's own certificate and what else it presented.
    pub(super) fn of(leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Self {
        let mut context = Context::new(&SHA256);
        for certificate in std::iter::once(leaf).chain(others) {
            context.update(&certificate.len().to_be_bytes());
            context.update(certificate);
        }
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        Self(id)
    }
}

/// Verified chains by what the peer presented. Those that are asked for stay; of the others the older half goes at a time.
#[derive(Default)]
pub(super) struct RememberedChains(Mutex<Ages>);

type Age = HashMap<PresentedId, Arc<VerifiedChain>>;

#[derive(Default)]
struct Ages {
    young: Age,
    old: Age,
}

impl RememberedChains {
    pub(super) fn get(&self, presented: PresentedId) -> Option<Arc<VerifiedChain>> {
        let mut ages = self.ages();
        if let Some(chain) = ages.young.get(&presented) {
            return Some(chain.clone());
        }
        let chain = ages.old.remove(&presented)?;
        let forgotten = ages.keep(presented, chain.clone());
        drop(ages);
        drop(forgotten);
        Some(chain)
    }

    pub(super) fn keep(&self, presented: PresentedId, chain: Arc<VerifiedChain>) {
        if chain.chain().iter().map(|each| each.len()).sum::<usize>() <= MOST_BYTES {
            let forgotten = self.ages().keep(presented, chain);
            drop(forgotten);
        }
    }

    /// Nothing that can panic runs under it.
    fn ages(&self) -> MutexGuard<'_, Ages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ages {
    /// Gives back what is forgotten for it: thousands of chains are better dropped where nobody waits.
    #[must_use]
    fn keep(&mut self, presented: PresentedId, chain: Arc<VerifiedChain>) -> Option<Age> {
        let is_full = self.young.len() >= AGE_CHAINS && !self.young.contains_key(&presented);
        let forgotten = is_full.then(|| replace(&mut self.old, take(&mut self.young)));
        self.young.insert(presented, chain);
        forgotten
    }
}

impl fmt::Debug for RememberedChains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ages = self.ages();
        f.debug_struct("RememberedChains")
            .field("young", &ages.young.len())
            .field("old", &ages.old.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::test_pki::{TestCa, domains, now, settings};

    fn presented(number: u32) -> PresentedId {
        PresentedId::of(&number.to_be_bytes().to_vec().into(), &[])
    }

    #[test]
    fn certificates_count_in_their_order_each_by_itself() {
        let der = |bytes: &[u8]| CertificateDer::from(bytes.to_vec());
        let [ab, a, b, none] = [b"ab".as_slice(), b"a", b"b", b""].map(der);
        let ids = [
            PresentedId::of(&ab, &[]),
            PresentedId::of(&a, std::slice::from_ref(&b)),
            PresentedId::of(&b, std::slice::from_ref(&a)),
            PresentedId::of(&ab, &[none]),
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    fn verified(edit: impl FnOnce(&mut rcgen::CertificateParams)) -> Arc<VerifiedChain> {
        let root = TestCa::root("root");
        let domains = domains(settings(&[&root], &[], &[root.crl(1, &[])])).expect("a domain");
        domains.verify(&root.leaf_with("orders", 7, edit).der, &[], now()).expect("verified")
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let (remembered, chain) = (RememberedChains::default(), verified(|_| {}));
        let most = u32::try_from(AGE_CHAINS).expect("small");
        for number in 0..5 * most {
            remembered.keep(presented(number), chain.clone());
            assert!(remembered.get(presented(0)).is_some(), "{number}");
        }
        let ages = remembered.ages();
        assert!(ages.young.len() <= AGE_CHAINS && ages.old.len() <= AGE_CHAINS);
        drop(ages);
        assert!(remembered.get(presented(5 * most - 1)).is_some());
        assert!(remembered.get(presented(1)).is_none());
    }

    #[test]
    fn what_is_kept_again_takes_no_place_more() {
        let (remembered, chain) = (RememberedChains::default(), verified(|_| {}));
        for number in (0..).take(AGE_CHAINS) {
            remembered.keep(presented(number), chain.clone());
        }
        remembered.keep(presented(1), chain);
        assert!(remembered.ages().old.is_empty());
    }

    #[test]
    fn a_chain_of_unusual_length_is_not_kept() {
        let long = |bytes: usize| {
            let name = rcgen::string::Ia5String::try_from("n".repeat(bytes)).expect("ASCII");
            verified(|params| params.subject_alt_names.push(rcgen::SanType::DnsName(name)))
        };
        let remembered = RememberedChains::default();
        remembered.keep(presented(1), long(MOST_BYTES - 1024));
        remembered.keep(presented(2), long(MOST_BYTES));
        assert_eq!([1, 2].map(|number| remembered.get(presented(number)).is_some()), [true, false]);
    }
}
