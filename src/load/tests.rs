//! Loading: all faults together, nothing taken that goes back, nothing changed that is the same.

mod renewal;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::clock::unix_now;
use crate::config::Fault;
use crate::testing::{Authority, pem};

/// A gateway's files, whole and good.
pub(crate) struct Files {
    folder: TempDir,
    pub(crate) authority: Authority,
}

const CONFIGURATION: &str = r#"
policy = "policy.toml"
[[listener]]
address = "127.0.0.1:0"
certificate = "gateway.pem"
key = "gateway.key"
names = ["localhost"]
[[trust]]
name = "internal"
anchors = ["anchors.pem"]
crls = ["crl.der"]
services = ["orders", "billing"]
[[trust.rule]]
name = "common-name"
match = { cn = "{service}" }
roles_from = "ou"
role_values = ["reader"]
"#;
pub(crate) const POLICY: &str = r#"
[[grant]]
name = "base"
services = ["orders"]
publish = ["orders.>"]
"#;

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self { folder: TempDir::new().unwrap(), authority: Authority::new("root") };
        files.write("portcullis.toml", CONFIGURATION);
        files.write("policy.toml", POLICY);
        files.write("anchors.pem", files.authority.pem());
        files.publish_list(7, &[]);
        files.rotate_gateway();
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("portcullis.toml")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn publish_list(&self, number: u64, revoked: &[u64]) {
        self.write("crl.der", self.authority.list(number, revoked));
    }

    /// Names a deny list that denies these serials.
    pub(crate) fn deny(&self, serials: &str) {
        let config = std::fs::read_to_string(self.config()).unwrap();
        if !config.contains("deny.toml") {
            self.write("portcullis.toml", format!("deny = \"deny.toml\"\n{config}"));
        }
        self.write("deny.toml", format!("serials = [{serials}]\n"));
    }

    pub(crate) fn rotate_gateway(&self) {
        let pair = self.authority.gateway(24 * 3600);
        self.write("gateway.pem", pem("CERTIFICATE", &pair.der));
        self.write("gateway.key", pair.key.serialize_pem());
    }

    pub(crate) fn load(&self) -> Loaded {
        first(&self.config(), unix_now()).unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// What the files are now, after they were `before`.
    fn load_after(&self, before: &Loaded) -> Result<Option<Loaded>, Refused> {
        next(&self.config(), &before.as_before(), unix_now())
    }

    fn loaded_after(&self, before: &Loaded) -> Loaded {
        match self.load_after(before) {
            Ok(Some(loaded)) => loaded,
            Ok(None) => panic!("the files changed"),
            Err(refused) => panic!("{}", refused.faults),
        }
    }

    fn refused_after(&self, before: &Loaded) -> Vec<Fault> {
        self.load_after(before).err().expect("refused").faults.0
    }

    fn refused(&self) -> Vec<Fault> {
        first(&self.config(), unix_now()).err().expect("refused").0
    }
}

impl Loaded {
    fn as_before(&self) -> Before<'_> {
        Before { settings: &self.settings, generation: &self.generation, digest: Some(self.digest) }
    }
}

fn keys(faults: &[Fault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.key.as_str()).collect()
}

#[test]
fn a_whole_set_becomes_the_first_generation() {
    let files = Files::new();
    let loaded = files.load();
    assert_eq!((loaded.generation.number, loaded.generation.listeners.len()), (1, 1));
    let policy = &loaded.generation.policy;
    let names: Vec<_> = policy.service_names().map(ToString::to_string).collect();
    assert_eq!(names, ["orders"]);
}

#[test]
fn faults_in_several_files_are_found_together() {
    let files = Files::new();
    files.write("policy.toml", "[[grant]]\nname = \"A\"\npublish = [\"a..b\"]\n");
    files.write("anchors.pem", "no PEM");
    std::fs::remove_file(files.path("crl.der")).unwrap();
    files.write("gateway.key", "");
    let faults = files.refused();
    let expected = [
        "trust[0].anchors[0]",
        "trust[0].crls[0]",
        "policy: grant[0].name",
        "policy: grant[0].publish[0]",
        "listener[0].key",
    ];
    assert_eq!(keys(&faults), expected);
    assert!(matches!(faults[0].why, Why::Pem { .. }) && matches!(faults[1].why, Why::Read { .. }));
}

