//! What a trust domain consists of, for those who compare two and for people to read.

use super::TrustDomain;
use crate::identity::certificate::{Fingerprint, IssuerId};
use crate::trust::anchors::AuthorityKind;
use crate::trust::crl::CrlAge;

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
}
