//! Everything that can be reloaded, as one numbered value that is swapped whole.
//!
//! Invariant: a [`Generation`] was loaded, parsed and checked against itself completely before anybody sees it, and
//! numbers only grow.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;

use crate::connection::UpgradeRules;
use crate::deny::DenyList;
use crate::identity::certificate::Fingerprint;
use crate::limits::Limits;
use crate::policy::Policy;
use crate::renewal::Issuers;
use crate::session::DialectSettings;
use crate::tls;
use crate::trust::TrustDomains;
use crate::trust::verifier::ClientVerifier;

/// One consistent set of key pairs, trust, mapping, policy, deny list and limits.
pub struct Generation {
    pub number: u64,
    /// What each listener answers with, in the order of the configuration.
    pub listeners: Vec<ListenerState>,
    pub trust: Arc<TrustDomains>,
    pub policy: Arc<Policy>,
    pub deny: Arc<DenyList>,
    pub limits: Arc<Limits>,
    pub dialects: Arc<DialectSettings>,
    pub renewal: Arc<Issuers>,
}

impl Generation {
    /// This one with another trust, under `number`.
    pub(crate) fn with_trust(&self, number: u64, trust: Arc<TrustDomains>) -> Result<Self, rustls::Error> {
        let verifier = Arc::new(ClientVerifier::new(trust.clone()));
        let again = |listener: &ListenerState| listener.with_verifier(verifier.clone());
        Ok(Self {
            number,
            listeners: self.listeners.iter().map(again).collect::<Result<_, _>>()?,
            trust,
            policy: self.policy.clone(),
            deny: self.deny.clone(),
            limits: self.limits.clone(),
            dialects: self.dialects.clone(),
            renewal: self.renewal.clone(),
        })
    }

    /// The next one, another in trust and deny list alone. `None` if a listener cannot be made again, which is no fault of
    /// any file, and told: what is not applied then is a revocation.
    pub(crate) fn revised(&self, trust: Arc<TrustDomains>, deny: Arc<DenyList>) -> Option<Self> {
        match self.with_trust(self.number + 1, trust) {
            Ok(next) => Some(Self { deny, ..next }),
            Err(error) => {
                tracing::error!(%error, "revocations do not apply: a listener cannot be made again");
                None
            }
        }
    }
}

/// What the connections of one listener meet.
pub struct ListenerState {
    pub config: Arc<ServerConfig>,
    pub rules: Arc<UpgradeRules>,
    /// The gateway's own certificate, and when it ends, Unix seconds.
    pub fingerprint: Fingerprint,
    pub not_after: u64,
    /// By what names clients dial it.
    pub names: Arc<ListenerNames>,
    danger_tls12: bool,
}

/// The exact names of one listener. A wildcard of its certificate is none of them: it stands for other endpoints too,
/// and a proof that was made for one of those must not be taken here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerNames {
    dns: Box<[String]>,
    addresses: Box<[IpAddr]>,
}

impl ListenerNames {
    /// Takes DNS names and IP addresses as text.
    pub(crate) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let (mut dns, mut addresses) = (Vec::new(), Vec::new());
        for name in names.into_iter().filter(|name| !name.contains('*')) {
            match name.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => dns.push(name),
            }
        }
        Self { dns: dns.into(), addresses: addresses.into() }
    }

    /// Whether `host` is one of them.
    pub fn contains(&self, host: &str) -> bool {
        match host.parse::<IpAddr>() {
            Ok(address) => self.addresses.contains(&address),
            Err(_) => self.dns.iter().any(|name| name.eq_ignore_ascii_case(host)),
        }
    }

    /// Whether each of `others` is one of them.
    pub(crate) fn include(&self, others: &Self) -> bool {
        others.dns.iter().all(|name| self.contains(name))
            && others.addresses.iter().all(|address| self.addresses.contains(address))
    }
}

impl ListenerState {
    pub(crate) fn new(
        verifier: Arc<ClientVerifier>,
        certificate: Arc<dyn ResolvesServerCert>,
        (fingerprint, not_after): (Fingerprint, u64),
        names: Arc<ListenerNames>,
        danger_tls12: bool,
        rules: Arc<UpgradeRules>,
    ) -> Result<Self, rustls::Error> {
        let config = tls::server_config(verifier, certificate, danger_tls12)?;
        Ok(Self { config: Arc::new(config), rules, fingerprint, not_after, names, danger_tls12 })
    }

    /// Whether TLS 1.2 is let in too.
    pub fn danger_tls12(&self) -> bool {
        self.danger_tls12
    }

    /// The same key pair behind another verifier.
    pub(crate) fn with_verifier(&self, verifier: Arc<ClientVerifier>) -> Result<Self, rustls::Error> {
        let (certificate, names) = (self.config.cert_resolver.clone(), self.names.clone());
        let facts = (self.fingerprint, self.not_after);
        Self::new(verifier, certificate, facts, names, self.danger_tls12, self.rules.clone())
    }

    /// What this one asks of its peers, with the key pair of `other`, under `names`.
    pub(crate) fn with_pair_of(
        &self,
        other: &Self,
        names: Arc<ListenerNames>,
        verifier: Arc<ClientVerifier>,
    ) -> Result<Self, rustls::Error> {
        let (certificate, facts) = (other.config.cert_resolver.clone(), (other.fingerprint, other.not_after));
        Self::new(verifier, certificate, facts, names, self.danger_tls12, self.rules.clone())
    }
}

/// The current generation. Readers never wait.
pub struct Current {
    value: ArcSwap<Generation>,
    /// The number of `value`, where reading the whole would cost more than a message does.
    number: AtomicU64,
}

impl Current {
    pub fn new(first: Generation) -> Self {
        let number = AtomicU64::new(first.number);
        Self { value: ArcSwap::from_pointee(first), number }
    }

    pub fn get(&self) -> Arc<Generation> {
        self.value.load_full()
    }

    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Makes `next` the current generation. Only the reload transaction calls this, one at a time.
    pub fn swap(&self, next: Arc<Generation>) {
        let number = next.number;
        self.value.store(next);
        self.number.store(number, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_goes_by_its_exact_names_alone() {
        let names = ["gw.internal", "*.internal", "10.0.0.7", "2001:db8::7"].map(String::from);
        let names = ListenerNames::new(names);
        for own in ["gw.internal", "GW.Internal", "10.0.0.7", "2001:db8::7", "2001:0DB8:0:0::7"] {
            assert!(names.contains(own), "{own}");
        }
        for foreign in ["", "*.internal", "other.internal", "x.gw.internal", "gw", "10.0.0.8", "10.0.0.07"] {
            assert!(!names.contains(foreign), "{foreign}");
        }
    }
}
