//! What the lists of a trust domain are, for those who compare two sets.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{CrlAge, RevocationList, RevocationLists, Scope};
use crate::identity::certificate::IssuerId;

/// One list, without its entries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListSummary {
    pub(crate) issuer: IssuerId,
    /// The distribution points that it speaks for; none if for all of the issuer's certificates.
    pub(crate) points: Box<[Box<str>]>,
    pub(crate) age: CrlAge,
    pub(crate) entries: usize,
}

impl RevocationLists {
    /// Every list, sorted.
    pub(crate) fn summaries(&self) -> Vec<ListSummary> {
        let summary = |issuer: IssuerId, list: &RevocationList| ListSummary {
            issuer,
            points: match &list.scope {
                Scope::Complete => Box::default(),
                Scope::DistributionPoints(points) => points.clone(),
            },
            age: list.age(),
            entries: list.len(),
        };
        let of = |(issuer, lists): (&IssuerId, &Vec<Arc<RevocationList>>)| -> Vec<_> {
            lists.iter().map(|list| summary(*issuer, list)).collect()
        };
        let mut all: Vec<_> = self.by_issuer.iter().flat_map(of).collect();
        all.sort_unstable();
        all
    }

    /// This set and, of the lists of `other` by one of `issuers`, each that is newer or speaks for certificates that no
    /// list here speaks for.
    pub(crate) fn with_newest_of(&self, other: &Self, issuers: &BTreeSet<IssuerId>) -> Self {
        let mut merged = self.clone();
        for issuer in issuers {
            for list in other.of(*issuer) {
                let ours = merged.by_issuer.entry(*issuer).or_default();
                match ours.iter_mut().find(|held| held.scope == list.scope) {
                    None => ours.push(list.clone()),
                    Some(held) if list.age() > held.age() => *held = list.clone(),
                    Some(_) => {}
                }
            }
        }
        merged
    }
}
