//! What a trust domain consists of, for those who compare two and for people to read.

use rustls::pki_types::UnixTime;

use super::{TrustDomain, TrustError};
use crate::identity::certificate::{Fingerprint, IssuerId};
use crate::trust::TrustDomains;
use crate::trust::anchors::AuthorityKind;
use crate::trust::crl::CrlAge;

/// One configured CA certificate. The name comes from the certificate: show it escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorityFacts<'d> {
    pub kind: AuthorityKind,
    pub name: &'d str,
    pub fingerprint: Fingerprint,
    /// Its last second, Unix seconds.
    pub not_after: u64,
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
            not_after: authority.not_after(),
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

    /// What has become wrong since it was loaded: certificates that ended, lists that went stale.
    pub fn faults_at(&self, now: UnixTime) -> Vec<TrustError> {
        let mut faults = self.authorities.faults_at(now);
        let Some(lists) = &self.revocation else { return faults };
        for authority in self.authorities.all() {
            match lists.next_update(authority.id()) {
                Some(since) if now.as_secs() >= since => {
                    faults.push(TrustError::StaleRevocationList { name: authority.name().to_owned(), since });
                }
                _ => {}
            }
        }
        faults
    }

    fn with_lists_of(&self, others: &TrustDomains) -> Self {
        let Some(ours) = &self.revocation else { return self.clone() };
        let issuers = self.issuers();
        let theirs = others.domains().iter().filter_map(TrustDomain::revocation_lists);
        let merged = theirs.fold(ours.clone(), |merged, theirs| merged.with_newest_of(theirs, &issuers));
        Self { revocation: Some(merged), ..self.clone() }
    }
}

impl TrustDomains {
    /// These domains with the newest revocation lists of both: what `others` know as revoked is revoked here.
    pub fn with_lists_of(&self, others: &Self) -> Self {
        let domains = self.domains.iter().map(|domain| domain.with_lists_of(others)).collect();
        Self { domains, anchors: self.anchors }
    }
}
