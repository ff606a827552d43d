//! The configuration file: its shape, and the settings that it means.
//!
//! Two types on purpose: `file` is what an operator may write, [`Settings`] is what the gateway runs on. Between them
//! every fault is found at once, each with the key it is under. Files that the configuration names are read by
//! [`crate::load`].

mod check;
mod deny;
mod fault;
mod file;
mod limits;
mod policy;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use fault::{Fault, Faults, Why};

use crate::connection::UpgradeRules;
use crate::deny::DenyList;
use crate::identity::TrustName;
use crate::identity::mapping::Mapping;
use crate::limits::Limits;
use crate::policy::Grant;
use crate::session::DialectSettings;
use crate::trust::RetiringAnchor;

/// What a configuration file means. Paths are absolute, or relative to the process.
#[derive(Debug, Clone)]
pub struct Settings {
    pub gateway: GatewaySettings,
    pub listeners: Vec<ListenerSettings>,
    pub trust: Vec<TrustFiles>,
    /// The file of the grants.
    pub policy: PathBuf,
    /// The file of those who are kept out, if there is one.
    pub deny: Option<PathBuf>,
    pub limits: Limits,
    pub dialects: DialectSettings,
    pub reload: ReloadSettings,
    pub log: LogSettings,
}

/// The gateway itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// What `hello` calls it.
    pub name: String,
    /// The Unix socket for operators.
    pub admin_socket: Option<PathBuf>,
    /// Whether workers nap where that saves wake-ups.
    pub gather: bool,
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSettings {
    pub address: SocketAddr,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Names by which clients dial this listener; the certificate must be valid for each.
    pub names: Vec<String>,
    pub rules: UpgradeRules,
    pub danger_tls12: bool,
}

/// One `[[trust]]` block, its files not read yet.
#[derive(Debug, Clone)]
pub struct TrustFiles {
    pub name: TrustName,
    pub anchors: Vec<PathBuf>,
    pub retire: Vec<RetiringAnchor>,
    pub intermediates: Vec<PathBuf>,
    pub crls: Vec<PathBuf>,
    pub danger_no_revocation: bool,
    pub danger_accept_stale_crl: bool,
    pub mapping: Mapping,
    /// `None` where the gateway renews nobody's certificate.
    pub renewal: Option<RenewalFiles>,
}

/// `[trust.renewal]`, its files not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalFiles {
    /// The issuing CA and what stands above it, without the anchor.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Of what is issued.
    pub lifetime: Duration,
}

/// How changes of files are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReloadSettings {
    /// Pause between two looks at the files, for when the system's notification misses a change.
    pub poll_interval: Duration,
    /// Share of the live sessions that one change may end, revoked and denied ones not counted; 100 is all.
    pub max_cut_percent: u8,
    /// Sessions that are told in one second to go, where that is paced.
    pub closes_per_second: u32,
}

/// How the logs are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    pub format: LogFormat,
    /// A `tracing` filter, such as `info` or `portcullis=debug`.
    pub filter: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Settings {
    /// Reads the text of a configuration file; relative paths in it start at `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Faults> {
        check::settings(text, base)
    }

    /// Whether something changed since `before` that is read at start alone.
    pub fn needs_restart_after(&self, before: &Self) -> bool {
        self.gateway != before.gateway || self.log != before.log
    }

    /// Every file that a generation is made of.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.other_files().chain(self.revocation_files())
    }

    /// The revocation lists and the deny list.
    pub fn revocation_files(&self) -> impl Iterator<Item = &Path> {
        self.trust.iter().flat_map(|trust| &trust.crls).chain(&self.deny).map(PathBuf::as_path)
    }

    /// Every file but those.
    pub fn other_files(&self) -> impl Iterator<Item = &Path> {
        let listeners = self.listeners.iter().flat_map(|listener| [&listener.certificate, &listener.key]);
        let trust = self.trust.iter().flat_map(|trust| trust.anchors.iter().chain(&trust.intermediates));
        let renewal = self.trust.iter().filter_map(|trust| trust.renewal.as_ref());
        let renewal = renewal.flat_map(|renewal| [&renewal.certificate, &renewal.key]);
        listeners.chain(trust).chain(renewal).chain([&self.policy]).map(PathBuf::as_path)
    }
}

/// Reads the text of a policy file.
pub fn parse_policy(text: &str) -> Result<Vec<Grant>, Faults> {
    policy::grants(text)
}

/// Reads the text of a deny file.
pub fn parse_deny_list(text: &str) -> Result<DenyList, Faults> {
    deny::entries(text)
}

#[cfg(test)]
mod tests;
