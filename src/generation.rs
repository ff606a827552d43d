//! Everything that can be reloaded, as one numbered value that is swapped whole.
//!
//! Invariant: a [`Generation`] was loaded, parsed and checked against itself completely before anybody sees it, and
//! numbers only grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;

use crate::connection::UpgradeRules;
use crate::deny::DenyList;
use crate::limits::Limits;
use crate::policy::Policy;
use crate::renewal::Issuers;
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
    pub renewal: Arc<Issuers>,
}

/// What the connections of one listener meet.
pub struct ListenerState {
    pub config: Arc<ServerConfig>,
    pub rules: Arc<UpgradeRules>,
    /// When the gateway's own certificate ends, Unix seconds.
    pub not_after: u64,
    danger_tls12: bool,
}

impl ListenerState {
    pub(crate) fn new(
        verifier: Arc<ClientVerifier>,
        certificate: Arc<dyn ResolvesServerCert>,
        not_after: u64,
        danger_tls12: bool,
        rules: Arc<UpgradeRules>,
    ) -> Result<Self, rustls::Error> {
        let config = tls::server_config(verifier, certificate, danger_tls12)?;
        Ok(Self { config: Arc::new(config), rules, not_after, danger_tls12 })
    }

    /// The same key pair behind another verifier.
    pub(crate) fn with_verifier(&self, verifier: Arc<ClientVerifier>) -> Result<Self, rustls::Error> {
        let certificate = self.config.cert_resolver.clone();
        Self::new(verifier, certificate, self.not_after, self.danger_tls12, self.rules.clone())
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
