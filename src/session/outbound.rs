//! What waits to be written to one session, encoded as it will be written. A publisher puts it here and goes on: it never waits
//! for a subscriber.
//!
//! Invariant: at most `max_messages` and `max_bytes` wait, what the session took and has not written yet among them. What would
//! be more ends the session as a slow consumer.

mod batch;

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use atomic_waker::AtomicWaker;

pub use batch::{Batch, Item, Piece};

use super::encoding::Encodings;
use crate::protocol::{Form, Message, json};
use crate::routing::Subscription;
use crate::topic::Topic;

/// The queue of one session, shared by its task and by everyone who publishes to it.
pub struct Outbox {
    queue: Mutex<Queue>,
    /// Something waits to be written, or the session must look around it.
    signalled: AtomicBool,
    waker: AtomicWaker,
    state: AtomicU8,
    /// The place of its form.
    form: AtomicUsize,
}

struct Queue {
    fresh: Batch,
    /// Of what is fresh, and of what was taken and is not settled.
    waiting: Load,
    most: Load,
}

/// Messages, and what they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    pub messages: usize,
    pub bytes: usize,
}

/// What became of something that was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// It is the first that waits: the session must be signalled, best when all is queued that is there.
    First,
    /// The session knows already that something waits.
    Behind,
    /// The session takes nothing, or nothing more.
    Refused,
}

const OPEN: u8 = 0;
const OVERFLOWED: u8 = 1;
const CLOSED: u8 = 2;

impl Outbox {
    pub fn new(max_messages: usize, max_bytes: usize, form: Form) -> Self {
        let most = Load { messages: max_messages, bytes: max_bytes };
        Self {
            queue: Mutex::new(Queue { fresh: Batch::default(), waiting: Load::default(), most }),
            signalled: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            state: AtomicU8::new(OPEN),
            form: AtomicUsize::new(form.index()),
        }
    }

    /// Holds these bounds for what is queued from now on.
    pub fn set_bounds(&self, max_messages: usize, max_bytes: usize) {
        self.lock().most = Load { messages: max_messages, bytes: max_bytes };
    }

    /// Encodes what comes from now on in this form.
    pub fn set_form(&self, form: Form) {
        self.form.store(form.index(), Ordering::Relaxed);
    }

    /// In which form it holds what comes now.
    pub fn form(&self) -> Form {
        Form::at(self.form.load(Ordering::Relaxed))
    }

    /// Queues a message for one of the session's subscriptions, with how long it may answer where the message asks for that.
    pub fn deliver(
        &self,
        subscription: &Arc<Subscription>,
        encodings: &mut Encodings<'_>,
        answer_within: Option<Duration>,
    ) -> Queued {
        // One that takes nothing more costs its publishers nothing more.
        if self.state.load(Ordering::Relaxed) != OPEN {
            return Queued::Refused;
        }
        let (topic, reply) = (encodings.message().topic, encodings.message().reply);
        let answer = answer_within.and_then(|within| Some((reply?.clone(), within)));
        let frame = encodings.of(self.form(), subscription.sid());
        let load = Batch::load(1, frame.len());
        self.push(load, |fresh| fresh.add_message(subscription, topic, answer, |out| frame.write(out)))
    }

    /// Queues messages of one topic that are encoded in the session's form, one behind the other.
    pub fn deliver_burst(
        &self,
        subscription: &Arc<Subscription>,
        topic: &Topic,
        bytes: &[u8],
        lengths: &[u32],
    ) -> Queued {
        if self.state.load(Ordering::Relaxed) != OPEN {
            return Queued::Refused;
        }
        let load = Batch::load(lengths.len(), bytes.len());
        self.push(load, |fresh| fresh.add_run(subscription, topic, bytes, lengths))
    }

    /// Queues the answer to the session's request of this number.
    pub fn respond(&self, request: u64, message: &Message<'_>) -> Queued {
        let mut tail = Vec::new();
        json::response_tail(message, &mut tail);
        self.push(Batch::load(1, tail.len()), |fresh| fresh.add_response(request, tail))
    }

    /// Queues the answer to a ping, behind all that waits.
    pub fn pong(&self) {
        // The session that asks is awake, and one that overflows by it is signalled.
        self.push(Batch::load(1, 0), Batch::add_pong);
    }

    fn push(&self, load: Load, add: impl FnOnce(&mut Batch)) -> Queued {
        let mut queue = self.lock();
        if self.state.load(Ordering::Relaxed) != OPEN {
            return Queued::Refused;
        }
        let waiting = queue.waiting.with(load);
        if waiting.messages > queue.most.messages || waiting.bytes > queue.most.bytes {
            self.state.store(OVERFLOWED, Ordering::Relaxed);
            drop(queue);
            self.signal();
            return Queued::Refused;
        }
        queue.waiting = waiting;
        let was_empty = queue.fresh.is_empty();
        add(&mut queue.fresh);
        if was_empty { Queued::First } else { Queued::Behind }
    }

    /// Counts what was written of `batch` as waiting no more, and fills it with all that waits if nothing is left in it. Whether
    /// something is in it then.
    pub fn take(&self, batch: &mut Batch) -> bool {
        let mut queue = self.lock();
        queue.waiting = queue.waiting.without(batch.settle());
        if batch.is_empty() {
            batch.reuse();
            std::mem::swap(&mut queue.fresh, batch);
        }
        !batch.is_empty()
    }

    /// Gives back the room that a burst took and that nothing needs now.
    pub fn rest(&self, batch: &mut Batch) {
        let mut queue = self.lock();
        for batch in [&mut queue.fresh, batch] {
            if batch.is_empty() {
                batch.rest();
            }
        }
    }

    /// Refuses whatever comes from now on and drops what waits: the session is mute.
    pub fn close(&self) {
        let mut queue = self.lock();
        self.state.store(CLOSED, Ordering::Relaxed);
        (queue.fresh, queue.waiting) = (Batch::default(), Load::default());
    }

    /// Tells the session to look: something waits, a generation came, a drain began, its queue overflowed.
    pub fn signal(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Waits for [`Self::signal`].
    pub async fn signalled(&self) {
        poll_fn(|context| {
            if self.signalled.swap(false, Ordering::AcqRel) {
                return Poll::Ready(());
            }
            self.waker.register(context.waker());
            // A signal may have come between the look and the registration.
            if self.signalled.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether more was queued than the bound allows.
    pub fn has_overflowed(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OVERFLOWED
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Protects the queue and the state's transitions; held for a push or a take, never across an await.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    fn with(self, more: Self) -> Self {
        let (messages, bytes) =
            (self.messages.saturating_add(more.messages), self.bytes.saturating_add(more.bytes));
        Self { messages, bytes }
    }

    fn without(self, less: Self) -> Self {
        let (messages, bytes) =
            (self.messages.saturating_sub(less.messages), self.bytes.saturating_sub(less.bytes));
        Self { messages, bytes }
    }
}

#[cfg(test)]
mod tests;
