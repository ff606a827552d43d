//! What one turn of a session's loop sends. Its receivers are told once, at the end, that something waits for them: a wake-up for
//! each message would cost more than the message.

use std::sync::Arc;

use super::Hearers;
use crate::session::{Outbox, Queued};

/// Bytes of room, of each kind, that stay from one turn to the next.
const RETAINED: usize = 4 * 1024;
/// Subscriptions that are remembered to hear answers from one turn to the next, and the room for them.
const MOST_HEARERS: usize = 512;

/// Messages that are queued, and receivers that do not know yet. Whoever publishes ends the turn before it waits for anything;
/// a turn that is dropped ends too.
#[derive(Default)]
pub struct Turn {
    pub(super) scratch: Vec<u8>,
    pub(super) wakeups: Wakeups,
    /// Who heard the answer before.
    pub(super) hearers: Hearers,
}

/// Who has to be told that something waits, and what it took to get there.
#[derive(Default)]
pub(super) struct Wakeups {
    outboxes: Vec<Arc<Outbox>>,
    work: usize,
}

/// Operations, offers to receivers and places looked through for them after which a turn is to end, whatever is left to do: some two
/// milliseconds. What one read brings holds operations by the thousand, each for any number of receivers.
const MOST_WORK: usize = 16 * 1024;

impl Turn {
    /// Tells all receivers.
    pub fn end(&mut self) {
        let Self { scratch, wakeups, hearers } = self;
        for outbox in wakeups.outboxes.drain(..) {
            outbox.signal();
        }
        wakeups.work = 0;
        scratch.clear();
        scratch.shrink_to(RETAINED);
        wakeups.outboxes.shrink_to(RETAINED / size_of::<Arc<Outbox>>());
        if hearers.matched.room() > MOST_HEARERS {
            *hearers = Hearers::default();
        }
    }

    /// Counts an operation. Whether the turn may go on.
    pub fn goes_on(&mut self) -> bool {
        self.count(1);
        self.wakeups.work <= MOST_WORK
    }

    /// Counts what takes about as long as so many offers.
    pub fn count(&mut self, work: usize) {
        self.wakeups.count(work);
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

impl Wakeups {
    pub(super) fn count(&mut self, work: usize) {
        self.work = self.work.saturating_add(work);
    }

    /// Remembers whom to tell. Whether the message was taken.
    pub(super) fn note(&mut self, queued: Queued, outbox: &Arc<Outbox>) -> bool {
        if queued == Queued::First {
            self.outboxes.push(outbox.clone());
        }
        queued != Queued::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_after_so_much_work_of_whatever_kind() {
        let mut turn = Turn::default();
        assert!((0..MOST_WORK).all(|_| turn.goes_on()));
        assert!(!turn.goes_on());
        turn.end();
        assert!(turn.goes_on(), "the next one begins anew");
        turn.count(MOST_WORK);
        assert!(!turn.goes_on());
    }
}
