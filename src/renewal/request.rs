//! A certificate request (PKCS #10, RFC 2986): one, signed by its own key, of a kind and strength that is certified here.
//!
//! Of what it asks for only names are looked at, to refuse other names than the peer's. The rest has no effect.

use std::borrow::Cow;

use rustls::pki_types::{SubjectPublicKeyInfoDer, alg_id};

use super::parts::{self, key_bits, oid};
use crate::identity::der::{self, NotDer, tag};
use crate::trust::pem::{self, PemError};
use crate::trust::signed::{SignatureCheck, Signed};

/// The RSA moduli that are certified, in bits. The verifier takes no others either.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// What DER never holds but within a name, where it makes the body be read as PEM and refused.
const PEM_BEGIN: &[u8] = b"-----BEGIN";

/// Why a body is no request that can be answered. The peer's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the body is empty")]
    Empty,
    #[error("the body is neither DER nor one whole PEM block `CERTIFICATE REQUEST`")]
    Pem,
    #[error("the body holds {count} certificate requests, one is wanted")]
    Several { count: usize },
    #[error("the certificate request is malformed")]
    Malformed,
    #[error("the certificate request is not of version 1")]
    Version,
    #[error("the certificate request is not signed by its own key")]
    Signature,
    #[error("the certificate request is signed by an algorithm that is not supported")]
    SignatureAlgorithm,
}

/// Why a key is not certified. The peer's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the key is of another kind than ECDSA P-256, ECDSA P-384, Ed25519 and RSA")]
    Kind,
    #[error("the RSA key has {bits} bits, 2048 to 8192 are needed")]
    RsaBits { bits: usize },
}

impl From<NotDer> for RequestError {
    fn from(NotDer: NotDer) -> Self {
        Self::Malformed
    }
}

/// The DER of the one request in a body, which is PEM or DER.
pub(super) fn der(body: &[u8]) -> Result<Cow<'_, [u8]>, RequestError> {
    // Zero, the digit, is the octet that a SEQUENCE begins with, and text may stand before a PEM block.
    if body.first() == Some(&tag::SEQUENCE) && !body.windows(PEM_BEGIN.len()).any(|part| part == PEM_BEGIN) {
        return Ok(Cow::Borrowed(body));
    }
    match pem::certificate_request(body) {
        Ok(request) => Ok(Cow::Owned(request.as_ref().to_vec())),
        Err(PemError::Empty) => Err(RequestError::Empty),
        Err(PemError::SeveralRequests { count }) => Err(RequestError::Several { count }),
        // The others cite what the peer wrote.
        Err(_) => Err(RequestError::Pem),
    }
}

/// A request taken apart.
pub(super) struct Request<'a> {
    signed: Signed<'a>,
    /// The subject within its header.
    pub(super) subject: &'a [u8],
    public_key: &'a [u8],
    /// The content of each list of alternative names that it asks for.
    pub(super) alternative_names: Vec<&'a [u8]>,
}

impl<'a> Request<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, RequestError> {
        let signed = Signed::parse(der)?;
        let fields = der::elements(signed.fields()?).collect::<Result<Vec<_>, _>>()?;
        // The attributes are not optional, and missing in requests that are about all the same.
        let (version, subject, public_key, attributes) = match &fields[..] {
            [version, subject, public_key] => (version, subject, public_key, None),
            [version, subject, public_key, attributes] => (version, subject, public_key, Some(attributes)),
            _ => return Err(RequestError::Malformed),
        };
        if version.expect(tag::INTEGER)? != [0] {
            return Err(RequestError::Version);
        }
        public_key.expect(tag::SEQUENCE)?;
        let attributes =
            attributes.map(|found| found.expect(tag::CONTEXT_0)).transpose()?.unwrap_or_default();
        Ok(Self {
            subject: subject.expect(tag::SEQUENCE)?,
            public_key: public_key.raw,
            alternative_names: alternative_names(attributes)?,
            signed,
        })
    }

    /// The public key, with its header.
    pub(super) fn public_key(&self) -> &'a [u8] {
        self.public_key
    }

    /// Whether the key is of a kind and strength that is certified.
    pub(super) fn check_key(&self) -> Result<(), super::RenewalError> {
        let content = der::sole(self.public_key, tag::SEQUENCE).map_err(RequestError::from)?;
        let algorithm = der::elements(content).next().ok_or(RequestError::Malformed)?;
        let algorithm =
            algorithm.and_then(|found| found.expect(tag::SEQUENCE)).map_err(RequestError::from)?;
        let bits = key_bits(self.public_key).map_err(RequestError::from)?;
        if [alg_id::ECDSA_P256, alg_id::ECDSA_P384, alg_id::ED25519]
            .iter()
            .any(|known| known.as_ref() == algorithm)
        {
            return Ok(());
        }
        if alg_id::RSA_ENCRYPTION.as_ref() != algorithm {
            return Err(KeyError::Kind.into());
        }
        let bits = modulus_bits(bits).map_err(RequestError::from)?;
        if RSA_BITS.contains(&bits) { Ok(()) } else { Err(KeyError::RsaBits { bits }.into()) }
    }

    /// Whether whoever made the request holds the key.
    pub(super) fn check_signature(&self) -> Result<(), RequestError> {
        match self.signed.check(&SubjectPublicKeyInfoDer::from(self.public_key)) {
            SignatureCheck::Valid => Ok(()),
            SignatureCheck::Invalid => Err(RequestError::Signature),
            SignatureCheck::Unsupported => Err(RequestError::SignatureAlgorithm),
        }
    }
}

/// The bits of the modulus of an RSAPublicKey (RFC 8017, A.1.1).
fn modulus_bits(key: &[u8]) -> Result<usize, NotDer> {
    let modulus =
        der::elements(der::sole(key, tag::SEQUENCE)?).next().ok_or(NotDer)??.expect(tag::INTEGER)?;
    let zeros = modulus.iter().take_while(|octet| **octet == 0).count();
    let digits = modulus.get(zeros..).unwrap_or_default();
    let of_first = digits.first().map_or(0, |first| 8 - first.leading_zeros() as usize);
    Ok(digits.len().saturating_sub(1).saturating_mul(8).saturating_add(of_first))
}

/// Every list of alternative names in every extension request.
fn alternative_names(attributes: &[u8]) -> Result<Vec<&[u8]>, NotDer> {
    let mut lists = Vec::new();
    for attribute in der::elements(attributes) {
        let mut parts = der::elements(attribute?.expect(tag::SEQUENCE)?);
        let (Some(kind), Some(values), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NotDer);
        };
        let values = values?.expect(tag::SET)?;
        if kind?.expect(tag::OID)? != oid::EXTENSION_REQUEST {
            continue;
        }
        for value in der::elements(values) {
            for extension in parts::extensions(value?.expect(tag::SEQUENCE)?)? {
                if extension.oid == oid::ALTERNATIVE_NAMES {
                    lists.push(der::sole(extension.value, tag::SEQUENCE)?);
                }
            }
        }
    }
    Ok(lists)
}
