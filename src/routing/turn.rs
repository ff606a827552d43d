//! What one turn of a session's loop sends. Its receivers are told once, at the end, that something waits for them: a wake-up for
//! each message would cost more than the message.

use std::sync::Arc;

use crate::session::{Outbox, Queued};

/// Bytes of room that stay from one turn to the next.
const RETAINED: usize = 4 * 1024;

/// Messages that are queued, and receivers that do not know yet. Whoever publishes ends the turn before it waits for anything;
/// a turn that is dropped ends too.
#[derive(Default)]
pub struct Turn {
    pub(super) scratch: Vec<u8>,
    pub(super) waiting: Waiting,
}

/// Who has to be told that something waits.
#[derive(Default)]
pub(super) struct Waiting(Vec<Arc<Outbox>>);

impl Turn {
    /// Tells all receivers.
    pub fn end(&mut self) {
        let Self { scratch, waiting } = self;
        for outbox in waiting.0.drain(..) {
            outbox.signal();
        }
        scratch.clear();
        scratch.shrink_to(RETAINED);
        waiting.0.shrink_to(RETAINED / size_of::<Arc<Outbox>>());
    }

    /// The same, and gives the room of busy turns back.
    pub fn rest(&mut self) {
        self.end();
        (self.scratch, self.waiting.0) = (Vec::new(), Vec::new());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end();
    }
}

impl Waiting {
    /// Remembers whom to tell. Whether the message was taken.
    pub(super) fn note(&mut self, queued: Queued, outbox: &Arc<Outbox>) -> bool {
        if queued == Queued::First {
            self.0.push(outbox.clone());
        }
        queued != Queued::Refused
    }
}
