//! The shape of the files, key for key. Nothing is checked here but types and unknown keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::value::Datetime;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gateway {
    pub(super) name: Option<String>,
    pub(super) admin_socket: Option<PathBuf>,
    pub(super) alternatives: Vec<String>,
    pub(super) gather: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Nats {
    pub(super) stamp_sender: Option<bool>,
    pub(super) refuse_credentials: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    pub(super) address: String,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    #[serde(default)]
    pub(super) names: Vec<String>,
    #[serde(default = "root")]
    pub(super) path: String,
    #[serde(default = "nats")]
    pub(super) nats_path: String,
    pub(super) default_dialect: Option<String>,
    pub(super) origins: Option<Origins>,
    #[serde(default)]
    pub(super) danger_tls12: bool,
}

fn root() -> String {
    "/".into()
}

fn nats() -> String {
    "/nats".into()
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Origins {
    Word(String),
    List(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trust {
    pub(super) name: String,
    #[serde(default)]
    pub(super) anchors: Vec<PathBuf>,
    #[serde(default)]
    pub(super) retire: Vec<Retire>,
    #[serde(default)]
    pub(super) intermediates: Vec<PathBuf>,
    #[serde(default)]
    pub(super) crls: Vec<PathBuf>,
    #[serde(default)]
    pub(super) danger_no_revocation: bool,
    #[serde(default)]
    pub(super) danger_accept_stale_crl: bool,
    #[serde(default = "everything")]
    pub(super) services: Vec<String>,
    #[serde(default)]
    pub(super) rule: Vec<Rule>,
    pub(super) renewal: Option<Renewal>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retire {
    pub(super) anchor: String,
    pub(super) at: Datetime,
}

fn everything() -> Vec<String> {
    vec!["*".into()]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Renewal {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) lifetime_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) name: String,
    #[serde(default)]
    pub(super) r#match: BTreeMap<String, String>,
    pub(super) service: Option<String>,
    #[serde(default)]
    pub(super) roles: Vec<String>,
    pub(super) roles_from: Option<String>,
    #[serde(default)]
    pub(super) role_values: Vec<String>,
}

/// The deny file. Read key by key, so that one of a wrong type does not hide the faults of the others.
#[derive(Debug)]
pub(super) struct Deny {
    pub(super) fingerprints: Vec<String>,
    pub(super) serials: Vec<String>,
    pub(super) services: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reload {
    pub(super) poll_interval_ms: Option<u64>,
    pub(super) max_cut_percent: Option<u64>,
    pub(super) closes_per_second: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: Option<String>,
    pub(super) filter: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grant {
    pub(super) name: String,
    #[serde(default)]
    pub(super) services: Vec<String>,
    #[serde(default)]
    pub(super) roles: Vec<String>,
    #[serde(default)]
    pub(super) publish: Vec<String>,
    #[serde(default)]
    pub(super) subscribe: Vec<String>,
    #[serde(default)]
    pub(super) deny_publish: Vec<String>,
    #[serde(default)]
    pub(super) deny_subscribe: Vec<String>,
    #[serde(default)]
    pub(super) groups: Vec<String>,
    pub(super) allow_responses: Option<AllowResponses>,
    pub(super) connect: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`false` or a table with `max` and `within_ms`")]
pub(super) enum AllowResponses {
    Word(bool),
    Rule(ResponseRule),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResponseRule {
    pub(super) max: u32,
    pub(super) within_ms: u64,
}
