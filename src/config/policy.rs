//! The policy file: `[[grant]]` blocks.

use std::time::Duration;

use super::check::{blocks, is_nothing, list, parse_table};
use super::file::{self, AllowResponses};
use super::{Faults, Why};
use crate::identity::{Role, RuleName};
use crate::policy::{Grant, GroupName, PatternTemplate, ResponseRule, Responses, ServicePattern};

/// A file without a grant is an empty policy: nobody may do anything. A file without anything is none: it is what a
/// write that was cut short leaves, and would end every session.
pub(super) fn grants(text: &str) -> Result<Vec<Grant>, Faults> {
    let mut faults = Faults::default();
    if is_nothing(text) {
        faults.add("", Why::EmptyPolicy);
        return Err(faults);
    }
    let mut table = parse_table(text)?;
    let files = if table.contains_key("grant") {
        blocks::<file::Grant>(&mut table, "grant", &mut faults)
    } else {
        Vec::new()
    };
    for unknown in table.keys() {
        faults.add(unknown, Why::UnknownKey);
    }
    let grants: Vec<Grant> =
        files.into_iter().filter_map(|(key, file)| grant(&key, file, &mut faults)).collect();
    if faults.is_empty() { Ok(grants) } else { Err(faults) }
}

fn grant(key: &str, file: file::Grant, faults: &mut Faults) -> Option<Grant> {
    let name = faults.take(format!("{key}.name"), RuleName::parse(&file.name));
    let mut patterns = |field: &str, items: &[String]| {
        list(&format!("{key}.{field}"), items, faults, PatternTemplate::parse)
    };
    let publish = patterns("publish", &file.publish);
    let subscribe = patterns("subscribe", &file.subscribe);
    let deny_publish = patterns("deny_publish", &file.deny_publish);
    let deny_subscribe = patterns("deny_subscribe", &file.deny_subscribe);
    let services = list(&format!("{key}.services"), &file.services, faults, ServicePattern::parse);
    let roles = list(&format!("{key}.roles"), &file.roles, faults, Role::parse);
    let groups = list(&format!("{key}.groups"), &file.groups, faults, GroupName::parse);
    let responses = file.allow_responses.and_then(|allowed| match allowed {
        AllowResponses::Word(true) => None,
        AllowResponses::Word(false) => Some(Responses::Forbidden),
        AllowResponses::Rule(rule) => Some(Responses::Allowed(ResponseRule {
            max: rule.max,
            within: Duration::from_millis(rule.within_ms),
        })),
    });
    Some(Grant {
        name: name?,
        services,
        roles,
        publish,
        subscribe,
        deny_publish,
        deny_subscribe,
        groups,
        responses,
        connect: file.connect,
    })
}
