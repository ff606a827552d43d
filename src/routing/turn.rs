//! What one turn of a session's loop sends. Its receivers are told once, at the end, that something waits for them: a wake-up for
//! each message would cost more than the message.

use std::sync::Arc;

use super::Matched;
use crate::session::{Outbox, Queued};

/// Bytes of room that stay from one turn to the next.
const RETAINED: usize = 4 * 1024;

/// Messages that are queued, and receivers that do not know yet. Whoever publishes ends the turn before it waits for anything;
/// a turn that is dropped ends too.
#[derive(Default)]
pub struct Turn {
    pub(super) scratch: Vec<u8>,
    pub(super) waiting: Waiting,
    /// Who hears an answer; empty between two of them.
    pub(super) answer_receivers: Matched,
}

/// Who has to be told that something waits, and what it took to get there.
#[derive(Default)]
pub(super) struct Waiting {
    outboxes: Vec<Arc<Outbox>>,
    work: usize,
}

/// Operations and offers to receivers after which a turn is to end, whatever is left to do: some two milliseconds. One message of
/// a client holds operations by the ten thousand, each for any number of receivers.
const MOST_WORK: usize = 16 * 1024;

impl Turn {
    /// Tells all receivers.
    pub fn end(&mut self) {
        let Self { scratch, waiting, .. } = self;
        for outbox in waiting.outboxes.drain(..) {
            outbox.signal();
        }
        waiting.work = 0;
        scratch.clear();
        scratch.shrink_to(RETAINED);
        waiting.outboxes.shrink_to(RETAINED / size_of::<Arc<Outbox>>());
    }

    /// Counts an operation. Whether the turn may go on.
    pub fn goes_on(&mut self) -> bool {
        self.waiting.work += 1;
        self.waiting.work <= MOST_WORK
    }

    /// The same, and gives the room of busy turns back.
    pub fn rest(&mut self) {
        *self = Self::default();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end();
    }
}

impl Waiting {
    /// Counts offers to receivers.
    pub(super) fn count(&mut self, offers: usize) {
        self.work = self.work.saturating_add(offers);
    }

    /// Remembers whom to tell. Whether the message was taken.
    pub(super) fn note(&mut self, queued: Queued, outbox: &Arc<Outbox>) -> bool {
        if queued == Queued::First {
            self.outboxes.push(outbox.clone());
        }
        queued != Queued::Refused
    }
}
