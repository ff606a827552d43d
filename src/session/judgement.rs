//! The verdict on a live session: taken again whenever the generation moved, and when its time is over.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::credential::{Moment, PathEnd};
use super::nats::form;
use super::reauth::fresh_challenge;
use super::wire::Writer;
use super::{CloseReason, Session};
use crate::audit;
use crate::clock::{unix_ms, unix_now};
use crate::generation::Generation;
use crate::identity::peer::VerifiedPeer;
use crate::policy::{Denial, GroupScope};
use crate::protocol::{Event, ReauthCause, RevokedBecause};
use crate::report::chain;
use crate::routing::Subscription;
use crate::verdict::{self, Standing};

impl Session {
    /// Judges the session by the current generation if it was judged by an older one.
    #[inline]
    pub(super) fn judge_again(&mut self, writer: &mut Writer) -> Result<(), CloseReason> {
        if self.gateway.generation_number() == self.standing.generation {
            return Ok(());
        }
        self.judge_by_current_generation(writer)
    }

    #[cold]
    fn judge_by_current_generation(&mut self, writer: &mut Writer) -> Result<(), CloseReason> {
        // What was sent under the verdict before is sent.
        self.send_burst();
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
        self.adopt(upheld.peer, upheld.standing, &generation, writer, Instant::now());
        Ok(())
    }

    /// Rests on this peer and this standing from now on, which `generation` gave. What waits in the queue stays, and so do
    /// the subscriptions that are still granted.
    pub(super) fn adopt(
        &mut self,
        peer: Arc<VerifiedPeer>,
        standing: Standing,
        generation: &Generation,
        writer: &mut Writer,
        now: Instant,
    ) {
        let is_as_before = Arc::ptr_eq(&self.peer, &peer) && self.standing.is_as(&standing);
        self.peer = peer;
        let before = std::mem::replace(&mut self.standing, standing);
        if !is_as_before {
            self.registration.update(&self.peer, &self.standing);
        }
        if !Arc::ptr_eq(&self.limits, &generation.limits) {
            self.limits = generation.limits.clone();
            self.outbox.set_bounds(self.limits.max_queue_messages, self.limits.max_queue_bytes);
            self.rights.set_capacity(self.limits.max_reply_rights);
            self.rate = self.gateway.rates.rate(self.standing.identity.service(), &self.limits);
        }
        if let Some((voice, out)) = writer.nats() {
            self.outbox.set_form(form(self.dialect, voice.options(), &generation.dialects));
            voice.limit(generation.limits.max_payload, out);
        }
        let now = moment(now);
        self.credential.review(path_end(&self.peer), &self.limits, now);
        self.stale_list.review(generation.trust.stale_at(&self.peer), self.limits.stale_crl_window, now);
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
    }

    /// Ends the session when its credential is over, or when its revocation list has been stale for its share of the window.
    pub(super) fn check_credential(&self, now: Moment) -> Result<(), CloseReason> {
        let (reason, why) = if let Some(deadline) = self.credential.is_over(now) {
            let what = match deadline.cause {
                ReauthCause::Expiring => "a certificate of the chain ended",
                ReauthCause::MaxAge => "the session reached its maximum age",
                ReauthCause::AnchorRetiring => "the configured end of its anchor came",
            };
            (CloseReason::CredentialDeadline, format!("{what} at {} ms without a proof", deadline.unix_ms))
        } else if let Some(since) = self.stale_list.is_over(now) {
            (CloseReason::RevocationUnknown, format!("the revocation list is stale since {since}"))
        } else {
            return Ok(());
        };
        let generation = self.standing.generation;
        audit::ended(self.id, &self.standing, self.peer.facts().id(), reason, &why, generation);
        Err(reason)
    }

    /// Asks for a proof, with a challenge of its own, when the credential's deadline draws near.
    pub(super) fn ask_for_proof(&mut self, writer: &mut Writer, now: Moment) {
        if let Some(deadline) = self.credential.announce(now) {
            self.challenge = fresh_challenge();
            let (challenge, unix_ms, cause) = (self.challenge, deadline.unix_ms, deadline.cause);
            writer.event(&Event::ReauthRequired { challenge, deadline: unix_ms, cause });
        }
    }

    /// Takes away the subscriptions that are no longer granted, and narrows those of which less is.
    fn review_subscriptions(&mut self, because: RevokedBecause, writer: &mut Writer) {
        let (grants, router) = (self.standing.grants.clone(), &self.gateway.router);
        let review = |subscription: &Arc<Subscription>| {
            let held = subscription.permit();
            let permit = grants.subscribe(held.pattern(), held.group().map(GroupScope::name))?;
            if permit != *held {
                router.repermit(subscription, permit);
            }
            Ok::<(), Denial>(())
        };
        self.retired.retain(|retired| review(retired).inspect_err(|_| retired.end()).is_ok());
        self.subscriptions.retain(|sid, subscription| match review(subscription) {
            Ok(()) => true,
            Err(denial) => {
                router.unsubscribe(subscription);
                audit::subscription_revoked(self.id, &self.standing, &denial);
                let topic = subscription.pattern().clone();
                let group = subscription.permit().group().map(|group| group.name().as_str().into());
                writer.event(&Event::SubscriptionRevoked { sid: sid.clone(), topic, group, reason: because });
                false
            }
        });
    }
}

/// This moment by both clocks.
pub(super) fn moment(now: Instant) -> Moment {
    Moment { steady: now, unix_ms: unix_ms(SystemTime::now()) }
}

pub(super) fn path_end(peer: &VerifiedPeer) -> PathEnd {
    PathEnd { second: peer.deadline(), by: peer.ended_by() }
}
