//! The certificate authorities of a trust domain: its anchors, and the intermediates that complete a chain.

use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::TrustError;
use super::signed::{SignatureCheck, Signed};
use crate::identity::certificate::{Fingerprint, IssuerId, unix_seconds};
use crate::identity::der::{self, tag};
use crate::identity::peer::PathAnchor;

/// A configured CA certificate.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    der: CertificateDer<'static>,
    fingerprint: Fingerprint,
    /// Name and key as webpki compares them, without header.
    anchor: TrustAnchor<'static>,
    public_key: SubjectPublicKeyInfoDer<'static>,
    id: IssuerId,
    name: String,
    issuer: Box<[u8]>,
    not_before: u64,
    not_after: u64,
    /// The end that the operator gave the anchor, Unix seconds.
    retires_at: Option<u64>,
    may_sign_lists: bool,
}

impl Authority {
    /// Reads a certificate and refuses one that is no CA's.
    pub(crate) fn parse(der: &CertificateDer<'_>) -> Result<Self, AuthorityError> {
        let anchor = webpki::anchor_from_trusted_cert(der).map_err(AuthorityError::Malformed)?.to_owned();
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| AuthorityError::Unreadable)?;
        let name = parsed.subject().to_string();
        let constraints = parsed.basic_constraints().map_err(|_| AuthorityError::Unreadable)?;
        let usage = parsed.key_usage().map_err(|_| AuthorityError::Unreadable)?;
        let is_ca = constraints.is_some_and(|constraints| constraints.value.ca);
        // Where there is no key usage, none is ruled out (RFC 5280, 4.2.1.3).
        let may_sign_certificates = usage.as_ref().is_none_or(|usage| usage.value.key_cert_sign());
        if !(is_ca && may_sign_certificates) {
            return Err(AuthorityError::NotCa { name });
        }
        let date = |time| unix_seconds(time).map_err(|_| AuthorityError::Unreadable);
        Ok(Self {
            id: IssuerId::of_anchor(&anchor),
            public_key: SubjectPublicKeyInfoDer::from(parsed.public_key().raw.to_vec()),
            issuer: parsed.issuer().as_raw().into(),
            not_before: date(parsed.validity().not_before)?,
            not_after: date(parsed.validity().not_after)?,
            retires_at: None,
            fingerprint: Fingerprint::of(der),
            der: der.clone().into_owned(),
            anchor,
            name,
            may_sign_lists: usage.as_ref().is_none_or(|usage| usage.value.crl_sign()),
        })
    }

    pub(crate) fn id(&self) -> IssuerId {
        self.id
    }

    /// The subject for a person to read. It comes from a certificate: show it escaped.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Last second, in Unix seconds.
    pub(crate) fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Last second in which a path may end here, in Unix seconds.
    pub(crate) fn end(&self) -> u64 {
        self.retires_at.map_or(self.not_after, |at| at.min(self.not_after))
    }

    /// Whether the end is the operator's, and earlier than the certificate's own.
    fn is_retiring(&self) -> bool {
        self.end() < self.not_after
    }

    /// The content of the subject, as a revocation list of this CA has it for its issuer.
    pub(crate) fn subject(&self) -> &[u8] {
        &self.anchor.subject
    }

    /// Whether the key usage, if there is one, includes cRLSign.
    pub(crate) fn may_sign_lists(&self) -> bool {
        self.may_sign_lists
    }

    /// Whether this CA's key made the signature.
    pub(super) fn check(&self, signed: &Signed<'_>) -> SignatureCheck {
        signed.check(&self.public_key)
    }

    fn issued(&self, other: &Self) -> bool {
        let is_named = der::sole(&other.issuer, tag::SEQUENCE).is_ok_and(|issuer| issuer == self.subject());
        is_named && Signed::parse(&other.der).is_ok_and(|signed| self.check(&signed) == SignatureCheck::Valid)
    }
}

/// Why a certificate cannot stand for a CA. The operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    #[error("the certificate is malformed")]
    Malformed(#[source] webpki::Error),
    #[error("the certificate cannot be read")]
    Unreadable,
    #[error("{name:?} is no CA certificate that may sign certificates")]
    NotCa { name: String },
}

