//! What an operator grants, as plain data: the configuration fills it in, [`Policy::new`](super::Policy::new) checks it.

use std::time::Duration;

use super::{GroupName, PatternTemplate};
use crate::identity::{NameError, Role, RuleName, ServiceName};

/// One named set of rights and denials. It applies to a service that it names *or* that has one of its roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Unique in the policy; what a verdict cites.
    pub name: RuleName,
    pub services: Vec<ServicePattern>,
    pub roles: Vec<Role>,
    pub publish: Vec<PatternTemplate>,
    pub subscribe: Vec<PatternTemplate>,
    /// Wins over every `publish`, of other grants too.
    pub deny_publish: Vec<PatternTemplate>,
    /// Wins over every `subscribe`, of other grants too.
    pub deny_subscribe: Vec<PatternTemplate>,
    /// Queue groups whose members may be of several services; any other group is its service's own.
    pub groups: Vec<GroupName>,
    /// How often and how long a request may be answered, where it is not once and until the request's timeout.
    pub responses: Option<Responses>,
    /// `Some(false)` denies the right to connect, and wins. `Some(true)` gives it, as does every grant that allows
    /// something; one that only denies gives nothing.
    pub connect: Option<bool>,
}

impl Grant {
    /// A grant that applies to nobody and allows nothing, to be filled in.
    pub fn new(name: RuleName) -> Self {
        Self {
            name,
            services: Vec::new(),
            roles: Vec::new(),
            publish: Vec::new(),
            subscribe: Vec::new(),
            deny_publish: Vec::new(),
            deny_subscribe: Vec::new(),
            groups: Vec::new(),
            responses: None,
            connect: None,
        }
    }

    /// Whether whom it applies to may connect because of it.
    pub(super) fn allows_something(&self) -> bool {
        self.connect == Some(true) || !self.publish.is_empty() || !self.subscribe.is_empty()
    }
}

/// Whom a grant names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServicePattern {
    /// `*`: every service that a certificate is mapped to.
    Any,
    Named(ServiceName),
}

impl ServicePattern {
    /// Parses `*` or the name of a service.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text {
            "*" => Ok(Self::Any),
            name => ServiceName::parse(name).map(Self::Named),
        }
    }
}

/// What a grant says about answering requests (`allow_responses`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Responses {
    Allowed(ResponseRule),
    /// The service answers nobody, whatever other grants allow.
    Forbidden,
}

/// A reply right that differs from the usual one message until the request's timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResponseRule {
    /// Most messages in answer to one request, at least one.
    pub max: u32,
    /// For how long after the request, longer than nothing.
    pub within: Duration,
}
