//! From the file's shape to settings, with every fault on the way.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use toml::value::{Datetime, Offset};
use toml::{Table, Value};

use super::{
    Faults, GatewaySettings, ListenerSettings, LogFormat, LogSettings, ReloadSettings, RenewalFiles,
    Settings, TrustFiles, Why, file, limits,
};
use crate::connection::{OriginRule, UpgradeRules};
use crate::identity::certificate::{Field, Fingerprint};
use crate::identity::mapping::{Mapping, Rule, RuleSettings, ServiceClaim, Template};
use crate::identity::{Role, RuleName, ServiceName, TrustName};
use crate::protocol::Dialect;
use crate::session::DialectSettings;
use crate::trust::RetiringAnchor;

/// Between two polls of the files: the latest a change is noticed when the system's notification fails.
pub(super) const POLL_INTERVAL_MS: u64 = 5_000;
/// A change that is meant ends the sessions of a service or two; one that ends every fifth is more often a typo.
pub(super) const MAX_CUT_PERCENT: u64 = 20;
/// A gateway answers about a thousand full handshakes a second on one core.
pub(super) const CLOSES_PER_SECOND: u64 = 1_000;

/// Every client reads all of them when the gateway drains.
const MAX_ALTERNATIVES: u64 = 16;
const MAX_URL_BYTES: usize = 512;

/// Of what the gateway issues. A day: a service that renews at two thirds of it outlives a night's outage of whatever renews
/// it, and a certificate that nobody renews any more is soon none.
const RENEWAL_LIFETIME: Duration = Duration::from_secs(24 * 3600);

