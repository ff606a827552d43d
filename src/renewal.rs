//! Renewal at the source: a peer with a valid certificate gets a short-lived one for a new key, with the names it has.
//!
//! Invariant: what [`renew`] gives out carries the subject and alternative names of the verified certificate byte for
//! byte, ends no later than the configured lifetime and the issuing chain, and was verified, mapped to the same service and
//! not denied by the generation that issued it.

mod issue;
mod names;
mod parts;
mod request;

use std::collections::BTreeMap;

use rustls::pki_types::{CertificateDer, UnixTime};

use crate::deny::Denied;
use crate::generation::Generation;
use crate::identity::certificate::CertificateId;
use crate::identity::peer::VerifiedPeer;
use crate::identity::{ServiceIdentity, ServiceName, TrustName};
use crate::trust::{IdentifyError, VerifyError};

pub use issue::{Issuer, IssuerError};
pub use names::NamesError;
use request::Request;
pub use request::{KeyError, RequestError};

/// Bytes of a random serial number.
pub const SERIAL_BYTES: usize = 16;

/// Who issues in each trust domain that renews. Most generations have none.
#[derive(Debug, Default)]
pub struct Issuers(BTreeMap<TrustName, Issuer>);

impl Issuers {
    pub fn new(issuers: impl IntoIterator<Item = (TrustName, Issuer)>) -> Self {
        Self(issuers.into_iter().collect())
    }

    pub fn of(&self, trust: &TrustName) -> Option<&Issuer> {
        self.0.get(trust)
    }

    /// Each with the name of its trust domain.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Issuer)> {
        self.0.iter().map(|(trust, issuer)| (trust.as_str(), issuer))
    }
}

/// A new certificate that the gateway would let in.
#[derive(Debug)]
pub struct Renewed {
    /// Its own certificate first, then the intermediates below the anchor.
    pub chain: Vec<CertificateDer<'static>>,
    pub id: CertificateId,
    /// Last second, Unix seconds.
    pub not_after: u64,
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Names(#[from] NamesError),
    #[error("no certificate could be issued")]
    Issue(#[from] IssueError),
}

/// What went wrong on the gateway's side: the operator's fault, or ours.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("the presented certificate cannot be taken apart")]
    Presented,
    #[error("the issuing chain ends at {end}, Unix seconds")]
    Ended { end: u64 },
    #[error("the issuing key did not sign")]
    Sign(#[source] rustls::Error),
    #[error("the new certificate has not the names or the key that were to be certified")]
    Differs,
    #[error("the new certificate is not accepted here")]
    NotAccepted(#[source] VerifyError),
    #[error("the new certificate maps to no service")]
    NotMapped(#[source] IdentifyError),
    #[error("the new certificate maps to {service} of {trust}")]
    Another { service: ServiceName, trust: TrustName },
    #[error("the new certificate would be denied")]
    Denied(#[source] Denied),
}

/// Issues a certificate to `peer` for the key of the request in `body`. `identity` is the peer's by `generation`, `serial` is
/// random.
pub fn renew(
    generation: &Generation,
    issuer: &Issuer,
    peer: &VerifiedPeer,
    identity: &ServiceIdentity,
    body: &[u8],
    serial: [u8; SERIAL_BYTES],
    now: UnixTime,
) -> Result<Renewed, RenewalError> {
    let presented = peer.chain().first().ok_or(IssueError::Presented)?;
    let der = request::der(body)?;
    let request = Request::parse(&der)?;
    request.check_key()?;
    request.check_signature()?;
    names::check_own(&request, presented)?;
    let issued = issuer.issue(presented, request.public_key(), serial, now)?;
    check_parts(&issued, presented, &request)?;

    let trust = &generation.trust;
    let verified = trust.verify(&issued, issuer.chain(), now).map_err(IssueError::NotAccepted)?;
    let mapped = trust.map(&verified).map_err(IssueError::NotMapped)?;
    if mapped.service() != identity.service() || verified.trust() != identity.trust() {
        let (service, trust) = (mapped.service().clone(), verified.trust().clone());
        return Err(IssueError::Another { service, trust }.into());
    }
    // The peer was asked about by its own path; this one has the issuing CA in it.
    generation.deny.check(&verified, mapped.service()).map_err(IssueError::Denied)?;
    let (id, not_after) = (verified.facts().id(), verified.facts().not_after());
    let chain = std::iter::once(&issued).chain(issuer.chain()).cloned().collect();
    Ok(Renewed { chain, id, not_after })
}

/// Reads the new certificate as a stranger would, and compares what must not differ.
fn check_parts(
    issued: &CertificateDer<'_>,
    presented: &CertificateDer<'_>,
    request: &Request<'_>,
) -> Result<(), IssueError> {
    let issued = parts::Certificate::parse(issued).map_err(|_| IssueError::Differs)?;
    let presented = parts::Certificate::parse(presented).map_err(|_| IssueError::Presented)?;
    let is_same = |oid: &[u8]| {
        let raw =
            |certificate: &parts::Certificate<'_>| certificate.extension(oid).map(|found| found.raw.to_vec());
        raw(&issued) == raw(&presented)
    };
    let is_whole = issued.subject == presented.subject
        && is_same(parts::oid::ALTERNATIVE_NAMES)
        && is_same(parts::oid::EXTENDED_KEY_USAGE)
        && issued.public_key == request.public_key();
    if is_whole { Ok(()) } else { Err(IssueError::Differs) }
}

#[cfg(test)]
mod tests;
