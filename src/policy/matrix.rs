//! The whole policy at a glance: what each service may do, and who could talk to whom.
//!
//! Plain data, sorted, so that its text can be reviewed and compared from one change of the policy to the next.

mod text;

use std::collections::{BTreeMap, BTreeSet};

use super::rules::Rules;
use super::{Denial, Grants, GroupName, Policy, Responses, Rule};
use crate::identity::{Role, RuleName, ServiceName};
use crate::topic::Pattern;

/// Rights and conversations of the services asked about. Its `Display` is an aligned table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// By service, then roles.
    pub services: Vec<ServiceRow>,
    /// By publisher, then subscriber; pairs that have no topic in common are left out.
    pub conversations: Vec<Conversation>,
}

/// What one service with one set of roles may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRow {
    pub service: ServiceName,
    pub roles: Vec<Role>,
    pub connect: Result<RuleName, Denial>,
    pub publish: Vec<Rule>,
    pub deny_publish: Vec<Rule>,
    pub subscribe: Vec<Rule>,
    pub deny_subscribe: Vec<Rule>,
    pub shared_groups: Vec<(GroupName, RuleName)>,
    pub responses: Option<(Responses, RuleName)>,
}

/// What `subscriber` could hear from `publisher`, requests and their inboxes aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    pub publisher: ServiceName,
    pub subscriber: ServiceName,
    /// Sorted; none lies wholly within another.
    pub overlaps: Vec<Overlap>,
}

/// Topics that one side may publish and the other may subscribe to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Overlap {
    pub pattern: Pattern,
    /// What a deny of either side takes out of it; sorted.
    pub except: Vec<Pattern>,
}

/// Derives the matrix of `services`, each with the roles that its certificates give it.
pub fn matrix(policy: &Policy, services: &[(ServiceName, Vec<Role>)]) -> Matrix {
    let asked: BTreeSet<(&ServiceName, BTreeSet<&Role>)> =
        services.iter().map(|(service, roles)| (service, roles.iter().collect())).collect();
    let compiled: Vec<(Vec<Role>, Grants)> = asked
        .into_iter()
        .map(|(service, roles)| {
            let roles: Vec<Role> = roles.into_iter().cloned().collect();
            let grants = policy.grants(service, &roles);
            (roles, grants)
        })
        .collect();
    let grants: Vec<&Grants> = compiled.iter().map(|(_, grants)| grants).collect();
    Matrix {
        conversations: conversations(&grants),
        services: compiled.iter().map(|(roles, grants)| row(roles, grants)).collect(),
    }
}

fn row(roles: &[Role], grants: &Grants) -> ServiceRow {
    ServiceRow {
        service: grants.service().clone(),
        roles: roles.to_vec(),
        connect: grants.connect(),
        publish: sorted(grants.publish_rules()),
        deny_publish: sorted(grants.deny_publish_rules()),
        subscribe: sorted(grants.subscribe_rules()),
        deny_subscribe: sorted(grants.deny_subscribe_rules()),
        shared_groups: grants.shared_groups().map(|(group, rule)| (group.clone(), rule.clone())).collect(),
        responses: grants.responses().map(|(responses, rule)| (responses, rule.clone())),
    }
}

fn sorted(rules: &[Rule]) -> Vec<Rule> {
    let mut rules = rules.to_vec();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// A service may stand in several rows, with different roles; its conversations are those of all of them.
fn conversations(all: &[&Grants]) -> Vec<Conversation> {
    let talking: Vec<&Grants> = all.iter().copied().filter(|grants| grants.connect().is_ok()).collect();
    let mut pairs: BTreeMap<(&ServiceName, &ServiceName), BTreeSet<Overlap>> = BTreeMap::new();
    for publisher in &talking {
        for subscriber in &talking {
            let pair = (publisher.service(), subscriber.service());
            pairs.entry(pair).or_default().extend(overlaps(publisher, subscriber));
        }
    }
    pairs
        .into_iter()
        .map(|((publisher, subscriber), overlaps)| Conversation {
            publisher: publisher.clone(),
            subscriber: subscriber.clone(),
            overlaps: widest(overlaps),
        })
        .filter(|conversation| !conversation.overlaps.is_empty())
        .collect()
}

fn overlaps(publisher: &Grants, subscriber: &Grants) -> BTreeSet<Overlap> {
    let mut found = BTreeSet::new();
    for rule in publisher.publish_rules() {
        for wanted in subscriber.subscribe_index().overlapping(&rule.pattern) {
            let Some(pattern) = intersection(&rule.pattern, &wanted) else { continue };
            let denies = [publisher.deny_publish(), subscriber.deny_subscribe()];
            if denies.iter().any(|rules| rules.first_covering(&pattern).is_some()) {
                continue;
            }
            let except = exceptions(&denies, &pattern);
            found.insert(Overlap { pattern, except });
        }
    }
    found
}

fn exceptions(denies: &[&Rules], pattern: &Pattern) -> Vec<Pattern> {
    let common = |denied: Pattern| intersection(&denied, pattern);
    let all: BTreeSet<Pattern> =
        denies.iter().flat_map(|rules| rules.overlapping(pattern)).filter_map(common).collect();
    let within_another = |inner: &Pattern| all.iter().any(|outer| outer != inner && outer.covers(inner));
    all.iter().filter(|pattern| !within_another(pattern)).cloned().collect()
}

/// Leaves out what another overlap says already.
fn widest(overlaps: BTreeSet<Overlap>) -> Vec<Overlap> {
    let said_by = |inner: &Overlap, outer: &Overlap| {
        inner != outer
            && outer.pattern.covers(&inner.pattern)
            && outer
                .except
                .iter()
                .filter_map(|denied| intersection(denied, &inner.pattern))
                .all(|denied| inner.except.iter().any(|taken_out| taken_out.covers(&denied)))
    };
    overlaps.iter().filter(|inner| !overlaps.iter().any(|outer| said_by(inner, outer))).cloned().collect()
}

/// The one pattern for the topics that match both; none where there is no such topic.
fn intersection(ours: &Pattern, theirs: &Pattern) -> Option<Pattern> {
    if !ours.overlaps(theirs) {
        return None;
    }
    let (mut our_tokens, mut their_tokens) = (ours.tokens(), theirs.tokens());
    let mut common = Vec::new();
    loop {
        match (our_tokens.next(), their_tokens.next()) {
            (Some(">"), Some(token)) => {
                common.push(token);
                common.extend(their_tokens);
                break;
            }
            (Some(token), Some(">")) => {
                common.push(token);
                common.extend(our_tokens);
                break;
            }
            (Some("*"), Some(token)) | (Some(token), Some(_)) => common.push(token),
            (None, _) | (_, None) => break,
        }
    }
    // Two long patterns can have nothing in common but topics longer than a topic may be.
    Pattern::parse(&common.join(".")).ok()
}

#[cfg(test)]
mod tests;