#[test]
fn a_key_of_another_certificate_is_found_beside_other_faults() {
    let files = Files::new();
    let key = std::fs::read(files.path("gateway.key")).unwrap();
    files.rotate_gateway();
    files.write("gateway.key", key);
    files.write("policy.toml", "[[grant]]\nname = \"lost\"\n");
    let faults = files.refused();
    assert_eq!(keys(&faults), ["policy: grant[0].services", "listener[0].key"]);
    assert!(matches!(faults[1].why, Why::Tls(_)), "{:?}", faults[1]);
}

#[test]
fn the_gateways_own_certificate_must_be_in_date_and_valid_for_its_names() {
    let files = Files::new();
    files.write(
        "portcullis.toml",
        CONFIGURATION.replace("[\"localhost\"]", "[\"localhost\", \"other.test\", \"\"]"),
    );
    let faults = files.refused();
    assert_eq!(keys(&faults), ["listener[0].names[1]", "listener[0].names[2]"]);

    let files = Files::new();
    let later = UnixTime::since_unix_epoch(std::time::Duration::from_secs(unix_now().as_secs() + 25 * 3600));
    let faults = first(&files.config(), later).err().expect("refused").0;
    assert!(
        faults
            .iter()
            .any(|fault| fault.key == "listener[0].certificate" && matches!(fault.why, Why::Expired { .. }))
    );
    assert!(
        faults.iter().any(|fault| fault.key == "trust[0]" && matches!(fault.why, Why::Trust(_))),
        "{faults:?}"
    );
}

/// No client would take it, and a rotation to it would cut all new ones off.
#[test]
fn a_services_certificate_is_not_taken_for_the_gateways() {
    let files = Files::new();
    let localhost = || vec![rcgen::SanType::DnsName("localhost".try_into().unwrap())];
    let service =
        files.authority.client_with("orders", 7, 3600, |params| params.subject_alt_names = localhost());
    files.write("gateway.pem", pem("CERTIFICATE", &service.der));
    files.write("gateway.key", service.key.serialize_pem());
    let faults = files.refused();
    assert_eq!(keys(&faults), ["listener[0].certificate"]);
    assert!(matches!(faults[0].why, Why::NotForServers), "{:?}", faults[0]);

    let anybodys = files.authority.client_with("gateway", 8, 3600, |params| {
        params.subject_alt_names = localhost();
        params.extended_key_usages = Vec::new();
    });
    files.write("gateway.pem", pem("CERTIFICATE", &anybodys.der));
    files.write("gateway.key", anybodys.key.serialize_pem());
    assert!(first(&files.config(), unix_now()).is_ok());
}

#[test]
fn a_policy_names_only_what_a_certificate_can_be_mapped_to() {
    let files = Files::new();
    files.write(
        "policy.toml",
        "[[grant]]\nname = \"a\"\nservices = [\"ordres\", \"orders\"]\nroles = [\"raeder\"]\n",
    );
    let faults = files.refused();
    let unknown = |fault: &Fault| match &fault.why {
        Why::Unknown { what, name } => format!("{what} {name}"),
        why => panic!("{why:?}"),
    };
    assert_eq!(faults.iter().map(unknown).collect::<Vec<_>>(), ["service ordres", "role raeder"]);
}

#[test]
fn the_same_bytes_are_no_change() {
    let files = Files::new();
    let before = files.load();
    files.write("policy.toml", POLICY);
    assert!(matches!(files.load_after(&before), Ok(None)));
    files.write("policy.toml", format!("{POLICY}# a comment\n"));
    assert!(matches!(files.load_after(&before), Ok(Some(_))));
}

#[test]
fn a_digest_is_of_every_file_good_or_not() {
    let files = Files::new();
    let mut seen = vec![files.load().digest];
    let mut look = || {
        let now = digest(&files.config());
        assert_eq!(now, digest(&files.config()));
        assert!(!seen.contains(&now));
        seen.push(now);
    };
    files.write("anchors.pem", "no PEM");
    look();
    std::fs::remove_file(files.path("anchors.pem")).unwrap();
    look();
    files.write("anchors.pem", "");
    look();
    files.write("portcullis.toml", "broken");
    look();
    let refused = files.load_after(&Files::new().load()).err().expect("refused");
    assert_eq!(refused.digest, digest(&files.config()));
}

