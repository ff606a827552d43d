//! Proof of another certificate on a live session (`docs/protocol.md`, *Re-authentication in place*).
//!
//! Invariant: a challenge serves one attempt. What the session rests on changes only after the new certificate has passed
//! every check that lets a new connection in, by the current generation, and stands for the same service.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use super::credential::Credential;
use super::fault::Fault;
use super::judgement::{moment, path_end};
use super::wire::Writer;
use super::{Session, lot};
use crate::audit;
use crate::clock::unix_now;
use crate::generation::Generation;
use crate::identity::certificate::CertificateId;
use crate::identity::peer::VerifiedPeer;
use crate::identity::{ServiceName, TrustName};
use crate::protocol::{Challenge, OkResult, Op, Proof, Reauthenticated};
use crate::random::random;
use crate::trust::{ProofError, Statement, VerifyError, prove};
use crate::verdict::{self, Refusal, Standing};

/// Why a proof was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReauthError {
    #[error("the proof was made for the host `{0}`, which is no name of this listener")]
    ForeignHost(String),
    #[error("the proof does not hold")]
    Proof(#[from] ProofError),
    #[error("the certificate may not be here")]
    Refused(#[from] Refusal),
    #[error("the certificate maps to {service} of {trust}")]
    Another { service: ServiceName, trust: TrustName },
    #[error("the proof does not move the deadline by a second")]
    NotLater,
}

/// A failed attempt, and which certificate it was about.
#[derive(Debug)]
pub struct FailedProof {
    pub certificate: CertificateId,
    pub error: ReauthError,
    /// When the same certificate may be tried again, if that can help.
    pub retry_after: Option<Duration>,
}

/// Shortest and longest wait before a proof is tried again whose worth the gateway cannot tell.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Session {
    /// Takes the challenge in force out of use if `op` is an attempt to prove, whatever comes of it. The one taken.
    pub(super) fn spend_challenge(&mut self, op: Option<Op>) -> Option<Challenge> {
        (op == Some(Op::Reauthenticate)).then(|| std::mem::replace(&mut self.challenge, fresh_challenge()))
    }

    pub(super) fn reauthenticate(
        &mut self,
        proof: &Proof,
        challenge: Option<Challenge>,
        writer: &mut Writer,
        now: Instant,
    ) -> Result<OkResult, Fault> {
        if proof.token.is_some() {
            return Err(Fault::Unsupported);
        }
        let generation = self.gateway.generation();
        let chain: Vec<_> = proof.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let taken = self.examine(proof, &chain, challenge, &generation, now).map_err(|error| {
            let certificate = CertificateId::of(chain.first().map(AsRef::as_ref).unwrap_or_default());
            let retry_after = error.retry_after(self.credential.left(moment(now)));
            Fault::Reauth(Box::new(FailedProof { certificate, error, retry_after }))
        })?;
        let Taken { peer, standing, credential } = taken;
        let before = self.peer.facts().id();
        self.credential = credential;
        self.adopt(peer, standing, &generation, writer, now);
        let deadline = self.credential.deadline().unix_ms;
        self.gateway.metrics.reauthenticated("accepted");
        audit::reauthenticated(self.id, &self.standing, before, self.peer.facts().id(), deadline);
        Ok(OkResult::Reauthenticated(Reauthenticated { deadline, challenge: self.challenge }))
    }

    fn examine(
        &self,
        proof: &Proof,
        chain: &[CertificateDer<'_>],
        challenge: Option<Challenge>,
        generation: &Generation,
        now: Instant,
    ) -> Result<Taken, ReauthError> {
        let listener = generation.listeners.get(self.origin.listener);
        if !listener.is_some_and(|listener| listener.names.contains(&proof.host)) {
            return Err(ReauthError::ForeignHost(proof.host.clone()));
        }
        let challenge = challenge.ok_or(ProofError::Signature)?;
        let statement = Statement {
            chain,
            host: &proof.host,
            session: &self.id.to_string(),
            challenge: challenge.as_bytes(),
            scheme: &proof.scheme,
            signature: &proof.signature,
        };
        let peer = Arc::new(prove(&generation.trust, &statement, unix_now())?);
        let mut standing = verdict::judge(generation, &peer)?;
        let (identity, own) = (&standing.identity, &self.standing.identity);
        if identity.service() != own.service() || identity.trust() != own.trust() {
            let (service, trust) = (identity.service().clone(), identity.trust().clone());
            return Err(ReauthError::Another { service, trust });
        }
        let now = moment(now);
        let credential = Credential::taken(path_end(&peer), &generation.limits, lot(), now);
        if !credential.outlasts(&self.credential, now) {
            return Err(ReauthError::NotLater);
        }
        if standing.is_as(&self.standing) {
            standing.grants = self.standing.grants.clone();
        }
        Ok(Taken { peer, standing, credential })
    }
}

/// A proof that holds.
struct Taken {
    peer: Arc<VerifiedPeer>,
    standing: Standing,
    credential: Credential,
}

pub(super) fn fresh_challenge() -> Challenge {
    Challenge::new(random())
}

impl ReauthError {
    /// Whether the gateway lacks what it takes to judge the certificate, for which the peer is not to blame.
    pub(super) fn is_ours(&self) -> bool {
        use VerifyError::{RevocationStale, RevocationUnknown};
        matches!(self, Self::Proof(ProofError::Chain(RevocationStale { .. } | RevocationUnknown { .. })))
    }

    /// When the same certificate is worth another attempt, in a session that has so much time left.
    fn retry_after(&self, left: Duration) -> Option<Duration> {
        match self {
            // Several attempts fit into what is left, and a crowd of sessions does not try every second.
            _ if self.is_ours() => Some((left / 8).clamp(RETRY.0, RETRY.1)),
            Self::Proof(ProofError::Chain(VerifyError::NotYetValid { now, not_before })) => {
                let wait = Duration::from_secs(not_before.saturating_sub(now.as_secs()));
                // With room for the jitter that a client adds.
                (wait < left / 5 * 4).then_some(wait)
            }
            _ => None,
        }
    }

    /// What the peer may read: enough to mend its client or its certificate, and never a rule.
    pub(super) fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::ForeignHost(_) => {
                "`host` is none of the names by which this listener is configured to be dialled (`names`, or its certificate's); dial one of them"
                    .into()
            }
            Self::Proof(error) => of_proof(error).into(),
            Self::Refused(Refusal::Identity(_)) => "the certificate maps to no service".into(),
            Self::Refused(Refusal::Denied { .. }) => "the service or its certificate is denied".into(),
            Self::Refused(Refusal::Connect { .. }) => "the service may not connect".into(),
            Self::Another { .. } => "the certificate is that of another service, or of another trust domain".into(),
            Self::NotLater => "the proof does not move the deadline; it takes a certificate that ends later".into(),
        }
    }
}

