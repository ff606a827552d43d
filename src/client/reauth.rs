//! Proof of a newer certificate on a live session (`docs/protocol.md`, *Re-authentication in place*): when the gateway asks
//! for one, and by itself when the files hold another certificate.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio::time::sleep;

use super::backoff::{Backoff, Pace, random, told};
use super::error::CredentialError;
use super::event::Event;
use super::ledger::{Epoch, Shared, Waiter};
use super::outbox::Outbox;
use super::rotation::Files;
use super::wire::{Command, Rejection, decode_base64, encode_base64};
use crate::proof::{Scheme, signed_bytes};

/// How often to look for a new certificate.
const FILE_POLL: Duration = Duration::from_secs(1);

/// What the gateway said about proofs on one session.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange {
    /// The newest challenge that no proof has used.
    challenge: Option<String>,
    /// Why the gateway waits for a proof, if it does.
    cause: Option<String>,
    /// How often it asked.
    demands: u64,
    /// How many proofs it answered, and the last answer.
    answers: u64,
    answer: Option<Answer>,
}

#[derive(Debug, Clone)]
enum Answer {
    Accepted,
    Refused { is_lasting: bool, retry_after: Option<Duration> },
}

impl Exchange {
    pub(super) fn begin(challenge: Option<String>) -> Self {
        Self { challenge, ..Self::default() }
    }

    pub(super) fn demanded(&mut self, challenge: String, cause: String) {
        (self.challenge, self.cause) = (Some(challenge), Some(cause));
        self.demands += 1;
    }

    pub(super) fn accepted(&mut self, challenge: Option<String>) {
        self.cause = None;
        self.answered(challenge, Answer::Accepted);
    }

    pub(super) fn refused(&mut self, challenge: Option<String>, rejection: &Rejection) {
        let (is_lasting, retry_after) = (rejection.is_lasting(), rejection.retry_after);
        self.answered(challenge, Answer::Refused { is_lasting, retry_after });
    }

    fn answered(&mut self, challenge: Option<String>, answer: Answer) {
        self.challenge = challenge.or(self.challenge.take());
        self.answers += 1;
        self.answer = Some(answer);
    }

    /// Only the session's maximum age is moved by proving the same certificate again.
    fn takes_the_same(&self) -> bool {
        self.cause.as_deref() == Some("max_age")
    }
}

/// Proves what the files hold to the gateway, for the length of one session.
pub(super) struct Prover<'a> {
    pub(super) shared: &'a Shared,
    pub(super) outbox: Outbox,
    pub(super) session: &'a str,
    pub(super) epoch: Epoch,
    pub(super) exchange: &'a watch::Sender<Exchange>,
    /// The certificate that the gateway knows.
    pub(super) proved: Option<CertificateDer<'static>>,
}

/// Where the prover stands.
struct Progress {
    files: Files,
    proved: Option<CertificateDer<'static>>,
    /// The chain that the gateway did not take, until it asks anew. Another chain may be tried, even of the same leaf.
    refused: Option<Vec<CertificateDer<'static>>>,
    demands: u64,
    backoff: Backoff,
}

