//! What the lists of a trust domain are, for those who compare two sets.

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
}
