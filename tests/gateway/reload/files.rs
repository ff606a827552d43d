//! However files are written, the gateway ends up with the new set and never with half of one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use portcullis::reload::Attempt;

use super::{faults, new_pair, reconfigure, refused, service, shown, start, taken, tried};
use crate::harness::{Binary, Harness, POLICY, Pki, Setup, replace};

const NARROW: &str = "[[grant]]\nname = \"own\"\nservices = [\"*\"]\npublish = [\"services.{service}.>\"]\n";

fn put(harness: &Harness, name: &str, bytes: &[u8]) {
    fs::write(harness.pki.path(name), bytes).expect("written in place");
}

#[tokio::test]
async fn a_new_pair_is_taken_when_both_halves_are_there_in_either_order() {
    let harness = start().await;
    let client = service(&harness, "billing", &[]);
    let mut session = harness.connect_as(&client).await;
    let mut before = shown(&harness, &client).await;
    for (turn, key_first) in [(2, true), (3, false)] {
        let pair = new_pair(&harness);
        let halves = [("gateway.key", &pair.key_pem), ("gateway.pem", &pair.pem)];
        let (first, second) = if key_first { (0, 1) } else { (1, 0) };
        harness.pki.write(halves[first].0, halves[first].1);
        // However long the second half takes: the gateway says what is wrong and goes on with the old pair.
        let why = refused(&harness).await;
        assert!(why.contains("listener[0]"), "{why}");
        assert_eq!(harness.gateway().generation_number(), turn - 1);
        assert_eq!(shown(&harness, &client).await, before);
        harness.pki.write(halves[second].0, halves[second].1);
        taken(&harness, turn).await;
        assert_eq!(shown(&harness, &client).await, pair.chain[0]);
        before = pair.chain[0].clone();
    }
    session.nothing_came().await;
}

#[tokio::test]
async fn half_written_and_truncated_files_are_refused_until_they_are_whole() {
    let harness = start().await;
    let client = service(&harness, "billing", &[]);
    let before = shown(&harness, &client).await;
    let pair = new_pair(&harness);
    let crl = harness.pki.ca.crl(86_400);
    put(&harness, "gateway.key", pair.key_pem.as_bytes());
    put(&harness, "gateway.pem", &pair.pem.as_bytes()[..pair.pem.len() / 2]);
    tried(&harness).await;
    let why = faults(&harness).join("\n");
    assert!(why.contains("listener[0].certificate"), "{why}");
    put(&harness, "gateway.pem", b"");
    put(&harness, "crl.pem", &crl.as_bytes()[..crl.len() - 30]);
    tried(&harness).await;
    let why = faults(&harness).join("\n");
    assert!(
        why.contains("listener[0].certificate") && why.contains("trust[0].crls[0]"),
        "all at once: {why}"
    );
    assert_eq!(shown(&harness, &client).await, before);
    put(&harness, "gateway.pem", pair.pem.as_bytes());
    put(&harness, "crl.pem", crl.as_bytes());
    taken(&harness, 2).await;
    assert_eq!(shown(&harness, &client).await, pair.chain[0]);
}

#[tokio::test]
async fn files_that_go_and_come_again_are_taken() {
    let harness = start().await;
    let away = harness.pki.path("away");
    for (turn, name) in [(2, "policy.toml"), (3, "crl.pem"), (4, "anchors.pem"), (5, "gateway.pem")] {
        let path = harness.pki.path(name);
        if turn % 2 == 0 {
            fs::remove_file(&path).expect("deleted");
        } else {
            fs::rename(&path, &away).expect("renamed");
        }
        assert!(refused(&harness).await.contains(name), "{name}");
        assert_eq!(harness.gateway().generation_number(), turn - 1);
        match name {
            "policy.toml" => put(&harness, name, POLICY.replace("pool", "pond").as_bytes()),
            "crl.pem" => put(&harness, name, harness.pki.ca.crl(86_400).as_bytes()),
            "anchors.pem" => put(&harness, name, format!("# again\n{}", harness.pki.ca.pem).as_bytes()),
            _ => {
                harness.pki.rotate_gateway();
            }
        }
        taken(&harness, turn).await;
    }
    // Back under its old name and with its old bytes, a file is no change.
    fs::rename(harness.pki.path("crl.pem"), &away).expect("renamed");
    refused(&harness).await;
    fs::rename(&away, harness.pki.path("crl.pem")).expect("renamed back");
    taken(&harness, 5).await;
}

