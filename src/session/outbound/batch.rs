//! Encoded messages in the order in which they came: the bytes of all in one piece, and beside them whose they are.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Load;
use crate::routing::Subscription;
use crate::topic::Topic;

/// What a message takes beside its bytes, at most.
const MESSAGE_BYTES: usize = 128;
/// Bytes of room that an empty batch keeps after it was well filled, and messages for which it keeps room beside.
const RETAINED_BUSY: usize = 64 * 1024;
const RETAINED_ITEMS_BUSY: usize = 4 * 1024;
/// The same however little passes through it.
pub(super) const RETAINED: usize = 4 * 1024;
const RETAINED_ITEMS: usize = 32;

/// What waits. Most of it are runs, so that what is to be known of a message is kept once for many.
#[derive(Default)]
pub struct Batch {
    items: VecDeque<Item>,
    bytes: Vec<u8>,
    /// How many of `bytes` are done with.
    done: usize,
    /// Of each message that lies in `bytes`, how many of them are its own.
    lengths: VecDeque<u32>,
    /// What is done with and not settled.
    unsettled: Load,
}

/// One thing that waits.
pub enum Item {
    Run(Run),
    /// The answer to a ping of the NATS dialect: it tells that all that was under way has come.
    Pong,
    /// The answer to the session's request with this number, but for the head of its frame.
    Response {
        request: u64,
        tail: Vec<u8>,
    },
}

/// Messages on one topic for one subscription, one behind the other.
pub struct Run {
    pub subscription: Arc<Subscription>,
    pub topic: Topic,
    /// Where an answer goes and how long one may come, where the message asks for it; such a message stands alone.
    pub answer: Option<(Topic, Duration)>,
    /// The rest of a message whose end it shares with others; such a message stands alone.
    pub shared: Option<Bytes>,
    messages: usize,
}

/// Whole messages of a run, taken off a batch.
pub struct Piece<'b> {
    pub messages: usize,
    /// What follows the bytes.
    shared: Option<Bytes>,
    batch: &'b mut Vec<u8>,
    place: Range<usize>,
}

impl Piece<'_> {
    #[cfg(test)]
    pub fn bytes(&self) -> &[u8] {
        &self.batch[self.place.clone()]
    }

    #[cfg(test)]
    pub fn shared(&self) -> Option<&Bytes> {
        self.shared.as_ref()
    }

    /// Moves its bytes to the end of `out`, and returns what follows them.
    pub fn append_to(self, out: &mut Vec<u8>) -> Option<Bytes> {
        if out.is_empty() && self.place == (0..self.batch.len()) {
            // All the bytes of the batch go, so that what follows in it, if anything, has none, and nothing is added to a batch that
            // was taken: the rooms may change places.
            std::mem::swap(out, self.batch);
        } else {
            out.extend_from_slice(self.batch.get(self.place).unwrap_or_default());
        }
        self.shared
    }
}

impl Run {
    fn continues(&self, subscription: &Arc<Subscription>, topic: &Topic) -> bool {
        self.answer.is_none()
            && self.shared.is_none()
            && Arc::ptr_eq(&self.subscription, subscription)
            && self.topic.is_same(topic)
    }
}

impl Batch {
    /// What so many messages count that have so many bytes together.
    pub fn load(messages: usize, bytes: usize) -> Load {
        Load { messages, bytes: bytes.saturating_add(messages.saturating_mul(MESSAGE_BYTES)) }
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds a message; `write` appends its bytes and returns the end that it shares with others.
    pub(super) fn add_message(
        &mut self,
        subscription: &Arc<Subscription>,
        topic: &Topic,
        answer: Option<(Topic, Duration)>,
        write: impl FnOnce(&mut Vec<u8>) -> Option<Bytes>,
    ) {
        let start = self.bytes.len();
        let shared = write(&mut self.bytes);
        // What a message may have is counted in megabytes.
        self.lengths.push_back(u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX));
        if answer.is_none() && shared.is_none() {
            self.count_in(subscription, topic, 1);
            return;
        }
        let (subscription, topic) = (subscription.clone(), topic.clone());
        self.items.push_back(Item::Run(Run { subscription, topic, answer, shared, messages: 1 }));
    }

