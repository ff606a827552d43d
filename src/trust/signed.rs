//! The outer shape that certificates, revocation lists (RFC 5280, 4.1 and 5.1) and certificate requests (RFC 2986, 4.2) share:
//! content, algorithm, signature.

use std::sync::LazyLock;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use webpki::RawPublicKeyEntity;

use crate::identity::der::{self, NotDer, tag};

/// The signature algorithms of the one crypto provider, for chains, revocation lists and handshakes alike.
pub(super) static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> =
    LazyLock::new(|| rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms);

/// Something signed, as it lies in the bytes.
pub(crate) struct Signed<'a> {
    /// The signed content with its header, which is what the signature is over.
    content: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

/// Whether a signature is that of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureCheck {
    Valid,
    Invalid,
    /// No supported algorithm goes by the identifier that the signature states.
    Unsupported,
}

impl<'a> Signed<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, NotDer> {
        let mut parts = der::elements(der::sole(bytes, tag::SEQUENCE)?);
        let (Some(content), Some(algorithm), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotDer);
        };
        let content = content?;
        content.expect(tag::SEQUENCE)?;
        // A signature is whole octets, so its first octet counts no unused bits.
        let signature = signature?.expect(tag::BIT_STRING)?.strip_prefix(&[0]).ok_or(NotDer)?;
        Ok(Self { content: content.raw, algorithm: algorithm?.expect(tag::SEQUENCE)?, signature })
    }

    /// What lies within the signed content's header.
    pub(crate) fn fields(&self) -> Result<&'a [u8], NotDer> {
        der::sole(self.content, tag::SEQUENCE)
    }

    /// Checks the signature against a public key, given as SubjectPublicKeyInfo with its header.
    pub(crate) fn check(&self, public_key: &SubjectPublicKeyInfoDer<'_>) -> SignatureCheck {
        let Ok(key) = RawPublicKeyEntity::try_from(public_key) else { return SignatureCheck::Invalid };
        let mut by_identifier = ALGORITHMS
            .all
            .iter()
            .filter(|algorithm| algorithm.signature_alg_id().as_ref() == self.algorithm)
            .peekable();
        if by_identifier.peek().is_none() {
            return SignatureCheck::Unsupported;
        }
        // One identifier may stand for several algorithms, such as ECDSA with SHA-256 over either curve.
        let is_valid =
            by_identifier.any(|each| key.verify_signature(*each, self.content, self.signature).is_ok());
        if is_valid { SignatureCheck::Valid } else { SignatureCheck::Invalid }
    }
}