pub(super) fn settings(text: &str, base: &Path) -> Result<Settings, Faults> {
    let mut faults = Faults::default();
    let mut table = parse_table(text)?;
    let gateway = section::<file::Gateway>(&mut table, "gateway", &mut faults);
    let listeners = blocks::<file::Listener>(&mut table, "listener", &mut faults);
    let trust = blocks::<file::Trust>(&mut table, "trust", &mut faults);
    let policy = key::<PathBuf>(&mut table, "policy", &mut faults);
    let deny = key::<PathBuf>(&mut table, "deny", &mut faults);
    let limits_file = section::<limits::File>(&mut table, "limits", &mut faults);
    let nats = section::<file::Nats>(&mut table, "nats", &mut faults);
    let reload = section::<file::Reload>(&mut table, "reload", &mut faults);
    let log = section::<file::Log>(&mut table, "log", &mut faults);
    for unknown in table.keys() {
        faults.add(unknown, Why::UnknownKey);
    }
    if policy.is_none() && !faults.0.iter().any(|fault| fault.key == "policy") {
        faults.add("policy", Why::Missing);
    }
    let settings = Settings {
        gateway: GatewaySettings {
            name: gateway.name.clone().unwrap_or_else(|| "portcullis".into()),
            admin_socket: gateway.admin_socket.as_ref().map(|path| base.join(path)),
            gather: gateway.gather.unwrap_or(true),
        },
        listeners: check_listeners(listeners, base, &mut faults),
        trust: trust
            .into_iter()
            .filter_map(|(key, trust)| check_trust(&key, trust, base, &mut faults))
            .collect(),
        policy: base.join(policy.unwrap_or_default()),
        deny: deny.map(|path| base.join(path)),
        limits: limits::limits(&limits_file, &mut faults),
        dialects: check_dialects(&nats, &gateway.alternatives, &mut faults),
        reload: check_reload(&reload, &mut faults),
        log: check_log(log, &mut faults),
    };
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

pub(super) fn parse_table(text: &str) -> Result<Table, Faults> {
    let mut faults = Faults::default();
    match text.parse::<Table>() {
        Ok(table) => Ok(table),
        Err(error) => {
            faults.add("", Why::Shape(told(text, &error)));
            Err(faults)
        }
    }
}

/// Where and what, without the line itself: who puts a key in the place of this file must not find it in the log.
fn told(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return error.message().to_owned();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}

/// Whether nothing stands in a file, not even a comment: what a write that was cut short leaves.
pub(super) fn is_nothing(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim().is_empty()
}

/// A table that may be absent.
fn section<T: DeserializeOwned + Default>(table: &mut Table, name: &str, faults: &mut Faults) -> T {
    key(table, name, faults).unwrap_or_default()
}

pub(super) fn key<T: DeserializeOwned>(table: &mut Table, name: &str, faults: &mut Faults) -> Option<T> {
    shape(name, table.remove(name)?, faults)
}

/// An array of tables, each with its own key path; one of a wrong shape does not hide the faults of the others.
pub(super) fn blocks<T: DeserializeOwned>(
    table: &mut Table,
    name: &str,
    faults: &mut Faults,
) -> Vec<(String, T)> {
    match table.remove(name) {
        Some(Value::Array(values)) if !values.is_empty() => values
            .into_iter()
            .enumerate()
            .filter_map(|(place, value)| {
                let key = format!("{name}[{place}]");
                let block = shape(&key, value, faults)?;
                Some((key, block))
            })
            .collect(),
        Some(Value::Array(_)) | None => {
            faults.add(name, Why::Empty);
            Vec::new()
        }
        Some(_) => {
            faults.add(name, Why::Shape(format!("must be written as [[{name}]]")));
            Vec::new()
        }
    }
}

fn shape<T: DeserializeOwned>(key: &str, value: Value, faults: &mut Faults) -> Option<T> {
    let parsed = value.try_into().map_err(|error: toml::de::Error| Why::Shape(error.message().to_owned()));
    faults.take(key, parsed)
}

fn check_listeners(
    listeners: Vec<(String, file::Listener)>,
    base: &Path,
    faults: &mut Faults,
) -> Vec<ListenerSettings> {
    let mut seen = HashSet::new();
    let mut checked = Vec::new();
    for (key, listener) in listeners {
        let address = listener.address.parse::<SocketAddr>().map_err(|_| Why::Address);
        let address = faults.take(format!("{key}.address"), address);
        if let Some(address) = address
            && address.port() != 0
            && !seen.insert(address)
        {
            faults.add(format!("{key}.address"), Why::DuplicateAddress);
        }
        let rules = check_rules(&key, &listener, faults);
        if let (Some(address), Some(rules)) = (address, rules) {
            checked.push(ListenerSettings {
                address,
                certificate: base.join(listener.certificate),
                key: base.join(listener.key),
                names: listener.names,
                rules,
                danger_tls12: listener.danger_tls12,
            });
        }
    }
    checked
}

fn check_rules(key: &str, listener: &file::Listener, faults: &mut Faults) -> Option<UpgradeRules> {
    let (path, nats_path) = (listener.path.clone(), listener.nats_path.clone());
    for (name, path) in [("path", &path), ("nats_path", &nats_path)] {
        if !path.starts_with('/') || path.contains(['?', '#', ' ']) {
            faults.add(format!("{key}.{name}"), Why::Path);
        }
    }
    if path == nats_path {
        faults.add(format!("{key}.nats_path"), Why::DuplicatePath);
    }
    let default_dialect = match listener.default_dialect.as_deref() {
        None => None,
        Some("json") => Some(Dialect::Json),
        Some("nats") => Some(Dialect::Nats),
        Some(_) => {
            faults.add(format!("{key}.default_dialect"), Why::Dialect);
            None
        }
    };
    let origins = match &listener.origins {
        None => OriginRule::DenyPresent,
        Some(file::Origins::Word(word)) if word == "deny-present" => OriginRule::DenyPresent,
        Some(file::Origins::Word(_)) => {
            faults.add(format!("{key}.origins"), Why::Origins);
            return None;
        }
        Some(file::Origins::List(origins)) => {
            for (place, origin) in origins.iter().enumerate().filter(|(_, origin)| !is_origin(origin)) {
                faults.add(format!("{key}.origins[{place}]"), Why::Origin(origin.clone()));
            }
            OriginRule::Allow(origins.clone())
        }
    };
    Some(UpgradeRules { path, nats_path, default_dialect, origins })
}

/// Whether a browser could send this text as an Origin: lower case, no path (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| {
        matches!(scheme, "https" | "http")
            && !host.is_empty()
            && !host.contains(['/', '@', '?', '#', ' ', ','])
            && !text.chars().any(|character| character.is_ascii_uppercase())
    })
}

