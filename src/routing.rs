//! From a permitted topic to the sessions that receive it.
//!
//! Owns the live subscriptions, in shards by first token so that one service's churn makes only its own routes stale.
//! A publisher keeps a [`Lane`] for each topic it uses: the permit and the matched receivers, checked against two
//! version counters before every message or burst of them. Invariant: nothing is routed without a [`PublishPermit`], nothing is
//! subscribed without a [`SubscribePermit`].

mod burst;
mod inboxes;
mod lane;
mod subscription;
mod turn;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

pub use burst::Burst;
pub use inboxes::{InboxError, Inboxes};
pub use lane::Lane;
use lane::{Addressed, GroupPlaces, Hearers, Matched};
pub use subscription::Subscription;
pub use turn::Turn;

use crate::identity::ServiceIdentity;
use crate::keyed::Keyed;
use crate::policy::{PublishPermit, SubscribePermit};
use crate::protocol::{Headers, Message, Payload, Sid};
use crate::session::{Encodings, Outbox, Outlines, SessionId};
use crate::topic::{INBOX_PREFIX, Pattern, PatternIndex, Topic};

/// Shards of the subscription index. Two busy first tokens share one with a chance of 1 in 256.
const SHARDS: usize = 256;

/// All live subscriptions of one gateway.
pub struct Router {
    shards: Box<[Shard]>,
    /// Patterns whose first token is a wildcard: every topic that is not reserved looks here too.
    wild: Shard,
    inboxes: Inboxes,
    /// Sessions that wait for responses, by the token of the inbox that the gateway made for them.
    requesters: RwLock<HashMap<Box<str>, Arc<Outbox>, Keyed>>,
    hasher: Keyed,
    /// Where the next topic's groups start to look for a member.
    round_robin: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    /// Held to insert, remove or match; never across an await.
    index: Mutex<PatternIndex<Arc<Subscription>>>,
    version: AtomicU64,
}

/// What a session sends. The topic is added from the permit and the sender's name from its identity, so that neither
/// can be another than was checked.
pub struct Parcel<'i> {
    pub from: &'i ServiceIdentity,
    /// The session that sends it, so that `echo: false` can be honoured.
    pub session: SessionId,
    pub payload: Payload<'i>,
    pub headers: Headers,
    pub reply: Option<&'i Topic>,
    /// How long a receiver may answer, where the message names an inbox to answer to.
    pub answer_within: Option<Duration>,
}

impl Default for Router {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            wild: Shard::default(),
            inboxes: Inboxes::default(),
            requesters: RwLock::default(),
            hasher: Keyed::default(),
            round_robin: AtomicUsize::new(0),
        }
    }
}

impl Router {
    /// Adds a subscription. From the moment this returns, every new message on its pattern reaches `outbox`.
    ///
    /// # Errors
    /// The inbox that it lies in belongs to another service or to the gateway itself, or the service has too many.
    pub fn subscribe(
        &self,
        permit: SubscribePermit,
        session: SessionId,
        sid: Sid,
        echo: bool,
        outbox: Arc<Outbox>,
        max_inboxes: usize,
    ) -> Result<Arc<Subscription>, InboxError> {
        if let Some(token) = permit.pattern().inbox_token() {
            // Responders see where their answers go; none of them may listen there, nor have answers sent there.
            if token.starts_with(REQUESTER_MARK) {
                return Err(InboxError::Taken);
            }
            self.inboxes.claim(token, permit.service(), max_inboxes)?;
        }
        let subscription = Arc::new(Subscription::new(permit, session, sid, echo, outbox));
        let shard = self.shard_of_pattern(subscription.pattern());
        let mut index = shard.lock();
        index.insert(subscription.pattern(), subscription.clone());
        shard.version.fetch_add(1, Ordering::Release);
        Ok(subscription)
    }

