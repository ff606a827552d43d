//! A certificate that was verified with the path it was verified by, and the peer that proved to hold its key.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{Cert, VerifiedPath};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{CRLDistributionPoint, DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_X509_EXT_CRL_DISTRIBUTION_POINTS;
use x509_parser::prelude::FromDer;

use super::TrustName;
use super::certificate::{
    ALLOCATION, AnchorSetId, CertificateError, CertificateFacts, Fingerprint, IssuerId, Serial, unix_seconds,
};
use super::der::{self, tag};

/// A peer that holds the key of a verified chain: it signed the TLS handshake with it, or a challenge on a live session.
/// What a session, an identity and a verdict demand, since anyone can present certificates that are public. It reads as its chain.
#[derive(Debug)]
pub struct VerifiedPeer(Arc<VerifiedChain>);

impl VerifiedPeer {
    /// For two places alone: [`capture`](crate::trust::verifier::capture), which sees the handshake through to its end,
    /// and [`prove`](crate::trust::prove), which verifies a signature over a challenge of this gateway's.
    pub(crate) fn proven(chain: Arc<VerifiedChain>) -> Self {
        Self(chain)
    }

    /// The same peer by another path to its certificate. The key it proved to hold is that of the certificate, so a
    /// chain of any other is not taken.
    pub(crate) fn by_another_path(&self, chain: Arc<VerifiedChain>) -> Option<Self> {
        (chain.facts.fingerprint() == self.0.facts.fingerprint()).then_some(Self(chain))
    }
}

impl Deref for VerifiedPeer {
    type Target = VerifiedChain;

    fn deref(&self) -> &VerifiedChain {
        &self.0
    }
}

/// A certificate that chains to an anchor of a trust domain. Only a path that `webpki` verified makes one; what was
/// presented beyond that path is not in it. Whether anybody holds the key is another matter, see [`VerifiedPeer`].
pub struct VerifiedChain {
    trust: TrustName,
    anchors: AnchorSetId,
    anchor: Fingerprint,
    facts: CertificateFacts,
    not_before: u64,
    deadline: u64,
    ended_by: EndedBy,
    links: Box<[PathLink]>,
    chain: Box<[CertificateDer<'static>]>,
}

/// The anchor that a verified path ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathAnchor {
    pub(crate) fingerprint: Fingerprint,
    /// Its last second, Unix seconds.
    pub(crate) end: u64,
    /// Whether `end` is the operator's, and earlier than the certificate's own.
    pub(crate) is_retiring: bool,
}

/// What sets a chain's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The notAfter of a certificate of the path, or of the anchor.
    Certificate,
    /// The end that the operator gave the anchor.
    RetiringAnchor,
}

impl VerifiedChain {
    /// Keeps what a verified path says. `anchors` are those the verdict rests on, `anchor` and `links` are the path's own.
    pub(crate) fn new(
        path: &VerifiedPath<'_>,
        trust: TrustName,
        anchors: AnchorSetId,
        anchor: PathAnchor,
        links: Box<[PathLink]>,
    ) -> Result<Self, CertificateError> {
        let facts = CertificateFacts::parse(&path.end_entity().der())?;
        let (mut not_before, mut end) = (facts.not_before(), facts.not_after());
        let mut chain = vec![path.end_entity().der().into_owned()];
        for intermediate in path.intermediate_certificates() {
            let (first, last) = validity(&intermediate.der())?;
            not_before = not_before.max(first);
            end = end.min(last);
            chain.push(intermediate.der().into_owned());
        }
        let ended_by = match anchor.is_retiring && anchor.end < end {
            true => EndedBy::RetiringAnchor,
            false => EndedBy::Certificate,
        };
        Ok(Self {
            trust,
            anchors,
            anchor: anchor.fingerprint,
            facts,
            not_before,
            deadline: end.min(anchor.end),
            ended_by,
            links,
            chain: chain.into(),
        })
    }

    /// The trust domain whose anchors the certificate chains to.
    pub fn trust(&self) -> &TrustName {
        &self.trust
    }

    /// What the peer's own certificate says.
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// Last second, in Unix seconds, in which every certificate of the path and the anchor are still in date.
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Whether every certificate of the path is in date, and the anchor has not ended.
    pub(crate) fn is_in_date(&self, now: UnixTime) -> bool {
        (self.not_before..=self.deadline).contains(&now.as_secs())
    }

    /// What sets the deadline.
    pub fn ended_by(&self) -> EndedBy {
        self.ended_by
    }

    /// The anchor that the path ends in, by the SHA-256 of its certificate.
    pub fn anchor(&self) -> Fingerprint {
        self.anchor
    }

    /// Every certificate of the path, the peer's own first, the one that the anchor issued last.
    pub fn links(&self) -> &[PathLink] {
        &self.links
    }

