//! One revocation list: read, matched to the CA that signed it, its signature verified once and for all.

use rustls::pki_types::UnixTime;
use webpki::{BorrowedCertRevocationList, RevocationReason};
use x509_parser::extensions::X509Extension;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use crate::identity::certificate::{CrlNumber, IssuerId, Serial, unix_seconds};
use crate::identity::der::{self, Element, NotDer, tag};
use crate::trust::anchors::Authority;
use crate::trust::signed::{SignatureCheck, Signed};

/// How far a CA's clock may be ahead of ours. Refusing a list for a second's difference would hold up a revocation.
pub const MAX_CLOCK_SKEW_SECS: u64 = 300;

/// A valid revocation list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RevocationList {
    pub(super) number: CrlNumber,
    /// Unix seconds.
    pub(super) this_update: u64,
    /// Unix seconds; from then on the list is stale.
    pub(super) next_update: u64,
    pub(super) scope: Scope,
    /// Sorted, each once.
    revoked: Box<[Serial]>,
}

/// Which of the issuer's certificates a list speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// All of them.
    Complete,
    /// Those that name one of these distribution points (RFC 5280, 5.2.5). Sorted.
    DistributionPoints(Box<[Box<str>]>),
}

/// Why a revocation list is refused. The fault of the CA, or of the operator who configured the wrong file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    #[error("the revocation list is malformed")]
    Malformed,
    #[error("the revocation list is malformed or of an unsupported kind")]
    Refused(#[source] webpki::Error),
    #[error("no configured CA is called {issuer:?}, the issuer of the revocation list")]
    UnknownIssuer { issuer: String },
    #[error("no configured CA called {issuer:?} has signed the revocation list")]
    BadSignature { issuer: String },
    #[error("the revocation list of {issuer:?} is signed with an algorithm that is not supported")]
    UnsupportedAlgorithm { issuer: String },
    #[error("the key usage of {issuer:?} does not let it sign revocation lists")]
    NotListSigner { issuer: String },
    #[error("delta lists are not supported; configure the complete list")]
    Delta,
    #[error("indirect lists, which speak for other issuers' certificates, are not supported")]
    Indirect,
    #[error("lists for some certificates or some reasons only are not supported")]
    LimitedScope,
    #[error("the list's issuing distribution point has no URI")]
    NoDistributionPointUri,
    #[error("the list has the critical extension {oid}, which is not supported")]
    UnknownCriticalExtension { oid: String },
    #[error("the list has the extension {oid} twice")]
    DuplicateExtension { oid: String },
    #[error("the list has no number")]
    NoNumber,
    #[error("the list has no date for the next update")]
    NoNextUpdate,
    #[error("the list is of a time to come, {this_update}")]
    NotYetValid { this_update: u64 },
    #[error("the list has an entry `removeFromCRL`, which belongs in a delta list")]
    RemovedEntry,
    #[error("the list has a serial number longer than 20 octets")]
    Serial,
}

impl From<NotDer> for CrlError {
    fn from(NotDer: NotDer) -> Self {
        Self::Malformed
    }
}

impl RevocationList {
    /// Reads a list and verifies that one of these CAs signed it. Says nothing on whether it is stale.
    pub(super) fn load(
        bytes: &[u8],
        authorities: &[Authority],
        now: UnixTime,
    ) -> Result<(IssuerId, Self), CrlError> {
        let signed = Signed::parse(bytes)?;
        let header = Header::parse(signed.fields()?)?;
        let statement = Extensions::parse(header.extensions)?;
        let issuer = find_signer(&signed, header.issuer, authorities)?;

        let next_update = header.next_update.ok_or(CrlError::NoNextUpdate)?;
        if header.this_update > now.as_secs().saturating_add(MAX_CLOCK_SKEW_SECS) {
            return Err(CrlError::NotYetValid { this_update: header.this_update });
        }
        let list = Self {
            number: statement.number.ok_or(CrlError::NoNumber)?,
            this_update: header.this_update,
            next_update,
            scope: statement.scope.unwrap_or(Scope::Complete),
            revoked: revoked_serials(bytes)?,
        };
        Ok((issuer, list))
    }

    pub(super) fn revokes(&self, serial: Serial) -> bool {
        self.revoked.binary_search(&serial).is_ok()
    }

    /// Sorted, each once.
    pub(super) fn serials(&self) -> &[Serial] {
        &self.revoked
    }

    pub(super) fn len(&self) -> usize {
        self.revoked.len()
    }
}

/// The CA of this name whose key made the signature.
fn find_signer(
    signed: &Signed<'_>,
    issuer: Element<'_>,
    authorities: &[Authority],
) -> Result<IssuerId, CrlError> {
    let named: Vec<_> =
        authorities.iter().filter(|authority| authority.subject() == issuer.content).collect();
    let Some(first) = named.first() else {
        return Err(CrlError::UnknownIssuer { issuer: printable_name(issuer.raw) });
    };
    let issuer = first.name().to_owned();
    let mut is_supported = true;
    for authority in named {
        match authority.check(signed) {
            SignatureCheck::Valid if authority.may_sign_lists() => return Ok(authority.id()),
            SignatureCheck::Valid => return Err(CrlError::NotListSigner { issuer }),
            SignatureCheck::Invalid => {}
            SignatureCheck::Unsupported => is_supported = false,
        }
    }
    Err(if is_supported {
        CrlError::BadSignature { issuer }
    } else {
        CrlError::UnsupportedAlgorithm { issuer }
    })
}

