//! One accepted WebSocket connection, from its `hello` to its end. One task, one loop.
//!
//! Owns the session's subscriptions, its rights to answer and its waiting requests. Invariant: no command is executed
//! and nothing is delivered under a generation older than the current one: the session judges itself again first, with
//! the functions that let it in.

mod close;
mod credential;
mod delivery;
mod denials;
mod encoding;
mod fault;
mod id;
mod inbound;
mod judgement;
mod keepalive;
mod lanes;
mod nats;
mod outbound;
mod pace;
mod reauth;
mod registry;
mod requests;
mod sending;
mod transport;
mod wire;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

pub use close::CloseReason;
pub use encoding::{Block, Encodings, Outlines, SHARED_FROM};
pub use fault::Operation;
pub use id::SessionId;
pub use nats::DialectSettings;
pub use outbound::{Batch, Item, Outbox, Queued};
pub use pace::Pace;
pub use reauth::{FailedProof, ReauthError};
pub use registry::{Live, Registration, Registry};
pub use transport::Transport;

use crate::gateway::{Gateway, Phase};
use crate::identity::certificate::CertificateId;
use crate::identity::peer::VerifiedPeer;
use crate::limits::{Limits, ServicePlace, ServiceRate};
use crate::policy::ReplyRights;
use crate::protocol::{self, Dialect, Event, Sid};
use crate::random::random;
use crate::routing::{Burst, Subscription, Turn};
use crate::verdict::Standing;
use credential::{Credential, StaleList};
use denials::Denials;
use fault::Faults;
use judgement::{moment, path_end};
use keepalive::Keepalive;
use lanes::Lanes;
use requests::Requests;
use wire::{Reader, Writer};

/// Where a session came in.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The address of the peer.
    pub address: SocketAddr,
    /// Which listener, in the order of the configuration.
    pub listener: usize,
}

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
    origin: Origin,
    dialect: Dialect,
    peer: Arc<VerifiedPeer>,
    standing: Standing,
    limits: Arc<Limits>,
    outbox: Arc<Outbox>,
    subscriptions: HashMap<Sid, Arc<Subscription>>,
    /// Those that the peer ended and for which something waits yet.
    retired: HashSet<Arc<Subscription>>,
    lanes: Lanes,
    /// What goes down the lane that was used last, before anything else goes; there only in a turn that publishes.
    burst: Option<Box<Burst>>,
    denials: Denials,
    rights: ReplyRights,
    requests: Requests,
    requester: Option<Box<str>>,
    rate: ServiceRate,
    keepalive: Keepalive,
    faults: Faults,
    challenge: protocol::Challenge,
    credential: Credential,
    stale_list: StaleList,
    told_to_leave: bool,
    /// The generation whose verdict ends the session, and when the change behind it was noticed.
    overruled: Option<(u64, Instant)>,
    /// What it sends in this turn of its loop.
    turn: Turn,
    /// What it took from its outbox and has not written yet.
    batch: Batch,
    counts: Counts,
    /// What of the counts the metrics know, and when they hear of the rest.
    told: Counts,
    tells_at: Instant,
    registration: Registration,
    _place: ServicePlace,
}

/// Between two reports to the metrics, as far as the session wakes at all.
const TELLING: Duration = Duration::from_secs(1);

