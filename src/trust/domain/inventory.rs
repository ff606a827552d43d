//! What a trust domain consists of, for those who compare two and for people to read.

use super::TrustDomain;
use crate::identity::certificate::{Fingerprint, IssuerId};
use crate::trust::anchors::AuthorityKind;
use crate::trust::crl::CrlAge;
use crate::trust::{TrustDomains, marks_of};

/// One configured CA certificate. The name comes from the certificate: show it escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorityFacts<'d> {
    pub kind: AuthorityKind,
    pub name: &'d str,
    pub fingerprint: Fingerprint,
    /// The last second in which a path may go through it, Unix seconds.
    pub end: u64,
}

/// One revocation list, without its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFacts<'d> {
    pub issuer: IssuerId,
    /// The CA's name, to be shown escaped.
    pub ca: &'d str,
    /// The distribution points that it speaks for; none if for all of the CA's certificates.
    pub points: Box<[Box<str>]>,
    pub age: CrlAge,
    pub entries: usize,
}

impl TrustDomain {
    /// Anchors, then intermediates.
    pub fn authorities(&self) -> impl Iterator<Item = AuthorityFacts<'_>> {
        self.authorities.by_kind().map(|(kind, authority)| AuthorityFacts {
            kind,
            name: authority.name(),
            fingerprint: authority.fingerprint(),
            end: authority.end(),
        })
    }

    /// Every revocation list, in a fixed order.
    pub fn lists(&self) -> Vec<ListFacts<'_>> {
        let summaries = self.revocation.as_ref().map(|lists| lists.summaries()).unwrap_or_default();
        let facts = |summary: crate::trust::crl::ListSummary| ListFacts {
            issuer: summary.issuer,
            ca: self.authority_name(summary.issuer).unwrap_or_default(),
            points: summary.points,
            age: summary.age,
            entries: summary.entries,
        };
        summaries.into_iter().map(facts).collect()
    }

    /// Its list in force with every newer one of `others`, whatever else has become of it.
    fn with_revocations_of(&self, others: &TrustDomains) -> Self {
        let mut revocation = self.revocation.clone();
        if let Some(lists) = &mut revocation {
            for issuer in self.issuers() {
                let theirs = others.domains().iter().filter_map(TrustDomain::revocation_lists);
                theirs.for_each(|theirs| lists.take_newer(theirs, issuer));
            }
        }
        Self { revocation, ..self.clone() }
    }
}

impl TrustDomains {
    /// These domains with every revocation list that is newer in `others`, and nothing else of those. Unlike
    /// [`with_lists_of`](Self::with_lists_of) it asks for nothing, because a revocation waits for nothing.
    pub fn with_revocations_of(&self, others: &Self) -> Self {
        let domains =
            self.domains.iter().map(|domain| domain.with_revocations_of(others)).collect::<Box<_>>();
        Self { marks: marks_of(&domains), domains, anchors: self.anchors }.remembering(self)
    }
}
