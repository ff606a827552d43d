//! The verdict: may this verified peer be here, as whom, with what rights? Taken before the 101 and, with the same
//! functions, again for every live session whenever anything it rests on has changed.

use std::sync::Arc;

use rustls::pki_types::UnixTime;

use crate::deny::Denied;
use crate::generation::Generation;
use crate::identity::peer::VerifiedPeer;
use crate::identity::{ServiceIdentity, ServiceName, TrustName};
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

impl Standing {
    /// Whether both are the same service with the same roles under the same policy, whatever the generation.
    pub fn is_as(&self, other: &Self) -> bool {
        self.identity == other.identity && Arc::ptr_eq(&self.policy, &other.policy)
    }
}

/// Why a verified peer may not be here.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the certificate maps to no service")]
    Identity(#[from] IdentifyError),
    #[error("the gateway's operator denies the service or its certificate")]
    Denied {
        service: ServiceName,
        #[source]
        entry: Denied,
    },
    #[error("the service {service} may not connect")]
    Connect {
        service: ServiceName,
        #[source]
        denial: Denial,
    },
}

/// Maps a verified peer to its service, and asks the deny list and the policy whether that may connect.
pub fn judge(generation: &Generation, peer: &VerifiedPeer) -> Result<Standing, Refusal> {
    let identity = generation.trust.identify(peer)?;
    let denied = |entry| Refusal::Denied { service: identity.service().clone(), entry };
    generation.deny.check(peer, identity.service()).map_err(denied)?;
    let grants = generation.policy.shared_grants(identity.service(), identity.roles());
    let service = identity.service().clone();
    stand(generation, identity, grants).map_err(|denial| Refusal::Connect { service, denial })
}

