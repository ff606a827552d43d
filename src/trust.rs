//! Whom the gateway trusts: one [`TrustDomain`] for each `[[trust]]` block, and all of them as [`TrustDomains`].
//!
//! Invariant: a [`VerifiedChain`] comes from exactly one domain, by a path on which no certificate was revoked or of
//! unknown state when it was judged, and [`TrustDomains::recheck`] comes to a verdict no laxer than the anchors and lists of
//! the new generation.

pub(crate) mod anchors;
pub mod crl;
mod domain;
mod error;
pub mod pem;
mod proof;
mod remembered;
pub(crate) mod signed;
pub mod verifier;

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

use crate::identity::certificate::AnchorSetId;
use crate::identity::mapping::{Mapped, ServiceClaim, claims_overlap};
use crate::identity::peer::{VerifiedChain, VerifiedPeer};
use crate::identity::{ServiceIdentity, TrustName};

pub use anchors::{Anchor, AuthorityError, AuthorityKind, IssuingChainError, RetiringAnchor};
pub use domain::{AuthorityFacts, ListFacts, RevocationSettings, TrustDomain, TrustSettings};
pub use error::{IdentifyError, TrustError, TrustSetError, VerifyError};
pub use proof::ProofError;
pub(crate) use proof::{Statement, prove};

/// Most certificates a peer may present, its own included.
pub const MAX_CHAIN_CERTIFICATES: usize = 10;
/// Most bytes of certificates a peer may present.
pub const MAX_CHAIN_BYTES: usize = 64 * 1024;

/// All trust domains of one generation. No service name belongs to two of them.
#[derive(Debug, Clone)]
pub struct TrustDomains {
    domains: Box<[TrustDomain]>,
    anchors: AnchorSetId,
    /// How far the lists have come, in this generation and all before it.
    marks: crl::Marks,
}

/// What has become of a live peer whose verdict still holds.
#[derive(Debug)]
pub enum Recheck {
    /// The anchors are the same, and so is the path.
    Same,
    /// The anchors changed and the chain was verified anew: path, links and deadline may be others.
    Reverified(VerifiedPeer),
}

impl TrustDomains {
    /// Joins the domains, refusing two of one name and two that claim one service. All faults are reported.
    pub fn new(domains: Vec<TrustDomain>) -> Result<Self, Vec<TrustSetError>> {
        let mut faults = Vec::new();
        if domains.is_empty() {
            faults.push(TrustSetError::Empty);
        }
        let mut rest = domains.as_slice();
        while let Some((domain, others)) = rest.split_first() {
            faults.extend(others.iter().flat_map(|other| conflicts(domain, other)));
            rest = others;
        }
        if faults.is_empty() { Ok(Self::join(domains)) } else { Err(faults) }
    }

    fn join(domains: Vec<TrustDomain>) -> Self {
        let mut parts: Vec<_> = domains.iter().map(TrustDomain::anchor_summary).collect();
        parts.sort_unstable();
        let marks = marks_of(&domains);
        Self { anchors: AnchorSetId::of(&parts.concat()), domains: domains.into(), marks }
    }

    pub fn domains(&self) -> &[TrustDomain] {
        &self.domains
    }

    pub fn domain(&self, name: &TrustName) -> Option<&TrustDomain> {
        self.domains.iter().find(|domain| domain.name() == name)
    }

    /// Verifies a chain in every domain. `leaf` is the peer's own certificate, `intermediates` is what else it
    /// presented, in any order.
    pub fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Arc<VerifiedChain>, VerifyError> {
        check_size(leaf, intermediates)?;
        let mut verified: Option<Arc<VerifiedChain>> = None;
        let mut refusal: Option<VerifyError> = None;
        for domain in &self.domains {
            match (domain.verify(leaf, intermediates, self.anchors, now), &verified) {
                (Ok(chain), None) => verified = Some(chain),
                (Ok(chain), Some(first)) => {
                    let (first, second) = (first.trust().clone(), chain.trust().clone());
                    return Err(VerifyError::AmbiguousTrust { first, second });
                }
                (Err(error), _) => refusal = Some(error.more_telling(refusal)),
            }
        }
        verified.ok_or_else(|| refusal.unwrap_or(VerifyError::UnknownIssuer))
    }

    /// Judges a live peer again, after a reload or as time goes on. While the anchors stay the same this is a few
    /// look-ups, and a list that went stale does not count here: what it revokes stays revoked, it lets no one new in,
    /// and the session ends by itself some time after [`stale_at`](Self::stale_at), unless a newer list comes first.
    /// Otherwise the chain is verified again as a new one would be.
    pub fn recheck(&self, peer: &VerifiedPeer, now: UnixTime) -> Result<Recheck, VerifyError> {
        let domain = self.domain(peer.trust()).ok_or(VerifyError::TrustRemoved)?;
        if peer.anchors() == self.anchors {
            let deadline = peer.deadline();
            if now.as_secs() > deadline {
                return Err(VerifyError::Expired { now, not_after: deadline });
            }
            return match domain.check_links(peer.links(), now) {
                Ok(()) | Err(VerifyError::RevocationStale { .. }) => Ok(Recheck::Same),
                Err(refusal) => Err(refusal),
            };
        }
        let (leaf, intermediates) = peer.chain().split_first().ok_or(VerifyError::UnknownIssuer)?;
        let again = self.verify(leaf, intermediates, now)?;
        if again.trust() != peer.trust() {
            return Err(VerifyError::TrustRemoved);
        }
        let again = peer.by_another_path(again).ok_or(VerifyError::UnknownIssuer)?;
        Ok(Recheck::Reverified(again))
    }

