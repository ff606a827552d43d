//! Proof of possession on a live session: what the handshake shows once, shown again for another certificate.

use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::EndEntityCert;
use webpki::aws_lc_rs as algorithms;

use super::{TrustDomains, VerifyError};
use crate::identity::peer::VerifiedPeer;
use crate::proof::{Scheme, signed_bytes};

/// A proof, and what it must have signed.
pub(crate) struct Statement<'a> {
    /// The certificate that is proved, then whatever completes its chain, in any order.
    pub(crate) chain: &'a [CertificateDer<'a>],
    /// The host name that the peer dialled.
    pub(crate) host: &'a str,
    /// The session's id as the peer was told it.
    pub(crate) session: &'a str,
    pub(crate) challenge: &'a [u8],
    /// The IANA name of the signature's scheme.
    pub(crate) scheme: &'a str,
    pub(crate) signature: &'a [u8],
}

/// Why a proof makes no verified peer. The peer's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("the proof holds no certificate")]
    NoCertificate,
    #[error("the signature scheme is none that is offered")]
    UnknownScheme,
    #[error("the chain is refused")]
    Chain(#[from] VerifyError),
    #[error("a key of this certificate makes no signature of the scheme {}", .0.name())]
    SchemeOfAnotherKey(Scheme),
    #[error("the signature is not that of the certificate's key over this session, host and challenge")]
    Signature,
}

/// Verifies the chain as at the handshake, then that the peer holds the leaf's key. The signature alone says nothing: the
/// caller checks that the host is its own and that the challenge was never used before.
pub(crate) fn prove(
    domains: &TrustDomains,
    statement: &Statement<'_>,
    now: UnixTime,
) -> Result<VerifiedPeer, ProofError> {
    let scheme = Scheme::named(statement.scheme).ok_or(ProofError::UnknownScheme)?;
    let (leaf, intermediates) = statement.chain.split_first().ok_or(ProofError::NoCertificate)?;
    let chain = domains.verify(leaf, intermediates, now)?;
    let signed = signed_bytes(statement.host, statement.session, statement.challenge, leaf)
        .ok_or(ProofError::Signature)?;
    EndEntityCert::try_from(leaf)
        .and_then(|leaf| leaf.verify_signature(algorithm(scheme), &signed, statement.signature))
        .map_err(|error| match error {
            webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                ProofError::SchemeOfAnotherKey(scheme)
            }
            _ => ProofError::Signature,
        })?;
    Ok(VerifiedPeer::proven(chain))
}

/// Exactly the algorithm that the name stands for in TLS 1.3, where it names the curve as well.
fn algorithm(scheme: Scheme) -> &'static dyn SignatureVerificationAlgorithm {
    match scheme {
        Scheme::Ed25519 => algorithms::ED25519,
        Scheme::EcdsaP256Sha256 => algorithms::ECDSA_P256_SHA256,
        Scheme::EcdsaP384Sha384 => algorithms::ECDSA_P384_SHA384,
        Scheme::RsaPssSha256 => algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        Scheme::RsaPssSha384 => algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        Scheme::RsaPssSha512 => algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    }
}
