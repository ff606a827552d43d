//! From files to a [`Generation`]: everything is read, parsed and checked against everything else, and all faults are
//! found at once.

mod gateway_pair;
mod read;
mod renewal;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

use crate::config::{Faults, Settings, TrustFiles, Why, parse_deny_list, parse_policy};
use crate::deny::DenyList;
use crate::generation::{Generation, ListenerState};
use crate::identity::TrustName;
use crate::policy::{Policy, PolicyError};
use crate::trust::verifier::ClientVerifier;
use crate::trust::{RevocationSettings, TrustDomain, TrustDomains, TrustSettings, pem};
use gateway_pair::server_side;
pub use read::Digest;
use read::Reader;

/// A generation, the settings it was made from, and what the files were when they were read.
pub struct Loaded {
    pub settings: Settings,
    pub generation: Generation,
    pub digest: Digest,
}

/// What a new set is compared with.
pub struct Before<'b> {
    pub settings: &'b Settings,
    pub generation: &'b Generation,
    /// What the files were that the generation was made of; `None` if it is not of any one set of files.
    pub digest: Option<Digest>,
}

/// Why a set that should have become the next generation did not.
#[derive(Debug)]
pub struct Refused {
    pub faults: Faults,
    /// What the files were. The same bytes are refused again, unless time alone mends a fault.
    pub digest: Digest,
}

type Lists = Vec<CertificateRevocationListDer<'static>>;

/// Reads the configuration file alone.
pub fn settings(config: &Path) -> Result<Settings, Faults> {
    read_settings(config, &mut Reader::default())
}

/// Reads the configuration and every file it names into the first generation.
pub fn first(config: &Path, now: UnixTime) -> Result<Loaded, Faults> {
    let mut reader = Reader::default();
    let settings = read_all(config, &mut reader)?;
    assemble(settings, None, reader, now)
}

/// Reads the same into the generation after `before`. `None` if the files are, byte for byte, those it was made of.
pub fn next(config: &Path, before: &Before<'_>, now: UnixTime) -> Result<Option<Loaded>, Refused> {
    let mut reader = Reader::default();
    let settings = read_all(config, &mut reader);
    let digest = reader.digest();
    if before.digest == Some(digest) {
        return Ok(None);
    }
    settings
        .and_then(|settings| assemble(settings, Some(before), reader, now))
        .map(Some)
        .map_err(|faults| Refused { faults, digest })
}

/// What the files are now, good or not.
pub fn digest(config: &Path) -> Digest {
    let mut reader = Reader::default();
    // Whatever is wrong with the configuration, what was read of it is in the digest.
    let _ = read_all(config, &mut reader);
    reader.digest()
}

/// Reads every file, so that the digest is that of all. What cannot be read is a fault of whoever needs it.
fn read_all(config: &Path, reader: &mut Reader) -> Result<Settings, Faults> {
    let settings = read_settings(config, reader)?;
    // First what a change of means more than revocation: a file that serves both ways counts there.
    for file in settings.other_files() {
        let _ = reader.read(file);
    }
    for file in settings.revocation_files() {
        let _ = reader.read_revocations(file);
    }
    Ok(settings)
}

