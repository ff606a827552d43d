//! The verdict on a live session: taken again whenever the generation moved, and when its certificate ends.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::wire::Writer;
use super::{CloseReason, Session};
use crate::audit;
use crate::clock::{unix_now, until_over};
use crate::policy::GroupScope;
use crate::protocol::{Event, RevokedBecause};
use crate::report::chain;
use crate::verdict;

impl Session {
    /// Judges the session by the current generation if it was judged by an older one.
    pub(super) fn judge_again<S: AsyncRead + AsyncWrite>(
        &mut self,
        writer: &mut Writer<S>,
    ) -> Result<(), CloseReason> {
        if self.gateway.generation_number() == self.standing.generation {
            return Ok(());
        }
        let generation = self.gateway.generation();
        let judged = verdict::judge_again(&generation, &self.peer, &self.standing, unix_now());
        let upheld = judged.map_err(|overruled| {
            let reason = overruled.reason();
            self.overruled =
                self.gateway.noticed(generation.number).map(|noticed| (generation.number, noticed));
            audit::ended(
                self.id,
                &self.standing,
                self.peer.facts().id(),
                reason,
                &chain(&overruled),
                generation.number,
            );
            reason
        })?;
        let is_as_before = Arc::ptr_eq(&self.peer, &upheld.peer) && self.standing.is_as(&upheld.standing);
        self.peer = upheld.peer;
        self.credential_end = Instant::now() + until_over(self.peer.deadline(), SystemTime::now());
        let before = std::mem::replace(&mut self.standing, upheld.standing);
        if !is_as_before {
            self.registration.update(&self.peer, &self.standing);
        }
        if !Arc::ptr_eq(&self.limits, &generation.limits) {
            self.limits = generation.limits.clone();
            self.outbox.set_bounds(self.limits.max_queue_messages, self.limits.max_queue_bytes);
            self.rights.set_capacity(self.limits.max_reply_rights);
            self.rate = self.gateway.rates.rate(self.standing.identity.service(), &self.limits);
        }
        if !Arc::ptr_eq(&before.grants, &self.standing.grants) {
            let because = if before.identity.roles() == self.standing.identity.roles() {
                RevokedBecause::PolicyChanged
            } else {
                RevokedBecause::RolesChanged
            };
            self.lanes.clear();
            if !self.standing.grants.may_respond() {
                self.rights.clear();
            }
            self.review_subscriptions(because, writer);
        }
        Ok(())
    }

    /// Ends the session when a certificate of its path is over, by the clock that runs on and by the one on the wall:
    /// a machine that slept, or whose clock was set, knows it by the latter.
    pub(super) fn check_credential(&self, now: Instant) -> Result<(), CloseReason> {
        if now < self.credential_end && unix_now().as_secs() <= self.peer.deadline() {
            return Ok(());
        }
        let (reason, generation) = (CloseReason::CredentialDeadline, self.standing.generation);
        let why = format!("a certificate of the chain ended at {}", self.peer.deadline());
        audit::ended(self.id, &self.standing, self.peer.facts().id(), reason, &why, generation);
        Err(reason)
    }

    /// Takes away the subscriptions that are no longer granted, and narrows those of which less is.
    fn review_subscriptions<S: AsyncRead + AsyncWrite>(
        &mut self,
        because: RevokedBecause,
        writer: &mut Writer<S>,
    ) {
        let grants = self.standing.grants.clone();
        self.subscriptions.retain(|sid, subscription| {
            let held = subscription.permit();
            match grants.subscribe(held.pattern(), held.group().map(GroupScope::name)) {
                Ok(permit) => {
                    if permit != *held {
                        self.gateway.router.repermit(subscription, permit);
                    }
                    true
                }
                Err(denial) => {
                    self.gateway.router.unsubscribe(subscription);
                    audit::subscription_revoked(self.id, &self.standing, &denial);
                    let topic = subscription.pattern().clone();
                    writer.event(&Event::SubscriptionRevoked { sid: sid.clone(), topic, reason: because });
                    false
                }
            }
        });
    }
}