    /// Ends a subscription: it receives nothing from now on.
    pub fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        subscription.end();
        self.remove(subscription);
    }

    /// Ends a subscription behind what waits for it already.
    pub fn retire(&self, subscription: &Arc<Subscription>) {
        subscription.finish();
        self.remove(subscription);
    }

    fn remove(&self, subscription: &Arc<Subscription>) {
        let shard = self.shard_of_pattern(subscription.pattern());
        let mut index = shard.lock();
        index.remove(subscription.pattern(), subscription);
        shard.version.fetch_add(1, Ordering::Release);
        drop(index);
        if let Some(token) = subscription.pattern().inbox_token() {
            self.inboxes.release(token);
        }
    }

    /// Lets a live subscription go on under another permit for the same pattern.
    pub fn repermit(&self, subscription: &Arc<Subscription>, permit: SubscribePermit) {
        let shard = self.shard_of_pattern(subscription.pattern());
        let _index = shard.lock();
        subscription.set_permit(permit);
        shard.version.fetch_add(1, Ordering::Release);
    }

    /// Opens a lane for the topic of `permit`.
    pub fn lane(&self, permit: PublishPermit) -> Lane {
        let shard = self.shard_of_topic(permit.topic());
        let (shard_version, wild_version) = self.versions(shard);
        let matched = self.matched(permit.topic(), shard);
        Lane { permit, outlines: Outlines::default(), matched, shard, shard_version, wild_version }
    }

    /// Sends a parcel down its lane, as part of what `turn` sends, and returns how many subscriptions took it.
    pub fn publish(&self, lane: &mut Lane, parcel: Parcel<'_>, turn: &mut Turn) -> usize {
        self.refresh(lane);
        turn.count(lane.take_work());
        lane.send(parcel, turn)
    }

    /// Sends a burst down the lane that it was published under, and leaves it empty.
    pub fn publish_burst(
        &self,
        lane: &mut Lane,
        burst: &mut Burst,
        from: &ServiceIdentity,
        session: SessionId,
        turn: &mut Turn,
    ) {
        if burst.is_empty() {
            return;
        }
        self.refresh(lane);
        turn.count(lane.take_work());
        if lane.matched.groups.is_empty() {
            lane.send_burst(burst, from, session, &mut turn.wakeups);
        } else {
            // The members of a group take turns message by message.
            for payload in burst.payloads() {
                let headers = Headers::EMPTY;
                lane.send(Parcel { from, session, payload, headers, reply: None, answer_within: None }, turn);
            }
        }
        burst.clear();
    }

    /// Looks again who receives what goes down a lane, if that may have changed.
    pub fn refresh(&self, lane: &mut Lane) {
        let (shard_version, wild_version) = self.versions(lane.shard);
        if (shard_version, wild_version) != (lane.shard_version, lane.wild_version) {
            lane.matched = self.matched(lane.permit.topic(), lane.shard);
            (lane.shard_version, lane.wild_version) = (shard_version, wild_version);
        }
    }

    /// Sends the answer to a request: to the session that asked through an inbox of the gateway's, if it still lives,
    /// or to whoever subscribed to the inbox that the request named.
    pub fn respond(&self, permit: PublishPermit, parcel: Parcel<'_>, turn: &mut Turn) -> usize {
        match requester_address(permit.topic()) {
            Some((token, request)) => {
                self.answer_requester(token, request, parcel.message(permit.topic()), turn)
            }
            None => self.answer_inbox(permit.topic(), parcel, turn),
        }
    }

    fn answer_requester(&self, token: &str, request: u64, message: Message<'_>, turn: &mut Turn) -> usize {
        let requesters = self.requesters.read().unwrap_or_else(PoisonError::into_inner);
        let Some(outbox) = requesters.get(token) else { return 0 };
        let queued = outbox.respond(request, &message);
        usize::from(turn.wakeups.note(queued, outbox))
    }

    fn answer_inbox(&self, topic: &Topic, parcel: Parcel<'_>, turn: &mut Turn) -> usize {
        let (session, answer_within) = (parcel.session, parcel.answer_within);
        let message = parcel.message(topic);
        let Turn { scratch, wakeups, hearers } = turn;
        let encodings = Encodings::new(&message, None, scratch);
        if !hearers.are_of(topic) || self.versions(hearers.shard) != hearers.versions {
            let shard = self.shard_of_topic(topic);
            hearers.begin(topic, shard, self.versions(shard));
            self.look_up(topic, shard, &mut hearers.matched);
            wakeups.count(hearers.matched.work);
        }
        let heard = hearers.matched.deliver(&mut Addressed { encodings, session, answer_within, wakeups });
        hearers.settle();
        heard
    }

    /// Makes `outbox` reachable for responses under an inbox token that only the gateway knows.
    pub fn register_requester(&self, token: &str, outbox: Arc<Outbox>) {
        self.requesters.write().unwrap_or_else(PoisonError::into_inner).insert(token.into(), outbox);
    }

    /// Forgets what [`Self::register_requester`] made.
    pub fn forget_requester(&self, token: &str) {
        self.requesters.write().unwrap_or_else(PoisonError::into_inner).remove(token);
    }

    /// Who owns which inbox.
    pub fn inboxes(&self) -> &Inboxes {
        &self.inboxes
    }

    /// Live subscriptions.
    pub fn subscriptions(&self) -> usize {
        self.shards.iter().chain([&self.wild]).map(|shard| shard.lock().len()).sum()
    }

    fn matched(&self, topic: &Topic, shard: usize) -> Matched {
        let mut matched = Matched::default();
        self.look_up(topic, shard, &mut matched);
        matched
    }

    /// Fills `matched`, which is empty.
    fn look_up(&self, topic: &Topic, shard: usize, matched: &mut Matched) {
        debug_assert!(matched.direct.is_empty() && matched.groups.is_empty(), "nobody of another topic");
        matched.next_member = self.round_robin.fetch_add(1, Ordering::Relaxed);
        let wild = (!topic.is_reserved()).then_some(&self.wild);
        let mut places = GroupPlaces::new();
        for shard in self.shards.get(shard).into_iter().chain(wild) {
            let add = |subscription| matched.add(topic, subscription, &mut places);
            let search = shard.lock().for_each_match(topic, add);
            matched.work += search.nodes;
            matched.depend_on_last_token |= search.depends_on_last_token;
        }
    }

    fn versions(&self, shard: usize) -> (u64, u64) {
        // Read before matching: what changes meanwhile makes the lane stale, never wrong.
        let shard = self.shards.get(shard).map_or(0, |shard| shard.version.load(Ordering::Acquire));
        (shard, self.wild.version.load(Ordering::Acquire))
    }

    fn shard_of_pattern(&self, pattern: &Pattern) -> &Shard {
        if pattern.starts_wild() {
            return &self.wild;
        }
        let place = self.shard_of_key(shard_key(pattern.inbox_token(), || pattern.first_token()));
        self.shards.get(place).unwrap_or(&self.wild)
    }

    fn shard_of_topic(&self, topic: &Topic) -> usize {
        self.shard_of_key(shard_key(topic.inbox_token(), || topic.first_token()))
    }

    fn shard_of_key(&self, key: &str) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0)
    }
}