/// Why a chain cannot issue for a trust domain. The operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuingChainError {
    #[error(
        "certificate {position} is none of this block's `intermediates`; list it there, with its revocation list in \
         `crls`, and leave anchors out of this file"
    )]
    NotIntermediate {
        /// Counted from one.
        position: usize,
    },
    #[error("certificate {position} was not issued by the one behind it")]
    NotIssuedByNext {
        /// Counted from one.
        position: usize,
    },
    #[error(
        "no anchor has issued the last certificate; append the certificates above it, without the anchor"
    )]
    NotAnchored,
}

/// Which list of the configuration a certificate stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorityKind {
    Anchor,
    Intermediate,
}

impl std::fmt::Display for AuthorityKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anchor => "anchor",
            Self::Intermediate => "intermediate",
        })
    }
}

/// A configured anchor, for a person to see what sessions may stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor<'a> {
    /// The subject. It comes from a certificate: show it escaped.
    pub name: &'a str,
    /// SHA-256 over the certificate.
    pub fingerprint: Fingerprint,
    /// Last second in which a path may end here, in Unix seconds.
    pub end: u64,
    /// Whether the end is the operator's, and earlier than the certificate's own.
    pub is_retiring: bool,
}

/// The end that the operator gives an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetiringAnchor {
    /// SHA-256 over the certificate.
    pub anchor: Fingerprint,
    /// Last second in which a path may end there, in Unix seconds. May have passed.
    pub at: u64,
}

