//! Making a certificate (RFC 5280, 4.1): the names and usages of the presented one byte for byte, and another key.
//!
//! Written as DER here, because certificate libraries write names by their own model of them: one value of a type, or one
//! string type. A name that comes out different would be another identity.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::SignatureScheme;
use rustls::pki_types::{AlgorithmIdentifier, CertificateDer, PrivateKeyDer, UnixTime, alg_id};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::time::ASN1Time;

use super::parts::{Certificate, Extension, key_bits, oid};
use super::{IssueError, SERIAL_BYTES};
use crate::identity::der::{self, NotDer, tag};
use crate::tls;

/// How far a new certificate begins in the past, for verifiers whose clock is behind.
const SKEW_SECONDS: u64 = 60;
/// Octets of a key identifier, as by method 1 of RFC 7093.
const KEY_IDENTIFIER_OCTETS: usize = 20;

/// By what a certificate is signed. rustls knows the algorithms by their names in TLS 1.3 and 1.2.
const SCHEMES: [(SignatureScheme, AlgorithmIdentifier); 5] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, alg_id::ECDSA_SHA256),
    (SignatureScheme::ECDSA_NISTP384_SHA384, alg_id::ECDSA_SHA384),
    (SignatureScheme::ECDSA_NISTP521_SHA512, alg_id::ECDSA_SHA512),
    (SignatureScheme::ED25519, alg_id::ED25519),
    (SignatureScheme::RSA_PKCS1_SHA256, alg_id::RSA_PKCS1_SHA256),
];

/// A CA that renews, with its key.
pub struct Issuer {
    chain: Box<[CertificateDer<'static>]>,
    key: Arc<dyn SigningKey>,
    scheme: SignatureScheme,
    algorithm: AlgorithmIdentifier,
    /// The subject of the first certificate, with its header.
    name: Box<[u8]>,
    key_identifier: Box<[u8]>,
    end: u64,
    lifetime: Duration,
}

impl PartialEq for Issuer {
    /// The key fits the first certificate, so two of one chain and lifetime issue alike.
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.lifetime == other.lifetime
    }
}

impl fmt::Debug for Issuer {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("scheme", &self.scheme)
            .field("end", &self.end)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// Why a certificate and a key cannot issue. The operator's fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IssuerError {
    #[error("the key cannot be used with the first certificate")]
    Key(#[source] rustls::Error),
    #[error("the key is of a kind that certificates are not signed with here")]
    Kind,
    #[error("the first certificate is malformed")]
    Malformed,
}

impl From<NotDer> for IssuerError {
    fn from(NotDer: NotDer) -> Self {
        Self::Malformed
    }
}

impl Issuer {
    /// `chain` begins with the CA that the key is of, and ends below an anchor; all of it is good until `end`, Unix
    /// seconds.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        end: u64,
        lifetime: Duration,
    ) -> Result<Self, IssuerError> {
        let CertifiedKey { cert: chain, key, .. } =
            CertifiedKey::from_der(chain, key, &tls::provider()).map_err(IssuerError::Key)?;
        let schemes = SCHEMES.map(|(scheme, _)| scheme);
        let scheme = key.choose_scheme(&schemes).ok_or(IssuerError::Kind)?.scheme();
        let known = SCHEMES.into_iter().find(|(known, _)| *known == scheme);
        let (_, algorithm) = known.ok_or(IssuerError::Kind)?;
        let certificate = Certificate::parse(chain.first().ok_or(IssuerError::Malformed)?)?;
        let key_identifier = match certificate.extension(oid::SUBJECT_KEY_IDENTIFIER) {
            Some(stated) => der::sole(stated.value, tag::OCTET_STRING)?.into(),
            None => key_identifier(certificate.public_key)?,
        };
        let name = certificate.subject.into();
        Ok(Self { chain: chain.into(), key, scheme, algorithm, name, key_identifier, end, lifetime })
    }

