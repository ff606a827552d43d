//! Any bytes are a certificate's facts or a fault, and facts map to one name that a service may have, or to none.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portcullis::identity::certificate::{CertificateFacts, Field};
use portcullis::identity::mapping::{Mapping, Rule, RuleSettings, ServiceClaim, Template};
use portcullis::identity::{Role, RuleName, ServiceName};

/// A rule for every field that can give the name, so that each of their parsers is reached.
static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
    let rules = [
        ("cn", Field::Cn, "{service}"),
        ("ou", Field::Ou, "svc-{service}"),
        ("o", Field::O, "{service}"),
        ("dns", Field::Dns, "{service}.services.internal"),
        ("uri", Field::Uri, "spiffe://internal/service/{service}"),
        ("email", Field::Email, "{service}@internal"),
    ];
    let rule = |(name, field, template): (&str, Field, &str)| {
        let settings = RuleSettings {
            name: RuleName::parse(name).expect("a name"),
            matches: vec![(field, Template::parse(template).expect("a template"))],
            service: None,
            roles: Vec::new(),
            roles_from: Some(Field::Ou),
            role_values: vec![Role::parse("writer").expect("a role")],
        };
        Rule::new(settings).expect("a rule")
    };
    let claims = vec![ServiceClaim::parse("*").expect("a claim")];
    Mapping::new(rules.into_iter().map(rule).collect(), claims)
});

fuzz_target!(|der: &[u8]| {
    let Ok(facts) = CertificateFacts::parse(der) else { return };
    if let Ok(mapped) = MAPPING.map(&facts) {
        let service = mapped.service();
        assert_eq!(ServiceName::parse(service.as_str()).as_ref(), Ok(service));
    }
});
