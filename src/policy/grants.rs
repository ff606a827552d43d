//! The compiled rights of one service, and the decisions they give.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::SYSTEM_PREFIX;
use super::denial::{Denial, DenialReason};
use super::grant::{Grant, ResponseRule, Responses};
use super::group::{GroupName, GroupScope};
use super::permit::{PublishPermit, SubscribePermit};
use super::rules::{Rule, Rules};
use super::template::PatternTemplate;
use crate::identity::{RuleName, ServiceName};
use crate::topic::{Pattern, Topic};

/// What one service may do. Sessions of a service that have the same roles can share one in an `Arc`.
#[derive(Debug)]
pub struct Grants {
    service: ServiceName,
    connect: Result<RuleName, Denial>,
    publish: Rules,
    subscribe: Rules,
    deny_publish: Rules,
    deny_subscribe: Arc<Rules>,
    shared_groups: BTreeMap<GroupName, RuleName>,
    responses: Option<(Responses, RuleName)>,
}

/// How often and until when a session may answer one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseRight {
    pub until: Instant,
    pub uses: u32,
    /// The grant that widens or narrows the right; none for the usual one.
    pub rule: Option<RuleName>,
}

impl Grants {
    /// The rights of `service` by the grants `applying`, in whose patterns `name` stands for it.
    pub(super) fn compile(service: ServiceName, name: &str, applying: &[&Grant]) -> Self {
        let rules = |field: fn(&Grant) -> &Vec<PatternTemplate>| -> Rules {
            let rule = |grant: &Grant, template: &PatternTemplate| Rule {
                pattern: template.fill(name),
                grant: grant.name.clone(),
            };
            applying
                .iter()
                .flat_map(|grant| field(grant).iter().map(|template| rule(grant, template)))
                .collect()
        };
        Self {
            connect: may_connect(applying),
            publish: rules(|grant| &grant.publish),
            subscribe: rules(|grant| &grant.subscribe),
            deny_publish: rules(|grant| &grant.deny_publish),
            deny_subscribe: Arc::new(rules(|grant| &grant.deny_subscribe)),
            shared_groups: shared_groups(applying),
            responses: responses(applying),
            service,
        }
    }

    /// Whose rights these are.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Whether the service may have a session, and by which grant. Without it, all below is denied too.
    pub fn connect(&self) -> Result<RuleName, Denial> {
        self.connect.clone()
    }

    /// Whether the service may publish on `topic`.
    ///
    /// # Errors
    /// [`DenialReason::ReplyRightNeeded`] for a topic in an inbox: then the session's [reply
    /// rights](super::ReplyRights) decide.
    pub fn publish(&self, topic: &Topic) -> Result<PublishPermit, Denial> {
        self.connected().map_err(|denial| denial.clone().about(topic))?;
        if topic.first_token() == SYSTEM_PREFIX {
            return Err(Denial::new(DenialReason::SystemTopic, topic));
        }
        if topic.is_inbox() {
            return Err(Denial::new(DenialReason::ReplyRightNeeded, topic));
        }
        if let Some(deny) = self.deny_publish.first_matching(topic) {
            return Err(Denial::new(DenialReason::DeniedBy, topic).by(deny.grant.clone()));
        }
        match self.publish.first_matching(topic) {
            Some(allow) => Ok(PublishPermit::by_rule(topic.clone(), allow.grant.clone())),
            None => Err(Denial::new(DenialReason::NoGrant, topic)),
        }
    }

    /// Whether the service may subscribe to `pattern`, as a member of `group` if one is given.
    ///
    /// The pattern must lie inside one allowed pattern. A deny that covers it refuses it; denies that overlap it become
    /// the permit's filter. In an inbox of good name everybody who may connect may subscribe; that the inbox is its
    /// own is for the router to see to.
    pub fn subscribe(&self, pattern: &Pattern, group: Option<&GroupName>) -> Result<SubscribePermit, Denial> {
        let connect = self.connected().map_err(|denial| denial.clone().about(pattern.clone()))?;
        if pattern.first_token() == SYSTEM_PREFIX {
            return Err(Denial::new(DenialReason::SystemTopic, pattern.clone()));
        }
        if pattern.is_inbox() {
            return match pattern.inbox_token() {
                Some(_) => Ok(self.subscribe_permit(pattern, group, Vec::new(), connect)),
                None => Err(Denial::new(DenialReason::InboxName, pattern.clone())),
            };
        }
        if let Some(deny) = self.deny_subscribe.first_covering(pattern) {
            return Err(Denial::new(DenialReason::DeniedBy, pattern.clone()).by(deny.grant.clone()));
        }
        let Some(allow) = self.subscribe.first_covering(pattern) else {
            return Err(Denial::new(DenialReason::NoGrant, pattern.clone()));
        };
        let filter = self.deny_subscribe.overlapping(pattern);
        Ok(self.subscribe_permit(pattern, group, filter, &allow.grant))
    }

    /// Whether a message of this service may ask for answers at `reply`: in an inbox of its own, which the caller tells by the
    /// inbox's token, or where it may itself publish. Otherwise the answer would be published with the answerer's rights on
    /// behalf of one who has none.
    pub fn reply_topic(&self, reply: &Topic, owns_inbox: impl FnOnce(&str) -> bool) -> Result<(), Denial> {
        self.connected().map_err(|denial| denial.clone().about(reply))?;
        if reply.is_inbox() {
            return match reply.inbox_token().map(owns_inbox) {
                Some(true) => Ok(()),
                Some(false) => Err(Denial::new(DenialReason::InboxNotOwned, reply)),
                None => Err(Denial::new(DenialReason::InboxName, reply)),
            };
        }
        match self.publish(reply) {
            Ok(_) => Ok(()),
            Err(denial) => Err(Denial { why: DenialReason::ReplyTopic, ..denial }),
        }
    }