    /// The same certificates in DER.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Bytes of memory that it takes, about.
    pub(crate) fn memory(&self) -> usize {
        let certificates: usize = self.chain.iter().map(|each| each.len() + ALLOCATION).sum();
        let links: usize = self.links.iter().map(PathLink::memory).sum();
        size_of::<Self>() + certificates + links + self.facts.memory()
    }

    /// The anchors that the verdict rests on.
    pub(crate) fn anchors(&self) -> AnchorSetId {
        self.anchors
    }
}

impl fmt::Debug for VerifiedChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedChain")
            .field("trust", &self.trust)
            .field("fingerprint", &self.facts.fingerprint())
            .field("deadline", &self.deadline)
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

/// One certificate of a verified path, by what a revocation list or a deny list would call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathLink {
    issuer: IssuerId,
    serial: Serial,
    fingerprint: Fingerprint,
    /// `None` if the certificate names no distribution point at all.
    distribution_points: Option<Box<[Box<str>]>>,
}

impl PathLink {
    /// Who issued the certificate: the next one up in the path, or the anchor.
    pub fn issuer(&self) -> IssuerId {
        self.issuer
    }

    pub fn serial(&self) -> Serial {
        self.serial
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The URIs at which the certificate says its revocation list is found, if it says anything.
    pub(crate) fn distribution_points(&self) -> Option<&[Box<str>]> {
        self.distribution_points.as_deref()
    }

    fn memory(&self) -> usize {
        let points = self.distribution_points().unwrap_or_default();
        size_of::<Self>() + points.iter().map(|uri| size_of_val(uri) + uri.len() + ALLOCATION).sum::<usize>()
    }

    #[cfg(test)]
    pub(crate) fn for_test(issuer: IssuerId, serial: Serial, points: Option<&[&str]>) -> Self {
        let distribution_points = points.map(|uris| uris.iter().map(|uri| (*uri).into()).collect());
        let fingerprint = Fingerprint::of(serial.to_string().as_bytes());
        Self { issuer, serial, fingerprint, distribution_points }
    }
}

/// The links of a path, the peer's own certificate first.
pub(crate) fn links(path: &VerifiedPath<'_>) -> Result<Box<[PathLink]>, CertificateError> {
    let mut issuer = IssuerId::of_anchor(path.anchor());
    let mut links = Vec::new();
    for certificate in path.intermediate_certificates().rev() {
        links.push(link(certificate, issuer)?);
        issuer = issuer_id(certificate)?;
    }
    links.push(link(path.end_entity(), issuer)?);
    links.reverse();
    Ok(links.into())
}

fn link(certificate: &Cert<'_>, issuer: IssuerId) -> Result<PathLink, CertificateError> {
    let serial = Serial::from_be_bytes(certificate.serial()).ok_or(CertificateError::Serial)?;
    let der = certificate.der();
    Ok(PathLink {
        issuer,
        serial,
        fingerprint: Fingerprint::of(&der),
        distribution_points: distribution_points(&der)?,
    })
}

fn issuer_id(certificate: &Cert<'_>) -> Result<IssuerId, CertificateError> {
    let public_key = certificate.subject_public_key_info();
    let public_key = der::sole(&public_key, tag::SEQUENCE).map_err(|_| CertificateError::Unreadable)?;
    Ok(IssuerId::of_parts(certificate.subject(), public_key))
}

/// First and last second of validity, in Unix seconds.
fn validity(certificate: &CertificateDer<'_>) -> Result<(u64, u64), CertificateError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::Unreadable)?;
    let validity = parsed.validity();
    Ok((unix_seconds(validity.not_before)?, unix_seconds(validity.not_after)?))
}

/// The URIs of the certificate's CRL distribution points (RFC 5280, 4.2.1.13). A point that is malformed, or stands
/// for an indirect or partial list, names nothing, and so no list covers the certificate by it.
fn distribution_points(certificate: &[u8]) -> Result<Option<Box<[Box<str>]>>, CertificateError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::Unreadable)?;
    let extension = parsed
        .get_extension_unique(&OID_X509_EXT_CRL_DISTRIBUTION_POINTS)
        .map_err(|_| CertificateError::DuplicateExtension)?;
    Ok(extension.map(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLDistributionPoints(points) => points.iter().flat_map(uris).collect(),
        _ => Box::default(),
    }))
}

fn uris(point: &CRLDistributionPoint<'_>) -> Vec<Box<str>> {
    match point {
        CRLDistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(names)),
            reasons: None,
            crl_issuer: None,
        } => names.iter().filter_map(uri).collect(),
        _ => Vec::new(),
    }
}

fn uri(name: &GeneralName<'_>) -> Option<Box<str>> {
    match name {
        GeneralName::URI(uri) => Some((*uri).into()),
        _ => None,
    }
}
