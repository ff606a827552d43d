//! Verdicts of yes. Their fields are private and nothing outside the policy makes one, so to hold a permit is to have
//! been allowed.

use std::sync::Arc;

use super::GroupScope;
use super::rules::Rules;
use crate::identity::{RuleName, ServiceName};
use crate::topic::{Pattern, Topic};

/// Leave to publish on one topic. It may be kept for as long as its generation and session live, unless it is a
/// reply right's: such a one is good for one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishPermit {
    topic: Topic,
    rule: Option<RuleName>,
}

impl PublishPermit {
    pub(super) fn by_rule(topic: Topic, rule: RuleName) -> Self {
        Self { topic, rule: Some(rule) }
    }

    pub(super) fn by_reply_right(topic: Topic) -> Self {
        Self { topic, rule: None }
    }

    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The grant that allows it; none if a reply right does.
    pub fn rule(&self) -> Option<&RuleName> {
        self.rule.as_ref()
    }

    /// Whether a reply right was used up for it, so that it must not be used again.
    pub fn is_reply(&self) -> bool {
        self.rule.is_none()
    }
}

/// Leave to subscribe to one pattern, except for what the [filter](Self::filter) takes out.
#[derive(Debug, Clone)]
pub struct SubscribePermit {
    pub(super) service: ServiceName,
    pub(super) pattern: Pattern,
    pub(super) group: Option<GroupScope>,
    pub(super) filter: Arc<[Pattern]>,
    /// All denies of the service, to look topics up in.
    pub(super) denies: Arc<Rules>,
    pub(super) rule: RuleName,
}

impl SubscribePermit {
    /// Who subscribes; also the owner of the inbox, if the pattern lies in one.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The queue group joined, if any.
    pub fn group(&self) -> Option<&GroupScope> {
        self.group.as_ref()
    }

    /// Denied patterns that overlap the one subscribed to: a topic that one of them matches must not be delivered.
    pub fn filter(&self) -> &[Pattern] {
        &self.filter
    }

    /// Whether there is anything that the filter takes out.
    pub(crate) fn is_narrowed(&self) -> bool {
        !self.filter.is_empty()
    }

    /// Whether the filter takes out a topic of the pattern.
    pub fn filters(&self, topic: &Topic) -> bool {
        // A deny that matches the topic overlaps the pattern, and so is one of the filter's.
        self.is_narrowed() && self.denies.first_matching(topic).is_some()
    }

    /// Whether a message on `topic` may be delivered under this permit.
    pub fn admits(&self, topic: &Topic) -> bool {
        self.pattern.matches(topic) && !self.filters(topic)
    }

    /// The grant that allows it: for an inbox the one that lets the service connect.
    pub fn rule(&self) -> &RuleName {
        &self.rule
    }
}

/// Whether both allow the same by the same grant.
impl PartialEq for SubscribePermit {
    fn eq(&self, other: &Self) -> bool {
        // The denies that matter stand in the filter.
        let Self { service, pattern, group, filter, denies: _, rule } = self;
        *service == other.service
            && *pattern == other.pattern
            && *group == other.group
            && *filter == other.filter
            && *rule == other.rule
    }
}

impl Eq for SubscribePermit {}
