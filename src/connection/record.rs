//! One record per connection, written when the connection ends, however it ends.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::handshake::HandshakeError;
use super::identify::{Admitted, Turned};
use super::upgrade::{Denied, Problem};
use crate::gateway::Gateway;
use crate::identity::ServiceIdentity;
use crate::identity::certificate::CertificateId;
use crate::identity::peer::VerifiedPeer;
use crate::report::chain;
use crate::session::{CloseReason, Counts, Session};

/// What is known of a connection so far.
pub(super) struct Record {
    gateway: Arc<Gateway>,
    peer: SocketAddr,
    since: Instant,
    certificate: Option<CertificateId>,
    identity: Option<ServiceIdentity>,
    session: Option<String>,
    end: End,
}

enum End {
    /// The task was cancelled, or panicked, before anything was decided.
    Aborted,
    TimedOut,
    Handshake(String),
    Refused(&'static str, String),
    /// The peer has a new certificate, which the audit log knew before the peer did.
    Renewed,
    Closed(CloseReason, Counts),
}

impl Record {
    pub(super) fn new(peer: SocketAddr, gateway: &Arc<Gateway>) -> Self {
        Self {
            gateway: gateway.clone(),
            peer,
            since: Instant::now(),
            certificate: None,
            identity: None,
            session: None,
            end: End::Aborted,
        }
    }

    /// The address of the peer.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn timed_out(&mut self) {
        self.end = End::TimedOut;
    }

    pub(super) fn handshake_failed<T>(&mut self, error: &HandshakeError) -> Option<T> {
        if let HandshakeError::Certificate { certificate, .. } = error {
            self.certificate = Some(*certificate);
        }
        self.end = End::Handshake(chain(error));
        None
    }

    pub(super) fn verified(&mut self, peer: &VerifiedPeer) {
        self.gateway.metrics.handshake(self.since.elapsed());
        self.certificate = Some(peer.facts().id());
    }

    pub(super) fn judged(&mut self, verdict: &Result<Admitted, Turned>) {
        self.identity = verdict.as_ref().ok().map(|admitted| admitted.standing.identity.clone());
    }

    pub(super) fn refused<T>(&mut self, denied: &Denied) -> Option<T> {
        self.end = End::Refused(Problem::of(denied).kind, chain(denied));
        None
    }

    pub(super) fn renewed<T>(&mut self) -> Option<T> {
        self.end = End::Renewed;
        None
    }

    pub(super) fn opened(&mut self, session: &Session) {
        self.session = Some(session.id().to_string());
        self.gateway.metrics.opened(self.since.elapsed());
        crate::audit::admitted(session.id(), session.standing(), self.peer, session.certificate());
        // What holds unless the session says otherwise: its task panicked, or was aborted.
        self.end = End::Closed(CloseReason::Internal, Counts::default());
    }

    pub(super) fn closed(&mut self, reason: CloseReason, counts: Counts) {
        self.end = End::Closed(reason, counts);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let (peer, seconds) = (self.peer, self.since.elapsed().as_secs_f64());
        let certificate = self.certificate;
        let service = self.identity.as_ref().map_or("-", |identity| identity.service().as_str());
        let session = self.session.as_deref().unwrap_or("-");
        let generation = self.gateway.generation_number();
        match &self.end {
            End::Closed(reason, counts) => {
                self.gateway.metrics.closed(*reason);
                tracing::info!(
                    %peer, session, service, seconds, end = reason.label(),
                    commands = counts.commands, deliveries = counts.deliveries, denials = counts.denials,
                    "session ended"
                );
            }
            End::Refused(kind, why) => {
                self.gateway.metrics.refused(kind);
                crate::audit::refused(peer, certificate, service, kind, why, generation);
            }
            End::Renewed => tracing::info!(%peer, service, seconds, "connection ended after a renewal"),
            End::Handshake(why) => {
                self.gateway.metrics.refused("handshake");
                crate::audit::refused(peer, certificate, service, "handshake", why, generation);
            }
            End::TimedOut => {
                self.gateway.metrics.refused("deadline");
                crate::audit::refused(
                    peer,
                    certificate,
                    service,
                    "deadline",
                    "not open within the deadline",
                    generation,
                );
            }
            End::Aborted => {
                self.gateway.metrics.refused("aborted");
                tracing::warn!(%peer, session, service, seconds, "connection aborted");
            }
        }
    }
}
