//! The CAs that renew: the key fits the certificate, and the chain is of this trust domain and can be revoked in it.

use super::read::Reader;
use crate::config::{Faults, RenewalFiles, Settings};
use crate::identity::TrustName;
use crate::renewal::{Issuer, Issuers};
use crate::trust::{TrustDomain, TrustDomains, pem};

/// `trust` is `None` where a trust domain has a fault; then only the files themselves are checked.
pub(super) fn load(
    settings: &Settings,
    trust: Option<&TrustDomains>,
    reader: &mut Reader,
    faults: &mut Faults,
) -> Issuers {
    let mut issuers: Vec<(TrustName, Issuer)> = Vec::new();
    for (place, files) in settings.trust.iter().enumerate() {
        let Some(renewal) = &files.renewal else { continue };
        let domain = trust.and_then(|trust| trust.domain(&files.name));
        let issuer = issuer(&format!("trust[{place}].renewal"), renewal, domain, reader, faults);
        issuers.extend(issuer.map(|issuer| (files.name.clone(), issuer)));
    }
    Issuers::new(issuers)
}

fn issuer(
    at: &str,
    files: &RenewalFiles,
    domain: Option<&TrustDomain>,
    reader: &mut Reader,
    faults: &mut Faults,
) -> Option<Issuer> {
    let chain = faults.take(format!("{at}.certificate"), reader.pem(&files.certificate, pem::certificates));
    let key = faults.take(format!("{at}.key"), reader.pem(&files.key, pem::private_key));
    let (chain, key) = (chain?, key?);
    let end = match domain {
        Some(domain) => faults.take(format!("{at}.certificate"), domain.issuing_end(&chain)),
        None => None,
    };
    let issuer = Issuer::new(chain, key, end.unwrap_or_default(), files.lifetime);
    faults.take(format!("{at}.key"), issuer)
}