/// All CAs of one trust domain, in date and whole when they were loaded.
#[derive(Debug, Clone)]
pub(crate) struct Authorities {
    /// Anchors first.
    all: Vec<Authority>,
    anchors: Vec<TrustAnchor<'static>>,
    intermediates: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Reads and checks every certificate, adding what is wrong to `faults`.
    pub(crate) fn load(
        anchors: &[CertificateDer<'_>],
        intermediates: &[CertificateDer<'_>],
        retire: &[RetiringAnchor],
        now: UnixTime,
        faults: &mut Vec<TrustError>,
    ) -> Self {
        if anchors.is_empty() {
            faults.push(TrustError::NoAnchor);
        }
        let mut anchors = parse_all(AuthorityKind::Anchor, anchors, faults);
        set_ends(&mut anchors, retire, faults);
        let intermediates = parse_all(AuthorityKind::Intermediate, intermediates, faults);
        check_anchored(&anchors, &intermediates, faults);
        let loaded = Self {
            anchors: anchors.iter().map(|authority| authority.anchor.clone()).collect(),
            intermediates: intermediates.iter().map(|authority| authority.der.clone()).collect(),
            all: [anchors, intermediates].concat(),
        };
        loaded.check_dates(now, faults);
        loaded.check_unique(faults);
        loaded
    }

    /// Every certificate with the list of the configuration that it stands in.
    pub(crate) fn by_kind(&self) -> impl Iterator<Item = (AuthorityKind, &Authority)> {
        let kind = |place| {
            if place < self.anchors.len() { AuthorityKind::Anchor } else { AuthorityKind::Intermediate }
        };
        self.all.iter().enumerate().map(move |(place, authority)| (kind(place), authority))
    }

    /// Anchors and intermediates.
    pub(crate) fn all(&self) -> &[Authority] {
        &self.all
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    pub(crate) fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// The certificate of this name and key; the longest-lived if a CA renewed it and both are configured.
    pub(crate) fn find(&self, id: IssuerId) -> Option<&Authority> {
        self.all.iter().filter(|authority| authority.id == id).max_by_key(|authority| authority.not_after)
    }

    /// The anchor with this name and key; the one with the latest end if several certificates have both.
    pub(crate) fn path_anchor(&self, anchor: &TrustAnchor<'_>) -> Option<PathAnchor> {
        let id = IssuerId::of_anchor(anchor);
        let named = self.anchor_certificates().iter().filter(|authority| authority.id == id);
        let last = named.max_by_key(|each| each.end())?;
        Some(PathAnchor { fingerprint: last.fingerprint, end: last.end(), is_retiring: last.is_retiring() })
    }

    /// Last second, in Unix seconds, in which a chain is good that consists of configured intermediates, each issued by
    /// the next and the last by an anchor.
    pub(crate) fn issuing_end(&self, chain: &[CertificateDer<'_>]) -> Result<u64, IssuingChainError> {
        let intermediates = self.all.get(self.anchors.len()..).unwrap_or_default();
        let find = |(position, der): (usize, &CertificateDer<'_>)| {
            let known = intermediates.iter().find(|authority| authority.der == *der);
            known.ok_or(IssuingChainError::NotIntermediate { position })
        };
        let chain = (1..).zip(chain).map(find).collect::<Result<Vec<_>, _>>()?;
        for (position, pair) in (1..).zip(chain.windows(2)) {
            if let [lower, upper] = pair
                && !upper.issued(lower)
            {
                return Err(IssuingChainError::NotIssuedByNext { position });
            }
        }
        let top = chain.last().ok_or(IssuingChainError::NotAnchored)?;
        let anchors = self.anchor_certificates().iter();
        let anchor_end = anchors.filter(|anchor| anchor.issued(top)).map(Authority::end).max();
        let end = anchor_end.ok_or(IssuingChainError::NotAnchored)?;
        Ok(chain.iter().map(|authority| authority.not_after).fold(end, u64::min))
    }

    /// Every anchor, in the order of the configuration.
    pub(crate) fn listed_anchors(&self) -> impl Iterator<Item = Anchor<'_>> {
        self.anchor_certificates().iter().map(|authority| Anchor {
            name: authority.name(),
            fingerprint: authority.fingerprint,
            end: authority.end(),
            is_retiring: authority.is_retiring(),
        })
    }

    fn anchor_certificates(&self) -> &[Authority] {
        self.all.get(..self.anchors.len()).unwrap_or_default()
    }

    pub(crate) fn check_dates(&self, now: UnixTime, faults: &mut Vec<TrustError>) {
        let now = now.as_secs();
        for authority in &self.all {
            let name = authority.name.clone();
            if now < authority.not_before {
                faults.push(TrustError::NotYetValid { name, not_before: authority.not_before });
            } else if now > authority.not_after {
                faults.push(TrustError::Expired { name, not_after: authority.not_after });
            }
        }
    }

    fn check_unique(&self, faults: &mut Vec<TrustError>) {
        let mut rest = self.all.as_slice();
        while let Some((authority, others)) = rest.split_first() {
            if others.iter().any(|other| other.der == authority.der) {
                faults.push(TrustError::Duplicate { name: authority.name.clone() });
            }
            rest = others;
        }
    }
}

fn parse_all(
    kind: AuthorityKind,
    certificates: &[CertificateDer<'_>],
    faults: &mut Vec<TrustError>,
) -> Vec<Authority> {
    let mut authorities = Vec::new();
    for (position, certificate) in (1..).zip(certificates) {
        match Authority::parse(certificate) {
            Ok(authority) => authorities.push(authority),
            Err(source) => faults.push(TrustError::Authority { kind, position, source }),
        }
    }
    authorities
}

fn set_ends(anchors: &mut [Authority], retire: &[RetiringAnchor], faults: &mut Vec<TrustError>) {
    for RetiringAnchor { anchor, at } in retire {
        match anchors.iter_mut().find(|each| each.fingerprint == *anchor) {
            Some(found) if found.retires_at.is_none() => found.retires_at = Some(*at),
            Some(_) => faults.push(TrustError::RetiredTwice { anchor: *anchor }),
            None => faults.push(TrustError::NoSuchAnchor { anchor: *anchor }),
        }
    }
}

/// Every intermediate must be signed by an anchor, or by another intermediate that is.
fn check_anchored(anchors: &[Authority], intermediates: &[Authority], faults: &mut Vec<TrustError>) {
    let mut anchored: Vec<&Authority> = anchors.iter().collect();
    let mut loose: Vec<&Authority> = intermediates.iter().collect();
    loop {
        let (found, rest): (Vec<_>, Vec<_>) =
            loose.iter().partition(|each| anchored.iter().any(|issuer| issuer.issued(each)));
        loose = rest;
        if found.is_empty() {
            break;
        }
        anchored.extend(found);
    }
    faults.extend(loose.iter().map(|each| TrustError::NotAnchored { name: each.name.clone() }));
}