    /// The earliest Unix second in which one of the lists is stale that speak for a certificate of this path. `None`
    /// where nothing can go stale, or where that is accepted.
    pub fn stale_at(&self, peer: &VerifiedPeer) -> Option<u64> {
        self.domain(peer.trust())?.stale_at(peer.links())
    }

    /// Whom a verified chain stands for, by the rules of the domain it was verified in.
    pub fn map(&self, chain: &VerifiedChain) -> Result<Mapped, IdentifyError> {
        let domain = self.domain(chain.trust()).ok_or(IdentifyError::TrustRemoved)?;
        domain.mapping().map(chain.facts()).map_err(IdentifyError::Mapping)
    }

    /// Who a verified peer is, by the rules of the domain it was verified in.
    pub fn identify(&self, peer: &VerifiedPeer) -> Result<ServiceIdentity, IdentifyError> {
        let domain = self.domain(peer.trust()).ok_or(IdentifyError::TrustRemoved)?;
        domain.mapping().identify(peer).map_err(IdentifyError::Mapping)
    }

    /// These domains with every revocation list replaced for which a valid, fresh one with a higher number is among
    /// `offered`, for when the rest of a reload is broken. `None` if nothing is newer.
    pub fn with_newer_lists(
        &self,
        offered: &[(TrustName, Vec<CertificateRevocationListDer<'static>>)],
        now: UnixTime,
    ) -> Option<Self> {
        let mut is_newer = false;
        let mut domains = self.domains.to_vec();
        for (name, lists) in offered {
            let Some(domain) = domains.iter_mut().find(|domain| domain.name() == name) else { continue };
            if let Some(newer) = domain.with_newer_lists(lists, now) {
                *domain = newer;
                is_newer = true;
            }
        }
        let next = || Self { marks: marks_of(&domains), domains: domains.into(), anchors: self.anchors };
        is_newer.then(|| next().remembering(self))
    }

    /// These domains, which stood before, with the newest of their own and of `current`'s revocation lists for every CA,
    /// checked to be good now. A CA whose list had come further, and is in neither set, refuses.
    pub fn with_lists_of(&self, current: &Self, now: UnixTime) -> Result<Self, Vec<TrustError>> {
        let (mut domains, mut faults) = (Vec::new(), Vec::new());
        for domain in &self.domains {
            match domain.with_lists_of(&current.domains, &current.marks, now) {
                Ok(domain) => domains.push(domain),
                Err(found) => faults.extend(found),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let next = Self { marks: marks_of(&domains), domains: domains.into(), anchors: self.anchors };
        Ok(next.remembering(current))
    }

    /// These domains with every revocation list that is newer in `others`, and nothing else of those. Unlike
    /// [`with_lists_of`](Self::with_lists_of) it refuses nothing, because a revocation waits for nothing.
    pub fn with_revocations_of(&self, others: &Self, now: UnixTime) -> Self {
        let merged = |domain: &TrustDomain| domain.with_revocations_of(&others.domains, now);
        let domains = self.domains.iter().map(merged).collect::<Box<_>>();
        Self { marks: marks_of(&domains), domains, anchors: self.anchors }.remembering(self)
    }

    /// These domains as the successors of `before`: they remember how far every list had come, those of CAs that are
    /// gone as well. See [`list_regressions`](Self::list_regressions).
    pub fn remembering(mut self, before: &Self) -> Self {
        self.marks.raise_to(&before.marks);
        self
    }

    /// Where the revocation lists go back behind those of `before` and of all that it remembers. What counts is the CA,
    /// not the block it stands in: another name for a block, another block for a CA, or a time without the CA forgets
    /// nothing.
    pub fn list_regressions(&self, before: &Self) -> Vec<(TrustName, crl::CrlRegression)> {
        let mut found = Vec::new();
        for domain in &self.domains {
            let Some(new) = domain.revocation_lists() else { continue };
            for issuer in domain.issuers() {
                let old = before.domains.iter().filter_map(TrustDomain::revocation_lists);
                let weaker = old.flat_map(|old| new.weaker_twins(old, issuer));
                let regressions = new.regressions(&before.marks, issuer).into_iter().chain(weaker);
                found.extend(regressions.map(|regression| (domain.name().clone(), regression)));
            }
        }
        found
    }
}

fn marks_of(domains: &[TrustDomain]) -> crl::Marks {
    crl::Marks::of(domains.iter().filter_map(TrustDomain::revocation_lists))
}

fn conflicts(ours: &TrustDomain, theirs: &TrustDomain) -> Vec<TrustSetError> {
    let mut found = Vec::new();
    if ours.name() == theirs.name() {
        found.push(TrustSetError::DuplicateName { name: ours.name().clone() });
    }
    if let Some((our, their)) = claims_overlap(ours.mapping().claims(), theirs.mapping().claims()) {
        let claim = |domain: &TrustDomain, claim: &ServiceClaim| (domain.name().clone(), claim.clone());
        found.push(TrustSetError::ClaimsOverlap { first: claim(ours, our), second: claim(theirs, their) });
    }
    found
}

fn check_size(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<(), VerifyError> {
    let certificates = intermediates.len().saturating_add(1);
    let bytes = intermediates.iter().map(|each| each.len()).fold(leaf.len(), usize::saturating_add);
    if certificates > MAX_CHAIN_CERTIFICATES || bytes > MAX_CHAIN_BYTES {
        return Err(VerifyError::ChainTooLong { certificates, bytes });
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod test_pki;
#[cfg(test)]
mod tests;
