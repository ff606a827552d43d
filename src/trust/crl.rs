//! What has been revoked, by issuer and serial number.
//!
//! Signatures are verified when a list is loaded, once. `webpki` would verify them again at every handshake, and take
//! the first list that bears the issuer's name; here a list belongs to the CA whose name *and* key it bears.
//!
//! A list may speak for part of an issuer's certificates, by distribution point. Such lists add up: what any list
//! revokes is revoked, whatever its scope and age. That a certificate is *good* takes a list that speaks for it: a
//! complete one, or one of a distribution point that the certificate names. A certificate that names none is judged
//! by all lists of its issuer together. Every list that speaks for a certificate must be fresh.

mod inventory;
mod list;
mod marks;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateRevocationListDer, UnixTime};

use super::anchors::Authority;
use super::domain::StaleLists;
use crate::identity::certificate::{CrlNumber, IssuerId};
use crate::identity::peer::PathLink;

pub(crate) use inventory::ListSummary;
use list::{RevocationList, Scope};

pub use list::{CrlError, MAX_CLOCK_SKEW_SECS};
pub(crate) use marks::Marks;

/// The revocation lists of one trust domain. Copies share the lists.
#[derive(Debug, Clone, Default)]
pub struct RevocationLists {
    by_issuer: HashMap<IssuerId, Vec<Arc<RevocationList>>>,
}

/// The state of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationStatus {
    Good,
    Revoked,
    /// No list speaks for the certificate.
    Unknown,
    /// A list that speaks for the certificate should have been replaced.
    Stale {
        /// When the next list was due, in Unix seconds.
        since: u64,
    },
}

/// How old a list is: of two by one CA, the one with the higher number is newer, and of equal numbers the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CrlAge {
    pub number: CrlNumber,
    /// Unix seconds.
    pub this_update: u64,
}

impl fmt::Display for CrlAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "number {} of {}", self.number, self.this_update)
    }
}

/// For how long one list is good.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CrlLife<'a> {
    pub issuer: IssuerId,
    pub age: CrlAge,
    /// Unix seconds; from then on the list is stale.
    pub next_update: u64,
    /// The distribution points it speaks for; none if it speaks for all its issuer's certificates.
    pub points: &'a [Box<str>],
}

/// A list that was valid before and has no equal now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrlRegression {
    pub issuer: IssuerId,
    pub before: CrlAge,
    /// The newest list that speaks for as many certificates; `None` if there is none of any age.
    pub now: Option<CrlAge>,
}