    /// Adds messages on one topic for one subscription, which ask for no answer and share nothing.
    pub(super) fn add_run(
        &mut self,
        subscription: &Arc<Subscription>,
        topic: &Topic,
        bytes: &[u8],
        lengths: &[u32],
    ) {
        self.bytes.extend_from_slice(bytes);
        self.lengths.extend(lengths);
        self.count_in(subscription, topic, lengths.len());
    }

    /// Counts messages to the run at the back, or begins one.
    fn count_in(&mut self, subscription: &Arc<Subscription>, topic: &Topic, messages: usize) {
        match self.items.back_mut() {
            Some(Item::Run(run)) if run.continues(subscription, topic) => run.messages += messages,
            _ => {
                let (subscription, topic) = (subscription.clone(), topic.clone());
                let run = Run { subscription, topic, answer: None, shared: None, messages };
                self.items.push_back(Item::Run(run));
            }
        }
    }

    pub(super) fn add_response(&mut self, request: u64, tail: Vec<u8>) {
        self.items.push_back(Item::Response { request, tail });
    }

    pub(super) fn add_pong(&mut self) {
        self.items.push_back(Item::Pong);
    }

    /// Takes the answer to a ping at the front. Whether there was one.
    pub fn take_pong(&mut self) -> bool {
        let is_pong = matches!(self.items.front(), Some(Item::Pong));
        if is_pong {
            self.items.pop_front();
            self.unsettled = self.unsettled.with(Self::load(1, 0));
        }
        is_pong
    }

    /// Takes where an answer goes, and how long one may come, out of the message at the front.
    pub fn take_answer(&mut self) -> Option<(Topic, Duration)> {
        match self.items.front_mut()? {
            Item::Run(run) => run.answer.take(),
            Item::Pong | Item::Response { .. } => None,
        }
    }

    /// What comes next.
    pub fn front(&self) -> Option<&Item> {
        self.items.front()
    }

    /// Takes up to `most` messages off the run at the front, and no more of them once they have `enough` bytes.
    pub fn cut(&mut self, most: usize, enough: usize) -> Piece<'_> {
        let (mut messages, mut length, mut shared) = (0, 0, None);
        if let Some(Item::Run(run)) = self.items.front_mut() {
            while messages < most.min(run.messages)
                && length < enough
                && let Some(own) = self.lengths.pop_front()
            {
                length += own as usize;
                messages += 1;
            }
            run.messages -= messages;
            shared = run.shared.take();
            if run.messages == 0 {
                self.items.pop_front();
            }
        }
        let place = self.done..self.done + length;
        self.done = place.end;
        let shared_bytes = shared.as_ref().map_or(0, Bytes::len);
        self.unsettled = self.unsettled.with(Self::load(messages, length + shared_bytes));
        Piece { messages, shared, batch: &mut self.bytes, place }
    }

    /// Takes the answer at the front.
    pub fn take_response(&mut self) -> Option<Vec<u8>> {
        let Item::Response { .. } = self.items.front()? else { return None };
        let Some(Item::Response { tail, .. }) = self.items.pop_front() else { return None };
        self.unsettled = self.unsettled.with(Self::load(1, tail.len()));
        Some(tail)
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.bytes.capacity()
    }

    /// What is done with since the last call.
    pub(super) fn settle(&mut self) -> Load {
        std::mem::take(&mut self.unsettled)
    }

    /// Gives an empty batch's room back.
    pub(super) fn rest(&mut self) {
        *self = Self { unsettled: self.unsettled, ..Self::default() };
    }

    /// Makes an empty batch ready to be filled anew. Its room stays while it is used: to give it back and take it again for
    /// every burst costs more than the burst.
    pub(super) fn reuse(&mut self) {
        // What passed through, though its room may have been swapped for another.
        let (used, room) = (self.done, self.bytes.capacity());
        let is_large = room > RETAINED_BUSY
            || self.items.capacity() > RETAINED_ITEMS_BUSY
            || self.lengths.capacity() > RETAINED_ITEMS_BUSY;
        if is_large {
            return self.rest();
        }
        self.bytes.clear();
        self.lengths.clear();
        self.done = 0;
        if used < room / 4 {
            // By and by, because small batches between large ones are common.
            self.bytes.shrink_to((room / 2).max(RETAINED));
            self.lengths.shrink_to((self.lengths.capacity() / 2).max(RETAINED_ITEMS));
            self.items.shrink_to((self.items.capacity() / 2).max(RETAINED_ITEMS));
        }
    }
}