impl Session {
    /// Registers a session, so that from here on every change reaches it. The verdict it came with may be of an older
    /// generation; the loop's first act is to look.
    pub fn open(
        gateway: Arc<Gateway>,
        origin: Origin,
        dialect: Dialect,
        peer: Arc<VerifiedPeer>,
        standing: Standing,
        place: ServicePlace,
    ) -> Self {
        let generation = gateway.generation();
        let (limits, now) = (generation.limits.clone(), moment(Instant::now()));
        let mut stale_list = StaleList::new(lot());
        stale_list.review(generation.trust.stale_at(&peer), limits.stale_crl_window, now);
        let id = SessionId::random();
        let form = nats::form(dialect, &nats::Connect::default(), &generation.dialects);
        let outbox = Arc::new(Outbox::new(limits.max_queue_messages, limits.max_queue_bytes, form));
        let live = Live { id, origin, peer: peer.clone(), standing: standing.clone() };
        let registration = gateway.registry.register(live, outbox.clone());
        Self {
            id,
            origin,
            dialect,
            rate: gateway.rates.rate(standing.identity.service(), &limits),
            rights: ReplyRights::new(limits.max_reply_rights),
            credential: Credential::taken(path_end(&peer), &limits, lot(), now),
            stale_list,
            keepalive: Keepalive::new(now.steady),
            subscriptions: HashMap::new(),
            retired: HashSet::new(),
            lanes: Lanes::default(),
            burst: None,
            denials: Denials::default(),
            requests: Requests::default(),
            requester: None,
            faults: Faults::default(),
            challenge: reauth::fresh_challenge(),
            told_to_leave: false,
            overruled: None,
            turn: Turn::default(),
            batch: Batch::default(),
            counts: Counts::default(),
            told: Counts::default(),
            tells_at: now.steady,
            registration,
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

    /// The certificate that it rests on.
    pub fn certificate(&self) -> CertificateId {
        self.peer.facts().id()
    }

    /// As what it stands before the gateway.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Speaks until the session ends, says goodbye, and tells why it ended and what it counted. `early` came before.
    pub fn run<T: Transport>(
        self,
        mut stream: T,
        early: Vec<u8>,
    ) -> impl Future<Output = (CloseReason, Counts)> {
        // Boxed here: an `async fn` would keep room for its arguments beside what becomes of them.
        let mut session = Box::new(self);
        let mut reader = Reader::new(early, session.dialect, &session.limits);
        let mut writer = Writer::new(session.dialect);
        async move {
            let reason = match session.converse(&mut stream, &mut reader, &mut writer).await {
                Ok(never) => match never {},
                Err(reason) => reason,
            };
            session.mute();
            let mut retry_after = reason.retry_after();
            if reason.is_paced() {
                // A session that never began has its 101 there yet.
                wire::write_out(&mut stream, &mut writer).await;
                let slot = session.gateway.pace.slot(Instant::now(), u32::from_ne_bytes(random()));
                sleep_until(slot.at).await;
                retry_after = Some(slot.retry_after);
            }
            let told = || session.told_verdict(reason);
            wire::say_goodbye(&mut stream, &mut writer, reason, retry_after, told).await;
            (reason, session.counts)
        }
    }

    /// The loop. Its inputs: bytes to read and room to write, a signal (messages, generation, drain, overflow), the next
    /// deadline.
    async fn converse<T: Transport>(
        &mut self,
        stream: &mut T,
        reader: &mut Reader,
        writer: &mut Writer,
    ) -> Result<std::convert::Infallible, CloseReason> {
        // The verdict comes first, and nothing but it: `hello` is the first message, before a `draining` too.
        self.judge_again(writer)?;
        self.check_credential(moment(Instant::now()))?;
        writer.event(&Event::Hello(Box::new(self.describe())));
        let timer = sleep_until(Instant::now());
        tokio::pin!(timer);
        loop {
            // A turn may find all its inputs ready without asking the system once; others have their turn too.
            tokio::task::consume_budget().await;
            let now = Instant::now();
            self.look_around(writer, now)?;
            if writer.stalls_at(stream, self.limits.write_timeout).is_some_and(|stalls| now >= stalls) {
                return Err(CloseReason::SlowConsumer);
            }
            let is_left = self.take_in(reader, writer, now)?;
            self.hand_out(writer, now)?;
            let stalls = writer.stalls_at(stream, self.limits.write_timeout);
            let next = stalls.into_iter().fold(self.next_deadline(), Instant::min);
            if timer.is_elapsed() || next < timer.deadline() {
                timer.as_mut().reset(next);
            }
            // Only then something may wait for room.
            let more = !writer.has_room() && !is_left;
            // Whichever wakes it, the session looks around before it acts.
            tokio::select! {
                // The commonest first. Whichever it is, the next round looks at all.
                biased;
                came = wire::progress(stream, reader, writer, more) => {
                    if came? {
                        self.keepalive.heard(Instant::now());
                    }
                }
                () = self.outbox.signalled() => {}
                // Others have their turn, and then the rest is executed.
                () = tokio::task::yield_now(), if is_left => {}
                () = &mut timer => {}
            }
        }
    }

    /// Whatever may have changed around the session: its right to be here, the gateway's phase, its deadlines.
    fn look_around(&mut self, writer: &mut Writer, now: Instant) -> Result<(), CloseReason> {
        self.judge_again(writer)?;
        if self.outbox.has_overflowed() {
            return Err(CloseReason::SlowConsumer);
        }
        if now >= self.tells_at {
            self.tell(now);
        }
        let by_both_clocks = moment(now);
        self.check_credential(by_both_clocks)?;
        self.ask_for_proof(writer, by_both_clocks);
        match self.gateway.phase() {
            Phase::Running => {}
            Phase::Draining { until, unix_ms } => {
                if now >= until {
                    return Err(CloseReason::Draining);
                }
                if !std::mem::replace(&mut self.told_to_leave, true) {
                    let alternatives = self.gateway.generation().dialects.alternatives.clone();
                    writer.event(&Event::Draining { deadline: unix_ms, alternatives });
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
            // A session that says nothing need not keep the subscriptions of sessions that ended, nor a burst's room.
            self.lanes.clear();
            self.turn.rest();
            self.retired.shrink_to_fit();
            self.outbox.rest(&mut self.batch);
            self.rights.rest(now.into_std());
        }
        Ok(())
    }

    fn next_deadline(&self) -> Instant {
        let drain = match self.gateway.phase() {
            Phase::Draining { until, .. } => Some(until),
            Phase::Running | Phase::Stopping => None,
        };
        let stale = self.stale_list.next_look();
        [self.requests.next_deadline(), drain, stale]
            .into_iter()
            .flatten()
            .fold(self.credential.next_look().min(self.keepalive.next_deadline(&self.limits)), Instant::min)
    }

    /// Tells the metrics what happened since they were last told.
    fn tell(&mut self, now: Instant) {
        let (counts, told) = (self.counts, self.told);
        self.gateway.metrics.traffic(counts.commands - told.commands, counts.deliveries - told.deliveries);
        (self.told, self.tells_at) = (counts, now + TELLING);
    }

    /// The close frame is with the socket: how long that took since the change was noticed.
    fn told_verdict(&self, reason: CloseReason) {
        if let Some((generation, noticed)) = self.overruled {
            self.gateway.metrics.verdict_closed(generation, reason, noticed.elapsed());
        }
    }

    /// From here on nothing the peer sent has an effect, and nothing is written that the writer does not hold already,
    /// but the close frame.
    fn mute(&mut self) {
        self.tell(Instant::now());
        self.end_burst();
        self.turn.end();
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
            protocol: self.dialect.subprotocol(),
            deadline: self.credential.deadline().unix_ms,
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

/// Uniform in [0, 1).
fn lot() -> f64 {
    f64::from(u32::from_be_bytes(random())) / (f64::from(u32::MAX) + 1.0)
}

impl Drop for Session {
    fn drop(&mut self) {
        self.mute();
    }
}

#[cfg(test)]
mod tests;