fn check_dialects(nats: &file::Nats, alternatives: &[String], faults: &mut Faults) -> DialectSettings {
    if alternatives.len() as u64 > MAX_ALTERNATIVES {
        faults.add("gateway.alternatives", Why::OutOfRange { least: 0, most: MAX_ALTERNATIVES });
    }
    for (place, alternative) in alternatives.iter().enumerate().filter(|(_, url)| !is_alternative(url)) {
        faults.add(format!("gateway.alternatives[{place}]"), Why::Alternative(alternative.clone()));
    }
    let usual = DialectSettings::default();
    DialectSettings {
        stamp_sender: nats.stamp_sender.unwrap_or(usual.stamp_sender),
        refuse_credentials: nats.refuse_credentials.unwrap_or(usual.refuse_credentials),
        alternatives: alternatives.into(),
    }
}

/// Whether a client can dial this text as it stands.
fn is_alternative(text: &str) -> bool {
    text.strip_prefix("wss://").is_some_and(|rest| {
        text.len() <= MAX_URL_BYTES
            && !text.contains(char::is_control)
            && !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.contains(['@', '?', '#', ' ', ',', '"', '\\'])
    })
}

fn check_trust(key: &str, trust: file::Trust, base: &Path, faults: &mut Faults) -> Option<TrustFiles> {
    let name = faults.take(format!("{key}.name"), TrustName::parse(&trust.name));
    if trust.anchors.is_empty() {
        faults.add(format!("{key}.anchors"), Why::Empty);
    }
    match (trust.crls.is_empty(), trust.danger_no_revocation) {
        (true, false) => faults.add(format!("{key}.crls"), Why::NoRevocation),
        (false, true) => faults.add(format!("{key}.danger_no_revocation"), Why::RevocationTwice),
        _ => {}
    }
    if trust.danger_accept_stale_crl && trust.danger_no_revocation {
        faults.add(format!("{key}.danger_accept_stale_crl"), Why::NothingStale);
    }
    if trust.rule.is_empty() {
        faults.add(format!("{key}.rule"), Why::Empty);
    }
    let rules = trust
        .rule
        .iter()
        .enumerate()
        .filter_map(|(place, rule)| check_rule(&format!("{key}.rule[{place}]"), rule, faults))
        .collect();
    let retire = trust
        .retire
        .iter()
        .enumerate()
        .filter_map(|(place, retire)| check_retire(&format!("{key}.retire[{place}]"), retire, faults))
        .collect();
    let renewal =
        trust.renewal.map(|renewal| check_renewal(key, renewal, trust.danger_no_revocation, base, faults));
    let claims = list(&format!("{key}.services"), &trust.services, faults, ServiceClaim::parse);
    let absolute = |paths: Vec<PathBuf>| paths.into_iter().map(|path| base.join(path)).collect();
    Some(TrustFiles {
        name: name?,
        anchors: absolute(trust.anchors),
        retire,
        intermediates: absolute(trust.intermediates),
        crls: absolute(trust.crls),
        danger_no_revocation: trust.danger_no_revocation,
        danger_accept_stale_crl: trust.danger_accept_stale_crl,
        mapping: Mapping::new(rules, claims),
        renewal,
    })
}

fn check_retire(key: &str, retire: &file::Retire, faults: &mut Faults) -> Option<RetiringAnchor> {
    let anchor = Fingerprint::parse(&retire.anchor).ok_or_else(|| Why::Fingerprint(retire.anchor.clone()));
    let anchor = faults.take(format!("{key}.anchor"), anchor);
    let at = faults.take(format!("{key}.at"), unix_seconds(&retire.at).ok_or(Why::Moment));
    Some(RetiringAnchor { anchor: anchor?, at: at? })
}

/// The whole second of a date and time with an offset. Without one it would be another second on another machine.
fn unix_seconds(moment: &Datetime) -> Option<u64> {
    let (date, clock) = (moment.date?, moment.time?);
    let minutes = match moment.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => minutes,
    };
    let month = time::Month::try_from(date.month).ok()?;
    let date = time::Date::from_calendar_date(date.year.into(), month, date.day).ok()?;
    let clock = time::Time::from_hms(clock.hour, clock.minute, clock.second.unwrap_or_default()).ok()?;
    let utc = date.with_time(clock).assume_utc().unix_timestamp();
    u64::try_from(utc.checked_sub(i64::from(minutes) * 60)?).ok()
}

