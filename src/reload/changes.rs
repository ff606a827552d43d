//! What differs between two generations, as values: for a person before a change, and for the question whether anything
//! but revocation changed.
//!
//! Names of CAs come from certificates; the values hold them as they are, the text shows them escaped.

mod limits;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::generation::{Generation, ListenerState};
use crate::identity::TrustName;
use crate::identity::certificate::IssuerId;
use crate::identity::mapping::{Mapping, Rule};
use crate::policy::{Grant, Policy};
use crate::trust::{AuthorityFacts, AuthorityKind, ListFacts, TrustDomain};

/// Everything that differs. Empty lists say that nothing does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    pub listeners: Vec<ListenerChange>,
    pub trust: Vec<TrustChange>,
    /// Entries of the deny list.
    pub deny: DenyChange,
    /// Grants, by name.
    pub grants: NameChanges,
    pub limits: Vec<LimitChange>,
    /// `[nats]`, or where clients can go when the gateway drains.
    pub dialects: bool,
    /// Trust domains that renew, by name.
    pub renewal: NameChanges,
}

/// One listener, in the order of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerChange {
    pub listener: usize,
    /// The gateway's own certificate.
    pub certificate: Option<CertificateChange>,
    /// Path, dialect, origins or versions of TLS.
    pub rules: bool,
    /// The names by which it is dialled.
    pub names: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateChange {
    pub before: OwnCertificate,
    pub after: OwnCertificate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnCertificate {
    pub fingerprint: String,
    pub ends_unix: u64,
}

/// One trust domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustChange {
    pub trust: String,
    pub domain: Presence,
    pub anchors: AuthorityChanges,
    pub intermediates: AuthorityChanges,
    pub lists: Vec<ListChange>,
    /// Mapping rules, by name.
    pub rules: NameChanges,
    /// Whether rules stand in another order, or the claims of names are others.
    pub claims: bool,
    /// Whether revocation was switched on or off, or what a stale list is good for.
    pub revocation_switched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    Kept,
    Added,
    Removed,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityChanges {
    pub added: Vec<Authority>,
    pub removed: Vec<Authority>,
}

/// A CA certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    pub name: String,
    pub fingerprint: String,
    pub ends_unix: u64,
}

