//! The files that are shipped as examples say what the code does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::policy::{Policy, matrix_of_everybody};

const CONFIGURATION: &str = include_str!("../../../examples/portcullis.toml");
const POLICY: &str = include_str!("../../../examples/policy.toml");
const MATRIX: &str = include_str!("../../../examples/policy.matrix.txt");
/// Set to write the matrix anew instead of comparing it.
const REGENERATE: &str = "PORTCULLIS_REGENERATE";

fn example() -> Settings {
    Settings::parse(CONFIGURATION, Path::new("/example")).unwrap()
}

fn policy() -> Policy {
    Policy::new(parse_policy(POLICY).unwrap()).unwrap()
}

/// The keys of `[limits]` in the example, commented ones too, and their values as they stand there.
fn limits_of_the_example() -> BTreeMap<&'static str, &'static str> {
    let section = CONFIGURATION.split("[limits]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    section
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once(" = "))
        .map(|(key, value)| (key, value.split(" #").next().unwrap_or(value).trim()))
        .collect()
}

#[test]
fn the_example_is_whole_and_its_limits_are_the_defaults() {
    assert_eq!(example().limits, Limits::default());
    assert_eq!(example().reload.poll_interval, Duration::from_millis(super::super::check::POLL_INTERVAL_MS));
}

/// Every key that the example shows is understood, every key that is understood is shown, and each stands for a limit
/// of its own: a value one below or above the default changes the limits.
#[test]
fn the_example_shows_every_limit() {
    let shown = limits_of_the_example();
    let faults = Settings::parse("limits.no-such-limit = 1", Path::new("/")).unwrap_err().to_string();
    let known: BTreeSet<&str> =
        faults.split('`').filter(|word| word.starts_with("max_") || word.ends_with("_ms")).collect();
    assert!(known.len() > 15, "{faults}");
    let missing: Vec<_> = known.iter().filter(|key| !shown.contains_key(*key)).collect();
    assert!(missing.is_empty(), "not in the example: {missing:?}");

    for (key, value) in shown {
        let other = value.parse::<u64>().unwrap() + 1;
        let text = format!("{WHOLE}\n[limits]\n{key} = {other}\n");
        let limits = parse(&text).unwrap_or_else(|faults| panic!("{key}: {faults}")).limits;
        assert_ne!(limits, Limits::default(), "{key} changes nothing");
    }
}

/// `explain --matrix` on the example policy.
#[test]
fn the_matrix_of_the_example_reads_as_reviewed() {
    let text = matrix_of_everybody(&policy()).to_string();
    if std::env::var_os(REGENERATE).is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/policy.matrix.txt");
        std::fs::write(path, &text).unwrap();
        return;
    }
    assert_eq!(text, MATRIX, "if this is as it should be, run the tests once with {REGENERATE}=1");
}

#[test]
fn the_services_and_roles_of_the_example_policy_can_be_mapped() {
    let (settings, policy) = (example(), policy());
    let mapping = &settings.trust[0].mapping;
    assert!(policy.service_names().all(|service| mapping.may_give(service)));
    assert!(policy.role_names().all(|role| mapping.may_give_role(role)));
    assert!(policy.role_names().count() > 0);
}