#[tokio::test]
async fn a_switched_symbolic_link_changes_all_files_below_it() {
    let harness = start().await;
    let client = service(&harness, "billing", &[]);
    let mount = harness.pki.path("mount");
    let version = |number: u32, pair: Option<&crate::harness::Issued>| {
        let folder = mount.join(format!("..{number}"));
        fs::create_dir_all(&folder).expect("a folder");
        for name in ["gateway.pem", "gateway.key", "crl.pem", "policy.toml"] {
            let real = fs::canonicalize(harness.pki.path(name)).expect("a file");
            fs::copy(real, folder.join(name)).expect("copied");
        }
        if let Some(pair) = pair {
            fs::write(folder.join("gateway.pem"), &pair.pem).expect("written");
            fs::write(folder.join("gateway.key"), &pair.key_pem).expect("written");
        }
        let link = mount.join("..data.new");
        symlink(format!("..{number}"), &link).expect("a link");
        fs::rename(link, mount.join("..data")).expect("switched");
    };
    // The files become links into the mount, as Kubernetes lays them out; their bytes stay.
    version(1, None);
    for name in ["gateway.pem", "gateway.key", "crl.pem", "policy.toml"] {
        let link = harness.pki.path("link");
        symlink(Path::new("mount/..data").join(name), &link).expect("a link");
        fs::rename(link, harness.pki.path(name)).expect("replaced");
    }
    assert_eq!(harness.reload().await, Attempt::Unchanged);
    for turn in 2..6 {
        let pair = new_pair(&harness);
        version(turn, Some(&pair));
        fs::remove_dir_all(mount.join(format!("..{}", turn - 1))).expect("the old version goes");
        taken(&harness, turn.into()).await;
        assert_eq!(shown(&harness, &client).await, pair.chain[0]);
    }
}

#[tokio::test]
async fn however_an_editor_saves_the_change_is_taken() {
    let harness = start().await;
    let path = &harness.policy;
    let text = |turn: u64| POLICY.replace("pool", &format!("pool-{turn}"));
    fs::write(path, text(2)).expect("saved in place");
    taken(&harness, 2).await;
    replace(path, text(3).as_bytes());
    taken(&harness, 3).await;
    // A backup by rename, then a new file.
    fs::rename(path, harness.pki.path("policy.toml~")).expect("backed up");
    fs::write(path, text(4)).expect("saved");
    taken(&harness, 4).await;
    // A backup by copy, then in place, in two writes.
    fs::copy(path, harness.pki.path("policy.toml.bak")).expect("backed up");
    let whole = text(5);
    fs::write(path, &whole[..40]).expect("begun");
    fs::write(path, &whole).expect("finished");
    taken(&harness, 5).await;
}

