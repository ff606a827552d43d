//! The policy file.

use std::time::Duration;

use super::{expected, kind};
use crate::config::parse_policy;
use crate::policy::{ResponseRule, Responses};

fn faults(text: &str) -> Vec<(String, String)> {
    let found = parse_policy(text).expect_err("a fault").0;
    found.into_iter().map(|fault| (fault.key, kind(&fault.why))).collect()
}

#[test]
fn a_file_without_a_grant_grants_nothing_and_one_without_anything_is_a_fault() {
    assert_eq!(parse_policy("# nobody yet\n").unwrap(), []);
    for text in ["", " \n"] {
        assert_eq!(faults(text), [(String::new(), "EmptyPolicy".to_owned())]);
    }
}

#[test]
fn each_fault_has_its_key() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("grants = []", &[("grants", "UnknownKey")]),
        ("grant = 3", &[("grant", "Shape")]),
        ("grant = []", &[("grant", "Empty")]),
        ("[[grant]]\nservices = [\"*\"]", &[("grant[0]", "Shape")]),
        ("[[grant]]\nname = \"n\"\npublishes = []", &[("grant[0]", "Shape")]),
        ("[[grant]]\nname = \"n\"\npublish = \"a\"", &[("grant[0]", "Shape")]),
        ("[[grant]]\nname = \"n\"\nconnect = \"yes\"", &[("grant[0]", "Shape")]),
        ("[[grant]]\nname = \"n\"\nallow_responses = { max = 1 }", &[("grant[0]", "Shape")]),
        ("[[grant]]\nname = \"N\"", &[("grant[0].name", "Name")]),
        ("[[grant]]\nname = \"n\"\nservices = [\"a\", \"a*\"]", &[("grant[0].services[1]", "Name")]),
        ("[[grant]]\nname = \"n\"\nroles = [\"*\"]", &[("grant[0].roles[0]", "Name")]),
        ("[[grant]]\nname = \"n\"\ngroups = [\"a b\"]", &[("grant[0].groups[0]", "Topic")]),
        ("[[grant]]\nname = \"n\"\npublish = [\"a\", \"a..b\"]", &[("grant[0].publish[1]", "Pattern")]),
        ("[[grant]]\nname = \"n\"\nsubscribe = [\"a{service}\"]", &[("grant[0].subscribe[0]", "Pattern")]),
        ("[[grant]]\nname = \"n\"\ndeny_publish = [\"\"]", &[("grant[0].deny_publish[0]", "Pattern")]),
        ("[[grant]]\nname = \"n\"\ndeny_subscribe = [\">.a\"]", &[("grant[0].deny_subscribe[0]", "Pattern")]),
    ];
    for (text, found) in cases {
        assert_eq!(faults(text), expected(found), "{text}");
    }
}

#[test]
fn all_faults_of_a_file_are_reported_at_once() {
    let text = r#"
        extra = 1
        [[grant]]
        name = "A"
        publish = ["a b", "c", "*d"]
        [[grant]]
        nam = "b"
        [[grant]]
        name = "c"
        roles = [""]
    "#;
    let found = [
        ("grant[1]", "Shape"),
        ("extra", "UnknownKey"),
        ("grant[0].name", "Name"),
        ("grant[0].publish[0]", "Pattern"),
        ("grant[0].publish[2]", "Pattern"),
        // A grant of the wrong shape does not shift the places of those behind it.
        ("grant[2].roles[0]", "Name"),
    ];
    assert_eq!(faults(text), expected(&found));
}

#[test]
fn responses_are_forbidden_allowed_or_not_spoken_of() {
    let responses = |line: &str| {
        let text = format!("[[grant]]\nname = \"n\"\nservices = [\"*\"]\n{line}");
        parse_policy(&text).unwrap().remove(0).responses
    };
    let rule = ResponseRule { max: 3, within: Duration::from_millis(1500) };
    assert_eq!(responses(""), None);
    assert_eq!(responses("allow_responses = true"), None);
    assert_eq!(responses("allow_responses = false"), Some(Responses::Forbidden));
    assert_eq!(responses("allow_responses = { max = 3, within_ms = 1500 }"), Some(Responses::Allowed(rule)));
}
