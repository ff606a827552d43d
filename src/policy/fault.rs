//! What can be wrong with a list of grants, each fault with the place where the operator finds it.

use std::collections::HashMap;
use std::fmt;

use super::SYSTEM_PREFIX;
use super::grant::{Grant, ResponseRule, Responses};
use super::template::PatternTemplate;
use crate::identity::RuleName;
use crate::topic::INBOX_PREFIX;

/// A fault of one grant. Its place is `grant`, `field` and, in a list, `item`, all as in the list of grants given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("grant `{name}`: {field}{}", .item.map(|item| format!("[{item}]")).unwrap_or_default())]
pub struct PolicyError {
    /// Index of the grant.
    pub grant: usize,
    pub name: RuleName,
    pub field: Field,
    /// Index within the field, where that is a list.
    pub item: Option<usize>,
    #[source]
    pub fault: GrantFault,
}

/// Where in a grant a fault lies; displayed as the name of the field in [`Grant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    Name,
    Services,
    Publish,
    Subscribe,
    DenyPublish,
    DenySubscribe,
    Responses,
}

impl Field {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Services => "services",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::DenyPublish => "deny_publish",
            Self::DenySubscribe => "deny_subscribe",
            Self::Responses => "responses",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantFault {
    #[error("the name is taken by grant number {first} (from 0)")]
    DuplicateName { first: usize },
    #[error("a grant names services or roles; this one applies to nobody")]
    AppliesToNobody,
    #[error("no grant and no deny reaches into `{INBOX_PREFIX}`: inboxes are governed by reply rights alone")]
    Inbox,
    #[error("`{SYSTEM_PREFIX}` is answered by the gateway itself and can be granted to nobody")]
    System,
    #[error("a response rule allows at least one message; to allow none, forbid responses")]
    NoMessages,
    #[error("a response rule lasts longer than no time; to allow no response, forbid responses")]
    NoTime,
}

pub(super) fn find(grants: &[Grant]) -> Vec<PolicyError> {
    let mut names = HashMap::new();
    let mut faults = Vec::new();
    for (place, grant) in grants.iter().enumerate() {
        let mut found = Vec::new();
        let first = *names.entry(&grant.name).or_insert(place);
        if first != place {
            found.push((Field::Name, None, GrantFault::DuplicateName { first }));
        }
        check(grant, &mut found);
        faults.extend(found.into_iter().map(|(field, item, fault)| PolicyError {
            grant: place,
            name: grant.name.clone(),
            field,
            item,
            fault,
        }));
    }
    faults
}

type Found = (Field, Option<usize>, GrantFault);

fn check(grant: &Grant, found: &mut Vec<Found>) {
    if grant.services.is_empty() && grant.roles.is_empty() {
        found.push((Field::Services, None, GrantFault::AppliesToNobody));
    }
    let lists = [
        (Field::Publish, &grant.publish),
        (Field::Subscribe, &grant.subscribe),
        (Field::DenyPublish, &grant.deny_publish),
        (Field::DenySubscribe, &grant.deny_subscribe),
    ];
    for (field, templates) in lists {
        let faulty = |(item, template)| Some((field, Some(item), template_fault(field, template)?));
        found.extend(templates.iter().enumerate().filter_map(faulty));
    }
    if let Some(Responses::Allowed(ResponseRule { max, within })) = grant.responses {
        if max == 0 {
            found.push((Field::Responses, None, GrantFault::NoMessages));
        }
        if within.is_zero() {
            found.push((Field::Responses, None, GrantFault::NoTime));
        }
    }
}

/// A deny within inboxes would be written in the belief that it protects them, and it could not: hence a fault too.
fn template_fault(field: Field, template: &PatternTemplate) -> Option<GrantFault> {
    let allows = matches!(field, Field::Publish | Field::Subscribe);
    match template.first_token() {
        INBOX_PREFIX => Some(GrantFault::Inbox),
        SYSTEM_PREFIX if allows => Some(GrantFault::System),
        _ => None,
    }
}