/// Signatures are not even looked at: a certificate whose time is over is no fault in files that are the same.
#[test]
fn files_that_are_the_same_are_not_judged_again() {
    let files = Files::new();
    let before = files.load();
    let later = UnixTime::since_unix_epoch(std::time::Duration::from_secs(unix_now().as_secs() + 25 * 3600));
    assert!(matches!(next(&files.config(), &before.as_before(), later), Ok(None)));
}

#[test]
fn what_is_equal_is_kept_and_only_what_changed_is_new() {
    let files = Files::new();
    let before = files.load();
    files.publish_list(8, &[3]);
    files.write("policy.toml", format!("# moved\n{POLICY}"));
    let after = files.loaded_after(&before);
    assert_eq!(after.generation.number, 2);
    assert!(Arc::ptr_eq(&before.generation.policy, &after.generation.policy));
    assert!(Arc::ptr_eq(&before.generation.limits, &after.generation.limits));

    files.write("policy.toml", POLICY.replace("orders.>", "orders.*"));
    files.write("portcullis.toml", format!("{CONFIGURATION}\n[limits]\nmax_faults = 3\n"));
    let last = files.loaded_after(&after);
    assert!(!Arc::ptr_eq(&after.generation.policy, &last.generation.policy));
    assert_eq!(last.generation.limits.max_faults, 3);
}

#[test]
fn a_revocation_list_never_goes_back() {
    let files = Files::new();
    files.publish_list(9, &[3]);
    let before = files.load();
    files.publish_list(8, &[]);
    let faults = files.refused_after(&before);
    assert_eq!(keys(&faults), ["trust[0].crls"]);
    assert!(matches!(&faults[0].why, Why::CrlWentBack { .. }));
    files.publish_list(10, &[]);
    assert_eq!(files.loaded_after(&before).generation.number, 2);
}

#[test]
fn what_takes_a_restart_is_refused() {
    let files = Files::new();
    let before = files.load();
    files.write("portcullis.toml", CONFIGURATION.replace("127.0.0.1:0", "127.0.0.1:1"));
    let faults = files.refused_after(&before);
    assert!(matches!(faults.as_slice(), [Fault { why: Why::ListenersChanged, .. }]), "{faults:?}");
}

#[test]
fn a_newer_list_is_taken_alone_whatever_else_is_broken() {
    let files = Files::new();
    let before = files.load();
    let newer =
        || newer_revocations(&[&before.settings], &before.generation, &mut Faults::default(), unix_now());
    assert!(newer().is_none(), "the same list is not newer");

    files.write("policy.toml", "broken");
    files.write("portcullis.toml", "broken");
    files.write("gateway.key", "broken");
    assert!(newer().is_none());
    files.publish_list(6, &[5]);
    assert!(newer().is_none(), "an older list is not newer");
    files.write("crl.der", Authority::new("root").list(99, &[5]));
    assert!(newer().is_none(), "nor is one that another CA of the same name signed");
    files.write("crl.der", "cut of");
    assert!(newer().is_none());

    files.publish_list(8, &[5]);
    let next = newer().expect("a newer list");
    assert_eq!((next.number, next.listeners.len()), (2, 1));
    assert!(Arc::ptr_eq(&next.policy, &before.generation.policy));
    let revoked = files.authority.client("orders", 5, 600);
    assert!(before.generation.trust.verify(&revoked.der, &[], unix_now()).is_ok());
    assert!(next.trust.verify(&revoked.der, &[], unix_now()).is_err());
    assert!(next.trust.verify(&files.authority.client("orders", 6, 600).der, &[], unix_now()).is_ok());
}

#[test]
fn a_deny_list_is_part_of_the_generation_and_its_faults_have_their_places() {
    let files = Files::new();
    let denying = |text: &str| {
        files.write("portcullis.toml", format!("deny = \"deny.toml\"\n{CONFIGURATION}"));
        files.write("deny.toml", text);
    };
    assert!(files.load().generation.deny.is_empty(), "without the key nobody is denied");
    denying("serials = [\"07\", \"0A:1B\"]\nservices = [\"orders\"]\n");
    let loaded = files.load();
    assert_eq!(loaded.generation.deny.len(), 3);
    assert!(loaded.settings.files().any(|file| file == files.path("deny.toml")));

    denying("fingerprints = [\"12\"]\nserials = [\"07\", \"x\"]\nservices = [\"A b\"]\nservice = []\n");
    let expected = ["deny: service", "deny: fingerprints[0]", "deny: serials[1]", "deny: services[0]"];
    assert_eq!(keys(&files.refused()), expected);
    denying(" \n");
    assert!(matches!(files.refused().as_slice(), [Fault { why: Why::EmptyDenyList, .. }]));
    denying("serials = 7\nservices = [\"A\"]\n");
    assert_eq!(keys(&files.refused()), ["deny: serials", "deny: services[0]"]);
    let many = vec!["\"07\""; crate::deny::MAX_ENTRIES + 1].join(",");
    denying(&format!("serials = [{many}]"));
    assert!(matches!(files.refused().as_slice(), [Fault { why: Why::TooManyEntries { .. }, .. }]));
    std::fs::remove_file(files.path("deny.toml")).unwrap();
    let faults = files.refused();
    assert!(matches!(faults.as_slice(), [Fault { why: Why::Read { .. }, .. }]), "{faults:?}");
    denying("# nobody\n");
    assert!(files.load().generation.deny.is_empty());
}

