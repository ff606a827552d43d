//! The hook into rustls: [`TrustDomains`] as its client verifier, and the way by which the verdict gets out again.
//!
//! rustls hands the application the chain that the peer *presented*. What counts is the path that was *verified*, so
//! the verifier leaves it in a slot of the task that runs the accept.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use super::signed::ALGORITHMS;
use super::{TrustDomains, VerifyError};
use crate::identity::certificate::CertificateId;
use crate::identity::peer::{VerifiedChain, VerifiedPeer};

tokio::task_local! {
    static VERDICT: RefCell<Option<Result<Arc<VerifiedChain>, (VerifyError, CertificateId)>>>;
}

/// Why a handshake gave no verified peer.
#[derive(Debug)]
pub(crate) enum CaptureError<E> {
    /// The peer's chain was refused; the handshake failed by that.
    Refused { verdict: VerifyError, certificate: CertificateId, error: E },
    /// The handshake failed for another reason, such as a peer without a certificate.
    Failed(E),
    /// The handshake succeeded, and no certificate was verified in it: a resumed session, or another verifier.
    Unverified,
}

/// Runs a TLS accept and gives what it made together with the peer that it verified. The peer is given out only when
/// the whole handshake succeeded, and with it the proof that the peer holds the key.
pub(crate) async fn capture<T, E>(
    accept: impl Future<Output = Result<T, E>>,
) -> Result<(T, VerifiedPeer), CaptureError<E>> {
    let run = async { (accept.await, VERDICT.with(RefCell::take)) };
    match VERDICT.scope(RefCell::new(None), run).await {
        (Ok(accepted), Some(Ok(chain))) => Ok((accepted, VerifiedPeer::proven(chain))),
        (Ok(_), Some(Err(_)) | None) => Err(CaptureError::Unverified),
        (Err(error), Some(Err((verdict, certificate)))) => {
            Err(CaptureError::Refused { verdict, certificate, error })
        }
        (Err(error), Some(Ok(_)) | None) => Err(CaptureError::Failed(error)),
    }
}

/// Demands a client certificate that one of the trust domains accepts. Works within [`capture`] only.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    domains: Arc<TrustDomains>,
}

impl ClientVerifier {
    pub(crate) fn new(domains: Arc<TrustDomains>) -> Self {
        Self { domains }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    /// Empty: the names of the CAs are no business of whoever connects.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verdict = self.domains.verify(end_entity, intermediates, now);
        let answer = match &verdict {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(error) => Err(certificate_error(error).into()),
        };
        // Nobody to take the verdict means nobody to identify the peer.
        VERDICT
            .try_with(|slot| {
                slot.replace(Some(verdict.map_err(|error| (error, CertificateId::of(end_entity)))))
            })
            .map_err(|_| Error::from(CertificateError::ApplicationVerificationFailure))?;
        answer
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &ALGORITHMS)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

/// What rustls makes the TLS alert of (RFC 8446, 6.2).
fn certificate_error(error: &VerifyError) -> CertificateError {
    let time = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    match error {
        VerifyError::Revoked { .. } => CertificateError::Revoked,
        // certificate_unknown. rustls would say unknown_ca, and send a fleet whose operator let a list go stale to look for
        // the fault in its certificates.
        VerifyError::RevocationStale { .. } | VerifyError::RevocationUnknown { .. } => {
            CertificateError::Other(OtherError(Arc::new(error.clone())))
        }
        VerifyError::Expired { now, not_after } => {
            CertificateError::ExpiredContext { time: *now, not_after: time(*not_after) }
        }
        // What helps is the same: another certificate.
        VerifyError::AnchorRetired { .. } => CertificateError::Expired,
        VerifyError::NotYetValid { now, not_before } => {
            CertificateError::NotValidYetContext { time: *now, not_before: time(*not_before) }
        }
        VerifyError::AmbiguousTrust { .. } | VerifyError::TrustRemoved => {
            CertificateError::ApplicationVerificationFailure
        }
        VerifyError::WrongUsage | VerifyError::CaAsPeer => CertificateError::InvalidPurpose,
        VerifyError::BadSignature => CertificateError::BadSignature,
        VerifyError::ChainTooLong { .. } | VerifyError::Certificate(_) => CertificateError::BadEncoding,
        VerifyError::Other(
            webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::TrailingData(_),
        ) => CertificateError::BadEncoding,
        VerifyError::Other(source) => CertificateError::Other(OtherError(Arc::new(source.clone()))),
        VerifyError::UnknownIssuer => CertificateError::UnknownIssuer,
    }
}

#[cfg(test)]
mod tests;
