//! The CAs that renew: the key fits the certificate, the chain is of this trust domain and can be revoked in it, and what
//! it issues is accepted here.

use rustls::pki_types::UnixTime;

use super::read::Reader;
use crate::config::{Faults, RenewalFiles, Settings, Why};
use crate::identity::TrustName;
use crate::renewal::{Issuer, Issuers};
use crate::trust::{TrustDomains, VerifyError, pem};

/// `trust` is `None` where a trust domain has a fault; then only the files themselves are checked.
pub(super) fn load(
    settings: &Settings,
    trust: Option<&TrustDomains>,
    reader: &mut Reader,
    faults: &mut Faults,
    now: UnixTime,
) -> Issuers {
    let mut issuers: Vec<(TrustName, Issuer)> = Vec::new();
    for (place, files) in settings.trust.iter().enumerate() {
        let Some(renewal) = &files.renewal else { continue };
        let at = format!("trust[{place}].renewal");
        let Some(issuer) = issuer(&at, &files.name, renewal, trust, reader, faults) else { continue };
        if let Some(trust) = trust {
            check_accepted(&at, &issuer, trust, faults, now);
        }
        issuers.push((files.name.clone(), issuer));
    }
    Issuers::new(issuers)
}

fn issuer(
    at: &str,
    name: &TrustName,
    files: &RenewalFiles,
    trust: Option<&TrustDomains>,
    reader: &mut Reader,
    faults: &mut Faults,
) -> Option<Issuer> {
    let chain = faults.take(format!("{at}.certificate"), reader.pem(&files.certificate, pem::certificates));
    let key = faults.take(format!("{at}.key"), reader.pem(&files.key, pem::private_key));
    let (chain, key) = (chain?, key?);
    let end = trust
        .and_then(|trust| trust.domain(name))
        .map(|domain| faults.take(format!("{at}.certificate"), domain.issuing_end(&chain)));
    // Without a domain there is a fault already, and nothing will be issued.
    let issuer = Issuer::new(chain, key, end.flatten().unwrap_or_default(), files.lifetime);
    let issuer = faults.take(format!("{at}.key"), issuer);
    issuer.filter(|_| !matches!(end, Some(None)))
}

/// A constraint on the length of the path, on usage, or a list that does not speak for what is issued would otherwise show
/// with the first renewal.
fn check_accepted(at: &str, issuer: &Issuer, trust: &TrustDomains, faults: &mut Faults, now: UnixTime) {
    let Some(sample) = faults.take(format!("{at}.certificate"), issuer.sample(now)) else { return };
    match trust.verify(&sample, issuer.chain(), now) {
        // Names are constrained, and the sample has none. A CA that was revoked in an emergency must keep no gateway from
        // starting: each renewal is refused until another takes its place.
        Ok(_)
        | Err(VerifyError::Other(webpki::Error::NameConstraintViolation) | VerifyError::Revoked { .. }) => {}
        Err(refusal) => faults.add(format!("{at}.certificate"), Why::IssuedInVain(refusal)),
    }
}
