//! Queue groups: each message goes to one member, and whose members they are is a matter of policy.

use std::fmt;

use crate::identity::ServiceName;
use crate::topic::{Topic, TopicError};

/// The name of a queue group, spelled like a topic.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName(Topic);

impl GroupName {
    /// Parses a name that would be a valid topic: bounded, visible and without wildcards.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        Topic::parse(text).map(Self)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupName({self})")
    }
}

/// Which queue group a subscription joins: equal scopes share their messages, others never do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupScope {
    /// The service's own, whatever other services call theirs.
    Service(ServiceName, GroupName),
    /// Common to all services that have a grant naming it.
    Shared(GroupName),
}

impl GroupScope {
    /// The name the subscriber gave.
    pub fn name(&self) -> &GroupName {
        match self {
            Self::Service(_, name) | Self::Shared(name) => name,
        }
    }
}