/// Why a live session may be here no longer.
#[derive(Debug, thiserror::Error)]
pub enum Overruled {
    #[error("the gateway's operator denies the service or its certificate")]
    Denied(#[from] Denied),
    #[error("the certificate is not good any more")]
    Certificate(#[from] VerifyError),
    #[error("the certificate maps to no service any more")]
    Identity(#[from] IdentifyError),
    #[error("the certificate maps to {service} of {trust} now")]
    Another { service: ServiceName, trust: TrustName },
    #[error("the service may not connect any more")]
    Connect(#[source] Denial),
}

/// A live session that may stay: its peer, by another path if the anchors changed, and as what it stands now.
pub struct Upheld {
    pub peer: Arc<VerifiedPeer>,
    pub standing: Standing,
}

/// Judges a live session by a newer generation, by all that lets a new one in, so that none outlives what it was let in for.
/// Only its grants stay the same value where nothing they rest on changed: from that the session sees that it has nothing to
/// review. A preview asks here too, and so foretells what the session itself will find.
pub fn judge_again(
    generation: &Generation,
    peer: &Arc<VerifiedPeer>,
    before: &Standing,
    now: UnixTime,
) -> Result<Upheld, Overruled> {
    let service = before.identity.service();
    // First, because what else might end the session may do so paced.
    generation.deny.check(peer, service)?;
    let peer = match generation.trust.recheck(peer, now)? {
        Recheck::Same => peer.clone(),
        Recheck::Reverified(by_another_path) => {
            generation.deny.check(&by_another_path, service)?;
            Arc::new(by_another_path)
        }
    };
    let identity = generation.trust.identify(&peer)?;
    if identity.service() != service || identity.trust() != before.identity.trust() {
        let (service, trust) = (identity.service().clone(), identity.trust().clone());
        return Err(Overruled::Another { service, trust });
    }
    let unchanged =
        Arc::ptr_eq(&generation.policy, &before.policy) && identity.roles() == before.identity.roles();
    let grants = if unchanged {
        before.grants.clone()
    } else {
        generation.policy.shared_grants(identity.service(), identity.roles())
    };
    let standing = stand(generation, identity, grants).map_err(Overruled::Connect)?;
    Ok(Upheld { peer, standing })
}

fn stand(
    generation: &Generation,
    identity: ServiceIdentity,
    grants: Arc<Grants>,
) -> Result<Standing, Denial> {
    grants.connect()?;
    let policy = generation.policy.clone();
    Ok(Standing { identity, grants, generation: generation.number, policy })
}

impl Overruled {
    /// What the session ends with.
    pub fn reason(&self) -> CloseReason {
        match self {
            Self::Denied(_) => CloseReason::Denied,
            Self::Certificate(error) => of_certificate(error),
            Self::Identity(_) | Self::Another { .. } => CloseReason::IdentityChanged,
            Self::Connect(_) => CloseReason::ConnectForbidden,
        }
    }
}

fn of_certificate(error: &VerifyError) -> CloseReason {
    match error {
        VerifyError::Revoked { .. } => CloseReason::Revoked,
        VerifyError::RevocationUnknown { .. } | VerifyError::RevocationStale { .. } => {
            CloseReason::RevocationUnknown
        }
        VerifyError::Expired { .. } => CloseReason::CredentialDeadline,
        VerifyError::AnchorRetired { .. }
        | VerifyError::NotYetValid { .. }
        | VerifyError::AmbiguousTrust { .. }
        | VerifyError::TrustRemoved
        | VerifyError::WrongUsage
        | VerifyError::CaAsPeer
        | VerifyError::BadSignature
        | VerifyError::ChainTooLong { .. }
        | VerifyError::Certificate(_)
        | VerifyError::Other(_)
        | VerifyError::UnknownIssuer => CloseReason::Untrusted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deny::DenyList;
    use crate::identity::certificate::Fingerprint;
    use crate::limits::Limits;
    use crate::testing::policy;
    use crate::trust::TrustDomains;
    use crate::trust::test_pki::{TestCa, domains, now, settings};

    const OPEN: &str = "[[grant]]\nname = \"all\"\nservices = [\"*\"]\npublish = [\"a\"]\n";

    fn generation(number: u64, trust: TrustDomains, deny: DenyList) -> Generation {
        Generation {
            number,
            listeners: Vec::new(),
            trust: Arc::new(trust),
            policy: policy(OPEN),
            deny: Arc::new(deny),
            limits: Arc::new(Limits::default()),
            dialects: Arc::default(),
            renewal: Arc::default(),
        }
    }

    /// A root with this certificate of the intermediate below it.
    fn below(
        root: &TestCa,
        middle: &TestCa,
        certificate: rustls::pki_types::CertificateDer<'static>,
    ) -> TrustDomains {
        let mut block = settings(&[root], &[], &[root.crl(1, &[]), middle.crl(1, &[])]);
        block.intermediates.push(certificate);
        domains(block).expect("a domain")
    }

    #[test]
    fn a_live_session_is_denied_by_its_path_before_and_by_the_one_that_takes_its_place() {
        let (old, new) = (TestCa::root("old"), TestCa::root("new"));
        let middle = old.intermediate("middle", 50);
        let first = generation(1, below(&old, &middle, middle.der.clone()), DenyList::default());
        let chain = first.trust.verify(&middle.leaf("orders", 7).der, &[], now()).expect("verified");
        let peer = Arc::new(VerifiedPeer::proven(chain));
        let standing = judge(&first, &peer).expect("let in");
        let moved = |root: &TestCa| {
            let deny = DenyList::new([Fingerprint::of(&root.der)], [], []);
            let next = generation(2, below(&new, &middle, new.cross_sign(&middle, 60)), deny);
            judge_again(&next, &peer, &standing, now()).map(|upheld| upheld.peer.anchor())
        };
        assert_eq!(moved(&TestCa::root("other")).ok(), Some(Fingerprint::of(&new.der)), "nobody denies it");
        for root in [&old, &new] {
            let overruled = moved(root).expect_err("denied");
            assert!(
                matches!(&overruled, Overruled::Denied(Denied::Fingerprint(print)) if *print == Fingerprint::of(&root.der))
            );
            assert_eq!(overruled.reason(), CloseReason::Denied);
        }
    }

    #[test]
    fn a_denial_goes_before_a_lost_anchor_whose_ends_are_paced() {
        let (root, other) = (TestCa::root("root"), TestCa::root("other"));
        let under = |root: &TestCa| domains(settings(&[root], &[], &[root.crl(1, &[])])).expect("a domain");
        let first = generation(1, under(&root), DenyList::default());
        let chain = first.trust.verify(&root.leaf("orders", 7).der, &[], now()).expect("verified");
        let peer = Arc::new(VerifiedPeer::proven(chain));
        let standing = judge(&first, &peer).expect("let in");
        let reason = |deny| {
            let overruled = judge_again(&generation(2, under(&other), deny), &peer, &standing, now());
            overruled.err().map(|overruled| overruled.reason())
        };
        let service = standing.identity.service().clone();
        assert_eq!(reason(DenyList::new([], [], [service])), Some(CloseReason::Denied));
        assert_eq!(reason(DenyList::default()), Some(CloseReason::Untrusted));
        assert!(!CloseReason::Denied.is_paced() && CloseReason::Untrusted.is_paced());
    }
}