/// For an error message only, where it is escaped.
fn printable_name(name: &[u8]) -> String {
    X509Name::from_der(name).map_or_else(|_| "an unreadable name".into(), |(_, name)| name.to_string())
}

/// webpki reads the entries: strictly, and without an allocation for each.
fn revoked_serials(bytes: &[u8]) -> Result<Box<[Serial]>, CrlError> {
    let list = BorrowedCertRevocationList::from_der(bytes).map_err(CrlError::Refused)?;
    let mut serials = Vec::new();
    for entry in &list {
        let entry = entry.map_err(|error| match error {
            webpki::Error::UnsupportedIndirectCrl => CrlError::Indirect,
            other => CrlError::Refused(other),
        })?;
        if matches!(entry.reason_code, Some(RevocationReason::RemoveFromCrl)) {
            return Err(CrlError::RemovedEntry);
        }
        serials.push(Serial::from_be_bytes(entry.serial_number).ok_or(CrlError::Serial)?);
    }
    serials.sort_unstable();
    serials.dedup();
    Ok(serials.into())
}

/// What stands before and behind the entries (RFC 5280, 5.1.2).
struct Header<'a> {
    issuer: Element<'a>,
    this_update: u64,
    next_update: Option<u64>,
    /// The content of the `[0]`; empty if there is none.
    extensions: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(content: &'a [u8]) -> Result<Self, CrlError> {
        let fields = der::elements(content).collect::<Result<Vec<_>, _>>()?;
        let [version, _algorithm, issuer, this_update, rest @ ..] = fields.as_slice() else {
            return Err(CrlError::Malformed);
        };
        version.expect(tag::INTEGER)?;
        let (next_update, rest) = match rest {
            [time, rest @ ..] if matches!(time.tag, tag::UTC_TIME | tag::GENERALIZED_TIME) => {
                (Some(parse_time(time)?), rest)
            }
            _ => (None, rest),
        };
        let rest = match rest {
            [entries, rest @ ..] if entries.tag == tag::SEQUENCE => rest,
            _ => rest,
        };
        let extensions = match rest {
            [] => &[][..],
            [extensions] => extensions.expect(tag::CONTEXT_0)?,
            _ => return Err(CrlError::Malformed),
        };
        issuer.expect(tag::SEQUENCE)?;
        Ok(Self { issuer: *issuer, this_update: parse_time(this_update)?, next_update, extensions })
    }
}

fn parse_time(element: &Element<'_>) -> Result<u64, CrlError> {
    let (_, time) = ASN1Time::from_der(element.raw).map_err(|_| CrlError::Malformed)?;
    unix_seconds(time).map_err(|_| CrlError::Malformed)
}

/// What the list's extensions say.
#[derive(Default)]
struct Extensions {
    number: Option<CrlNumber>,
    scope: Option<Scope>,
}

impl Extensions {
    fn parse(content: &[u8]) -> Result<Self, CrlError> {
        let mut read = Self::default();
        if content.is_empty() {
            return Ok(read);
        }
        let mut seen = Vec::new();
        for element in der::elements(der::sole(content, tag::SEQUENCE)?) {
            let (_, extension) = X509Extension::from_der(element?.raw).map_err(|_| CrlError::Malformed)?;
            if seen.contains(&extension.oid) {
                return Err(CrlError::DuplicateExtension { oid: extension.oid.to_string() });
            }
            read.take(&extension)?;
            seen.push(extension.oid);
        }
        Ok(read)
    }

    fn take(&mut self, extension: &X509Extension<'_>) -> Result<(), CrlError> {
        if extension.oid == oid::OID_X509_EXT_CRL_NUMBER {
            let octets = der::sole(extension.value, tag::INTEGER)?;
            let is_negative = octets.first().is_none_or(|first| first & 0x80 != 0);
            let number = CrlNumber::from_be_bytes(octets).filter(|_| !is_negative);
            self.number = Some(number.ok_or(CrlError::Malformed)?);
        } else if extension.oid == oid::OID_X509_EXT_DELTA_CRL_INDICATOR {
            return Err(CrlError::Delta);
        } else if extension.oid == oid::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT {
            self.scope = Some(parse_distribution_point(extension.value)?);
        } else if extension.critical && extension.oid != oid::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER {
            return Err(CrlError::UnknownCriticalExtension { oid: extension.oid.to_string() });
        }
        Ok(())
    }
}

/// Takes an issuing distribution point that has a name and no limits. The other fields are absent unless they limit,
/// since DER leaves out what is default.
fn parse_distribution_point(value: &[u8]) -> Result<Scope, CrlError> {
    let mut name = None;
    for field in der::elements(der::sole(value, tag::SEQUENCE)?) {
        let field = field?;
        match field.tag {
            tag::CONTEXT_0 => name = Some(field.content),
            tag::CONTEXT_4 => return Err(CrlError::Indirect),
            _ => return Err(CrlError::LimitedScope),
        }
    }
    let full_name = name.map(|name| der::sole(name, tag::CONTEXT_0)).transpose()?;
    let mut uris: Vec<Box<str>> = Vec::new();
    for general_name in der::elements(full_name.unwrap_or_default()) {
        let general_name = general_name?;
        if general_name.tag == tag::CONTEXT_6 {
            let uri = std::str::from_utf8(general_name.content).map_err(|_| CrlError::Malformed)?;
            uris.push(uri.into());
        }
    }
    uris.sort_unstable();
    if uris.is_empty() {
        Err(CrlError::NoDistributionPointUri)
    } else {
        Ok(Scope::DistributionPoints(uris.into()))
    }
}
