//! What the policy refuses to be built from.

use std::time::Duration;

use super::*;
use crate::topic::TopicError;

fn faults(grants: Vec<Grant>) -> Vec<(usize, Field, Option<usize>, GrantFault)> {
    let found = Policy::new(grants).unwrap_err();
    found.into_iter().map(|error| (error.grant, error.field, error.item, error.fault)).collect()
}

#[test]
fn all_faults_are_reported_with_their_places() {
    let inboxes = &["a", "_INBOX.0123456789abcdef.>", "_INBOX.{service}"];
    let grants = vec![
        grant("twice", &["*"]),
        Grant {
            publish: templates(inboxes),
            subscribe: templates(&["_INBOX.>"]),
            ..grant("reads-inboxes", &["a"])
        },
        Grant {
            deny_publish: templates(&["_INBOX.>"]),
            deny_subscribe: templates(&["a", "_INBOX.*"]),
            ..Grant::new(rule("nobody"))
        },
        Grant { publish: templates(&["$SYS.>"]), subscribe: templates(&["$SYS"]), ..grant("twice", &["b"]) },
        Grant {
            responses: Some(Responses::Allowed(ResponseRule { max: 0, within: Duration::ZERO })),
            ..grant("never", &["b"])
        },
    ];
    let expected = [
        (1, Field::Publish, Some(1), GrantFault::Inbox),
        (1, Field::Publish, Some(2), GrantFault::Inbox),
        (1, Field::Subscribe, Some(0), GrantFault::Inbox),
        (2, Field::Services, None, GrantFault::AppliesToNobody),
        (2, Field::DenyPublish, Some(0), GrantFault::Inbox),
        (2, Field::DenySubscribe, Some(1), GrantFault::Inbox),
        (3, Field::Name, None, GrantFault::DuplicateName { first: 0 }),
        (3, Field::Publish, Some(0), GrantFault::System),
        (3, Field::Subscribe, Some(0), GrantFault::System),
        (4, Field::Responses, None, GrantFault::NoMessages),
        (4, Field::Responses, None, GrantFault::NoTime),
    ];
    assert_eq!(faults(grants), expected);
}

#[test]
fn a_fault_says_where_it_is_and_leaves_the_reason_to_its_source() {
    let grants = vec![Grant { deny_publish: templates(&["a", "_INBOX.>"]), ..grant("g", &["*"]) }];
    let error = Policy::new(grants).unwrap_err().remove(0);
    assert_eq!(error.to_string(), "grant `g`: deny_publish[1]");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn to_deny_only_is_no_fault() {
    let denies = Grant { deny_publish: templates(&["a", "$SYS.>"]), ..grant("denies", &["*"]) };
    assert!(Policy::new(vec![denies]).is_ok());
}

#[test]
fn templates_hold_the_service_as_whole_tokens_only() {
    for (text, filled) in [
        ("a.>", "a.>"),
        ("{service}", "billing"),
        ("{service}.x.{service}.>", "billing.x.billing.>"),
        ("$JS.{service}.*", "$JS.billing.*"),
    ] {
        let template = PatternTemplate::parse(text).unwrap();
        assert_eq!(template.fill(service("billing").as_str()), pattern(filled));
        assert_eq!(template.as_str(), text);
    }
    for token in ["{services}", "a{service}", "{service}-x", "{", "}", "{role}", "{}"] {
        for text in [token.to_owned(), format!("a.{token}.>"), format!("{{service}}.{token}")] {
            let fault = TemplateError::Placeholder { token: token.to_owned() };
            assert_eq!(PatternTemplate::parse(&text), Err(fault), "{text}");
        }
    }
    let faults = [
        ("", TopicError::Empty),
        ("{service}..a", TopicError::EmptyToken),
        ("{service}.>.a", TopicError::TailNotLast),
        ("a b", TopicError::Character { code: 0x20 }),
    ];
    for (text, fault) in faults {
        assert_eq!(PatternTemplate::parse(text), Err(TemplateError::Pattern(fault)), "{text}");
    }
}

#[test]
fn a_template_is_measured_with_the_longest_service_name() {
    let longest = service(&"x".repeat(63));
    let fits = format!("{{service}}.{}", "a".repeat(191));
    assert_eq!(PatternTemplate::parse(&fits).unwrap().fill(longest.as_str()).as_str().len(), 255);
    let exceeds = format!("{{service}}.{}", "a".repeat(192));
    assert_eq!(PatternTemplate::parse(&exceeds), Err(TemplateError::TooLong { bytes: 256 }));
}
