//! The verdict: may this verified peer be here, as whom, with what rights? Taken before the 101 and, with the same
//! functions, again for every live session whenever anything it rests on has changed.

use std::sync::Arc;

use rustls::pki_types::UnixTime;

use crate::generation::Generation;
use crate::identity::peer::VerifiedPeer;
use crate::identity::{ServiceIdentity, ServiceName};
use crate::policy::{Denial, Grants, Policy};
use crate::session::CloseReason;
use crate::trust::{IdentifyError, Recheck, VerifyError};

/// As what a peer was let in, and by which generation.
#[derive(Clone)]
pub struct Standing {
    pub identity: ServiceIdentity,
    pub grants: Arc<Grants>,
    pub generation: u64,
    /// The policy that the grants were compiled from, to see whether a new generation has another.
    policy: Arc<Policy>,
}

/// Why a verified peer may not be here.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the certificate maps to no service")]
    Identity(#[from] IdentifyError),
    #[error("the service {service} may not connect")]
    Connect {
        service: ServiceName,
        #[source]
        denial: Denial,
    },
}

/// Maps a verified peer to its service and asks the policy whether that may connect.
pub fn judge(generation: &Generation, peer: &VerifiedPeer) -> Result<Standing, Refusal> {
    let identity = generation.trust.identify(peer)?;
    let grants = Arc::new(generation.policy.grants(identity.service(), identity.roles()));
    stand(generation, identity, grants)
}

/// Judges a live session by a newer generation: its certificate against trust and revocation, its name against the
/// mapping, its rights against the policy. Keeps the grants as they are where nothing they rest on changed.
pub fn judge_again(
    generation: &Generation,
    peer: &mut VerifiedPeer,
    before: &Standing,
    now: UnixTime,
) -> Result<Standing, CloseReason> {
    match generation.trust.recheck(peer, now).map_err(|error| reason_of(&error))? {
        Recheck::Same => {}
        Recheck::Reverified(by_another_path) => *peer = *by_another_path,
    }
    let identity = generation.trust.identify(peer).map_err(|_| CloseReason::IdentityChanged)?;
    if identity.service() != before.identity.service() || identity.trust() != before.identity.trust() {
        return Err(CloseReason::IdentityChanged);
    }
    let unchanged =
        Arc::ptr_eq(&generation.policy, &before.policy) && identity.roles() == before.identity.roles();
    let grants = if unchanged {
        before.grants.clone()
    } else {
        Arc::new(generation.policy.grants(identity.service(), identity.roles()))
    };
    stand(generation, identity, grants).map_err(|_| CloseReason::ConnectForbidden)
}

fn stand(
    generation: &Generation,
    identity: ServiceIdentity,
    grants: Arc<Grants>,
) -> Result<Standing, Refusal> {
    match grants.connect() {
        Ok(_) => {
            let policy = generation.policy.clone();
            Ok(Standing { identity, grants, generation: generation.number, policy })
        }
        Err(denial) => Err(Refusal::Connect { service: identity.service().clone(), denial }),
    }
}

fn reason_of(error: &VerifyError) -> CloseReason {
    match error {
        VerifyError::Revoked { .. } => CloseReason::Revoked,
        VerifyError::RevocationUnknown { .. } | VerifyError::RevocationStale { .. } => {
            CloseReason::RevocationUnknown
        }
        VerifyError::Expired { .. } => CloseReason::CredentialDeadline,
        _ => CloseReason::Untrusted,
    }
}
