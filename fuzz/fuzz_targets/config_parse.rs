//! Any text is a configuration or a list of faults, each readable; any text is a policy that decides, or a list of faults.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use portcullis::config::{Settings, parse_policy};
use portcullis::identity::ServiceName;
use portcullis::policy::{Policy, matrix};

fuzz_target!(|text: &str| {
    if let Err(faults) = Settings::parse(text, Path::new("/")) {
        assert!(!faults.is_empty() && !faults.to_string().is_empty());
    }
    let grants = match parse_policy(text) {
        Ok(grants) => grants,
        Err(faults) => return assert!(!faults.is_empty() && !faults.to_string().is_empty()),
    };
    let Ok(policy) = Policy::new(grants) else { return };
    let service = ServiceName::parse("billing").expect("a name");
    let roles: Vec<_> = policy.role_names().take(1).cloned().collect();
    let grants = policy.grants(&service, &roles);
    for rule in grants.subscribe_rules().iter().take(16) {
        // A grant covers itself: only a deny, or a lost right to connect, can take it away.
        let verdict = grants.subscribe(&rule.pattern, None);
        assert!(verdict.is_ok() || !grants.deny_subscribe_rules().is_empty() || grants.connect().is_err());
    }
    // Quadratic in the rules, so only for small policies.
    if text.len() < 512 {
        assert!(!matrix(&policy, &[(service, roles)]).to_string().is_empty());
    }
});
