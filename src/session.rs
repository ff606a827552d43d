//! One accepted WebSocket connection, from its `hello` to its end. One task, one loop.
//!
//! Owns the session's subscriptions, its rights to answer and its waiting requests. Invariant: no command is executed
//! and nothing is delivered under a generation older than the current one: the session judges itself again first, with
//! the functions that let it in.

mod close;
mod fault;
mod id;
mod inbound;
mod keepalive;
mod lanes;
mod outbound;
mod pace;
mod registry;
mod requests;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

pub use close::CloseReason;
pub use fault::Operation;
pub use id::{SessionId, random};
pub use outbound::{Delivery, Outbox, Outgoing};
pub use pace::Pace;
pub use registry::{Registration, Registry};

use crate::clock::{unix_now, until_over};
use crate::gateway::{Gateway, Phase};
use crate::identity::ServiceIdentity;
use crate::identity::peer::VerifiedPeer;
use crate::limits::{Limits, ServicePlace, ServiceRate};
use crate::policy::{GroupScope, ReplyRights};
use crate::protocol::{self, Event, Sid};
use crate::routing::Subscription;
use crate::verdict::{self, Standing};
use fault::Faults;
use keepalive::Keepalive;
use lanes::Lanes;
use requests::Requests;
use wire::{Reader, Writer};

/// What a session counted, for its record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub commands: u64,
    pub deliveries: u64,
    pub denials: u64,
}

/// The state of one session; its loop is [`Session::run`].
pub struct Session {
    id: SessionId,
    gateway: Arc<Gateway>,
    peer: VerifiedPeer,
    standing: Standing,
    limits: Arc<Limits>,
    outbox: Arc<Outbox>,
    subscriptions: HashMap<Sid, Arc<Subscription>>,
    lanes: Lanes,
    rights: ReplyRights,
    requests: Requests,
    requester: Option<Box<str>>,
    rate: ServiceRate,
    keepalive: Keepalive,
    faults: Faults,
    challenge: protocol::Challenge,
    credential_end: Instant,
    told_to_leave: bool,
    scratch: Vec<Outgoing>,
    counts: Counts,
    _registration: Registration,
    _place: ServicePlace,
}

/// Items taken from the outbox at once.
const BATCH: usize = 256;

impl Session {
    /// Registers a session, so that from here on every change reaches it. The verdict it came with may be of an older
    /// generation; the loop's first act is to look.
    pub fn open(gateway: Arc<Gateway>, peer: VerifiedPeer, standing: Standing, place: ServicePlace) -> Self {
        let limits = gateway.generation().limits.clone();
        let id = SessionId::random();
        let outbox = Arc::new(Outbox::new(limits.max_queue_messages, limits.max_queue_bytes));
        let registration = gateway.registry.register(id, standing.identity.service().clone(), outbox.clone());
        Self {
            id,
            rate: gateway.rates.rate(standing.identity.service(), &limits),
            rights: ReplyRights::new(limits.max_reply_rights),
            credential_end: Instant::now() + until_over(peer.deadline(), SystemTime::now()),
            keepalive: Keepalive::new(Instant::now()),
            subscriptions: HashMap::new(),
            lanes: Lanes::default(),
            requests: Requests::default(),
            requester: None,
            faults: Faults::default(),
            challenge: protocol::Challenge::new(random()),
            told_to_leave: false,
            scratch: Vec::new(),
            counts: Counts::default(),
            _registration: registration,
            _place: place,
            gateway,
            peer,
            standing,
            limits,
            outbox,
        }
    }

    pub fn id(&self) -> SessionId {
        self.id
    }

    pub fn identity(&self) -> &ServiceIdentity {
        &self.standing.identity
    }

    /// Speaks until the session ends, says goodbye, and tells why it ended and what it counted.
    pub async fn run<S: AsyncRead + AsyncWrite>(
        mut self,
        stream: S,
        early: BytesMut,
    ) -> (CloseReason, Counts) {
        let (mut reader, mut writer) = wire::split(stream, early, &self.limits);
        let reason = match self.converse(&mut reader, &mut writer).await {
            Ok(never) => match never {},
            Err(reason) => reason,
        };
        self.mute();
        if reason.is_paced() {
            sleep_until(self.gateway.pace.slot(Instant::now())).await;
        }
        wire::say_goodbye(reader, writer, reason).await;
        (reason, self.counts)
    }