/// One revocation list of a CA: replaced, or there on one side alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListChange {
    pub ca: String,
    /// The distribution points that it speaks for; none if for all of the CA's certificates.
    pub points: Vec<String>,
    pub before: Option<ListState>,
    pub after: Option<ListState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListState {
    /// The list's number in hex.
    pub number: String,
    pub entries: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyChange {
    pub added: usize,
    pub removed: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameChanges {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
}

/// One key of `[limits]`; `None` is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitChange {
    pub key: String,
    pub before: Option<u64>,
    pub after: Option<u64>,
}

impl Changes {
    pub fn between(before: &Generation, after: &Generation) -> Self {
        let pairs = before.listeners.iter().zip(&after.listeners).enumerate();
        Self {
            listeners: pairs.filter_map(|(place, (old, new))| listener_change(place, old, new)).collect(),
            trust: trust_changes(before, after),
            deny: DenyChange {
                added: after.deny.not_in(&before.deny),
                removed: before.deny.not_in(&after.deny),
            },
            grants: NameChanges::between(named_grants(&before.policy), named_grants(&after.policy)),
            limits: limits::changes(&before.limits, &after.limits),
            dialects: before.dialects != after.dialects,
            renewal: NameChanges::between(before.renewal.named(), after.renewal.named()),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether anything changed but the gateway's own key pairs, the deny list, and revocation lists that newer ones
    /// replaced. Those are replaced as a matter of course, and nobody wants the former ones back.
    pub fn is_more_than_revocation(&self) -> bool {
        let is_more = |listener: &ListenerChange| listener.rules || listener.names;
        self.listeners.iter().any(is_more)
            || !(self.limits.is_empty() && self.renewal.is_empty())
            || self.dialects
            || self.can_cut()
    }

    /// Whether nothing changed but the deny list, and revocation lists that newer ones replaced.
    pub fn is_only_revocation(&self) -> bool {
        !self.is_empty() && self.listeners.is_empty() && !self.is_more_than_revocation()
    }

    /// Whether sessions may end by it at once for another reason than a revocation, or have to prove themselves right away.
    /// Key pairs, newer lists and limits leave everybody who they are; a shorter `max_session_age` ends sessions, but none
    /// that was not asked for a proof before, and the same certificate serves for that.
    pub fn can_cut(&self) -> bool {
        !self.grants.is_empty() || !self.trust.iter().all(TrustChange::is_revocation)
    }
}

impl TrustChange {
    fn is_revocation(&self) -> bool {
        self.domain == Presence::Kept
            && self.anchors.is_empty()
            && self.intermediates.is_empty()
            && self.rules.is_empty()
            && !self.claims
            && !self.revocation_switched
            && self.lists.iter().all(|list| list.before.is_some() && list.after.is_some())
    }

    fn is_nothing(&self) -> bool {
        self.is_revocation() && self.lists.is_empty()
    }
}

impl AuthorityChanges {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

impl NameChanges {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// Compares by name what has one.
    fn between<'a, T: PartialEq + 'a>(
        before: impl IntoIterator<Item = (&'a str, &'a T)>,
        after: impl IntoIterator<Item = (&'a str, &'a T)>,
    ) -> Self {
        let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (before.into_iter().collect(), after.into_iter().collect());
        let mut changes = Self::default();
        for (name, new) in &after {
            match before.get(name) {
                None => changes.added.push((*name).to_owned()),
                Some(old) if old != new => changes.changed.push((*name).to_owned()),
                Some(_) => {}
            }
        }
        let removed = before.keys().filter(|name| !after.contains_key(*name));
        changes.removed = removed.map(ToString::to_string).collect();
        changes
    }
}

fn listener_change(listener: usize, before: &ListenerState, after: &ListenerState) -> Option<ListenerChange> {
    let own = |state: &ListenerState| OwnCertificate {
        fingerprint: state.fingerprint.to_string(),
        ends_unix: state.not_after,
    };
    let certificate = (before.fingerprint != after.fingerprint)
        .then(|| CertificateChange { before: own(before), after: own(after) });
    let rules = before.rules != after.rules || before.danger_tls12() != after.danger_tls12();
    let names = before.names != after.names;
    (certificate.is_some() || rules || names).then_some(ListenerChange {
        listener,
        certificate,
        rules,
        names,
    })
}

fn trust_changes(before: &Generation, after: &Generation) -> Vec<TrustChange> {
    let names: BTreeSet<&TrustName> =
        [before, after].iter().flat_map(|each| each.trust.domains()).map(TrustDomain::name).collect();
    let change = |name: &TrustName| trust_change(name, before.trust.domain(name), after.trust.domain(name));
    names.into_iter().map(change).filter(|change| !change.is_nothing()).collect()
}

fn trust_change(name: &TrustName, before: Option<&TrustDomain>, after: Option<&TrustDomain>) -> TrustChange {
    let domain = match (before, after) {
        (None, _) => Presence::Added,
        (_, None) => Presence::Removed,
        (Some(_), Some(_)) => Presence::Kept,
    };
    let (old, new) = (before.map(TrustDomain::mapping), after.map(TrustDomain::mapping));
    let rules =
        NameChanges::between(old.into_iter().flat_map(named_rules), new.into_iter().flat_map(named_rules));
    let revocation = |domain: Option<&TrustDomain>| {
        domain.map(|domain| (domain.revocation_lists().is_some(), domain.accepts_stale_lists()))
    };
    TrustChange {
        trust: name.to_string(),
        domain,
        anchors: authority_changes(AuthorityKind::Anchor, before, after),
        intermediates: authority_changes(AuthorityKind::Intermediate, before, after),
        lists: list_changes(before, after),
        claims: domain == Presence::Kept && rules.is_empty() && old != new,
        rules,
        revocation_switched: domain == Presence::Kept && revocation(before) != revocation(after),
    }
}

fn named_rules(mapping: &Mapping) -> impl Iterator<Item = (&str, &Rule)> {
    mapping.rules().iter().map(|rule| (rule.name().as_str(), rule))
}

fn authority_changes(
    kind: AuthorityKind,
    before: Option<&TrustDomain>,
    after: Option<&TrustDomain>,
) -> AuthorityChanges {
    let of = |domain: Option<&TrustDomain>| -> Vec<Authority> {
        let facts = |facts: AuthorityFacts<'_>| Authority {
            name: facts.name.to_owned(),
            fingerprint: facts.fingerprint.to_string(),
            ends_unix: facts.end,
        };
        let all = domain.into_iter().flat_map(TrustDomain::authorities);
        all.filter(|authority| authority.kind == kind).map(facts).collect()
    };
    let (old, new) = (of(before), of(after));
    let missing = |of: &[Authority], from: &[Authority]| -> Vec<Authority> {
        of.iter().filter(|authority| !from.contains(authority)).cloned().collect()
    };
    AuthorityChanges { added: missing(&new, &old), removed: missing(&old, &new) }
}

fn list_changes(before: Option<&TrustDomain>, after: Option<&TrustDomain>) -> Vec<ListChange> {
    let (old, new) = (lists_by_scope(before), lists_by_scope(after));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let change = |key: &_| {
        let (before, after) = (old.get(key), new.get(key));
        let is_same =
            before.map(|list| (list.age, list.entries)) == after.map(|list| (list.age, list.entries));
        let known = after.or(before).filter(|_| !is_same)?;
        let state =
            |list: &ListFacts<'_>| ListState { number: list.age.number.to_string(), entries: list.entries };
        Some(ListChange {
            ca: known.ca.to_owned(),
            points: known.points.iter().map(ToString::to_string).collect(),
            before: before.map(state),
            after: after.map(state),
        })
    };
    keys.into_iter().filter_map(change).collect()
}

type Lists<'d> = BTreeMap<(IssuerId, Box<[Box<str>]>), ListFacts<'d>>;

fn lists_by_scope(domain: Option<&TrustDomain>) -> Lists<'_> {
    let lists = domain.map(TrustDomain::lists).unwrap_or_default();
    lists.into_iter().map(|list| ((list.issuer, list.points.clone()), list)).collect()
}

fn named_grants(policy: &Policy) -> impl Iterator<Item = (&str, &Grant)> {
    policy.all().iter().map(|grant| (grant.name.as_str(), grant))
}

#[cfg(test)]
mod tests;
