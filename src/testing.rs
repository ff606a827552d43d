//! What the tests of the upper layers stand on: an authority whose certificates and lists are in date today, and
//! policies as an operator writes them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use rustls::pki_types::CertificateRevocationListDer;

use crate::clock::unix_now;
use crate::config::parse_policy;
use crate::policy::Policy;
use crate::trust::test_pki::{HOUR, TestCa, TestLeaf, date, settings};
use crate::trust::{TrustDomain, TrustDomains};

/// A root that was made yesterday and lasts for days.
pub(crate) struct Authority {
    ca: TestCa,
    today: u64,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let today = unix_now().as_secs();
        let ca = TestCa::root_with(name, |params| {
            params.not_before = date(today - 24 * HOUR);
            params.not_after = date(today + 96 * HOUR);
        });
        Self { ca, today }
    }

    /// A service's certificate, good for `seconds` from now.
    pub(crate) fn client(&self, service: &str, serial: u64, seconds: u64) -> TestLeaf {
        self.ca.leaf_with(service, serial, |params| {
            params.not_before = date(self.today - HOUR);
            params.not_after = date(unix_now().as_secs() + seconds);
        })
    }

    /// A certificate for a gateway called `localhost`.
    pub(crate) fn gateway(&self, seconds: u64) -> TestLeaf {
        self.ca.leaf_with("gateway", 1_000, |params| {
            params.not_before = date(self.today - HOUR);
            params.not_after = date(unix_now().as_secs() + seconds);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().expect("a name"))];
        })
    }

    /// A list of these dates that revokes nothing.
    pub(crate) fn list_between(
        &self,
        number: u64,
        this_update: u64,
        next_update: u64,
    ) -> CertificateRevocationListDer<'static> {
        self.ca.crl_with(number, &[], |params| {
            (params.this_update, params.next_update) = (date(this_update), date(next_update));
        })
    }

    pub(crate) fn list(&self, number: u64, revoked: &[u64]) -> CertificateRevocationListDer<'static> {
        self.ca.crl_with(number, revoked, |params| {
            params.this_update = date(self.today - HOUR);
            params.next_update = date(self.today + 24 * HOUR);
        })
    }

    /// A list that is not valid yet.
    pub(crate) fn list_of_tomorrow(&self, number: u64) -> CertificateRevocationListDer<'static> {
        self.ca.crl_with(number, &[], |params| {
            params.this_update = date(self.today + 24 * HOUR);
            params.next_update = date(self.today + 48 * HOUR);
        })
    }

    /// The domain of this authority, in which a common name is the service.
    pub(crate) fn trust(&self, number: u64, revoked: &[u64]) -> Arc<TrustDomains> {
        let settings = settings(&[&self.ca], &[], &[self.list(number, revoked)]);
        let domain = TrustDomain::new(settings, unix_now()).expect("a domain");
        Arc::new(TrustDomains::new(vec![domain]).expect("one domain has no conflicts"))
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.ca.der)
    }
}

/// One PEM block.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// The policy of a file with this text.
pub(crate) fn policy(text: &str) -> Arc<Policy> {
    Arc::new(Policy::new(parse_policy(text).expect("a policy file")).expect("a policy"))
}
