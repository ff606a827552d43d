//! Requests of one session that wait for their answer: each gets exactly one, a response or an error.

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;

use crate::protocol::OpId;

/// The waiting requests, by number and by deadline. Bounded by the caller, which asks [`Self::len`] first.
#[derive(Default)]
pub struct Requests {
    waiting: HashMap<u64, (OpId, Instant)>,
    deadlines: BTreeSet<(Instant, u64)>,
    next: u64,
}

impl Requests {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Lets the operation `id` wait until `deadline`, and returns the number that its answer will carry.
    pub fn wait(&mut self, id: OpId, deadline: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, (id, deadline));
        self.deadlines.insert((deadline, number));
        number
    }

    /// Ends the wait of request `number`: the operation to answer, unless it was answered or timed out before.
    pub fn answered(&mut self, number: u64) -> Option<OpId> {
        let (id, deadline) = self.waiting.remove(&number)?;
        self.deadlines.remove(&(deadline, number));
        Some(id)
    }

    /// Ends the wait of one request whose deadline has passed.
    pub fn expired(&mut self, now: Instant) -> Option<OpId> {
        let &(deadline, number) = self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.answered(number)
    }

    /// When the next request times out.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_request_is_answered_once() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        let id = |number| OpId::new(number).unwrap();
        let first = requests.wait(id(7), now + Duration::from_secs(2));
        let second = requests.wait(id(8), now + Duration::from_secs(1));
        assert_eq!(requests.answered(first), Some(id(7)));
        assert_eq!(requests.answered(first), None);
        assert_eq!(requests.next_deadline(), Some(now + Duration::from_secs(1)));
        assert_eq!(requests.expired(now), None);
        assert_eq!(requests.expired(now + Duration::from_secs(1)), Some(id(8)));
        assert_eq!(requests.answered(second), None);
        assert_eq!((requests.len(), requests.next_deadline()), (0, None));
    }
}