    /// The loop. Its inputs: an alarm (generation, drain, overflow), room to write, bytes to read, messages for this
    /// session, the next deadline.
    async fn converse<S: AsyncRead + AsyncWrite>(
        &mut self,
        reader: &mut Reader<S>,
        writer: &mut Writer<S>,
    ) -> Result<std::convert::Infallible, CloseReason> {
        // The verdict comes first, and nothing but it: `hello` is the first message, before a `draining` too.
        self.judge_again(writer)?;
        if Instant::now() >= self.credential_end {
            return Err(CloseReason::CredentialDeadline);
        }
        writer.event(&Event::Hello(Box::new(self.describe())));
        let timer = sleep_until(Instant::now());
        tokio::pin!(timer);
        loop {
            let now = Instant::now();
            self.look_around(writer, now)?;
            self.take_in(reader, writer, now)?;
            self.hand_out(writer, now)?;
            let next = self.next_deadline(writer);
            if timer.is_elapsed() || next < timer.deadline() {
                timer.as_mut().reset(next);
            }
            // In no fixed order, and read even while much waits to be written: a peer that is behind with its messages
            // is still heard. What is read waits in the reader until there is room for its answers.
            tokio::select! {
                () = self.outbox.alarmed() => {}
                written = writer.write(), if writer.is_waiting() => written?,
                () = reader.read(), if reader.may_read() => {
                    self.keepalive.heard(Instant::now());
                }
                () = self.outbox.woken(), if !writer.is_waiting() => {}
                () = &mut timer => {}
            }
        }
    }

    /// Whatever may have changed around the session: its right to be here, the gateway's phase, its deadlines.
    fn look_around<S: AsyncRead + AsyncWrite>(
        &mut self,
        writer: &mut Writer<S>,
        now: Instant,
    ) -> Result<(), CloseReason> {
        self.judge_again(writer)?;
        if self.outbox.has_overflowed() || writer.has_stalled(now, self.limits.write_timeout) {
            return Err(CloseReason::SlowConsumer);
        }
        if now >= self.credential_end {
            return Err(CloseReason::CredentialDeadline);
        }
        match self.gateway.phase() {
            Phase::Running => {}
            Phase::Draining { until, unix_ms } => {
                if now >= until {
                    return Err(CloseReason::Draining);
                }
                if !std::mem::replace(&mut self.told_to_leave, true) {
                    writer.event(&Event::Draining { deadline: unix_ms, alternatives: Arc::from([]) });
                }
            }
            Phase::Stopping => return Err(CloseReason::Stopping),
        }
        while let Some(id) = self.requests.expired(now) {
            writer.event(&fault::timed_out(id));
        }
        if self.keepalive.is_lost(now, &self.limits) {
            return Err(CloseReason::KeepaliveLost);
        }
        if self.keepalive.wants_ping(now, &self.limits) {
            writer.ping();
        }
        Ok(())
    }

    /// Judges the session by the current generation if it was judged by an older one.
    fn judge_again<S: AsyncRead + AsyncWrite>(&mut self, writer: &mut Writer<S>) -> Result<(), CloseReason> {
        if self.gateway.generation_number() == self.standing.generation {
            return Ok(());
        }
        let generation = self.gateway.generation();
        let standing = verdict::judge_again(&generation, &mut self.peer, &self.standing, unix_now())?;
        self.credential_end = Instant::now() + until_over(self.peer.deadline(), SystemTime::now());
        let rights_changed = !Arc::ptr_eq(&standing.grants, &self.standing.grants);
        self.standing = standing;
        if !Arc::ptr_eq(&self.limits, &generation.limits) {
            self.limits = generation.limits.clone();
            self.outbox.set_bounds(self.limits.max_queue_messages, self.limits.max_queue_bytes);
            self.rights.set_capacity(self.limits.max_reply_rights);
            self.rate = self.gateway.rates.rate(self.standing.identity.service(), &self.limits);
        }
        if rights_changed {
            self.lanes.clear();
            let now = Instant::now().into_std();
            if self.standing.grants.response_right(now, now).is_err() {
                self.rights.clear();
            }
            self.review_subscriptions(writer);
            let now = Instant::now().into_std();
            if self.standing.grants.response_right(now, now).is_err() {
                self.rights.clear();
            }
        }
        Ok(())
    }

