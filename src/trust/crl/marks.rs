//! How far the lists of every CA have come, for as long as the process lives: no list goes back behind that, not even
//! with a CA that was away in between.

use std::collections::HashMap;

use super::{CrlAge, RevocationLists, Scope};
use crate::identity::certificate::IssuerId;

/// The newest age of every CA's lists that was ever accepted, by scope. Of a CA that is configured there are as many as
/// it has lists, since a list that speaks for as many certificates and is not older takes a mark's place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    by_issuer: HashMap<IssuerId, Vec<(Scope, CrlAge)>>,
}

impl Marks {
    /// The marks that these lists set by themselves.
    pub(crate) fn of<'l>(all: impl IntoIterator<Item = &'l RevocationLists>) -> Self {
        let mut marks = Self::default();
        for lists in all {
            for (issuer, list) in lists.all() {
                marks.raise(issuer, &list.scope, list.age());
            }
        }
        marks
    }

    /// Takes the higher of both.
    pub(crate) fn raise_to(&mut self, other: &Self) {
        for (issuer, marks) in &other.by_issuer {
            marks.iter().for_each(|(scope, age)| self.raise(*issuer, scope, *age));
        }
    }

    pub(super) fn of_issuer(&self, issuer: IssuerId) -> &[(Scope, CrlAge)] {
        self.by_issuer.get(&issuer).map_or(&[], Vec::as_slice)
    }

    fn raise(&mut self, issuer: IssuerId, scope: &Scope, age: CrlAge) {
        let marks = self.by_issuer.entry(issuer).or_default();
        if marks.iter().any(|(held, mark)| held.includes(scope) && *mark >= age) {
            return;
        }
        marks.retain(|(held, mark)| !(scope.includes(held) && age >= *mark));
        marks.push((scope.clone(), age));
    }
}
