//! The policy against a model that reads the grants from first to last for every question.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

type Reason = (DenialReason, Option<RuleName>);

struct Model<'a> {
    service: ServiceName,
    applying: Vec<&'a Grant>,
}

impl<'a> Model<'a> {
    fn new(grants: &'a [Grant], service: &ServiceName, roles: &[Role]) -> Self {
        let names = |grant: &&Grant| {
            grant.services.contains(&ServicePattern::Any)
                || grant.services.contains(&ServicePattern::Named(service.clone()))
                || grant.roles.iter().any(|role| roles.contains(role))
        };
        Self { service: service.clone(), applying: grants.iter().filter(names).collect() }
    }

    fn rules(&self, field: fn(&Grant) -> &Vec<PatternTemplate>) -> Vec<(Pattern, RuleName)> {
        let mut rules = Vec::new();
        for grant in &self.applying {
            for template in field(grant) {
                let text = template.as_str().replace("{service}", self.service.as_str());
                rules.push((pattern(&text), grant.name.clone()));
            }
        }
        rules
    }

    fn connect(&self) -> Result<RuleName, Reason> {
        for grant in &self.applying {
            if grant.connect == Some(false) {
                return Err((DenialReason::ConnectForbidden, Some(grant.name.clone())));
            }
        }
        for grant in &self.applying {
            if grant.connect == Some(true) || !grant.publish.is_empty() || !grant.subscribe.is_empty() {
                return Ok(grant.name.clone());
            }
        }
        Err((DenialReason::NoGrant, None))
    }

    fn publish(&self, topic: &Topic) -> Result<RuleName, Reason> {
        self.connect()?;
        match topic.first_token() {
            "$SYS" => return Err((DenialReason::SystemTopic, None)),
            "_INBOX" => return Err((DenialReason::ReplyRightNeeded, None)),
            _ => {}
        }
        let first =
            |rules: Vec<(Pattern, RuleName)>| rules.into_iter().find(|(pattern, _)| pattern.matches(topic));
        if let Some((_, rule)) = first(self.rules(|grant| &grant.deny_publish)) {
            return Err((DenialReason::DeniedBy, Some(rule)));
        }
        first(self.rules(|grant| &grant.publish)).map(|(_, rule)| rule).ok_or((DenialReason::NoGrant, None))
    }

    fn subscribe(&self, wanted: &Pattern) -> Result<RuleName, Reason> {
        let connect = self.connect()?;
        match wanted.first_token() {
            "$SYS" => return Err((DenialReason::SystemTopic, None)),
            "_INBOX" if wanted.inbox_token().is_some() => return Ok(connect),
            "_INBOX" => return Err((DenialReason::InboxName, None)),
            _ => {}
        }
        let first =
            |rules: Vec<(Pattern, RuleName)>| rules.into_iter().find(|(pattern, _)| pattern.covers(wanted));
        if let Some((_, rule)) = first(self.rules(|grant| &grant.deny_subscribe)) {
            return Err((DenialReason::DeniedBy, Some(rule)));
        }
        first(self.rules(|grant| &grant.subscribe)).map(|(_, rule)| rule).ok_or((DenialReason::NoGrant, None))
    }

    fn is_denied_to_subscribers(&self, topic: &Topic) -> bool {
        self.rules(|grant| &grant.deny_subscribe).iter().any(|(pattern, _)| pattern.matches(topic))
    }
}

fn reason(denial: Denial) -> Reason {
    (denial.why, denial.rule)
}

fn any_template() -> impl Strategy<Value = PatternTemplate> {
    let first = select(vec!["a", "b", "svc", "{service}", "*", "$JS", "_x"]);
    let more = prop::collection::vec(select(vec!["a", "b", "{service}", "*"]), 0..3);
    (first, more, any::<bool>()).prop_map(|(first, more, tail)| {
        let mut tokens = vec![first];
        tokens.extend(more);
        tokens.extend(tail.then_some(">"));
        PatternTemplate::parse(&tokens.join(".")).unwrap()
    })
}

fn any_templates() -> impl Strategy<Value = Vec<PatternTemplate>> {
    prop::collection::vec(any_template(), 0..4)
}

fn any_grant() -> impl Strategy<Value = Grant> {
    let services = subsequence(vec!["svc", "other", "*"], 1..=3);
    let roles = subsequence(vec!["r", "s"], 0..=2);
    let connect = prop::option::weighted(0.1, any::<bool>());
    (services, roles, connect, any_templates(), any_templates(), any_templates(), any_templates()).prop_map(
        |(services, roles, connect, publish, subscribe, deny_publish, deny_subscribe)| Grant {
            roles: roles.into_iter().map(role).collect(),
            publish,
            subscribe,
            deny_publish,
            deny_subscribe,
            connect,
            ..grant("unnamed", &services)
        },
    )
}