    /// Takes away the subscriptions that the policy no longer grants, and narrows those it grants less of.
    fn review_subscriptions<S: AsyncRead + AsyncWrite>(&mut self, writer: &mut Writer<S>) {
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
                    crate::audit::subscription_revoked(self.id, &self.standing, &denial);
                    writer.event(&Event::SubscriptionRevoked {
                        sid: sid.clone(),
                        topic: subscription.pattern().clone(),
                        reason: protocol::RevokedBecause::PolicyChanged,
                    });
                    false
                }
            }
        });
    }

    /// Moves what waits for this session into the writer, as much as fits.
    fn hand_out<S: AsyncRead + AsyncWrite>(
        &mut self,
        writer: &mut Writer<S>,
        now: Instant,
    ) -> Result<(), CloseReason> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut more = true;
        while more && writer.has_room() {
            more = self.outbox.take(&mut scratch, BATCH, writer.room());
            for item in scratch.drain(..) {
                self.write_item(item, writer, now);
            }
        }
        self.scratch = scratch;
        Ok(())
    }

    fn write_item<S: AsyncRead + AsyncWrite>(
        &mut self,
        item: Outgoing,
        writer: &mut Writer<S>,
        now: Instant,
    ) {
        match item {
            Outgoing::Delivery(delivery) => self.write_delivery(&delivery, writer, now),
            Outgoing::Response { request, message } => {
                if let Some(id) = self.requests.answered(request) {
                    self.counts.deliveries += 1;
                    writer.event(&Event::Response { id, message });
                }
            }
            Outgoing::Event(event) => writer.event(&event),
        }
    }

    fn write_delivery<S: AsyncRead + AsyncWrite>(
        &mut self,
        delivery: &Delivery,
        writer: &mut Writer<S>,
        now: Instant,
    ) {
        let Delivery { subscription, message, answer_within } = delivery;
        subscription.count_written();
        // It may have been queued before the subscription ended or was narrowed.
        if subscription.has_ended() {
            return;
        }
        if !subscription.filters(message.topic()) {
            if let (Some(reply), Some(within)) = (message.reply(), answer_within) {
                let (now, until) = (now.into_std(), (now + *within).into_std());
                if let Ok(right) = self.standing.grants.response_right(now, until) {
                    self.rights.grant(reply.clone(), right.until, right.uses, now);
                }
            }
            writer.message(subscription.sid(), message);
            self.counts.deliveries += 1;
        }
        if subscription.is_over() {
            self.subscriptions.remove(subscription.sid());
            self.gateway.router.unsubscribe(subscription);
        }
    }

    fn next_deadline<S: AsyncRead + AsyncWrite>(&self, writer: &Writer<S>) -> Instant {
        let drain = match self.gateway.phase() {
            Phase::Draining { until, .. } => Some(until),
            Phase::Running | Phase::Stopping => None,
        };
        [writer.stalls_at(self.limits.write_timeout), self.requests.next_deadline(), drain]
            .into_iter()
            .flatten()
            .fold(self.credential_end.min(self.keepalive.next_deadline(&self.limits)), Instant::min)
    }

    /// From here on nothing the peer sent has an effect and nothing reaches it but the close frame.
    fn mute(&mut self) {
        self.outbox.close();
        for (_, subscription) in self.subscriptions.drain() {
            self.gateway.router.unsubscribe(&subscription);
        }
        if let Some(token) = self.requester.take() {
            self.gateway.router.forget_requester(&token);
        }
    }

    /// What `hello` and `whoami` tell.
    fn describe(&self) -> protocol::Standing {
        let identity = &self.standing.identity;
        protocol::Standing {
            service: identity.service().clone(),
            roles: identity.roles().to_vec(),
            session: self.id.to_string().into(),
            protocol: protocol::json::SUBPROTOCOL,
            deadline: self.peer.deadline().saturating_mul(1000),
            limits: protocol::Limits {
                max_payload: self.limits.max_payload,
                max_subscriptions: self.limits.max_subscriptions,
                max_in_flight_requests: self.limits.max_requests,
                max_headers: protocol::MAX_HEADERS,
                max_header_bytes: protocol::MAX_HEADER_BYTES,
            },
            gateway: self.gateway.name.clone(),
            challenge: self.challenge,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.mute();
    }
}

/// How long a peer has to read the close frame and to answer it.
const GOODBYE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
