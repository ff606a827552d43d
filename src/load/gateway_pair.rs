//! The gateway's own certificate and key: they fit each other, are in date, and name what clients dial.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ResolvesServerCert;
use webpki::EndEntityCert;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::read::Reader;
use crate::config::{Faults, ListenerSettings, Why};
use crate::generation::{ListenerNames, ListenerState};
use crate::identity::certificate::{CertificateFacts, Fingerprint};
use crate::tls;
use crate::trust::pem;
use crate::trust::verifier::ClientVerifier;

/// A listener's key pair, certificate and key fitting each other.
pub(super) struct Pair {
    certificate: Arc<dyn ResolvesServerCert>,
    fingerprint: Fingerprint,
    not_after: u64,
    names: ListenerNames,
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
    if !is_for_servers(leaf) {
        faults.add(format!("{at}.certificate"), Why::NotForServers);
    }
    for (place, name) in listener.names.iter().enumerate().filter(|(_, name)| !is_valid_for(leaf, name)) {
        faults.add(format!("{at}.names[{place}]"), Why::NotForName { name: name.clone() });
    }
    let names = match listener.names.is_empty() {
        true => ListenerNames::new(alternative_names(leaf)),
        false => ListenerNames::new(listener.names.iter().cloned()),
    };
    let fingerprint = Fingerprint::of(leaf);
    let certificate = faults.take(format!("{at}.key"), tls::certified_key(chain, key?));
    Some(Pair { certificate: certificate?, fingerprint, not_after: not_after?, names })
}

/// The DNS names and IP addresses that a certificate is for. What cannot be read is no name.
fn alternative_names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => {
            let four = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

/// Whether a certificate may be a server's (RFC 5280, section 4.2.1.12). One that states no use may be anybody's.
fn is_for_servers(leaf: &CertificateDer<'_>) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return true };
    match parsed.extended_key_usage() {
        Ok(Some(usage)) => usage.value.server_auth || usage.value.any,
        Ok(None) | Err(_) => true,
    }
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
    let (names, rules) = (Arc::new(pair.names), Arc::new(listener.rules.clone()));
    let facts = (pair.fingerprint, pair.not_after);
    ListenerState::new(verifier, pair.certificate, facts, names, listener.danger_tls12, rules)
}

#[cfg(test)]
mod tests {
    use rcgen::SanType;

    use super::*;
    use crate::trust::test_pki::TestCa;

    #[test]
    fn without_names_a_listener_goes_by_those_of_its_certificate() {
        let leaf = TestCa::root("root").leaf_with("gateway", 2, |params| {
            params.subject_alt_names = vec![
                SanType::DnsName("gw.internal".try_into().unwrap()),
                SanType::DnsName("*.internal".try_into().unwrap()),
                SanType::IpAddress("10.0.0.7".parse().unwrap()),
                SanType::IpAddress("2001:db8::7".parse().unwrap()),
                SanType::URI("spiffe://internal/gateway".try_into().unwrap()),
            ];
        });
        let names = ListenerNames::new(alternative_names(&leaf.der));
        for own in ["gw.internal", "10.0.0.7", "2001:db8::7"] {
            assert!(names.contains(own), "{own}");
        }
        for foreign in ["*.internal", "other.internal", "gateway", "10.0.0.8", "spiffe://internal/gateway"] {
            assert!(!names.contains(foreign), "{foreign}");
        }
        assert!(alternative_names(&TestCa::root("root").leaf("gw.internal", 3).der).is_empty());
    }
}