#[tokio::test]
async fn a_reload_without_a_real_change_closes_nobody_and_makes_no_generation() {
    let harness = start().await;
    let mut session = harness.connect("billing", &["reader"]).await;
    session.ok(r#"{"op":"sub","id":1,"sid":"s","topic":"orders.>"}"#).await;
    for name in ["portcullis.toml", "policy.toml", "anchors.pem", "crl.pem", "gateway.pem", "gateway.key"] {
        let path = harness.pki.path(name);
        let bytes = fs::read(&path).expect("a file");
        fs::write(&path, &bytes).expect("written again");
        replace(&path, &bytes);
        assert_eq!(harness.reload().await, Attempt::Unchanged, "{name}");
    }
    fs::write(harness.pki.path("unrelated.pem"), "x").expect("written");
    assert_eq!(harness.reload().await, Attempt::Unchanged);
    assert_eq!(harness.gateway().generation_number(), 1);
    // Other bytes of the same meaning make a generation, which nobody notices.
    reconfigure(&harness, "[gateway]", "# a comment\n[gateway]");
    taken(&harness, 2).await;
    replace(&harness.policy, format!("# a comment\n{POLICY}").as_bytes());
    taken(&harness, 3).await;
    session.nothing_came().await;
    assert_eq!(harness.gateway().router.subscriptions(), 1);
}

#[tokio::test]
async fn after_a_refused_set_the_next_good_one_works() {
    let harness = start().await;
    for (turn, broken) in
        [(2, "[[grant"), (3, "[[grant]]\nname = \"x\"\nservices = [\"*\"]\npublish = [\"a..b\"]\n")]
    {
        replace(&harness.policy, broken.as_bytes());
        let why = refused(&harness).await;
        assert!(why.contains("policy"), "{why}");
        replace(&harness.policy, POLICY.replace("pool", &format!("pool-{turn}")).as_bytes());
        taken(&harness, turn).await;
    }
    reconfigure(&harness, "[gateway]", "unknown = 1\n[gateway]");
    assert!(refused(&harness).await.contains("unknown"));
    reconfigure(&harness, "unknown = 1\n", "# known\n");
    taken(&harness, 4).await;
    // A policy that names whom no certificate can be, and one with the same typo mended.
    replace(&harness.policy, POLICY.replace("\"writer\"", "\"writr\"").as_bytes());
    assert!(refused(&harness).await.contains("writr"));
    replace(&harness.policy, NARROW.as_bytes());
    taken(&harness, 5).await;
}

#[tokio::test]
async fn a_changed_listener_is_refused_with_what_it_takes() {
    let harness = start().await;
    reconfigure(&harness, "127.0.0.1:0", "127.0.0.1:1");
    assert!(refused(&harness).await.contains("restart"));
    reconfigure(&harness, "127.0.0.1:1", "127.0.0.1:0");
    taken(&harness, 1).await;
}

#[tokio::test]
async fn a_file_that_the_configuration_names_anew_is_watched_from_then_on() {
    let harness = start().await;
    let elsewhere = harness.pki.path("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    let policy = elsewhere.join("policy.toml");
    fs::write(&policy, POLICY).expect("written");
    reconfigure(&harness, "policy = \"policy.toml\"", "policy = \"elsewhere/policy.toml\"");
    taken(&harness, 2).await;
    fs::write(&policy, NARROW).expect("changed");
    taken(&harness, 3).await;
    // A folder that is deleted and made anew is another one.
    fs::remove_dir_all(&elsewhere).expect("deleted");
    refused(&harness).await;
    fs::create_dir(&elsewhere).expect("a folder");
    fs::write(&policy, POLICY).expect("written");
    tried(&harness).await;
    taken(&harness, 4).await;
    fs::write(&policy, NARROW).expect("changed");
    taken(&harness, 5).await;
}

#[tokio::test]
async fn polling_finds_what_was_not_notified() {
    let polling = "[reload]\npoll_interval_ms = 100".into();
    let harness = Harness::with(Setup { more: polling, ..Setup::default() }).await;
    // A watch on a folder hears nothing of a write through another name of the file elsewhere.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other_name = elsewhere.path().join("policy");
    fs::hard_link(&harness.policy, &other_name).expect("another name");
    tried(&harness).await;
    fs::write(&other_name, NARROW).expect("written");
    taken(&harness, 2).await;
}

#[tokio::test]
async fn a_new_polling_interval_is_taken_too() {
    let harness = start().await;
    reconfigure(&harness, "poll_interval_ms = 3600000", "poll_interval_ms = 100");
    taken(&harness, 2).await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other_name = elsewhere.path().join("policy");
    fs::hard_link(&harness.policy, &other_name).expect("another name");
    tried(&harness).await;
    fs::write(&other_name, NARROW).expect("written");
    taken(&harness, 3).await;
}

#[tokio::test]
async fn sighup_reloads_the_real_binary() {
    let harness = start().await;
    reconfigure(&harness, "[gateway]", "log = { format = \"json\", filter = \"info\" }\n[gateway]");
    let mut gateway = Binary::spawn(&["serve", "--config", harness.config.to_str().expect("UTF-8")]);
    gateway.logs("listening").await;
    gateway.signal("HUP");
    assert!(gateway.logs("SIGHUP").await.contains("Unchanged"));
    // Nobody is notified of a write through another name, so that the signal alone brings it.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other_name = elsewhere.path().join("policy");
    fs::hard_link(&harness.policy, &other_name).expect("another name");
    fs::write(&other_name, NARROW).expect("written");
    gateway.signal("HUP");
    assert!(gateway.logs("SIGHUP").await.contains("Installed { generation: 2 }"));
    fs::write(&other_name, "[[grant").expect("broken");
    gateway.signal("HUP");
    assert!(gateway.logs("SIGHUP").await.contains("Refused"));
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_gateway_certificate_that_fits_its_key_but_not_its_names_is_refused() {
    let harness = start().await;
    let client = service(&harness, "billing", &[]);
    let before = shown(&harness, &client).await;
    let mut profile = Pki::gateway_profile();
    profile.dns = vec!["elsewhere.test.internal".into()];
    let foreign = harness.pki.issue(&profile);
    harness.pki.write("gateway.key", &foreign.key_pem);
    harness.pki.write("gateway.pem", &foreign.pem);
    wait_for(&harness, "localhost").await;
    profile.dns = vec!["localhost".into()];
    profile.not_after = -1;
    let expired = harness.pki.issue(&profile);
    harness.pki.write("gateway.key", &expired.key_pem);
    harness.pki.write("gateway.pem", &expired.pem);
    wait_for(&harness, "expired").await;
    assert_eq!(shown(&harness, &client).await, before);
    assert_eq!(harness.gateway().generation_number(), 1);
}

async fn wait_for(harness: &Harness, fault: &str) {
    crate::harness::wait_until(|| faults(harness).iter().any(|text| text.contains(fault))).await;
}