fn of_proof(error: &ProofError) -> &'static str {
    match error {
        ProofError::NoCertificate => "`chain` holds no certificate",
        ProofError::UnknownScheme => {
            "`scheme` is none of ed25519, ecdsa_secp256r1_sha256, ecdsa_secp384r1_sha384 and rsa_pss_rsae_sha256, \
             rsa_pss_rsae_sha384, rsa_pss_rsae_sha512"
        }
        ProofError::SchemeOfAnotherKey(_) => "`scheme` does not fit the key of the certificate",
        ProofError::Signature => {
            "`signature` is not that of the certificate's key over this host, session and challenge; each challenge \
             serves one attempt"
        }
        ProofError::Chain(error) => of_chain(error),
    }
}

/// No more than the alert of a handshake would tell.
fn of_chain(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::Revoked { .. } => "the certificate is revoked",
        VerifyError::RevocationStale { .. } | VerifyError::RevocationUnknown { .. } => {
            "whether the certificate is revoked is not known now"
        }
        VerifyError::Expired { .. } | VerifyError::AnchorRetired { .. } => {
            "the certificate, or another of its chain, has expired"
        }
        VerifyError::NotYetValid { .. } => "the certificate, or another of its chain, is not valid yet",
        VerifyError::WrongUsage | VerifyError::CaAsPeer => {
            "the certificate is not for TLS clients: it must state the extended key usage clientAuth"
        }
        VerifyError::UnknownIssuer | VerifyError::BadSignature => {
            "the gateway trusts no issuer of the certificate; `chain` must hold the intermediates"
        }
        VerifyError::AmbiguousTrust { .. }
        | VerifyError::TrustRemoved
        | VerifyError::ChainTooLong { .. }
        | VerifyError::Certificate(_)
        | VerifyError::Other(_) => "the certificate is not accepted",
    }
}
