//! The matrix of an example as a golden file, and its conversations against the decisions themselves.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::tests::{grant, group, pattern, policy, role, rule, service, templates};
use crate::policy::{Grant, ResponseRule};
use crate::topic::tests::{any_pattern, any_topic};

fn example() -> Policy {
    policy(vec![
        Grant {
            publish: templates(&["{service}.events.>"]),
            subscribe: templates(&["{service}.requests.*"]),
            ..grant("own-space", &["*"])
        },
        Grant {
            publish: templates(&["orders.requests.>"]),
            subscribe: templates(&["orders.events.>", "orders.events.eu.*"]),
            ..grant("billing-orders", &["billing"])
        },
        Grant {
            roles: vec![role("auditor")],
            subscribe: templates(&[">", "$JS.EVENT.>"]),
            responses: Some(Responses::Forbidden),
            ..Grant::new(rule("auditors"))
        },
        Grant {
            deny_subscribe: templates(&["*.events.private.>", "*.events.private.keys.*"]),
            deny_publish: templates(&["*.events.draft"]),
            ..grant("nothing-private", &["*"])
        },
        Grant {
            groups: vec![group("workers")],
            responses: Some(Responses::Allowed(ResponseRule { max: 100, within: Duration::from_secs(30) })),
            ..grant("streams", &["orders", "billing"])
        },
        Grant { connect: Some(false), ..grant("retired", &["legacy"]) },
    ])
}

fn services() -> Vec<(ServiceName, Vec<Role>)> {
    [
        ("orders", vec![]),
        ("ledger", vec![role("clerk"), role("auditor")]),
        ("legacy", vec![]),
        ("billing", vec![]),
    ]
    .into_iter()
    .map(|(name, roles)| (service(name), roles))
    .collect()
}

#[test]
fn the_example_reads_as_reviewed() {
    let text = matrix(&example(), &services()).to_string();
    assert_eq!(text, include_str!("example.txt"), "the matrix now reads:\n{text}");
}

#[test]
fn the_order_asked_in_changes_nothing() {
    let mut backwards: Vec<_> = services().into_iter().rev().collect();
    backwards.extend(services());
    for (_, roles) in &mut backwards {
        roles.reverse();
    }
    assert_eq!(matrix(&example(), &backwards), matrix(&example(), &services()));
}

#[test]
fn a_role_has_a_row_of_its_own_whatever_its_name() {
    let long = "r".repeat(MAX_NAME_BYTES);
    let space = |grant| Grant { subscribe: templates(&["{service}.>"]), ..grant };
    let policy = policy(vec![
        Grant { roles: vec![role("x"), role(&long)], ..space(Grant::new(rule("roles"))) },
        space(grant("named", &["any-x", "x"])),
        Grant { publish: templates(&["x.a"]), ..grant("speaks", &["any-x"]) },
    ]);
    let matrix = matrix_of_everybody(&policy);
    let rows: Vec<_> = matrix.rows.iter().map(|row| row.who.to_string()).collect();
    assert_eq!(rows, ["any-x", "x", &format!("role {long}"), "role x"]);
    let spaces: BTreeSet<_> = matrix.rows.iter().flat_map(|row| &row.subscribe).map(|r| &r.pattern).collect();
    assert_eq!(spaces.len(), 4, "no two share one: {spaces:?}");
    let pairs: Vec<_> = matrix.conversations.iter().map(|pair| pair.subscriber.to_string()).collect();
    assert_eq!(pairs, ["x"], "the role's name is no service's");
}

#[test]
fn the_longest_role_fits_into_the_longest_template() {
    let longest = format!("{}.{{service}}", "t".repeat(crate::topic::MAX_TOPIC_BYTES - MAX_NAME_BYTES - 1));
    let roles = ["a", "b"].map(|last| role(&("r".repeat(MAX_NAME_BYTES - 1) + last)));
    let grant = Grant { publish: templates(&[&longest]), roles: roles.into(), ..Grant::new(rule("roles")) };
    let matrix = matrix_of_everybody(&policy(vec![grant]));
    assert_ne!(matrix.rows[0].publish, matrix.rows[1].publish);
}

