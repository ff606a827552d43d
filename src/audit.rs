//! The audit log: every verdict with the rule and the generation behind it, under the tracing target
//! `portcullis::audit`.
//!
//! Texts that a peer chose (topics, names in certificates) are written escaped. `serial` and `fingerprint` join the lines
//! about one certificate, `session` those about one session, `generation` those that one set of files brought about.

use std::net::SocketAddr;

use crate::identity::certificate::CertificateId;
use crate::identity::{Role, ServiceIdentity};
use crate::policy::Denial;
use crate::renewal::Renewed;
use crate::report::chain;
use crate::session::{CloseReason, FailedProof, Operation, SessionId};
use crate::verdict::Standing;

/// The target of every audit line.
pub const TARGET: &str = "portcullis::audit";

/// A session was opened.
pub fn admitted(session: SessionId, standing: &Standing, peer: SocketAddr, certificate: CertificateId) {
    let identity = &standing.identity;
    tracing::info!(
        target: TARGET, event = "admitted", %session, %peer,
        serial = serial(Some(certificate)), fingerprint = fingerprint(Some(certificate)),
        service = identity.service().as_str(), trust = identity.trust().as_str(), rule = identity.rule().as_str(),
        roles = roles(identity), generation = standing.generation,
    );
}

/// A peer that presented one certificate, which `issuer` had issued, got another.
pub fn renewed(
    peer: SocketAddr,
    standing: &Standing,
    presented: CertificateId,
    issuer: Option<&str>,
    renewed: &Renewed,
) {
    let identity = &standing.identity;
    tracing::info!(
        target: TARGET, event = "renewed", %peer,
        serial = serial(Some(presented)), fingerprint = fingerprint(Some(presented)),
        issuer = issuer.map_or("-".into(), escaped),
        issued_serial = serial(Some(renewed.id)), issued_fingerprint = fingerprint(Some(renewed.id)),
        not_after = renewed.not_after, service = identity.service().as_str(), trust = identity.trust().as_str(),
        generation = standing.generation,
    );
}

/// A connection got no session; `certificate` is the one it presented, if it came to that.
pub fn refused(
    peer: SocketAddr,
    certificate: Option<CertificateId>,
    service: &str,
    kind: &str,
    why: &str,
    generation: u64,
) {
    tracing::warn!(
        target: TARGET, event = "refused", %peer, serial = serial(certificate),
        fingerprint = fingerprint(certificate), service, kind, why, generation,
    );
}

/// A session was ended by a verdict of `generation`, `why` being what it rests on.
pub fn ended(
    session: SessionId,
    standing: &Standing,
    certificate: CertificateId,
    reason: CloseReason,
    why: &str,
    generation: u64,
) {
    let identity = &standing.identity;
    tracing::warn!(
        target: TARGET, event = "ended", %session,
        serial = serial(Some(certificate)), fingerprint = fingerprint(Some(certificate)),
        service = identity.service().as_str(), trust = identity.trust().as_str(), reason = reason.label(), why,
        generation,
    );
}

/// A session proved another certificate, or the same one anew, and lasts until `deadline` (Unix milliseconds).
pub fn reauthenticated(
    session: SessionId,
    standing: &Standing,
    before: CertificateId,
    now: CertificateId,
    deadline: u64,
) {
    let identity = &standing.identity;
    tracing::info!(
        target: TARGET, event = "reauthenticated", %session,
        serial = serial(Some(now)), fingerprint = fingerprint(Some(now)),
        old_serial = serial(Some(before)), old_fingerprint = fingerprint(Some(before)),
        service = identity.service().as_str(), trust = identity.trust().as_str(), rule = identity.rule().as_str(),
        roles = roles(identity), deadline, generation = standing.generation,
    );
}

/// A session presented another certificate and did not prove it. Serial and fingerprint are those of that one.
pub fn reauth_failed(session: SessionId, standing: &Standing, failed: &FailedProof, generation: u64) {
    let certificate = Some(failed.certificate);
    tracing::warn!(
        target: TARGET, event = "reauth_failed", %session,
        serial = serial(certificate), fingerprint = fingerprint(certificate),
        service = standing.identity.service().as_str(), why = escaped(&chain(&failed.error)), generation,
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
        target: TARGET, event = "denied", %session, service = standing.identity.service().as_str(),
        op = operation.op.as_str(), topic = escaped(operation.subject()), why = escaped(&denial.to_string()), times,
        generation = standing.generation,
    );
}

/// A subscription was taken away from a live session.
pub fn subscription_revoked(session: SessionId, standing: &Standing, denial: &Denial) {
    tracing::warn!(
        target: TARGET, event = "subscription_revoked", %session, service = standing.identity.service().as_str(),
        why = escaped(&denial.to_string()), generation = standing.generation,
    );
}

/// How a generation came to be installed.
#[derive(Debug, Clone, Copy)]
pub struct Swap {
    /// Whatever it ends.
    pub forced: bool,
    /// Sessions that it ends, if they were counted.
    pub cut: Option<usize>,
}

/// A generation was installed.
pub fn reloaded(generation: u64, what: &str, Swap { forced, cut }: Swap) {
    tracing::info!(target: TARGET, event = "reloaded", generation, what, forced, cut);
}

/// An operator went back to the set of an earlier generation.
pub fn rolled_back(generation: u64, to: u64, Swap { forced, cut }: Swap) {
    tracing::warn!(target: TARGET, event = "rolled_back", generation, to, forced, cut);
}

/// A revocation or a deny list ended a larger share of the sessions than one change usually may.
pub fn mass_revocation(generation: u64, sessions: usize, live: usize, services: &str) {
    tracing::error!(target: TARGET, event = "mass_revocation", generation, sessions, live, services);
}

/// A set of files was refused; the generation before it stays.
pub fn reload_refused(generation: u64, faults: usize, first: &str) {
    tracing::error!(target: TARGET, event = "reload_refused", generation, faults, first);
}

/// The files are those of the current generation again, after they were refused.
pub fn reload_mended(generation: u64) {
    tracing::info!(target: TARGET, event = "reload_mended", generation);
}

/// What a peer chose, in printable ASCII: letters that look like blanks or quotes forge no field.
fn escaped(text: &str) -> String {
    text.escape_default().to_string()
}

fn roles(identity: &ServiceIdentity) -> String {
    let roles: Vec<_> = identity.roles().iter().map(Role::as_str).collect();
    roles.join(",")
}

fn serial(certificate: Option<CertificateId>) -> String {
    certificate.and_then(|certificate| certificate.serial).map_or("-".into(), |serial| serial.to_string())
}

fn fingerprint(certificate: Option<CertificateId>) -> String {
    certificate.map_or("-".into(), |certificate| certificate.fingerprint.to_string())
}