fn check_renewal(
    key: &str,
    renewal: file::Renewal,
    is_unrevocable: bool,
    base: &Path,
    faults: &mut Faults,
) -> RenewalFiles {
    if is_unrevocable {
        faults.add(format!("{key}.renewal"), Why::RenewalUnrevocable);
    }
    let (least, most) = (10_000, 30 * 24 * 3_600_000);
    let lifetime = renewal.lifetime_ms.map_or(RENEWAL_LIFETIME, Duration::from_millis);
    if renewal.lifetime_ms.is_some_and(|value| !(least..=most).contains(&value)) {
        faults.add(format!("{key}.renewal.lifetime_ms"), Why::OutOfRange { least, most });
    }
    RenewalFiles { certificate: base.join(renewal.certificate), key: base.join(renewal.key), lifetime }
}

fn check_rule(key: &str, rule: &file::Rule, faults: &mut Faults) -> Option<Rule> {
    let before = faults.0.len();
    let name = faults.take(format!("{key}.name"), RuleName::parse(&rule.name));
    let mut matches = Vec::new();
    for (field, template) in &rule.r#match {
        let at = format!("{key}.match.{field}");
        let field = faults.take(at.as_str(), Field::parse(field).ok_or(Why::Field));
        let template = faults.take(at, Template::parse(template));
        matches.extend(field.zip(template));
    }
    let service = rule
        .service
        .as_ref()
        .and_then(|service| faults.take(format!("{key}.service"), ServiceName::parse(service)));
    let roles = list(&format!("{key}.roles"), &rule.roles, faults, Role::parse);
    let role_values = list(&format!("{key}.role_values"), &rule.role_values, faults, Role::parse);
    let roles_from = rule
        .roles_from
        .as_ref()
        .and_then(|field| faults.take(format!("{key}.roles_from"), Field::parse(field).ok_or(Why::Field)));
    if faults.0.len() > before {
        return None;
    }
    let settings = RuleSettings { name: name?, matches, service, roles, roles_from, role_values };
    faults.take(key, Rule::new(settings))
}

/// Parses each item of a list, under the key of the list and its place in it.
pub(super) fn list<T, E: Into<Why>>(
    key: &str,
    items: &[String],
    faults: &mut Faults,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Vec<T> {
    let parse = |(place, item): (usize, &String)| faults.take(format!("{key}[{place}]"), parse(item));
    items.iter().enumerate().filter_map(parse).collect()
}

fn check_reload(reload: &file::Reload, faults: &mut Faults) -> ReloadSettings {
    let mut in_range = |key: &str, value: Option<u64>, usual: u64, least: u64, most: u64| match value {
        Some(value) if !(least..=most).contains(&value) => {
            faults.add(format!("reload.{key}"), Why::OutOfRange { least, most });
            usual
        }
        value => value.unwrap_or(usual),
    };
    let poll = in_range("poll_interval_ms", reload.poll_interval_ms, POLL_INTERVAL_MS, 100, 3_600_000);
    let cut = in_range("max_cut_percent", reload.max_cut_percent, MAX_CUT_PERCENT, 0, 100);
    let closes = in_range("closes_per_second", reload.closes_per_second, CLOSES_PER_SECOND, 1, 1_000_000);
    ReloadSettings {
        poll_interval: Duration::from_millis(poll),
        max_cut_percent: u8::try_from(cut).unwrap_or(u8::MAX),
        closes_per_second: u32::try_from(closes).unwrap_or(u32::MAX),
    }
}

fn check_log(log: file::Log, faults: &mut Faults) -> LogSettings {
    let format = match log.format.as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(_) => {
            faults.add("log.format", Why::LogFormat);
            LogFormat::Text
        }
    };
    let filter = log.filter.unwrap_or_else(|| "info".into());
    // Where there is no command line, nobody writes a log by it.
    #[cfg(feature = "cli")]
    if tracing_subscriber::EnvFilter::try_new(&filter).is_err() {
        faults.add("log.filter", Why::LogFilter);
    }
    LogSettings { format, filter }
}