    /// The right to answer a request received at `now` that waits until `deadline`.
    ///
    /// # Errors
    /// [`DenialReason::ResponsesForbidden`], and what [`connect`](Self::connect) denies.
    pub fn response_right(&self, now: Instant, deadline: Instant) -> Result<ResponseRight, Denial> {
        self.connected().map_err(Denial::clone)?;
        match &self.responses {
            None => Ok(ResponseRight { until: deadline, uses: 1, rule: None }),
            Some((Responses::Allowed(ResponseRule { max, within }), rule)) => Ok(ResponseRight {
                until: now.checked_add(*within).unwrap_or(deadline),
                uses: *max,
                rule: Some(rule.clone()),
            }),
            Some((Responses::Forbidden, rule)) => {
                Err(Denial::of_service(DenialReason::ResponsesForbidden, Some(rule.clone())))
            }
        }
    }

    /// Whether requests may be answered at all.
    pub fn may_respond(&self) -> bool {
        self.connect.is_ok() && !matches!(self.responses, Some((Responses::Forbidden, _)))
    }

    /// What the grants allow to publish, in their order; denies not taken off.
    pub fn publish_rules(&self) -> &[Rule] {
        self.publish.list()
    }

    /// What the grants allow to subscribe to, in their order; denies not taken off.
    pub fn subscribe_rules(&self) -> &[Rule] {
        self.subscribe.list()
    }

    pub fn deny_publish_rules(&self) -> &[Rule] {
        self.deny_publish.list()
    }

    pub fn deny_subscribe_rules(&self) -> &[Rule] {
        self.deny_subscribe.list()
    }

    /// The queue groups that the service shares with others, and the first grant that says so.
    pub fn shared_groups(&self) -> impl Iterator<Item = (&GroupName, &RuleName)> {
        self.shared_groups.iter()
    }

    /// Whether both allow the same, whichever grants say so.
    pub fn allows_as(&self, other: &Self) -> bool {
        let patterns = |rules: &Rules| -> BTreeSet<Pattern> {
            rules.list().iter().map(|rule| rule.pattern.clone()).collect()
        };
        let answers = |grants: &Self| grants.responses.as_ref().map(|(responses, _)| *responses);
        self.connect.is_ok() == other.connect.is_ok()
            && patterns(&self.publish) == patterns(&other.publish)
            && patterns(&self.subscribe) == patterns(&other.subscribe)
            && patterns(&self.deny_publish) == patterns(&other.deny_publish)
            && patterns(&self.deny_subscribe) == patterns(&other.deny_subscribe)
            && self.shared_groups.keys().eq(other.shared_groups.keys())
            && answers(self) == answers(other)
    }

    /// What the grants say about answering requests, if they say anything.
    pub fn responses(&self) -> Option<(Responses, &RuleName)> {
        self.responses.as_ref().map(|(responses, rule)| (*responses, rule))
    }

    pub(super) fn deny_publish(&self) -> &Rules {
        &self.deny_publish
    }

    pub(super) fn deny_subscribe(&self) -> &Rules {
        &self.deny_subscribe
    }

    pub(super) fn subscribe_index(&self) -> &Rules {
        &self.subscribe
    }

    fn connected(&self) -> Result<&RuleName, &Denial> {
        self.connect.as_ref()
    }

    fn subscribe_permit(
        &self,
        pattern: &Pattern,
        group: Option<&GroupName>,
        filter: Vec<Pattern>,
        rule: &RuleName,
    ) -> SubscribePermit {
        SubscribePermit {
            service: self.service.clone(),
            pattern: pattern.clone(),
            group: group.map(|name| self.scope(name)),
            filter: Arc::from(filter),
            denies: self.deny_subscribe.clone(),
            rule: rule.clone(),
        }
    }

    fn scope(&self, group: &GroupName) -> GroupScope {
        if self.shared_groups.contains_key(group) {
            GroupScope::Shared(group.clone())
        } else {
            GroupScope::Service(self.service.clone(), group.clone())
        }
    }
}

fn may_connect(applying: &[&Grant]) -> Result<RuleName, Denial> {
    let forbidding = applying.iter().find(|grant| grant.connect == Some(false));
    let allowing = applying.iter().find(|grant| grant.allows_something());
    match (forbidding, allowing) {
        (Some(grant), _) => Err(Denial::of_service(DenialReason::ConnectForbidden, Some(grant.name.clone()))),
        (None, Some(grant)) => Ok(grant.name.clone()),
        (None, None) => Err(Denial::of_service(DenialReason::NoGrant, None)),
    }
}

fn shared_groups(applying: &[&Grant]) -> BTreeMap<GroupName, RuleName> {
    let mut shared = BTreeMap::new();
    for grant in applying {
        for group in &grant.groups {
            shared.entry(group.clone()).or_insert_with(|| grant.name.clone());
        }
    }
    shared
}

/// Forbidden wins; of several rules the one with the most messages, then with the most time, so that their order
/// decides nothing.
fn responses(applying: &[&Grant]) -> Option<(Responses, RuleName)> {
    let stated = || applying.iter().filter_map(|grant| Some((grant.responses?, &grant.name)));
    let forbidding = stated().find(|(responses, _)| *responses == Responses::Forbidden);
    let widest = || stated().reduce(|best, other| if width(other.0) > width(best.0) { other } else { best });
    forbidding.or_else(widest).map(|(responses, rule)| (responses, rule.clone()))
}

fn width(responses: Responses) -> Option<ResponseRule> {
    match responses {
        Responses::Allowed(rule) => Some(rule),
        Responses::Forbidden => None,
    }
}
