//! The decisions as tables. Grants are built by the helpers below; `model` holds the properties.

mod connect;
mod faults;
mod model;

use super::*;
use crate::identity::RuleName;
use crate::topic::{Pattern, Topic};

const INBOX: &str = "_INBOX.0123456789abcdef";

pub(super) fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

pub(super) fn role(name: &str) -> Role {
    Role::parse(name).unwrap()
}

pub(super) fn rule(name: &str) -> RuleName {
    RuleName::parse(name).unwrap()
}

pub(super) fn group(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

pub(super) fn topic(text: &str) -> Topic {
    Topic::parse(text).unwrap()
}

pub(super) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

pub(super) fn templates(texts: &[&str]) -> Vec<PatternTemplate> {
    texts.iter().map(|text| PatternTemplate::parse(text).unwrap()).collect()
}

/// A grant `name` to `services` that says nothing yet.
pub(super) fn grant(name: &str, services: &[&str]) -> Grant {
    let services = services.iter().map(|text| ServicePattern::parse(text).unwrap()).collect();
    Grant { services, ..Grant::new(rule(name)) }
}

/// A grant `name` to `services` that lets them connect and no more.
fn admits(name: &str, services: &[&str]) -> Grant {
    Grant { connect: Some(true), ..grant(name, services) }
}

pub(super) fn policy(grants: Vec<Grant>) -> Policy {
    Policy::new(grants).unwrap()
}

/// The rights of `billing`, a clerk, under `grants`.
fn billing(grants: Vec<Grant>) -> Grants {
    policy(grants).grants(&service("billing"), &[role("clerk")])
}

fn why<T>(verdict: Result<T, Denial>) -> Option<(DenialReason, Option<String>)> {
    verdict.err().map(|denial| (denial.why, denial.rule.map(|rule| rule.to_string())))
}

fn denied<T>(reason: DenialReason) -> impl Fn(Result<T, Denial>) -> bool {
    move |verdict| matches!(verdict, Err(denial) if denial.why == reason)
}

fn orders() -> Vec<Grant> {
    vec![
        Grant {
            publish: templates(&["orders.>", "{service}.events.*"]),
            subscribe: templates(&["orders.>", "{service}.in.>", "$JS.{service}.>"]),
            groups: vec![group("workers")],
            ..grant("base", &["billing"])
        },
        Grant {
            deny_publish: templates(&["orders.secret.>", "*.events.audit"]),
            deny_subscribe: templates(&["orders.secret.>", "orders.*.draft", "*.*.private"]),
            ..grant("no-secrets", &["*"])
        },
    ]
}

#[test]
fn publishing_needs_a_grant_and_no_deny() {
    let grants = billing(orders());
    for (text, grant) in [("orders.created", "base"), ("orders.a.b", "base"), ("billing.events.paid", "base")]
    {
        let permit = grants.publish(&topic(text)).unwrap();
        assert_eq!((permit.topic(), permit.rule()), (&topic(text), Some(&rule(grant))));
        assert!(!permit.is_reply());
    }
    let denials: &[(&str, DenialReason, Option<&str>)] = &[
        ("orders", DenialReason::NoGrant, None),
        ("billing.events", DenialReason::NoGrant, None),
        ("billing.events.a.b", DenialReason::NoGrant, None),
        ("shipping.events.paid", DenialReason::NoGrant, None),
        ("$JS.API.INFO", DenialReason::NoGrant, None),
        ("_other.x", DenialReason::NoGrant, None),
        ("orders.secret.a", DenialReason::DeniedBy, Some("no-secrets")),
        ("billing.events.audit", DenialReason::DeniedBy, Some("no-secrets")),
        ("shipping.events.audit", DenialReason::DeniedBy, Some("no-secrets")),
        ("$SYS.ping", DenialReason::SystemTopic, None),
        ("$SYS", DenialReason::SystemTopic, None),
        ("_INBOX.0123456789abcdef.1", DenialReason::ReplyRightNeeded, None),
        ("_INBOX.short", DenialReason::ReplyRightNeeded, None),
    ];
    for (text, reason, rule) in denials {
        let denial = grants.publish(&topic(text)).unwrap_err();
        assert_eq!((denial.why, denial.rule.as_ref().map(RuleName::as_str)), (*reason, *rule), "{text}");
        assert_eq!(denial.topic, Some(pattern(text)));
    }
}

#[test]
fn subscribing_needs_one_grant_that_covers_the_pattern() {
    let grants = billing(orders());
    let allowed: &[(&str, &[&str])] = &[
        ("orders.created", &[]),
        ("orders.*", &[]),
        ("orders.>", &["*.*.private", "orders.*.draft", "orders.secret.>"]),
        ("orders.*.*", &["*.*.private", "orders.*.draft", "orders.secret.>"]),
        ("orders.eu.*", &["*.*.private", "orders.*.draft"]),
        ("billing.in.>", &["*.*.private"]),
        ("$JS.billing.>", &[]),
    ];
    for (text, filter) in allowed {
        let permit = grants.subscribe(&pattern(text), None).unwrap();
        assert_eq!(permit.pattern(), &pattern(text));
        assert_eq!(permit.service(), &service("billing"));
        assert_eq!(permit.rule(), &rule("base"));
        assert_eq!(permit.group(), None);
        let found: Vec<&str> = permit.filter().iter().map(Pattern::as_str).collect();
        assert_eq!(&found, filter, "{text}");
    }
    let denials = [
        (">", DenialReason::NoGrant),
        ("*.>", DenialReason::NoGrant),
        ("*.created", DenialReason::NoGrant),
        ("billing.>", DenialReason::NoGrant),
        ("shipping.in.a", DenialReason::NoGrant),
        ("$JS.>", DenialReason::NoGrant),
        ("$JS.shipping.a", DenialReason::NoGrant),
        ("orders.secret.a", DenialReason::DeniedBy),
        ("orders.secret.>", DenialReason::DeniedBy),
        ("orders.eu.draft", DenialReason::DeniedBy),
        ("$SYS.>", DenialReason::SystemTopic),
        ("$SYS.ping", DenialReason::SystemTopic),
    ];
    for (text, reason) in denials {
        let denial = grants.subscribe(&pattern(text), None).unwrap_err();
        assert_eq!(denial.why, reason, "{text}");
        assert_eq!(denial.rule.is_some(), reason == DenialReason::DeniedBy, "{text}");
    }
}

#[test]
fn a_permit_admits_what_its_filter_leaves() {
    let permit = billing(orders()).subscribe(&pattern("orders.>"), None).unwrap();
    let cases = [
        ("orders.created", true),
        ("orders.eu.paid", true),
        ("orders.eu.draft", false),
        ("orders.secret.x", false),
        ("orders.eu.private", false),
        ("shipping.eu", false),
    ];
    for (text, admitted) in cases {
        assert_eq!(permit.admits(&topic(text)), admitted, "{text}");
    }
}

#[test]
fn wildcards_in_first_place_reach_no_reserved_topic() {
    let everything = Grant {
        publish: templates(&[">"]),
        subscribe: templates(&[">", "*", "*.>", "*.*"]),
        ..grant("everything", &["*"])
    };
    let grants = billing(vec![everything]);
    for text in ["$JS.API.INFO", "_x", "$KV.b.k", "_other.a"] {
        assert_eq!(why(grants.publish(&topic(text))), Some((DenialReason::NoGrant, None)), "{text}");
        assert_eq!(
            why(grants.subscribe(&pattern(text), None)),
            Some((DenialReason::NoGrant, None)),
            "{text}"
        );
    }
    for text in [">", "*.>", "*"] {
        let permit = grants.subscribe(&pattern(text), None).unwrap();
        for reserved in ["_INBOX.0123456789abcdef.1", "_INBOX", "$SYS", "$JS", "_x", "$SYS.a"] {
            assert!(!permit.admits(&topic(reserved)), "{text} {reserved}");
        }
    }
}

#[test]
fn a_deny_of_everything_leaves_reserved_topics_to_their_own_denies() {
    let base = Grant {
        publish: templates(&["a.>", "$JS.>"]),
        subscribe: templates(&["a.>", "$JS.>"]),
        ..grant("base", &["billing"])
    };
    let none = Grant {
        deny_publish: templates(&[">"]),
        deny_subscribe: templates(&[">"]),
        ..grant("none", &["billing"])
    };
    let grants = billing(vec![base, none]);
    assert!(denied(DenialReason::DeniedBy)(grants.publish(&topic("a.b"))));
    assert!(grants.publish(&topic("$JS.API")).is_ok());
    assert!(grants.subscribe(&pattern("$JS.API"), None).unwrap().filter().is_empty());
    assert!(grants.subscribe(&pattern(&format!("{INBOX}.>")), None).is_ok());
}

#[test]
fn own_inboxes_are_open_to_all_who_may_connect() {
    let grants = billing(vec![admits("base", &["billing"])]);
    for text in [INBOX.to_owned(), format!("{INBOX}.*"), format!("{INBOX}.>"), format!("{INBOX}.a.b")] {
        let permit = grants.subscribe(&pattern(&text), None).unwrap();
        assert_eq!(permit.rule(), &rule("base"));
        assert_eq!(permit.service(), &service("billing"));
    }
    for text in ["_INBOX", "_INBOX.>", "_INBOX.*", "_INBOX.*.0123456789abcdef", "_INBOX.short.>"] {
        assert!(denied(DenialReason::InboxName)(grants.subscribe(&pattern(text), None)), "{text}");
    }
    let stranger = policy(vec![admits("base", &["billing"])]).grants(&service("shipping"), &[]);
    assert!(denied(DenialReason::NoGrant)(stranger.subscribe(&pattern(INBOX), None)));
}

#[test]
fn a_grant_applies_by_service_or_by_role() {
    let by_role =
        Grant { roles: vec![role("clerk")], publish: templates(&["a"]), ..Grant::new(rule("by-role")) };
    let by_name = Grant { publish: templates(&["b"]), ..grant("by-name", &["billing"]) };
    let either =
        Grant { roles: vec![role("clerk")], publish: templates(&["c"]), ..grant("either", &["shipping"]) };
    let policy = policy(vec![by_role, by_name, either]);
    let may = |name: &str, roles: &[Role]| -> Vec<&str> {
        let grants = policy.grants(&service(name), roles);
        ["a", "b", "c"].into_iter().filter(|text| grants.publish(&topic(text)).is_ok()).collect()
    };
    assert_eq!(may("billing", &[]), ["b"]);
    assert_eq!(may("billing", &[role("clerk")]), ["a", "b", "c"]);
    assert_eq!(may("shipping", &[]), ["c"]);
    assert_eq!(may("shipping", &[role("clerk"), role("clerk")]), ["a", "c"]);
    assert_eq!(may("other", &[role("porter")]), Vec::<&str>::new());
    assert_eq!(policy.service_names().map(ServiceName::as_str).collect::<Vec<_>>(), ["billing", "shipping"]);
    assert_eq!(policy.role_names().map(Role::as_str).collect::<Vec<_>>(), ["clerk"]);
}

#[test]
fn a_group_is_the_services_own_unless_a_grant_names_it() {
    let policy = policy(vec![
        Grant { groups: vec![group("workers")], ..grant("shared", &["billing"]) },
        Grant { subscribe: templates(&["jobs"]), ..grant("jobs", &["*"]) },
    ]);
    let scope = |name: &str, text: &str| {
        let grants = policy.grants(&service(name), &[]);
        let permit = grants.subscribe(&pattern("jobs"), Some(&group(text))).unwrap();
        permit.group().cloned()
    };
    let own = |name, text| Some(GroupScope::Service(service(name), group(text)));
    assert_eq!(scope("billing", "workers"), Some(GroupScope::Shared(group("workers"))));
    assert_eq!(scope("billing", "others"), own("billing", "others"));
    assert_eq!(scope("shipping", "workers"), own("shipping", "workers"), "no stealing from the shared one");
    assert_ne!(scope("shipping", "others"), scope("billing", "others"), "nor from another service's");
    assert!(
        GroupName::parse("a b").is_err() && GroupName::parse("").is_err() && GroupName::parse("*").is_err()
    );
}

#[test]
fn a_reply_topic_is_an_own_inbox_or_one_to_publish_on() {
    let grants = billing(orders());
    let inbox = topic(&format!("{INBOX}.1"));
    assert_eq!(grants.reply_topic(&inbox, |token| format!("_INBOX.{token}") == INBOX), Ok(()));
    assert_eq!(grants.reply_topic(&topic("orders.answers"), |_| false), Ok(()));
    let cases = [
        (inbox.as_str(), false, DenialReason::InboxNotOwned, None),
        ("_INBOX.short.1", true, DenialReason::InboxName, None),
        ("admin.shutdown", false, DenialReason::ReplyTopic, None),
        ("admin.shutdown", true, DenialReason::ReplyTopic, None),
        ("orders.secret.x", false, DenialReason::ReplyTopic, Some("no-secrets".to_owned())),
        ("$SYS.x", false, DenialReason::ReplyTopic, None),
        ("$JS.ACK.x", false, DenialReason::ReplyTopic, None),
    ];
    for (text, owns, reason, rule) in cases {
        assert_eq!(why(grants.reply_topic(&topic(text), |_| owns)), Some((reason, rule)), "{text}");
    }
}

/// The confused deputy: `billing` asks `admin` and names a topic for the answer that only `admin` may publish on.
#[test]
fn a_request_lends_its_sender_no_rights_of_the_one_who_answers() {
    let policy = policy(vec![
        Grant { publish: templates(&["admin.ask"]), ..grant("asks", &["billing"]) },
        Grant {
            publish: templates(&["admin.>"]),
            subscribe: templates(&["admin.ask"]),
            ..grant("all", &["admin"])
        },
    ]);
    let privileged = topic("admin.shutdown");
    let asker = policy.grants(&service("billing"), &[]);
    assert!(denied(DenialReason::ReplyTopic)(asker.reply_topic(&privileged, |_| false)));
    let now = std::time::Instant::now();
    let mut rights = ReplyRights::new(8);
    assert!(!rights.grant(privileged.clone(), now + std::time::Duration::from_secs(1), 1, now));
    assert!(rights.take(privileged.as_str(), now).is_none());
}

#[test]
fn responses_are_one_until_the_deadline_unless_a_grant_says_otherwise() {
    use std::time::{Duration, Instant};
    let now = Instant::now();
    let deadline = now + Duration::from_secs(5);
    let allowed = |name, max, seconds| Grant {
        responses: Some(Responses::Allowed(ResponseRule { max, within: Duration::from_secs(seconds) })),
        ..grant(name, &["billing"])
    };
    let forbidden = Grant { responses: Some(Responses::Forbidden), ..grant("mute", &["billing"]) };
    let right = |mut grants: Vec<Grant>| {
        grants.push(admits("base", &["billing"]));
        billing(grants).response_right(now, deadline)
    };

    let usual = ResponseRight { until: deadline, uses: 1, rule: None };
    assert_eq!(right(Vec::new()), Ok(usual));

    let widest = ResponseRight { until: now + Duration::from_secs(60), uses: 9, rule: Some(rule("wide")) };
    assert_eq!(right(vec![allowed("narrow", 2, 600), allowed("wide", 9, 60)]), Ok(widest.clone()));
    assert_eq!(right(vec![allowed("wide", 9, 60), allowed("narrow", 2, 600)]), Ok(widest));

    let expected = Some((DenialReason::ResponsesForbidden, Some("mute".to_owned())));
    assert_eq!(why(right(vec![allowed("wide", 9, 60), forbidden])), expected);

    let endless = Grant {
        responses: Some(Responses::Allowed(ResponseRule { max: 1, within: Duration::MAX })),
        ..grant("endless", &["billing"])
    };
    assert_eq!(right(vec![endless]).unwrap().until, deadline, "no overflow");
}

#[test]
fn the_first_of_several_rules_is_named() {
    let allow =
        |name| Grant { publish: templates(&["a.>"]), subscribe: templates(&["a.>"]), ..grant(name, &["*"]) };
    let grants = billing(vec![allow("one"), allow("two")]);
    assert_eq!(grants.publish(&topic("a.b")).unwrap().rule(), Some(&rule("one")));
    assert_eq!(grants.subscribe(&pattern("a.b"), None).unwrap().rule(), &rule("one"));
}

#[test]
fn a_denial_reads_as_a_sentence() {
    let grants = billing(orders());
    let text = |verdict: Result<PublishPermit, Denial>| verdict.unwrap_err().to_string();
    assert_eq!(
        text(grants.publish(&topic("orders.secret.a"))),
        "`orders.secret.a`: a grant denies it (rule `no-secrets`)"
    );
    assert_eq!(text(grants.publish(&topic("x"))), "`x`: no grant allows it");
    let stranger = policy(Vec::new()).grants(&service("billing"), &[]);
    assert_eq!(stranger.connect().unwrap_err().to_string(), "no grant allows it");
}

#[test]
fn ten_thousand_rules_decide_like_a_few() {
    let texts: Vec<String> = (0..10_000).map(|number| format!("area.{number}.>")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let many =
        Grant { publish: templates(&texts), subscribe: templates(&texts), ..grant("many", &["billing"]) };
    let denies = Grant { deny_subscribe: templates(&["area.*.secret"]), ..grant("denies", &["billing"]) };
    let grants = billing(vec![many, denies]);
    for number in [0, 1, 4_711, 9_999] {
        assert!(grants.publish(&topic(&format!("area.{number}.x"))).is_ok());
        let permit = grants.subscribe(&pattern(&format!("area.{number}.*")), None).unwrap();
        assert_eq!(permit.filter(), [pattern("area.*.secret")]);
    }
    assert!(denied(DenialReason::NoGrant)(grants.publish(&topic("area.10000.x"))));
    assert!(denied(DenialReason::NoGrant)(grants.subscribe(&pattern("area.*.x"), None)));
}

#[test]
fn sessions_of_one_service_with_the_same_roles_share_their_rights() {
    let policy = policy(vec![admits("all", &["*"])]);
    let of = |name: &str, roles: &[Role]| policy.shared_grants(&service(name), roles);
    let (clerk, none) = (of("billing", &[role("clerk")]), of("billing", &[]));
    assert!(Arc::ptr_eq(&clerk, &of("billing", &[role("clerk")])));
    assert!(!Arc::ptr_eq(&clerk, &none) && !Arc::ptr_eq(&none, &of("orders", &[])));
    assert!(clerk.allows_as(&none));
}

#[test]
fn what_is_kept_compiled_is_bounded() {
    let policy = policy(vec![admits("all", &["*"])]);
    for number in 0..MOST_COMPILED + 5 {
        assert!(policy.shared_grants(&service(&format!("s{number}")), &[]).connect().is_ok());
    }
    assert_eq!(policy.compiled.lock().unwrap().len(), MOST_COMPILED);
}