fn any_grants() -> impl Strategy<Value = Vec<Grant>> {
    prop::collection::vec(any_grant(), 0..5).prop_map(|mut grants| {
        for (number, grant) in grants.iter_mut().enumerate() {
            grant.name = rule(&format!("grant-{number}"));
        }
        grants
    })
}

fn any_topic() -> impl Strategy<Value = Topic> {
    let first = select(vec!["a", "b", "c", "svc", "other", "$JS", "$SYS", "_x", "_INBOX"]);
    let more = prop::collection::vec(select(vec!["a", "b", "svc", "0123456789abcdef"]), 0..4);
    (first, more).prop_map(|(first, more)| topic(&[vec![first], more].concat().join(".")))
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let first = select(vec!["a", "b", "svc", "other", "$JS", "$SYS", "_x", "_INBOX", "*", ">"]);
    let more = prop::collection::vec(select(vec!["a", "b", "svc", "*", "0123456789abcdef"]), 0..4);
    (first, more, any::<bool>()).prop_map(|(first, more, tail)| match first {
        ">" => pattern(">"),
        _ => pattern(&[vec![first], more, if tail { vec![">"] } else { vec![] }].concat().join(".")),
    })
}

proptest! {
    #[test]
    fn decisions_are_those_of_the_model(
        grants in any_grants(),
        name in select(vec!["svc", "other", "third"]),
        roles in subsequence(vec!["r", "s", "t"], 0..=3),
        topics in prop::collection::vec(any_topic(), 1..12),
        patterns in prop::collection::vec(any_pattern(), 1..12),
    ) {
        let name = service(name);
        let roles: Vec<Role> = roles.into_iter().map(role).collect();
        let model = Model::new(&grants, &name, &roles);
        let compiled = policy(grants.clone()).grants(&name, &roles);
        prop_assert_eq!(compiled.connect().map_err(reason), model.connect());
        for topic in &topics {
            let verdict = compiled.publish(topic).map(|permit| permit.rule().cloned().unwrap()).map_err(reason);
            prop_assert_eq!(verdict, model.publish(topic), "publish {}", topic);
        }
        for pattern in &patterns {
            let verdict = compiled.subscribe(pattern, None);
            if let Ok(permit) = &verdict {
                for topic in topics.iter().filter(|topic| pattern.matches(topic)) {
                    prop_assert_eq!(permit.admits(topic), !model.is_denied_to_subscribers(topic));
                }
                for denied in permit.filter() {
                    prop_assert!(denied.overlaps(pattern) && !denied.covers(pattern));
                }
            }
            let verdict = verdict.map(|permit| permit.rule().clone()).map_err(reason);
            prop_assert_eq!(verdict, model.subscribe(pattern), "subscribe {}", pattern);
        }
    }

    #[test]
    fn the_order_of_grants_changes_no_verdict(
        (grants, shuffled) in any_grants().prop_flat_map(|grants| (Just(grants.clone()), Just(grants).prop_shuffle())),
        topic in any_topic(),
        wanted in any_pattern(),
    ) {
        let (name, roles) = (service("svc"), [role("r")]);
        let (one, other) = (policy(grants).grants(&name, &roles), policy(shuffled).grants(&name, &roles));
        let why = |denial: Denial| denial.why;
        prop_assert_eq!(one.publish(&topic).map(drop).map_err(why), other.publish(&topic).map(drop).map_err(why));
        let heard = |permit: SubscribePermit| permit.filter().to_vec();
        prop_assert_eq!(
            one.subscribe(&wanted, None).map(heard).map_err(why),
            other.subscribe(&wanted, None).map(heard).map_err(why)
        );
    }

    #[test]
    fn a_further_deny_never_widens(
        grants in any_grants(),
        denied in any_template(),
        topic in any_topic(),
        wanted in any_pattern(),
    ) {
        let name = service("svc");
        let mut narrower = grants.clone();
        narrower.push(Grant {
            deny_publish: vec![denied.clone()],
            deny_subscribe: vec![denied],
            ..grant("further", &["svc"])
        });
        let (before, after) = (policy(grants).grants(&name, &[]), policy(narrower).grants(&name, &[]));
        prop_assert!(after.connect().is_err() || before.connect().is_ok());
        prop_assert!(after.publish(&topic).is_err() || before.publish(&topic).is_ok());
        if let Ok(permit) = after.subscribe(&wanted, None) {
            let wider = before.subscribe(&wanted, None).unwrap();
            prop_assert!(!permit.admits(&topic) || wider.admits(&topic));
        }
    }
}