#[test]
fn nobody_talks_under_an_empty_policy() {
    let matrix = matrix(&policy(Vec::new()), &services());
    assert!(matrix.conversations.is_empty());
    assert!(matrix.rows.iter().all(|row| row.connect.is_err()));
    assert!(matrix.to_string().ends_with("who can talk to whom\n  nobody to anybody\n"));
}

#[test]
fn what_two_patterns_have_in_common() {
    let cases = [
        ("a.*", "*.b", Some("a.b")),
        ("a.>", "*.*.c", Some("a.*.c")),
        (">", "a.*", Some("a.*")),
        ("a.>", "a.>", Some("a.>")),
        ("a.*.>", "a.>", Some("a.*.>")),
        ("a.>", "a", None),
        (">", "$x.a", None),
        ("*.a", "$x.a", None),
        ("a.b", "a.c", None),
    ];
    for (ours, theirs, common) in cases {
        assert_eq!(intersection(&pattern(ours), &pattern(theirs)), common.map(pattern), "{ours} {theirs}");
        assert_eq!(intersection(&pattern(theirs), &pattern(ours)), common.map(pattern), "{theirs} {ours}");
    }
    let long = "x".repeat(200);
    let (ours, theirs) = (pattern(&format!("{long}.*")), pattern(&format!("*.{long}")));
    assert_eq!(intersection(&ours, &theirs), None, "no topic is that long");
}

fn any_rules() -> impl Strategy<Value = Vec<Pattern>> {
    let rule = any_pattern().prop_filter("inboxes stand in no grant", |pattern| !pattern.is_inbox());
    prop::collection::vec(rule, 0..4)
}

fn as_templates(patterns: &[Pattern]) -> Vec<crate::policy::PatternTemplate> {
    templates(&patterns.iter().map(Pattern::as_str).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn an_intersection_holds_the_topics_of_both(ours in any_pattern(), theirs in any_pattern(), topic in any_topic()) {
        let common = intersection(&ours, &theirs);
        prop_assert_eq!(common.is_some(), ours.overlaps(&theirs));
        let in_common = common.is_some_and(|common| common.matches(&topic));
        prop_assert_eq!(in_common, ours.matches(&topic) && theirs.matches(&topic));
    }

    #[test]
    fn a_conversation_is_what_one_may_publish_and_the_other_hears(
        publish in any_rules(), deny_publish in any_rules(),
        subscribe in any_rules(), deny_subscribe in any_rules(),
        topics in prop::collection::vec(any_topic(), 1..30),
    ) {
        let policy = policy(vec![
            Grant {
                publish: as_templates(&publish),
                deny_publish: as_templates(&deny_publish),
                ..grant("speaks", &["speaker"])
            },
            Grant {
                subscribe: as_templates(&subscribe),
                deny_subscribe: as_templates(&deny_subscribe),
                ..grant("hears", &["hearer"])
            },
        ]);
        let asked = [(service("speaker"), vec![]), (service("hearer"), vec![])];
        let matrix = matrix(&policy, &asked);
        let (speaker, hearer) = (policy.grants(&asked[0].0, &[]), policy.grants(&asked[1].0, &[]));
        for topic in topics.iter().filter(|topic| !topic.is_inbox()) {
            let listed = matrix.conversations.iter().flat_map(|pair| &pair.overlaps).any(|overlap| {
                overlap.pattern.matches(topic) && !overlap.except.iter().any(|denied| denied.matches(topic))
            });
            let heard = hearer.subscribe(&Pattern::from(topic), None).is_ok();
            prop_assert_eq!(listed, speaker.publish(topic).is_ok() && heard, "{}", topic);
        }
    }
}
