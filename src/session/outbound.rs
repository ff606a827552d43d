//! What waits to be written to one session. A publisher puts it here and goes on: it never waits for a subscriber.
//!
//! Invariant: at most `max_messages` and `max_bytes` wait. What would be more ends the session as a slow consumer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::protocol::{Event, Message};
use crate::routing::Subscription;

/// One thing to write.
pub enum Outgoing {
    /// A message for one of the session's subscriptions.
    Delivery(Delivery),
    /// The answer to the session's request with this number.
    Response { request: u64, message: Arc<Message> },
    /// What the gateway itself says.
    Event(Box<Event>),
}

/// A message on its way to one subscription.
pub struct Delivery {
    pub subscription: Arc<Subscription>,
    pub message: Arc<Message>,
    /// How long the receiver may answer, where the message asks for one.
    pub answer_within: Option<Duration>,
}

impl Outgoing {
    fn bytes(&self) -> usize {
        // An event of the gateway is small; its share of the bound is what one costs on the heap.
        const EVENT_BYTES: usize = 256;
        match self {
            Self::Delivery(delivery) => delivery.message.size(),
            Self::Response { message, .. } => message.size(),
            Self::Event(_) => EVENT_BYTES,
        }
    }
}

/// The queue of one session, shared by its task and by everyone who publishes to it.
pub struct Outbox {
    queue: Mutex<Queue>,
    /// Something waits to be written.
    wake: Notify,
    /// The session must look around it, even while it is writing.
    alarm: Notify,
    state: AtomicU8,
}

struct Queue {
    /// Each with its bytes, so that a drain need not look into messages that others may just have written.
    items: VecDeque<(Outgoing, usize)>,
    bytes: usize,
    max_messages: usize,
    max_bytes: usize,
}

const OPEN: u8 = 0;
const OVERFLOWED: u8 = 1;
const CLOSED: u8 = 2;

impl Outbox {
    pub fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self {
            queue: Mutex::new(Queue { items: VecDeque::new(), bytes: 0, max_messages, max_bytes }),
            wake: Notify::new(),
            alarm: Notify::new(),
            state: AtomicU8::new(OPEN),
        }
    }

    /// Holds these bounds for what is queued from now on.
    pub fn set_bounds(&self, max_messages: usize, max_bytes: usize) {
        let mut queue = self.lock();
        (queue.max_messages, queue.max_bytes) = (max_messages, max_bytes);
    }

    /// Queues `item`, and wakes the session if it may be asleep. Whether the item was taken.
    pub fn push(&self, item: Outgoing) -> bool {
        let bytes = item.bytes();
        let mut queue = self.lock();
        if self.state.load(Ordering::Relaxed) != OPEN {
            return false;
        }
        if queue.items.len() >= queue.max_messages || queue.bytes.saturating_add(bytes) > queue.max_bytes {
            self.state.store(OVERFLOWED, Ordering::Relaxed);
            drop(queue);
            self.alarm.notify_one();
            return false;
        }
        let was_empty = queue.items.is_empty();
        queue.items.push_back((item, bytes));
        queue.bytes += bytes;
        drop(queue);
        if was_empty {
            self.wake.notify_one();
        }
        true
    }

    /// Moves waiting items to `into`, up to `most` of them and no more once they have `enough_bytes`, and returns
    /// whether more wait.
    pub fn take(&self, into: &mut Vec<Outgoing>, most: usize, enough_bytes: usize) -> bool {
        let mut queue = self.lock();
        let (mut count, mut taken) = (0, 0);
        while count < most
            && taken < enough_bytes
            && let Some((item, bytes)) = queue.items.pop_front()
        {
            into.push(item);
            count += 1;
            taken += bytes;
        }
        queue.bytes -= taken;
        // A burst's room is given back, so that an idle session costs little.
        if queue.items.is_empty() && queue.items.capacity() > RETAINED_ITEMS {
            queue.items = VecDeque::new();
        }
        !queue.items.is_empty()
    }

    /// Refuses whatever comes from now on and drops what waits: the session is mute.
    pub fn close(&self) {
        let mut queue = self.lock();
        self.state.store(CLOSED, Ordering::Relaxed);
        (queue.items, queue.bytes) = (VecDeque::new(), 0);
    }

    /// Waits until something was queued since the last wait.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Tells the session to look at what changed around it: a generation, a drain, an overflow.
    pub fn alarm(&self) {
        self.alarm.notify_one();
    }

    /// Waits for [`Self::alarm`].
    pub async fn alarmed(&self) {
        self.alarm.notified().await;
    }

    /// Whether more was queued than the bound allows.
    pub fn has_overflowed(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OVERFLOWED
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Protects the queue and the state's transitions; held for a push or a drain, never across an await.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Items of room that an empty queue keeps.
const RETAINED_ITEMS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Outgoing {
        Outgoing::Event(Box::new(Event::Draining { deadline: 0, alternatives: Arc::from([]) }))
    }

    #[test]
    fn the_bound_holds_in_messages() {
        let outbox = Outbox::new(2, usize::MAX);
        assert!(outbox.push(event()) && outbox.push(event()));
        assert!(!outbox.push(event()));
        let mut taken = Vec::new();
        assert!(outbox.has_overflowed() && outbox.take(&mut taken, 1, usize::MAX));
        assert!(!outbox.push(event()), "a session that overflowed takes nothing more");
    }

    #[test]
    fn the_bound_holds_in_bytes_and_taking_gives_them_back() {
        let size = event().bytes();
        let outbox = Outbox::new(usize::MAX, 2 * size);
        assert!(outbox.push(event()) && outbox.push(event()));
        let mut taken = Vec::new();
        assert!(outbox.take(&mut taken, 1, usize::MAX));
        assert!(outbox.push(event()));
        assert!(!outbox.push(event()));
    }

    #[test]
    fn a_drain_stops_once_it_has_enough_bytes() {
        let outbox = Outbox::new(usize::MAX, usize::MAX);
        assert!((0..4).all(|_| outbox.push(event())));
        let mut taken = Vec::new();
        assert!(outbox.take(&mut taken, usize::MAX, event().bytes() + 1));
        assert_eq!(taken.len(), 2);
        assert!(!outbox.take(&mut taken, usize::MAX, usize::MAX));
        assert_eq!(taken.len(), 4);
    }

    #[test]
    fn a_closed_outbox_takes_nothing_and_keeps_nothing() {
        let outbox = Outbox::new(8, usize::MAX);
        outbox.push(event());
        outbox.close();
        assert!(!outbox.push(event()));
        let mut taken = Vec::new();
        assert!(!outbox.take(&mut taken, 8, usize::MAX) && taken.is_empty());
    }
}