impl Prover<'_> {
    pub(super) async fn run(mut self) -> Infallible {
        let options = &self.shared.options;
        let mut progress = Progress {
            files: Files::default(),
            proved: self.proved.take(),
            refused: None,
            demands: 0,
            backoff: Backoff::new(options.backoff_min, options.backoff_max),
        };
        let mut heard = self.exchange.subscribe();
        loop {
            let (key, challenge) = self.occasion(&mut progress, &mut heard).await;
            self.attempt(&key, &challenge, &mut progress, &mut heard).await;
        }
    }

    /// Waits until there is a certificate to prove and a challenge to prove it by, and takes both.
    async fn occasion(
        &self,
        progress: &mut Progress,
        heard: &mut watch::Receiver<Exchange>,
    ) -> (Arc<CertifiedKey>, String) {
        loop {
            if let Err(error) = progress.files.look(&self.shared.options).await {
                self.shared.emit(Event::ReauthImpossible { error: Arc::new(error) });
            }
            let exchange = heard.borrow_and_update().clone();
            if std::mem::replace(&mut progress.demands, exchange.demands) != exchange.demands {
                progress.refused = None;
            }
            if let (Some(key), Some(challenge)) = (progress.files.key(), &exchange.challenge)
                && progress.is_worth_proving(key, &exchange)
            {
                self.exchange.send_modify(|exchange| exchange.challenge = None);
                return (key.clone(), challenge.clone());
            }
            tokio::select! {
                // Its sender is this prover's own.
                _ = heard.changed() => {}
                () = sleep(FILE_POLL) => {}
            }
        }
    }

    /// Sends one proof and waits for its answer. What was refused is left alone for a while, and a certificate that was
    /// refused for good is left alone altogether.
    async fn attempt(
        &self,
        key: &CertifiedKey,
        challenge: &str,
        progress: &mut Progress,
        heard: &mut watch::Receiver<Exchange>,
    ) {
        let host = self.shared.options.dialled_name();
        let proof = match prove(key, &host, self.session, challenge) {
            Ok(proof) => proof,
            Err(error) => {
                progress.refused = Some(key.cert.clone());
                return self.shared.emit(Event::ReauthImpossible { error: Arc::new(error) });
            }
        };
        let answers = heard.borrow().answers;
        self.send(key, &host, proof).await;
        let exchange = match heard.wait_for(|exchange| exchange.answers > answers).await {
            Ok(exchange) => exchange.clone(),
            Err(_) => return,
        };
        match exchange.answer {
            Some(Answer::Refused { is_lasting, retry_after }) => {
                // A proof that crossed a demand failed for its challenge: the newer one is worth another.
                if is_lasting && exchange.demands == progress.demands {
                    progress.refused = Some(key.cert.clone());
                }
                // The gateway names a time that leaves room before the deadline; a backoff that grows would miss it.
                let wait = match retry_after {
                    Some(hint) if !is_lasting => told(hint, random()),
                    _ => progress.backoff.next(Pace::Usual, retry_after, random()),
                };
                sleep(wait).await;
            }
            Some(Answer::Accepted) | None => {
                progress.proved = key.cert.first().cloned();
                progress.refused = None;
                progress.backoff.reset();
            }
        }
    }

    /// A session that takes no more operations needs no proof: then this never ends.
    async fn send(&self, key: &CertifiedKey, host: &str, proof: Proof) {
        let Some(id) = self.shared.ledger().expect_on(self.epoch, Waiter::Reauth) else {
            return std::future::pending().await;
        };
        let chain = key.cert.iter().map(|certificate| encode_base64(certificate)).collect();
        let (scheme, signature) = (proof.scheme.name(), proof.signature);
        let command = Command::Reauth { id, chain, host, scheme, signature };
        if let Ok(text) = command.encode()
            && self.outbox.send(text, None).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

impl Progress {
    fn is_worth_proving(&self, key: &CertifiedKey, exchange: &Exchange) -> bool {
        let is_new = key.cert.first() != self.proved.as_ref();
        (is_new || exchange.takes_the_same()) && self.refused.as_ref() != Some(&key.cert)
    }
}

struct Proof {
    scheme: Scheme,
    signature: String,
}

fn prove(key: &CertifiedKey, host: &str, session: &str, challenge: &str) -> Result<Proof, CredentialError> {
    let unusable = |words: &str| CredentialError::Tls(rustls::Error::General(words.to_owned()));
    let challenge =
        decode_base64(challenge).map_err(|_| unusable("the gateway's challenge is not base64"))?;
    let leaf = key.cert.first().ok_or_else(|| unusable("the chain is empty"))?;
    let signed =
        signed_bytes(host, session, &challenge, leaf).ok_or_else(|| unusable("the host name is too long"))?;
    let signer = key
        .key
        .choose_scheme(&Scheme::ALL.map(Scheme::tls))
        .ok_or_else(|| unusable("no TLS 1.3 scheme fits this key"))?;
    let scheme =
        Scheme::of_tls(signer.scheme()).ok_or_else(|| unusable("no TLS 1.3 scheme fits this key"))?;
    let signature = signer.sign(&signed).map_err(CredentialError::Tls)?;
    Ok(Proof { scheme, signature: encode_base64(&signature) })
}
