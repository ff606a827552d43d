//! The CA that renews: loaded with its trust domain, and refused for what would make its certificates worthless.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};

use super::*;

/// A gateway's files with a CA below its root that renews.
struct Renewing {
    files: Files,
    issuer: Authority,
}

impl Renewing {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(edit: fn(&mut CertificateParams)) -> Self {
        let files = Files::new();
        let issuer = files.authority.intermediate("renewal", 500, edit);
        let block = "intermediates = [\"issuer.pem\"]\n\
            renewal = { certificate = \"issuer.pem\", key = \"issuer.key\" }\ncrls = [\"issuer.der\", ";
        files.write("portcullis.toml", CONFIGURATION.replace("crls = [", block));
        files.write("issuer.pem", issuer.pem());
        files.write("issuer.key", issuer.key_pem());
        files.write("issuer.der", issuer.list(1, &[]));
        Self { files, issuer }
    }

    fn refused(&self) -> Vec<Fault> {
        self.files.refused()
    }
}

fn issues(loaded: &Loaded) -> bool {
    loaded.generation.renewal.of(&TrustName::parse("internal").unwrap()).is_some()
}

#[test]
fn a_trust_domain_renews_only_where_it_is_configured_to() {
    assert!(!issues(&Files::new().load()));
    let renewing = Renewing::new();
    let before = renewing.files.load();
    assert!(issues(&before));
    // Newer lists alone take nothing away.
    renewing.files.publish_list(8, &[]);
    let newer =
        newer_revocations(&[&before.settings], &before.generation, &mut Faults::default(), unix_now())
            .expect("a newer list");
    assert!(Arc::ptr_eq(&newer.renewal, &before.generation.renewal));
}

#[test]
fn a_key_or_a_chain_that_does_not_fit_is_a_fault_at_its_key() {
    let renewing = Renewing::new();
    renewing.files.write("issuer.key", renewing.files.authority.key_pem());
    let faults = renewing.refused();
    assert_eq!(keys(&faults), ["trust[0].renewal.key"]);
    assert!(matches!(faults[0].why, Why::Issuer(_)), "{faults:?}");

    let renewing = Renewing::new();
    let stranger = renewing.files.authority.intermediate("stranger", 501, |_| {});
    renewing.files.write("other.pem", stranger.pem());
    renewing.files.write("issuer.key", stranger.key_pem());
    let config = std::fs::read_to_string(renewing.files.config()).unwrap();
    let config = config.replace("certificate = \"issuer.pem\"", "certificate = \"other.pem\"");
    renewing.files.write("portcullis.toml", config);
    let faults = renewing.refused();
    assert_eq!(keys(&faults), ["trust[0].renewal.certificate"]);
    assert!(matches!(faults[0].why, Why::IssuingChain(_)), "{faults:?}");
}

#[test]
fn missing_files_are_found_beside_faults_of_the_trust_domain() {
    let renewing = Renewing::new();
    renewing.files.write("crl.der", "no list");
    std::fs::remove_file(renewing.files.path("issuer.key")).unwrap();
    assert_eq!(keys(&renewing.refused()), ["trust[0].crls[1]", "trust[0].renewal.key"]);
}

#[test]
fn a_ca_whose_certificates_would_not_be_accepted_is_refused_at_load() {
    // A CA for servers, whose certificates are no clients'.
    let renewing =
        Renewing::with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let faults = renewing.refused();
    assert_eq!(keys(&faults), ["trust[0].renewal.certificate"]);
    assert!(matches!(faults[0].why, Why::IssuedInVain(_)), "{faults:?}");
}

#[test]
fn a_ca_whose_names_are_constrained_is_judged_by_what_it_issues() {
    let renewing = Renewing::with(|params| {
        params.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("services.internal".into())],
            excluded_subtrees: Vec::new(),
        });
    });
    assert!(issues(&renewing.files.load()));
}

#[test]
fn a_ca_that_was_revoked_keeps_no_gateway_from_starting() {
    let renewing = Renewing::new();
    renewing.files.publish_list(8, &[500]);
    assert!(issues(&renewing.files.load()));
}

#[test]
fn another_key_is_another_set() {
    let renewing = Renewing::new();
    let before = renewing.files.load();
    renewing.files.write("issuer.key", format!("{}\n", renewing.issuer.key_pem()));
    assert_ne!(digest(&renewing.files.config()), before.digest);
}
