//! Chains that were verified before, so that a peer that comes again costs no CA's signature again.
//!
//! That a CA signed a certificate never changes. What does, dates and revocation, is judged by whoever takes a chain from here.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::CertificateDer;

use crate::identity::peer::VerifiedChain;

/// Most bytes that the chains of one age are reckoned at: there are two ages, so half of what a trust domain remembers.
const AGE_BYTES: usize = 4 << 20;
/// What a chain is reckoned at beside its certificates: the facts read from them, and the tables' room.
const CHAIN_BYTES: usize = 1024;

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

/// Verified chains by what the peer presented. Those that are used stay; of the others the oldest half goes at a time.
#[derive(Default)]
pub(super) struct RememberedChains(Mutex<Ages>);

#[derive(Default)]
struct Ages {
    young: HashMap<PresentedId, Arc<VerifiedChain>>,
    old: HashMap<PresentedId, Arc<VerifiedChain>>,
    young_bytes: usize,
}

impl RememberedChains {
    pub(super) fn get(&self, presented: PresentedId) -> Option<Arc<VerifiedChain>> {
        let mut ages = self.ages();
        if let Some(chain) = ages.young.get(&presented) {
            return Some(chain.clone());
        }
        let chain = ages.old.remove(&presented)?;
        ages.keep(presented, chain.clone());
        Some(chain)
    }

    pub(super) fn keep(&self, presented: PresentedId, chain: Arc<VerifiedChain>) {
        self.ages().keep(presented, chain);
    }

    /// Nothing in here can be half done.
    fn ages(&self) -> MutexGuard<'_, Ages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ages {
    fn keep(&mut self, presented: PresentedId, chain: Arc<VerifiedChain>) {
        let bytes = chain.chain().iter().map(|each| each.len()).fold(CHAIN_BYTES, usize::saturating_add);
        if self.young_bytes.saturating_add(bytes) > AGE_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(presented, chain).is_none() {
            self.young_bytes = self.young_bytes.saturating_add(bytes);
        }
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

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let root = TestCa::root("root");
        let domains = domains(settings(&[&root], &[], &[root.crl(1, &[])])).expect("a domain");
        let chain = domains.verify(&root.leaf("orders", 7).der, &[], now()).expect("verified");
        let remembered = RememberedChains::default();
        let fit = u32::try_from(AGE_BYTES / (CHAIN_BYTES + chain.chain()[0].len())).expect("small");
        for number in 0..10 * fit {
            remembered.keep(presented(number), chain.clone());
            assert!(remembered.get(presented(0)).is_some(), "{number}");
        }
        let ages = remembered.ages();
        let most = usize::try_from(fit).expect("small");
        assert!(ages.young.len() <= most && ages.old.len() <= most);
        drop(ages);
        assert!(remembered.get(presented(10 * fit - 1)).is_some());
        assert!(remembered.get(presented(1)).is_none());
    }

    #[test]
    fn what_is_kept_again_is_reckoned_once() {
        let root = TestCa::root("root");
        let domains = domains(settings(&[&root], &[], &[root.crl(1, &[])])).expect("a domain");
        let chain = domains.verify(&root.leaf("orders", 7).der, &[], now()).expect("verified");
        let remembered = RememberedChains::default();
        for _ in 0..10_000 {
            remembered.keep(presented(1), chain.clone());
        }
        assert!(remembered.ages().old.is_empty());
    }
}
