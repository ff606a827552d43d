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

/// Most memory that the chains of one age take: there are two, so half of what a trust domain remembers. Room for some 3,000 chains of
/// a leaf and an intermediate.
const AGE_BYTES: usize = 8 << 20;

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
    young_bytes: usize,
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
        let forgotten = self.ages().keep(presented, chain);
        drop(forgotten);
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
        let bytes = memory(&chain);
        let is_full = self.young_bytes.saturating_add(bytes) > AGE_BYTES;
        let forgotten = is_full.then(|| {
            self.young_bytes = 0;
            replace(&mut self.old, take(&mut self.young))
        });
        let replaced = self.young.insert(presented, chain);
        self.young_bytes += bytes;
        self.young_bytes -= replaced.map_or(0, |replaced| memory(&replaced));
        forgotten
    }
}

/// With the entry that leads to it.
fn memory(chain: &VerifiedChain) -> usize {
    chain.memory().saturating_add(size_of::<(PresentedId, Arc<VerifiedChain>)>())
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
        let most = AGE_BYTES / memory(&chain);
        let last = u32::try_from(5 * most).expect("small");
        for number in 0..=last {
            remembered.keep(presented(number), chain.clone());
            assert!(remembered.get(presented(0)).is_some(), "{number}");
        }
        let ages = remembered.ages();
        assert!(ages.young.len() <= most && ages.old.len() <= most);
        drop(ages);
        assert!(remembered.get(presented(last)).is_some());
        assert!(remembered.get(presented(1)).is_none());
    }

    /// What is read from a certificate may take many times its own bytes.
    #[test]
    fn a_chain_counts_with_all_that_was_read_from_it() {
        let named = |names: usize| {
            let name = || rcgen::SanType::DnsName("a".try_into().expect("ASCII"));
            verified(|params| params.subject_alt_names.extend(std::iter::repeat_with(name).take(names)))
        };
        let (one, thousand) = (named(1), named(1_001));
        let longer = thousand.chain()[0].len() - one.chain()[0].len();
        assert!(memory(&thousand) - memory(&one) >= longer + 1_000 * 50, "57 bytes a name were measured");
        let remembered = RememberedChains::default();
        for number in 0..1_000 {
            remembered.keep(presented(number), thousand.clone());
        }
        let ages = remembered.ages();
        assert!((ages.young.len() + ages.old.len()) * memory(&thousand) <= 2 * AGE_BYTES);
    }

    #[test]
    fn what_is_kept_again_takes_the_place_of_what_was() {
        let (remembered, chain) = (RememberedChains::default(), verified(|_| {}));
        for _ in 0..2 * AGE_BYTES / memory(&chain) {
            remembered.keep(presented(1), chain.clone());
        }
        let ages = remembered.ages();
        assert_eq!((ages.young_bytes, ages.old.len()), (memory(&chain), 0));
    }
}
