//! The set before the current one as a candidate: good now, with the revocations and the key pairs of today.

use std::sync::Arc;

use rustls::pki_types::UnixTime;

use super::candidate::{Basis, Found, MadeOf, Previous};
use super::changes::Changes;
use crate::config::{Faults, Settings, Why};
use crate::generation::{Generation, ListenerState};
use crate::load::{self, Refused};
use crate::trust::verifier::ClientVerifier;
use crate::trust::{TrustDomain, TrustDomains};

impl Basis {
    /// The set before, with the newest revocation lists of both, the deny list of now and the key pairs of now: no
    /// revocation is undone, no list goes back, and no key that was replaced is used again.
    pub(super) fn of_previous(&self, now: UnixTime) -> Found {
        let files = load::digest(&self.config);
        let refused = |faults| Found::Refused { refused: Refused { faults, digest: files }, revised: None };
        let mut faults = Faults::default();
        let Some(Previous { generation: old, settings, digest }) = &self.previous else {
            faults.add("rollback", Why::NothingBefore);
            return refused(faults);
        };
        // Lists that any of the files have by now come along.
        let mut revoking = self.revoking();
        revoking.push(settings);
        let unread = &mut Faults::default();
        let newer = load::newer_revocations(&revoking, &self.current, unread, now);
        let base = newer.as_ref().unwrap_or(&self.current);
        let own = load::newer_revocations(&revoking, old, unread, now);
        let trust = own.as_ref().map_or(&old.trust, |own| &own.trust).with_lists_of(&base.trust, now);
        find_unrevocable(old, &base.trust, &mut faults);
        let trust = match trust {
            Ok(trust) => Some(trust),
            Err(found) => {
                found.into_iter().for_each(|fault| faults.add("trust", fault));
                None
            }
        };
        let next = trust.and_then(|trust| {
            let next = old.with_trust(self.current.number + 1, Arc::new(trust));
            let mut next = faults.take("listener", next)?;
            let kept = keep_pairs(&mut next, &self.current, settings, now);
            faults.take("listener", kept)?;
            Some(next)
        });
        if let Some(next) = &next {
            find_expired(&next.listeners, now, &mut faults);
        }
        let (Some(mut next), true) = (next, faults.is_empty()) else {
            return refused(faults);
        };
        next.deny = base.deny.clone();
        let changes = Changes::between(old, &next);
        let is_of_files = digest.is_some_and(|digest| digest.is_but_for_revocations(&files))
            && !changes.is_more_than_revocation();
        let is_exact = *digest == Some(files) && changes.is_empty();
        let (number, settings) = (old.number, settings.clone());
        self.candidate(next, MadeOf::Previous { number, settings, files, is_of_files, is_exact }, now)
    }
}

/// Puts the key pairs of now where they are good for the names of then. A key pair is rotated for a reason, and going back
/// from a policy is none to take an old private key up again.
fn keep_pairs(
    next: &mut Generation,
    current: &Generation,
    settings: &Settings,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let verifier = Arc::new(ClientVerifier::new(next.trust.clone()));
    for (place, (listener, newer)) in next.listeners.iter_mut().zip(&current.listeners).enumerate() {
        let is_good = now.as_secs() <= newer.not_after && newer.names.include(&listener.names);
        if !is_good || listener.fingerprint == newer.fingerprint {
            continue;
        }
        let has_names = settings.listeners.get(place).is_some_and(|settings| !settings.names.is_empty());
        let names = if has_names { &listener.names } else { &newer.names };
        *listener = listener.with_pair_of(newer, names.clone(), verifier.clone())?;
    }
    Ok(())
}

/// What was in date when it was loaded, and may not be now; dates of CAs and lists are looked at elsewhere.
fn find_expired(listeners: &[ListenerState], now: UnixTime, faults: &mut Faults) {
    for (place, listener) in listeners.iter().enumerate() {
        if now.as_secs() > listener.not_after {
            let why = Why::Expired { not_after: listener.not_after };
            faults.add(format!("listener[{place}].certificate"), why);
        }
    }
}

fn find_unrevocable(old: &Generation, current: &TrustDomains, faults: &mut Faults) {
    for (place, domain) in old.trust.domains().iter().enumerate() {
        if domain.revocation_lists().is_none() && is_revocable(domain, current) {
            faults.add(format!("trust[{place}].danger_no_revocation"), Why::RevocationSwitchedOff);
        }
    }
}

/// Whether lists are in force for a CA of `domain`. Another certificate of the same name and key is the same CA.
fn is_revocable(domain: &TrustDomain, current: &TrustDomains) -> bool {
    let ours = domain.issuers();
    let mut enforced = current.domains().iter().filter(|other| other.revocation_lists().is_some());
    enforced.any(|other| !other.issuers().is_disjoint(&ours))
}
