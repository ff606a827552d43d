//! The audit log: every verdict with the rule and the generation behind it, under the tracing target
//! `portcullis::audit`.
//!
//! Texts that a peer chose (topics, names in certificates) are written escaped, with `?`.

use std::net::SocketAddr;

use crate::policy::Denial;
use crate::session::{CloseReason, Operation, SessionId};
use crate::verdict::Standing;

/// The target of every audit line.
pub const TARGET: &str = "portcullis::audit";

/// A session was opened.
pub fn admitted(session: SessionId, standing: &Standing, peer: SocketAddr, fingerprint: Option<&str>) {
    let identity = &standing.identity;
    tracing::info!(
        target: TARGET, event = "admitted", %session, %peer, fingerprint,
        service = %identity.service(), trust = %identity.trust(), rule = %identity.rule(),
        roles = ?identity.roles(), generation = standing.generation,
    );
}

/// A connection got no session.
pub fn refused(peer: SocketAddr, fingerprint: &str, service: &str, kind: &str, why: &str, generation: u64) {
    tracing::warn!(target: TARGET, event = "refused", %peer, fingerprint, service, kind, why, generation);
}

/// A session was ended by a verdict of `generation`, `why` being what it rests on.
pub fn ended(session: SessionId, standing: &Standing, reason: CloseReason, why: &str, generation: u64) {
    tracing::warn!(
        target: TARGET, event = "ended", %session, service = %standing.identity.service(),
        trust = %standing.identity.trust(), reason = reason.label(), why, generation,
    );
}

/// An operation was denied; `times` is how often the session was denied just that.
pub fn denied(
    session: SessionId,
    standing: &Standing,
    operation: &Operation<'_>,
    denial: &Denial,
    times: u64,
) {
    tracing::warn!(
        target: TARGET, event = "denied", %session, service = %standing.identity.service(),
        op = %operation.op, topic = ?operation.subject(), why = %denial, times, generation = standing.generation,
    );
}

/// A subscription was taken away from a live session.
pub fn subscription_revoked(session: SessionId, standing: &Standing, denial: &Denial) {
    tracing::warn!(
        target: TARGET, event = "subscription_revoked", %session, service = %standing.identity.service(),
        why = %denial, generation = standing.generation,
    );
}

/// A generation was installed.
pub fn reloaded(generation: u64, what: &str) {
    tracing::info!(target: TARGET, event = "reloaded", generation, what);
}

/// A set of files was refused; the generation before it stays.
pub fn reload_refused(generation: u64, faults: usize, first: &str) {
    tracing::error!(target: TARGET, event = "reload_refused", generation, faults, first);
}