fn assemble(
    settings: Settings,
    before: Option<&Before<'_>>,
    mut reader: Reader,
    now: UnixTime,
) -> Result<Loaded, Faults> {
    let mut faults = Faults::default();
    if before.is_some_and(|before| addresses_differ(before.settings, &settings)) {
        faults.add("listener", Why::ListenersChanged);
    }
    let trust = load_trust(&settings, &mut reader, &mut faults, now);
    let renewal = renewal::load(&settings, trust.as_ref(), &mut reader, &mut faults, now);
    let policy = load_policy(&settings, &mut reader, &mut faults);
    let deny = load_deny_list(&settings, &mut reader, &mut faults);
    let pairs: Vec<_> = settings
        .listeners
        .iter()
        .enumerate()
        .filter_map(|(place, listener)| {
            gateway_pair::load(&format!("listener[{place}]"), listener, &mut reader, &mut faults, now)
        })
        .collect();
    if let (Some(trust), Some(before)) = (&trust, before) {
        refuse_regressions(trust, &before.generation.trust, &settings, &mut faults);
    }
    if let Some(policy) = &policy {
        check_names(policy, &settings, &mut faults);
    }
    let (Some(trust), Some(policy), Some(deny), true) = (trust, policy, deny, faults.is_empty()) else {
        return Err(faults);
    };
    let trust = Arc::new(match before {
        Some(before) => trust.remembering(&before.generation.trust),
        None => trust,
    });
    let verifier = Arc::new(ClientVerifier::new(trust.clone()));
    let listeners: Vec<ListenerState> = settings
        .listeners
        .iter()
        .zip(pairs)
        .enumerate()
        .filter_map(|(place, (listener, pair))| {
            faults.take(format!("listener[{place}]"), server_side(verifier.clone(), pair, listener))
        })
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let generation = Generation {
        number: before.map_or(1, |before| before.generation.number + 1),
        listeners,
        trust,
        policy: kept_or_new(before.map(|before| &before.generation.policy), policy),
        deny: kept_or_new(before.map(|before| &before.generation.deny), deny),
        limits: kept_or_new(before.map(|before| &before.generation.limits), settings.limits.clone()),
        dialects: kept_or_new(before.map(|before| &before.generation.dialects), settings.dialects.clone()),
        renewal: Arc::new(renewal),
    };
    Ok(Loaded { settings, generation, digest: reader.digest() })
}

/// The current generation with newer revocation lists and more denials, from the files that `settings` names, whatever
/// else is broken now. Where that is more than one set of files, each of them counts, whichever trust block it names its
/// lists in. Nothing is lifted: an entry that left a deny file goes with a set that is taken whole. `None` if no valid list
/// is newer, and every entry of a valid deny file known. What cannot be read is skipped, and among `faults`.
pub fn newer_revocations(
    settings: &[&Settings],
    current: &Generation,
    faults: &mut Faults,
    now: UnixTime,
) -> Option<Generation> {
    let mut reader = Reader::default();
    let mut offered: Vec<(TrustName, Lists)> = Vec::new();
    for trust in settings.iter().flat_map(|settings| &settings.trust) {
        let mut readable = |path: &PathBuf| {
            let read = reader.pem(path, pem::revocation_lists);
            faults.take(format!("trust {}: crls", trust.name), read)
        };
        let lists: Lists = trust.crls.iter().filter_map(&mut readable).flatten().collect();
        match settings {
            [_] => offered.push((trust.name.clone(), lists)),
            _ => offered
                .extend(current.trust.domains().iter().map(|domain| (domain.name().clone(), lists.clone()))),
        }
    }
    let newer = current.trust.with_newer_lists(&offered, now);
    let mut deny = current.deny.clone();
    for settings in settings {
        if let Some(more) = load_deny_list(settings, &mut reader, faults)
            && more.not_in(&deny) > 0
        {
            deny = Arc::new(deny.with(&more));
        }
    }
    if newer.is_none() && Arc::ptr_eq(&deny, &current.deny) {
        return None;
    }
    let trust = newer.map_or_else(|| current.trust.clone(), Arc::new);
    current.revised(trust, deny)
}

fn read_settings(config: &Path, reader: &mut Reader) -> Result<Settings, Faults> {
    let mut faults = Faults::default();
    let Some(text) = faults.take("", reader.text(config)) else { return Err(faults) };
    Settings::parse(text, config.parent().unwrap_or(Path::new(".")))
}

fn load_trust(
    settings: &Settings,
    reader: &mut Reader,
    faults: &mut Faults,
    now: UnixTime,
) -> Option<TrustDomains> {
    let before = faults.0.len();
    let mut domains = Vec::new();
    for (place, files) in settings.trust.iter().enumerate() {
        let key = format!("trust[{place}]");
        let Some(settings) = read_trust(&key, files, reader, faults) else { continue };
        match TrustDomain::new(settings, now) {
            Ok(domain) => domains.push(domain),
            Err(errors) => errors.into_iter().for_each(|error| faults.add(&key, error)),
        }
    }
    if faults.0.len() > before {
        return None;
    }
    match TrustDomains::new(domains) {
        Ok(trust) => Some(trust),
        Err(errors) => {
            errors.into_iter().for_each(|error| faults.add("trust", error));
            None
        }
    }
}