    /// The certificates that a new one is sent with.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// A certificate for `public_key` with the names and the extended key usage of `presented`.
    pub(super) fn issue(
        &self,
        presented: &CertificateDer<'_>,
        public_key: &[u8],
        serial: [u8; SERIAL_BYTES],
        now: UnixTime,
    ) -> Result<CertificateDer<'static>, IssueError> {
        let presented = Certificate::parse(presented).map_err(|_| IssueError::Presented)?;
        self.certify(&presented, public_key, serial, now)
    }

    /// A certificate for the issuer's own key that names nobody, to see at load whether this gateway would accept what
    /// this CA issues. It is never given out.
    pub fn sample(&self, now: UnixTime) -> Result<CertificateDer<'static>, IssueError> {
        let issuer = self.chain.first().ok_or(IssueError::Presented)?;
        let issuer = Certificate::parse(issuer).map_err(|_| IssueError::Presented)?;
        let (nobody, public_key) = (der::write(tag::SEQUENCE, &[]), issuer.public_key);
        let purposes = der::write(tag::SEQUENCE, &[&der::write(tag::OID, &[oid::CLIENT_AUTH])]);
        let usage = extension(oid::EXTENDED_KEY_USAGE, false, &purposes);
        let usage = Extension { oid: oid::EXTENDED_KEY_USAGE, raw: &usage, value: &purposes };
        let names = Certificate { subject: &nobody, public_key, extensions: vec![usage] };
        self.certify(&names, public_key, [0; SERIAL_BYTES], now)
    }

    fn certify(
        &self,
        presented: &Certificate<'_>,
        public_key: &[u8],
        serial: [u8; SERIAL_BYTES],
        now: UnixTime,
    ) -> Result<CertificateDer<'static>, IssueError> {
        let now = now.as_secs();
        let not_after = now.saturating_add(self.lifetime.as_secs()).min(self.end);
        if not_after <= now {
            return Err(IssueError::Ended { end: self.end });
        }
        let validity = [time(now.saturating_sub(SKEW_SECONDS))?, time(not_after)?].concat();
        let algorithm = der::write(tag::SEQUENCE, &[self.algorithm.as_ref()]);
        let extensions = self.extensions(presented, public_key)?;
        let content = der::write(
            tag::SEQUENCE,
            &[
                // Version 3.
                &der::write(tag::CONTEXT_0, &[&der::write(tag::INTEGER, &[&[2]])]),
                &der::write(tag::INTEGER, &[&positive(serial)]),
                &algorithm,
                &self.name,
                &der::write(tag::SEQUENCE, &[&validity]),
                presented.subject,
                public_key,
                &der::write(tag::CONTEXT_3, &[&der::write(tag::SEQUENCE, &[&extensions])]),
            ],
        );
        let signer = self.key.choose_scheme(&[self.scheme]);
        let signer = signer.ok_or_else(|| IssueError::Sign(rustls::Error::General("no signer".into())))?;
        let signature = signer.sign(&content).map_err(IssueError::Sign)?;
        let signature = der::write(tag::BIT_STRING, &[&[0], &signature]);
        Ok(der::write(tag::SEQUENCE, &[&content, &algorithm, &signature]).into())
    }

    fn extensions(&self, presented: &Certificate<'_>, public_key: &[u8]) -> Result<Vec<u8>, IssueError> {
        let own = key_identifier(public_key).map_err(|NotDer| IssueError::Differs)?;
        let authority =
            der::write(tag::SEQUENCE, &[&der::write(tag::CONTEXT_0_PRIMITIVE, &[&self.key_identifier])]);
        // digitalSignature alone: bit 0, seven bits unused.
        let usage = der::write(tag::BIT_STRING, &[&[7, 0x80]]);
        let no_ca = der::write(tag::SEQUENCE, &[]);
        let copied = [oid::ALTERNATIVE_NAMES, oid::EXTENDED_KEY_USAGE]
            .iter()
            .filter_map(|oid| presented.extension(oid))
            .flat_map(|extension| extension.raw);
        let made = [
            extension(oid::BASIC_CONSTRAINTS, true, &no_ca),
            extension(oid::KEY_USAGE, true, &usage),
            extension(oid::SUBJECT_KEY_IDENTIFIER, false, &der::write(tag::OCTET_STRING, &[&own])),
            extension(oid::AUTHORITY_KEY_IDENTIFIER, false, &authority),
        ];
        Ok(made.concat().iter().chain(copied).copied().collect())
    }
}

fn extension(oid: &[u8], is_critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if is_critical { der::write(tag::BOOLEAN, &[&[0xff]]) } else { Vec::new() };
    let (oid, value) = (der::write(tag::OID, &[oid]), der::write(tag::OCTET_STRING, &[value]));
    der::write(tag::SEQUENCE, &[&oid, &critical, &value])
}

/// Neither negative, nor zero, nor with a leading zero that DER would not write.
fn positive(mut serial: [u8; SERIAL_BYTES]) -> [u8; SERIAL_BYTES] {
    let [first, ..] = &mut serial;
    *first = *first & 0x7f | 0x40;
    serial
}

/// The leftmost 160 bits of SHA-256 over the key bits (RFC 7093, 2).
fn key_identifier(public_key: &[u8]) -> Result<Box<[u8]>, NotDer> {
    let hash = digest(&SHA256, key_bits(public_key)?);
    Ok(hash.as_ref().iter().copied().take(KEY_IDENTIFIER_OCTETS).collect())
}

/// A date: UTCTime to the end of 2049, GeneralizedTime from then on (RFC 5280, 4.1.2.5).
fn time(unix_seconds: u64) -> Result<Vec<u8>, IssueError> {
    let ended = || IssueError::Ended { end: unix_seconds };
    let seconds = i64::try_from(unix_seconds).map_err(|_| ended())?;
    let date = ASN1Time::from_timestamp(seconds).map_err(|_| ended())?.to_datetime();
    let (year, month) = (date.year(), u8::from(date.month()));
    let rest =
        format!("{month:02}{:02}{:02}{:02}{:02}Z", date.day(), date.hour(), date.minute(), date.second());
    Ok(match year {
        ..2050 => der::write(tag::UTC_TIME, &[format!("{:02}{rest}", year.rem_euclid(100)).as_bytes()]),
        _ => der::write(tag::GENERALIZED_TIME, &[format!("{year:04}{rest}").as_bytes()]),
    })
}
