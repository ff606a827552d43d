//! The gateway's own certificate and key: they fit each other, are in date, and name what clients dial.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ResolvesServerCert;
use webpki::EndEntityCert;

use super::read::Reader;
use crate::config::{Faults, ListenerSettings, Why};
use crate::generation::ListenerState;
use crate::identity::certificate::{CertificateFacts, Fingerprint};
use crate::tls;
use crate::trust::pem;
use crate::trust::verifier::ClientVerifier;

/// A listener's key pair, certificate and key fitting each other.
pub(super) struct Pair {
    certificate: Arc<dyn ResolvesServerCert>,
    fingerprint: Fingerprint,
    not_after: u64,
}

pub(super) fn load(
    at: &str,
    listener: &ListenerSettings,
    reader: &mut Reader,
    faults: &mut Faults,
    now: UnixTime,
) -> Option<Pair> {
    let chain = reader.pem(&listener.certificate, pem::certificates);
    let chain = faults.take(format!("{at}.certificate"), chain);
    let key = faults.take(format!("{at}.key"), reader.pem(&listener.key, pem::private_key));
    let chain = chain?;
    let leaf = chain.first()?;
    let facts = faults.take(format!("{at}.certificate"), CertificateFacts::parse(leaf));
    let not_after = facts.map(|facts| {
        if now.as_secs() < facts.not_before() {
            faults.add(format!("{at}.certificate"), Why::NotYetValid { not_before: facts.not_before() });
        }
        if now.as_secs() > facts.not_after() {
            faults.add(format!("{at}.certificate"), Why::Expired { not_after: facts.not_after() });
        }
        facts.not_after()
    });
    for (place, name) in listener.names.iter().enumerate().filter(|(_, name)| !is_valid_for(leaf, name)) {
        faults.add(format!("{at}.names[{place}]"), Why::NotForName { name: name.clone() });
    }
    let fingerprint = Fingerprint::of(leaf);
    let certificate = faults.take(format!("{at}.key"), tls::certified_key(chain, key?));
    Some(Pair { certificate: certificate?, fingerprint, not_after: not_after? })
}

fn is_valid_for(leaf: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else { return false };
    EndEntityCert::try_from(leaf).is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(&name).is_ok())
}

/// The listener with this pair.
pub(super) fn server_side(
    verifier: Arc<ClientVerifier>,
    pair: Pair,
    listener: &ListenerSettings,
) -> Result<ListenerState, rustls::Error> {
    let rules = Arc::new(listener.rules.clone());
    let facts = (pair.fingerprint, pair.not_after);
    ListenerState::new(verifier, pair.certificate, facts, listener.danger_tls12, rules)
}