fn read_trust(
    key: &str,
    files: &TrustFiles,
    reader: &mut Reader,
    faults: &mut Faults,
) -> Option<TrustSettings> {
    let before = faults.0.len();
    let mut certificates = |field: &str, paths: &[PathBuf]| -> Vec<CertificateDer<'static>> {
        let mut all = Vec::new();
        for (place, path) in paths.iter().enumerate() {
            let read = reader.pem(path, pem::certificates);
            all.extend(faults.take(format!("{key}.{field}[{place}]"), read).into_iter().flatten());
        }
        all
    };
    let anchors = certificates("anchors", &files.anchors);
    let intermediates = certificates("intermediates", &files.intermediates);
    let mut lists = Vec::new();
    for (place, path) in files.crls.iter().enumerate() {
        let read = reader.pem(path, pem::revocation_lists);
        lists.extend(faults.take(format!("{key}.crls[{place}]"), read).into_iter().flatten());
    }
    if faults.0.len() > before {
        return None;
    }
    Some(TrustSettings {
        name: files.name.clone(),
        anchors,
        intermediates,
        retire: files.retire.clone(),
        revocation: match (files.danger_no_revocation, files.danger_accept_stale_crl) {
            (true, _) => RevocationSettings::DangerNone,
            (false, true) => RevocationSettings::DangerAcceptStale(lists),
            (false, false) => RevocationSettings::Enforced(lists),
        },
        mapping: files.mapping.clone(),
    })
}

fn load_policy(settings: &Settings, reader: &mut Reader, faults: &mut Faults) -> Option<Policy> {
    let text = faults.take("policy", reader.text(&settings.policy))?;
    let grants = faults.take_all("policy", parse_policy(text))?;
    match Policy::new(grants) {
        Ok(policy) => Some(policy),
        Err(errors) => {
            for PolicyError { grant, field, item, fault, .. } in errors {
                let item = item.map(|item| format!("[{item}]")).unwrap_or_default();
                faults.add(format!("policy: grant[{grant}].{field}{item}"), fault);
            }
            None
        }
    }
}

/// Without a file nobody is denied.
fn load_deny_list(settings: &Settings, reader: &mut Reader, faults: &mut Faults) -> Option<DenyList> {
    let Some(file) = &settings.deny else { return Some(DenyList::default()) };
    let text = faults.take("deny", reader.text(file))?;
    faults.take_all("deny", parse_deny_list(text))
}

/// A policy that names what no certificate can ever be mapped to has a typo in it.
fn check_names(policy: &Policy, settings: &Settings, faults: &mut Faults) {
    let mappings = || settings.trust.iter().map(|trust| &trust.mapping);
    for service in policy.service_names().filter(|service| !mappings().any(|known| known.may_give(service))) {
        faults.add("policy", Why::Unknown { what: "service", name: service.to_string() });
    }
    for role in policy.role_names().filter(|role| !mappings().any(|known| known.may_give_role(role))) {
        faults.add("policy", Why::Unknown { what: "role", name: role.to_string() });
    }
}

/// A list that goes back would bring a revoked certificate back to life.
fn refuse_regressions(new: &TrustDomains, old: &TrustDomains, settings: &Settings, faults: &mut Faults) {
    for (name, regression) in new.list_regressions(old) {
        let place = settings.trust.iter().position(|trust| trust.name == name).unwrap_or_default();
        let before = regression.before;
        let why = match regression.now {
            Some(now) => Why::CrlWentBack { before, now },
            None => Why::CrlDropped { before },
        };
        faults.add(format!("trust[{place}].crls"), why);
    }
}

fn addresses_differ(before: &Settings, now: &Settings) -> bool {
    let addresses = |settings: &Settings| -> Vec<_> {
        settings.listeners.iter().map(|listener| listener.address).collect()
    };
    addresses(before) != addresses(now)
}

/// The old value if the new one is equal, so that whoever holds it sees that nothing changed.
fn kept_or_new<T: PartialEq>(old: Option<&Arc<T>>, new: T) -> Arc<T> {
    match old {
        Some(old) if **old == new => old.clone(),
        _ => Arc::new(new),
    }
}

#[cfg(test)]
pub(crate) mod tests;
