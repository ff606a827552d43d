//! Proof of a newer certificate on a live session (`docs/protocol.md`, *Re-authentication in place*).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio::time::sleep;

use super::error::CredentialError;
use super::event::Event;
use super::ledger::{Epoch, Shared, Waiter};
use super::outbox::Outbox;
use super::tls;
use super::wire::{Command, decode_base64, encode_base64};

/// How often to look for a new certificate while the gateway waits for one: so many times before the deadline, …
const LOOKS: u32 = 20;
/// … but neither more nor less often than this.
const MIN_POLL: Duration = Duration::from_millis(200);
const MAX_POLL: Duration = Duration::from_secs(5);
const CONTEXT: &[u8] = b"portcullis reauth v1\0";

/// What the gateway wants proved, and why.
#[derive(Debug, Clone)]
pub(super) struct Demand {
    pub(super) challenge: String,
    /// When the session ends without a proof, Unix milliseconds.
    pub(super) deadline: u64,
    pub(super) cause: String,
}

impl Demand {
    /// The gateway did not take a proof and offers one more try, which only another certificate is worth.
    pub(super) fn after_rejection(challenge: String, deadline: u64) -> Self {
        Self { challenge, deadline, cause: String::new() }
    }

    /// Only the session's maximum age is reset by proving the same certificate again.
    fn needs_new_certificate(&self) -> bool {
        self.cause != "max_age"
    }

    fn poll(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = Duration::from_millis(self.deadline).saturating_sub(now);
        (left / LOOKS).clamp(MIN_POLL, MAX_POLL)
    }
}

/// Answers the demands of one session.
pub(super) struct Prover<'a> {
    pub(super) shared: &'a Shared,
    pub(super) outbox: Outbox,
    pub(super) session: &'a str,
    pub(super) epoch: Epoch,
    /// The certificate that the gateway knows.
    pub(super) proved: Option<CertificateDer<'static>>,
}

impl Prover<'_> {
    pub(super) async fn run(mut self, mut demands: watch::Receiver<Option<Demand>>) -> Infallible {
        loop {
            if demands.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let demand = demands.borrow_and_update().clone();
            if let Some(demand) = demand {
                tokio::select! {
                    biased;
                    _ = demands.changed() => demands.mark_changed(),
                    () = self.answer(demand) => {}
                }
            }
        }
    }

    /// Sends one proof, as soon as the files hold what it takes.
    async fn answer(&mut self, demand: Demand) {
        let mut is_reported = false;
        let key = loop {
            match tls::load_key(&self.shared.options).await {
                Ok(key) if !demand.needs_new_certificate() || key.cert.first() != self.proved.as_ref() => {
                    break key;
                }
                Ok(_) => {}
                Err(error) => self.report_once(&mut is_reported, error),
            }
            sleep(demand.poll()).await;
        };
        let host = self.shared.options.dialled_name();
        match prove(&key, &host, self.session, &demand.challenge) {
            Ok(proof) => {
                self.proved = key.cert.first().cloned();
                self.send(&key, &host, proof).await;
            }
            Err(error) => self.report_once(&mut is_reported, error),
        }
    }

    async fn send(&self, key: &CertifiedKey, host: &str, proof: Proof) {
        let Some(id) = self.shared.ledger().expect_on(self.epoch, Waiter::Reauth) else { return };
        let chain = key.cert.iter().map(|certificate| encode_base64(certificate)).collect();
        let command = Command::Reauth { id, chain, host, scheme: proof.scheme, signature: proof.signature };
        if let Ok(text) = command.encode() {
            // A queue that is closed means a session that is over, and with it the demand.
            let _ = self.outbox.send(text, None).await;
        }
    }

    fn report_once(&self, is_reported: &mut bool, error: CredentialError) {
        if !std::mem::replace(is_reported, true) {
            self.shared.emit(Event::ReauthImpossible { error: Arc::new(error) });
        }
    }
}

struct Proof {
    scheme: &'static str,
    signature: String,
}

fn prove(key: &CertifiedKey, host: &str, session: &str, challenge: &str) -> Result<Proof, CredentialError> {
    let unusable = |words: &str| CredentialError::Tls(rustls::Error::General(words.to_owned()));
    let challenge =
        decode_base64(challenge).map_err(|_| unusable("the gateway's challenge is not base64"))?;
    let leaf = key.cert.first().ok_or_else(|| unusable("the chain is empty"))?;
    let signed =
        signed_bytes(host, session, &challenge, leaf).ok_or_else(|| unusable("the host name is too long"))?;
    let schemes: Vec<_> = SCHEMES.iter().map(|(scheme, _)| *scheme).collect();
    let signer =
        key.key.choose_scheme(&schemes).ok_or_else(|| unusable("no TLS 1.3 scheme fits this key"))?;
    let name = SCHEMES.iter().find(|(scheme, _)| *scheme == signer.scheme()).map(|(_, name)| *name);
    let scheme = name.ok_or_else(|| unusable("no TLS 1.3 scheme fits this key"))?;
    let signature = signer.sign(&signed).map_err(CredentialError::Tls)?;
    Ok(Proof { scheme, signature: encode_base64(&signature) })
}

/// `0x20 × 64 ‖ context ‖ 0x00 ‖ u16 length ‖ host ‖ session ‖ challenge ‖ SHA-256(leaf)`.
fn signed_bytes(host: &str, session: &str, challenge: &[u8], leaf: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(host.len()).ok()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf);
    let parts: [&[u8]; 7] = [
        &[0x20; 64],
        CONTEXT,
        &length.to_be_bytes(),
        host.as_bytes(),
        session.as_bytes(),
        challenge,
        digest.as_ref(),
    ];
    Some(parts.concat())
}

/// The signature schemes of TLS 1.3 that the gateway takes, by their IANA names (RFC 8446, section 4.2.3).
const SCHEMES: [(SignatureScheme, &str); 6] = [
    (SignatureScheme::ED25519, "ed25519"),
    (SignatureScheme::ECDSA_NISTP256_SHA256, "ecdsa_secp256r1_sha256"),
    (SignatureScheme::ECDSA_NISTP384_SHA384, "ecdsa_secp384r1_sha384"),
    (SignatureScheme::RSA_PSS_SHA256, "rsa_pss_rsae_sha256"),
    (SignatureScheme::RSA_PSS_SHA384, "rsa_pss_rsae_sha384"),
    (SignatureScheme::RSA_PSS_SHA512, "rsa_pss_rsae_sha512"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_laid_out_as_the_protocol_says() {
        let signed = signed_bytes("gw", "ab", &[7; 32], b"leaf").unwrap();
        let mut expected = vec![0x20; 64];
        expected.extend_from_slice(b"portcullis reauth v1\x00\x00\x02gwab");
        expected.extend_from_slice(&[7; 32]);
        assert_eq!(signed[..expected.len()], expected);
        assert_eq!(signed.len(), expected.len() + 32);
    }

    /// Clients in other languages hold themselves against the same file.
    #[test]
    fn what_is_signed_is_the_known_answer() {
        let vector: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/reauth.json")).unwrap();
        let text = |name: &str| vector[name].as_str().unwrap();
        let bytes = |name| decode_base64(text(name)).unwrap();
        let signed =
            signed_bytes(text("host"), text("session"), &bytes("challenge"), &bytes("leaf")).unwrap();
        let hex: String = signed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, text("signed"));
    }

    #[test]
    fn an_overlong_host_is_no_proof() {
        assert!(signed_bytes(&"a".repeat(70_000), "ab", &[], b"leaf").is_none());
    }
}