impl RevocationLists {
    /// Reads every list. Of several with the same issuer and scope the newest number counts. Faults come with the
    /// list's position, counted from one.
    pub(crate) fn load(
        lists: &[CertificateRevocationListDer<'_>],
        authorities: &[Authority],
        now: UnixTime,
    ) -> Result<Self, Vec<(usize, CrlError)>> {
        let mut loaded = Self::default();
        let mut faults = Vec::new();
        for (position, bytes) in (1..).zip(lists) {
            match RevocationList::load(bytes, authorities, now) {
                Ok((issuer, list)) => loaded.add(issuer, list),
                Err(error) => faults.push((position, error)),
            }
        }
        if faults.is_empty() { Ok(loaded) } else { Err(faults) }
    }

    /// This set with every list replaced for which `lists` has a valid, fresh one of the same issuer and scope with a
    /// higher number. Whatever is wrong with the others does not matter. `None` if nothing is newer.
    pub(crate) fn merge_newer(
        &self,
        lists: &[CertificateRevocationListDer<'_>],
        authorities: &[Authority],
        stale: StaleLists,
        now: UnixTime,
    ) -> Option<Self> {
        let newer: Vec<_> = lists
            .iter()
            .filter_map(|bytes| RevocationList::load(bytes, authorities, now).ok())
            .filter(|(issuer, list)| {
                (stale == StaleLists::Accepted || list.is_fresh(now)) && self.holds_older(*issuer, list)
            })
            .collect();
        if newer.is_empty() {
            return None;
        }
        let mut merged = self.clone();
        newer.into_iter().for_each(|(issuer, list)| merged.add(issuer, list));
        Some(merged)
    }

    /// The state of one certificate of a verified path.
    pub fn status(&self, link: &PathLink, now: UnixTime) -> RevocationStatus {
        let lists = self.of(link.issuer());
        if lists.iter().any(|list| list.revokes(link.serial())) {
            return RevocationStatus::Revoked;
        }
        match self.stale_at(link) {
            None => RevocationStatus::Unknown,
            Some(since) if now.as_secs() >= since => RevocationStatus::Stale { since },
            Some(_) => RevocationStatus::Good,
        }
    }

    /// The second from which a list that speaks for this certificate is stale; `None` if none speaks for it.
    pub fn stale_at(&self, link: &PathLink) -> Option<u64> {
        let speaking = self.of(link.issuer()).iter().filter(|list| list.scope.covers(link));
        speaking.map(|list| list.next_update).min()
    }

    /// When the first of an issuer's lists goes stale, in Unix seconds; `None` if it has no list.
    pub fn next_update(&self, issuer: IssuerId) -> Option<u64> {
        self.of(issuer).iter().map(|list| list.next_update).min()
    }

    /// When the first list of all goes stale, in Unix seconds.
    pub fn earliest_next_update(&self) -> Option<u64> {
        self.by_issuer.values().flatten().map(|list| list.next_update).min()
    }

    /// Which lists there are, and for how long each is good.
    pub fn lives(&self) -> impl Iterator<Item = CrlLife<'_>> {
        self.all().map(|(issuer, list)| CrlLife {
            issuer,
            age: list.age(),
            next_update: list.next_update,
            points: list.scope.points(),
        })
    }

    /// Where this set goes back behind `marks` for one issuer: each mark needs a list that speaks for the same
    /// certificates, or more, and is not older.
    pub(crate) fn regressions(&self, marks: &Marks, issuer: IssuerId) -> Vec<CrlRegression> {
        let regression = |(scope, before): &(Scope, CrlAge)| {
            let successors = self.of(issuer).iter().filter(|list| list.scope.includes(scope));
            let now = successors.map(|list| list.age()).max();
            (now < Some(*before)).then_some(CrlRegression { issuer, before: *before, now })
        };
        marks.of_issuer(issuer).iter().filter_map(regression).collect()
    }

    /// Lists of one issuer that revoke less than the list of `before` with the same number: a CA gives each list a number of
    /// its own (RFC 5280, 5.2.3), so that is no newer list, whatever its date.
    pub(crate) fn weaker_twins(&self, before: &Self, issuer: IssuerId) -> Vec<CrlRegression> {
        let twin_of = |old: &Arc<RevocationList>| {
            let twin =
                self.of(issuer).iter().find(|new| new.scope == old.scope && new.number == old.number)?;
            let is_weaker = !twin.revokes_all_of(old);
            is_weaker.then(|| CrlRegression { issuer, before: old.age(), now: Some(twin.age()) })
        };
        before.of(issuer).iter().filter_map(twin_of).collect()
    }

    /// Adds another set's lists of one issuer where they are newer, only those that are fresh at `fresh_at` if that is
    /// told, and drops those that another one speaks for: an older one would only go stale.
    pub(crate) fn take_newer(&mut self, other: &Self, issuer: IssuerId, fresh_at: Option<UnixTime>) {
        let is_welcome = |list: &&Arc<RevocationList>| fresh_at.is_none_or(|now| list.is_fresh(now));
        let theirs = other.of(issuer).iter().filter(is_welcome);
        let both: Vec<_> = self.of(issuer).iter().chain(theirs).cloned().collect();
        if both.is_empty() {
            return;
        }
        let lists = self.by_issuer.entry(issuer).or_default();
        lists.clear();
        for list in &both {
            let is_outdone = |by: &Arc<RevocationList>| {
                by.scope.includes(&list.scope)
                    && (by.age() > list.age() || by.age() == list.age() && by.scope != list.scope)
            };
            if !both.iter().any(is_outdone) && !lists.iter().any(|held| held.scope == list.scope) {
                lists.push(list.clone());
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = (IssuerId, &RevocationList)> {
        self.by_issuer.iter().flat_map(|(issuer, lists)| lists.iter().map(|list| (*issuer, list.as_ref())))
    }

    fn of(&self, issuer: IssuerId) -> &[Arc<RevocationList>] {
        self.by_issuer.get(&issuer).map_or(&[], Vec::as_slice)
    }

    fn holds_older(&self, issuer: IssuerId, list: &RevocationList) -> bool {
        let is_older = |held: &RevocationList| {
            held.number < list.number || held.age() < list.age() && list.revokes_all_of(held)
        };
        self.of(issuer).iter().any(|held| held.scope == list.scope && is_older(held))
    }

    /// Adds a list, unless a newer one of the same scope is there; replaces an older one.
    fn add(&mut self, issuer: IssuerId, list: RevocationList) {
        let lists = self.by_issuer.entry(issuer).or_default();
        match lists.iter_mut().find(|held| held.scope == list.scope) {
            None => lists.push(Arc::new(list)),
            Some(held) if list.age() > held.age() => *held = Arc::new(list),
            Some(_) => {}
        }
    }
}

impl RevocationList {
    fn revokes_all_of(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.serials(), other.serials());
        ours == theirs || theirs.iter().all(|serial| self.revokes(*serial))
    }

    fn age(&self) -> CrlAge {
        CrlAge { number: self.number, this_update: self.this_update }
    }

    fn is_fresh(&self, now: UnixTime) -> bool {
        now.as_secs() < self.next_update
    }
}

impl Scope {
    /// Whether a list of this scope speaks for every certificate that one of the other speaks for.
    fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Complete, _) => true,
            (Self::DistributionPoints(_), Self::Complete) => false,
            (Self::DistributionPoints(ours), Self::DistributionPoints(theirs)) => {
                theirs.iter().all(|uri| ours.contains(uri))
            }
        }
    }

    fn points(&self) -> &[Box<str>] {
        match self {
            Self::Complete => &[],
            Self::DistributionPoints(points) => points,
        }
    }

    fn covers(&self, link: &PathLink) -> bool {
        match (self, link.distribution_points()) {
            (Self::Complete, _) | (_, None) => true,
            (Self::DistributionPoints(ours), Some(named)) => named.iter().any(|uri| ours.contains(uri)),
        }
    }
}

#[cfg(test)]
mod tests;
