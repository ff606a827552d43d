//! Every kind of change is seen, and told as revocation or as more.

use super::*;
use crate::clock::unix_now;
use crate::load::tests::{Files, POLICY};
use crate::load::{self, Before};

/// What differs after `change` was done to the files.
fn changes(change: impl FnOnce(&Files)) -> (Files, Changes) {
    let files = Files::new();
    let before = files.load();
    change(&files);
    let basis = Before { settings: &before.settings, generation: &before.generation, digest: None };
    let loaded = load::next(&files.config(), &basis, unix_now());
    let after = loaded.unwrap_or_else(|refused| panic!("{}", refused.faults)).expect("loaded");
    let changes = Changes::between(&before.generation, &after.generation);
    (files, changes)
}

fn edit(files: &Files, from: &str, to: &str) {
    let text = std::fs::read_to_string(files.config()).expect("a configuration");
    assert!(text.contains(from));
    files.write("portcullis.toml", text.replace(from, to));
}

#[test]
fn the_same_files_are_no_change() {
    let (_, changes) = changes(|_| {});
    assert!(changes.is_empty() && !changes.is_more_than_revocation() && !changes.can_cut());
    assert_eq!(changes.to_string(), "");
}

#[test]
fn a_newer_list_is_revocation_and_nothing_more() {
    let (_, changes) = changes(|files| files.publish_list(8, &[3, 4]));
    let list = &changes.trust[0].lists[0];
    let state = |number: &str, entries| Some(ListState { number: number.into(), entries });
    assert_eq!((&list.before, &list.after), (&state("07", 0), &state("08", 2)));
    assert!(!changes.is_more_than_revocation() && !changes.can_cut());
    assert_eq!(
        changes.to_string(),
        "list          ~ internal \"CN=root\" number 07, 0 entries -> number 08, 2 entries\n"
    );
}

#[test]
fn entries_of_the_deny_list_are_counted_and_are_revocation() {
    let (_, changes) = changes(|files| {
        files.write("deny.toml", "services = [\"orders\", \"billing\"]\n");
        edit(files, "policy = \"policy.toml\"", "policy = \"policy.toml\"\ndeny = \"deny.toml\"");
    });
    assert_eq!(changes.deny, DenyChange { added: 2, removed: 0 });
    assert!(!changes.is_more_than_revocation() && changes.to_string().contains("deny list     + 2 entries"));
}

#[test]
fn a_new_key_pair_is_no_set_to_go_back_behind_and_cuts_nobody() {
    let (files, changes) = changes(Files::rotate_gateway);
    let change = changes.listeners[0].certificate.as_ref().expect("a certificate");
    let now = files.load().generation.listeners[0].fingerprint.to_string();
    assert!(change.after.fingerprint == now && change.before.fingerprint != now);
    assert!(!changes.is_empty() && !changes.is_more_than_revocation() && !changes.can_cut());
}

#[test]
fn limits_are_told_by_their_keys_and_cut_nobody() {
    let (_, changes) = changes(|files| edit(files, "[[listener]]", "[limits]\nmax_faults = 3\n[[listener]]"));
    let expected = LimitChange { key: "max_faults".into(), before: Some(32), after: Some(3) };
    assert_eq!(changes.limits, [expected]);
    assert!(changes.is_more_than_revocation() && !changes.can_cut());
}

#[test]
fn how_dialects_are_spoken_is_told_and_cuts_nobody() {
    for lines in ["[nats]\nstamp_sender = false", "[gateway]\nalternatives = [\"wss://other:8443/nats\"]"] {
        let (_, changes) = changes(|files| edit(files, "[[listener]]", &format!("{lines}\n[[listener]]")));
        assert!(changes.dialects && changes.is_more_than_revocation() && !changes.can_cut(), "{lines}");
        assert!(changes.to_string().contains("dialects"), "{changes}");
    }
}

#[test]
fn grants_rules_and_claims_are_told_by_name_and_may_cut() {
    let (_, grants) = changes(|files| {
        let more = POLICY.replace("orders.>", "orders.*").replace("base", "basis");
        files.write("policy.toml", format!("{more}{}", POLICY.replace("orders.>", "x")));
    });
    let of = |names: &[&str]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };
    let expected = NameChanges { added: of(&["basis"]), removed: of(&[]), changed: of(&["base"]) };
    assert_eq!(grants.grants, expected);
    let (_, rules) = changes(|files| edit(files, "\"ou\"", "\"o\""));
    assert_eq!(rules.trust[0].rules.changed, ["common-name"]);
    let (_, claims) = changes(|files| edit(files, "\"orders\", \"billing\"", "\"orders\""));
    assert!(claims.trust[0].claims);
    for changes in [grants, rules, claims] {
        assert!(changes.can_cut());
    }
}

#[test]
fn anchors_that_come_and_go_are_named() {
    let other = crate::testing::Authority::new("other");
    let (files, changes) = changes(|files| {
        files.write("anchors.pem", other.pem());
        files.write("crl.der", other.list(1, &[]));
    });
    let anchors = &changes.trust[0].anchors;
    assert_eq!((anchors.added[0].name.as_str(), anchors.removed[0].name.as_str()), ("CN=other", "CN=root"));
    assert_eq!(changes.trust[0].lists.len(), 2);
    assert!(changes.can_cut());
    let text = changes.to_string();
    assert!(
        text.contains("anchor        + internal \"CN=other\"") && text.contains("list          -"),
        "{text}"
    );
    drop(files);
}

#[test]
fn a_renamed_domain_is_another_one() {
    let (_, changes) = changes(|files| edit(files, "name = \"internal\"", "name = \"inside\""));
    let presence: Vec<_> =
        changes.trust.iter().map(|change| (change.trust.as_str(), change.domain)).collect();
    assert_eq!(presence, [("inside", Presence::Added), ("internal", Presence::Removed)]);
    assert!(changes.can_cut());
}

/// Without lists nothing is revoked any more, and with them somebody may be.
#[test]
fn switching_revocation_is_no_revocation() {
    let (_, changes) = changes(|files| edit(files, "crls = [\"crl.der\"]", "danger_no_revocation = true"));
    assert!(changes.trust[0].revocation_switched && changes.can_cut());
}
