//! The whole policy at a glance: what each service may do, and who could talk to whom.
//!
//! Plain data, sorted, so that its text can be reviewed and compared from one change of the policy to the next.

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::rules::Rules;
use super::{Denial, Grants, GroupName, Policy, Responses, Rule};
use crate::identity::{MAX_NAME_BYTES, Role, RuleName, ServiceName};
use crate::topic::Pattern;

/// Rights and conversations of the services asked about. Its `Display` is an aligned table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// By who, then roles.
    pub rows: Vec<Row>,
    /// By publisher, then subscriber; pairs that have no topic in common are left out.
    pub conversations: Vec<Conversation>,
}

/// Whom a row is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Service(ServiceName),
    /// Any service that has the role and that no grant names. The role in braces stands for its name in patterns: no
    /// pattern of a policy has braces.
    AnyWith(Role),
}

/// What one service with one set of roles, or any service with one role, may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub who: Who,
    /// Those that the service was asked about with.
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
    pub publisher: Who,
    pub subscriber: Who,
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
    let of_service = |(service, roles): (&ServiceName, BTreeSet<&Role>)| {
        let roles: Vec<Role> = roles.into_iter().cloned().collect();
        let grants = policy.grants(service, &roles);
        Compiled { who: Who::Service(service.clone()), roles, grants }
    };
    assembled(&asked.into_iter().map(of_service).collect::<Vec<_>>())
}

/// Derives the matrix of every service that a grant names, without roles, and of any service with each of the roles.
pub fn matrix_of_everybody(policy: &Policy) -> Matrix {
    let of_service = |service: &ServiceName| Compiled {
        who: Who::Service(service.clone()),
        roles: Vec::new(),
        grants: policy.grants(service, &[]),
    };
    let of_role = |(place, role): (usize, &Role)| Compiled {
        who: Who::AnyWith(role.clone()),
        roles: Vec::new(),
        grants: policy.grants_of_role(role, &stand_in(place, role)),
    };
    let services = policy.service_names().map(of_service);
    let all: Vec<_> = services.chain(policy.role_names().enumerate().map(of_role)).collect();
    assembled(&all)
}

/// What stands for the name of any service with the role at `place`: another token for each, and never a longer one than
/// a name may be.
fn stand_in(place: usize, role: &Role) -> String {
    let braced = format!("{{{role}}}");
    if braced.len() <= MAX_NAME_BYTES {
        return braced;
    }
    let beginning: String = role.as_str().chars().take(MAX_NAME_BYTES / 2).collect();
    format!("{{{beginning}~{place}}}")
}

/// A row on its way.
struct Compiled {
    who: Who,
    roles: Vec<Role>,
    grants: Grants,
}

fn assembled(all: &[Compiled]) -> Matrix {
    Matrix { conversations: conversations(all), rows: all.iter().map(row).collect() }
}

fn row(Compiled { who, roles, grants }: &Compiled) -> Row {
    Row {
        who: who.clone(),
        roles: roles.clone(),
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
fn conversations(all: &[Compiled]) -> Vec<Conversation> {
    let talking: Vec<&Compiled> = all.iter().filter(|row| row.grants.connect().is_ok()).collect();
    let mut pairs: BTreeMap<(&Who, &Who), BTreeSet<Overlap>> = BTreeMap::new();
    for publisher in &talking {
        for subscriber in &talking {
            let pair = (&publisher.who, &subscriber.who);
            pairs.entry(pair).or_default().extend(overlaps(&publisher.grants, &subscriber.grants));
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

/// Not to be mistaken for a service: a name has no space.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(f, "{service}"),
            Self::AnyWith(role) => write!(f, "role {role}"),
        }
    }
}

#[cfg(test)]
mod tests;
