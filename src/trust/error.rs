//! Everything that can be wrong with trust: what the operator configured, and what a peer presents.

use rustls::pki_types::UnixTime;

use super::anchors::{AuthorityError, AuthorityKind};
use super::crl::{CrlAge, CrlError};
use crate::identity::TrustName;
use crate::identity::certificate::{CertificateError, Fingerprint, IssuerId, Serial};
use crate::identity::mapping::{MappingError, ServiceClaim};

/// Why a trust domain cannot be loaded. The operator's fault, or a CA's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error("a trust domain needs at least one anchor")]
    NoAnchor,
    #[error("certificate {position} of the {kind}s cannot be used")]
    Authority {
        kind: AuthorityKind,
        /// Counted from one.
        position: usize,
        #[source]
        source: AuthorityError,
    },
    #[error("the CA {name:?} is configured twice")]
    Duplicate { name: String },
    #[error("the CA {name:?} is not valid before {not_before}")]
    NotYetValid { name: String, not_before: u64 },
    #[error("the CA {name:?} has expired at {not_after}")]
    Expired { name: String, not_after: u64 },
    #[error("the intermediate {name:?} does not chain to an anchor")]
    NotAnchored { name: String },
    #[error("revocation list {position} cannot be used")]
    RevocationList {
        /// Counted from one.
        position: usize,
        #[source]
        source: CrlError,
    },
    #[error("the CA {name:?} has no revocation list; each configured CA needs one")]
    NoRevocationList { name: String },
    #[error("the revocation list of the CA {name:?} is stale since {since}")]
    StaleRevocationList { name: String, since: u64 },
    #[error("{}", went_back(name, before, now.as_ref()))]
    RevocationListWentBack {
        name: String,
        before: CrlAge,
        /// `None` if no list of any age speaks for its certificates.
        now: Option<CrlAge>,
    },
    #[error("no anchor has the fingerprint {anchor}, which is to retire")]
    NoSuchAnchor { anchor: Fingerprint },
    #[error("the anchor {anchor} is to retire twice")]
    RetiredTwice { anchor: Fingerprint },
}

fn went_back(name: &str, before: &CrlAge, now: Option<&CrlAge>) -> String {
    match now {
        Some(now) => format!("the revocation list of the CA {name:?} goes back from {before} to {now}"),
        None => format!(
            "the revocation list of the CA {name:?} with {before} is gone, and no other takes its place"
        ),
    }
}

impl TrustError {
    /// Whether the same files may be good at another time.
    pub fn depends_on_time(&self) -> bool {
        match self {
            Self::NotYetValid { .. } | Self::Expired { .. } | Self::StaleRevocationList { .. } => true,
            Self::RevocationList { source, .. } => matches!(source, CrlError::NotYetValid { .. }),
            Self::NoAnchor
            | Self::Authority { .. }
            | Self::Duplicate { .. }
            | Self::NotAnchored { .. }
            | Self::NoRevocationList { .. }
            | Self::RevocationListWentBack { .. }
            | Self::NoSuchAnchor { .. }
            | Self::RetiredTwice { .. } => false,
        }
    }
}

/// Why trust domains do not go together. The operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustSetError {
    #[error("at least one trust domain is needed")]
    Empty,
    #[error("two trust domains are called `{name}`")]
    DuplicateName { name: TrustName },
    #[error(
        "trust domain `{}` claims `{}` and `{}` claims `{}`: one service name would belong to both",
        first.0, first.1, second.0, second.1
    )]
    ClaimsOverlap { first: (TrustName, ServiceClaim), second: (TrustName, ServiceClaim) },
}

/// Why a verified peer has no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    #[error("the trust domain is no longer configured")]
    TrustRemoved,
    #[error(transparent)]
    Mapping(MappingError),
}

/// Why a peer's chain is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("a certificate of the chain has been revoked, serial {serial}")]
    Revoked { issuer: IssuerId, serial: Serial },
    #[error("the revocation list for serial {serial} is stale since {since}")]
    RevocationStale { issuer: IssuerId, serial: Serial, since: u64 },
    #[error("no revocation list speaks for serial {serial}")]
    RevocationUnknown { issuer: IssuerId, serial: Serial },
    #[error("a certificate of the chain has expired at {not_after}")]
    Expired { now: UnixTime, not_after: u64 },
    #[error("the anchor of the chain was configured to retire at {at}")]
    AnchorRetired { at: u64 },
    #[error("a certificate of the chain is not valid before {not_before}")]
    NotYetValid { now: UnixTime, not_before: u64 },
    #[error("two trust domains accept the chain, `{first}` and `{second}`")]
    AmbiguousTrust { first: TrustName, second: TrustName },
    #[error("the trust domain that accepted the chain is no longer configured, or another accepts it now")]
    TrustRemoved,
    #[error("the certificate does not state the extended key usage clientAuth")]
    WrongUsage,
    #[error("a CA certificate is no peer's")]
    CaAsPeer,
    #[error("a signature in the chain is not that of the issuer")]
    BadSignature,
    #[error("the chain is too long: {certificates} certificates, {bytes} bytes")]
    ChainTooLong { certificates: usize, bytes: usize },
    #[error("a certificate of the chain cannot be read")]
    Certificate(#[source] CertificateError),
    #[error("the chain is not valid")]
    Other(#[source] webpki::Error),
    #[error("no configured CA has issued the certificate")]
    UnknownIssuer,
}

impl VerifyError {
    /// The one of two refusals, by two domains or along two paths, that says more to whoever has to mend it. A chain
    /// fails as `UnknownIssuer` in every domain it does not belong to, so that says least.
    pub(super) fn more_telling(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.rank() <= self.rank() => other,
            _ => self,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Revoked { .. } => 0,
            // Before a stale list, which a live session outlives.
            Self::RevocationUnknown { .. } => 1,
            Self::RevocationStale { .. } => 2,
            Self::AmbiguousTrust { .. } | Self::TrustRemoved => 3,
            Self::WrongUsage | Self::CaAsPeer => 4,
            Self::Expired { .. } | Self::AnchorRetired { .. } | Self::NotYetValid { .. } => 5,
            Self::ChainTooLong { .. } | Self::Certificate(_) => 6,
            Self::Other(_) => 7,
            Self::BadSignature => 8,
            Self::UnknownIssuer => 9,
        }
    }
}

impl From<CertificateError> for VerifyError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

impl From<webpki::Error> for VerifyError {
    fn from(error: webpki::Error) -> Self {
        use webpki::Error as E;
        match error {
            E::CertExpired { time, not_after } => Self::Expired { now: time, not_after: not_after.as_secs() },
            E::CertNotValidYet { time, not_before } => {
                Self::NotYetValid { now: time, not_before: not_before.as_secs() }
            }
            E::UnknownIssuer => Self::UnknownIssuer,
            E::CaUsedAsEndEntity => Self::CaAsPeer,
            E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => Self::WrongUsage,
            E::InvalidSignatureForPublicKey
            | E::UnsupportedSignatureAlgorithmContext(_)
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::BadSignature,
            other => Self::Other(other),
        }
    }
}