#[test]
fn a_changed_deny_list_is_taken_alone_whatever_else_is_broken() {
    let files = Files::new();
    files.write("portcullis.toml", format!("deny = \"deny.toml\"\n{CONFIGURATION}"));
    files.write("deny.toml", "serials = []");
    let before = files.load();
    let newer =
        || newer_revocations(&[&before.settings], &before.generation, &mut Faults::default(), unix_now());
    files.write("policy.toml", "broken");
    files.write("portcullis.toml", "broken");
    assert!(newer().is_none(), "the same list is no change");
    files.write("deny.toml", "serials = [\"07\"]");
    let next = newer().expect("another deny list");
    assert_eq!((next.number, next.deny.len(), next.listeners.len()), (2, 1, 1));
    assert!(Arc::ptr_eq(&next.trust, &before.generation.trust), "the trust is as before");
    for broken in ["serials = [\"07\", \"x\"]", "", "cut ["] {
        files.write("deny.toml", broken);
        assert!(newer().is_none(), "{broken}");
    }
    files.publish_list(8, &[5]);
    let next = newer().expect("a broken deny list holds up no revocation list");
    assert!(next.deny.is_empty() && !Arc::ptr_eq(&next.trust, &before.generation.trust));
}

#[test]
fn an_entry_that_left_the_deny_list_stays_denied_while_the_set_is_broken() {
    let files = Files::new();
    files.deny("\"07\", \"08\"");
    let before = files.load();
    let newer =
        || newer_revocations(&[&before.settings], &before.generation, &mut Faults::default(), unix_now());
    files.write("policy.toml", "broken");
    files.deny("\"08\"");
    assert!(newer().is_none(), "nothing is denied that was not denied before");
    files.deny("\"09\"");
    let next = newer().expect("one more");
    assert_eq!((next.deny.len(), before.generation.deny.not_in(&next.deny)), (3, 0));
}

#[test]
fn a_change_of_revocations_is_told_from_any_other() {
    let files = Files::new();
    files.deny("\"07\"");
    let before = digest(&files.config());
    let is_same = || {
        let now = digest(&files.config());
        (now == before, now.is_but_for_revocations(&before))
    };
    assert_eq!(is_same(), (true, true));
    files.publish_list(8, &[]);
    assert_eq!(is_same(), (false, true));
    files.publish_list(7, &[]);
    files.deny("\"08\"");
    assert_eq!(is_same(), (false, true));
    for other in ["policy.toml", "anchors.pem", "gateway.key", "portcullis.toml"] {
        let bytes = std::fs::read(files.path(other)).unwrap();
        files.write(other, "");
        assert_eq!(is_same(), (false, false), "{other}");
        files.write(other, bytes);
    }
    let config = std::fs::read_to_string(files.config()).unwrap();
    files.write("portcullis.toml", config.replace("[\"anchors.pem\"]", "[\"anchors.pem\", \"crl.der\"]"));
    let both = digest(&files.config());
    files.publish_list(9, &[]);
    assert!(!digest(&files.config()).is_but_for_revocations(&both), "a file that is anchors as well");
}

#[test]
fn a_file_that_is_missing_or_no_text_is_named() {
    let missing = Path::new("/nonexistent/portcullis.toml");
    let faults = settings(missing).unwrap_err();
    assert!(faults.to_string().contains("/nonexistent/portcullis.toml"), "{faults}");
    let files = Files::new();
    files.write("portcullis.toml", b"\xff\xfe");
    assert!(matches!(files.refused().as_slice(), [Fault { why: Why::NotUtf8 { .. }, .. }]));
}
