//! One live subscription, shared by its session and by the lanes that lead to it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::policy::{GroupScope, SubscribePermit};
use crate::protocol::Sid;
use crate::session::{Outbox, SessionId};
use crate::topic::{Pattern, Topic};

/// A subscription that the policy permitted.
pub struct Subscription {
    pattern: Pattern,
    /// Changes in place when the policy grants the same pattern in another way, so that no message is lost between
    /// an old subscription and a new one.
    permit: ArcSwap<SubscribePermit>,
    /// Costs less to know than to look at the permit for each message.
    may_be_narrowed: AtomicBool,
    session: SessionId,
    sid: Sid,
    echo: bool,
    outbox: Arc<Outbox>,
    /// Messages counted in, and above [`COUNT_BITS`] how often its end was changed: a publisher that did not see the last change
    /// counts nothing in.
    counted_in: AtomicU64,
    written: AtomicU64,
    /// Messages in all after which it ends; `u64::MAX` is never.
    most: AtomicU64,
}

/// Bits of the count of messages: nine years of a million a second.
const COUNT_BITS: u32 = 48;
const ONE_CHANGE: u64 = 1 << COUNT_BITS;

impl Subscription {
    pub(super) fn new(
        permit: SubscribePermit,
        session: SessionId,
        sid: Sid,
        echo: bool,
        outbox: Arc<Outbox>,
    ) -> Self {
        Self {
            pattern: permit.pattern().clone(),
            may_be_narrowed: AtomicBool::new(permit.is_narrowed()),
            permit: ArcSwap::from_pointee(permit),
            session,
            sid,
            echo,
            outbox,
            counted_in: AtomicU64::new(0),
            written: AtomicU64::new(0),
            most: AtomicU64::new(u64::MAX),
        }
    }

    pub fn sid(&self) -> &Sid {
        &self.sid
    }

    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The permit that it stands on now.
    pub fn permit(&self) -> Arc<SubscribePermit> {
        self.permit.load_full()
    }

    /// Lets it end by itself after `most` messages in all. Whether so many were written already.
    pub fn end_after(&self, most: u64) -> bool {
        self.set_most(most);
        self.may_write() == 0
    }

    /// How many messages may be written yet. Those that wait beyond are too many: they were queued before the end was known.
    pub fn may_write(&self) -> u64 {
        self.most.load(Ordering::SeqCst).saturating_sub(self.written.load(Ordering::Relaxed))
    }

    /// Counts so many of its messages as written to the session. Only that does, so that to load and to store suffices.
    pub fn count_written(&self, messages: u64) {
        self.written.store(self.written.load(Ordering::Relaxed) + messages, Ordering::Relaxed);
    }

    /// Whether a deny of the policy takes `topic` out of this subscription.
    pub fn filters(&self, topic: &Topic) -> bool {
        self.may_be_narrowed.load(Ordering::SeqCst) && self.permit.load().filters(topic)
    }

    /// Changes the permit. One at a time: the caller holds the lock of the shard.
    pub(super) fn set_permit(&self, permit: SubscribePermit) {
        // Set before and cleared behind the permit, so that nobody takes a narrowed one for another.
        let is_narrowed = permit.is_narrowed();
        if is_narrowed {
            self.may_be_narrowed.store(true, Ordering::SeqCst);
        }
        self.permit.store(Arc::new(permit));
        if !is_narrowed {
            self.may_be_narrowed.store(false, Ordering::SeqCst);
        }
    }

    pub(super) fn group(&self) -> Option<GroupScope> {
        self.permit.load().group().cloned()
    }

    pub(super) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Receives nothing any more, and what waits for it is dropped.
    pub fn end(&self) {
        self.set_most(0);
    }

    /// Has its last message with what was counted in so far.
    pub(super) fn finish(&self) {
        let most = self.most.load(Ordering::SeqCst);
        let counted_in = self.set_most(0);
        self.most.store(counted_in.min(most), Ordering::SeqCst);
    }

    /// Changes its end, and tells what was counted in up to then. Only its session does, one at a time.
    fn set_most(&self, most: u64) -> u64 {
        self.most.store(most, Ordering::SeqCst);
        count(self.counted_in.fetch_add(ONE_CHANGE, Ordering::SeqCst))
    }

    /// Counts a message that the gateway itself wrote to the session for it.
    pub fn count_own(&self) {
        self.counted_in.fetch_add(1, Ordering::SeqCst);
        self.count_written(1);
    }

    /// Counts messages in, as many of them as come before it had its last. How many.
    pub(super) fn admit(&self, messages: usize) -> usize {
        let mut admitted = 0;
        // Nothing is counted in and taken back: others would see it meanwhile.
        let _ = self.counted_in.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |counted_in| {
            let left = self.most.load(Ordering::SeqCst).saturating_sub(count(counted_in));
            admitted = usize::try_from(left).unwrap_or(usize::MAX).min(messages);
            (admitted > 0).then(|| counted_in + admitted as u64)
        });
        admitted
    }

    pub(super) fn wants_from(&self, sender: SessionId) -> bool {
        self.echo || sender != self.session
    }
}

fn count(counted_in: u64) -> u64 {
    counted_in & (ONE_CHANGE - 1)
}

/// Two subscriptions are the same only if they are one.
impl PartialEq for Subscription {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Subscription {}

impl Hash for Subscription {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self, state);
    }
}