impl<'p> Parcel<'p> {
    fn message<'m>(self, topic: &'m Topic) -> Message<'m>
    where
        'p: 'm,
    {
        let Self { from, payload, headers, reply, .. } = self;
        Message { topic, from: from.service(), payload, headers, reply }
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, PatternIndex<Arc<Subscription>>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Inboxes all share their first token, so each is placed by its own.
fn shard_key<'a>(inbox_token: Option<&'a str>, first_token: impl FnOnce() -> &'a str) -> &'a str {
    inbox_token.unwrap_or_else(first_token)
}

/// Begins the token of every inbox that the gateway makes, and of no inbox that a service can have.
const REQUESTER_MARK: char = '$';

/// The token of the inbox that the gateway makes for the requests of one session, from bytes that nobody can guess.
pub fn requester_token(random: [u8; 16]) -> Box<str> {
    format!("{REQUESTER_MARK}{:032x}", u128::from_be_bytes(random)).into()
}

/// The topic of the gateway's own inbox for one request of a session.
pub fn requester_topic(token: &str, request: u64) -> Option<Topic> {
    Topic::parse(&format!("{INBOX_PREFIX}.{token}.{request}")).ok()
}

/// Whose request an answer on `topic` is for, and which, if the inbox is one of the gateway's.
fn requester_address(topic: &Topic) -> Option<(&str, u64)> {
    let behind = topic.as_str().strip_prefix(INBOX_PREFIX)?.strip_prefix('.')?;
    // Most are not.
    let (token, request) = behind.starts_with(REQUESTER_MARK).then(|| behind.split_once('.'))??;
    Some((token, request.parse().ok()?))
}

#[cfg(test)]
mod tests;
