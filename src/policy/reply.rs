//! Reply rights: leave to publish into another's inbox, because a request came from there.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Instant;

use super::denial::{Denial, DenialReason};
use super::permit::PublishPermit;
use crate::keyed::Keyed;
use crate::topic::Topic;

/// What the orders hold beyond twice the rights before they are cleared of what is over.
const SLACK: usize = 32;

/// The reply rights of one session, bounded in number: when a right too many is granted, the oldest goes. The oldest
/// and not the next to end, or a requester with long timeouts could keep others' rights out with one burst.
#[derive(Debug)]
pub struct ReplyRights {
    capacity: usize,
    rights: HashMap<Topic, Right, Keyed>,
    /// By serial. What is over leaves a gap, because nearly every right is used up long before it ends.
    by_age: VecDeque<(u64, Option<Topic>)>,
    /// The next to end first, some that are over among them.
    by_end: BinaryHeap<Reverse<(Instant, u64)>>,
    next_serial: u64,
    evicted: u64,
}

#[derive(Debug, Clone, Copy)]
struct Right {
    serial: u64,
    until: Instant,
    uses: u32,
}

impl ReplyRights {
    /// An empty table for at most `capacity` rights, which takes memory only for those it holds.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            rights: HashMap::default(),
            by_age: VecDeque::new(),
            by_end: BinaryHeap::new(),
            next_serial: 0,
            evicted: 0,
        }
    }

    /// Grants `uses` messages to `reply`, up to but not at `until`. Where a right to the same topic is still good, its
    /// uses are added and the later end holds: each request may have its answer.
    ///
    /// Returns false, and grants nothing, unless `reply` lies in an inbox: elsewhere the policy alone decides, so that
    /// no requester lends itself the rights of the one who answers. Also false where nothing would be granted.
    pub fn grant(&mut self, reply: Topic, until: Instant, uses: u32, now: Instant) -> bool {
        self.expire(now);
        if reply.inbox_token().is_none() || until <= now || uses == 0 || self.capacity == 0 {
            return false;
        }
        let mut right = Right { serial: self.next_serial, until, uses };
        self.next_serial = right.serial.wrapping_add(1);
        match self.rights.entry(reply.clone()) {
            Entry::Vacant(place) => {
                place.insert(right);
            }
            Entry::Occupied(mut place) => {
                let earlier = place.get();
                right.until = until.max(earlier.until);
                right.uses = uses.saturating_add(earlier.uses);
                leave_gap(&mut self.by_age, earlier.serial);
                place.insert(right);
            }
        }
        self.by_age.push_back((right.serial, Some(reply)));
        self.by_end.push(Reverse((right.until, right.serial)));
        if self.rights.len() > self.capacity {
            self.evict_oldest();
        }
        if self.by_age.len().max(self.by_end.len()) > 2 * self.rights.len() + SLACK {
            self.close_gaps();
        }
        true
    }

    /// Uses up one message of the right to `topic`, a topic as it was written. None if there is no right, if it has ended or if it
    /// is used up.
    pub fn take(&mut self, topic: &str, now: Instant) -> Option<PublishPermit> {
        self.expire(now);
        let (topic, mut right) = self.rights.remove_entry(topic)?;
        right.uses = right.uses.saturating_sub(1);
        if right.uses > 0 {
            self.rights.insert(topic.clone(), right);
        } else {
            leave_gap(&mut self.by_age, right.serial);
        }
        Some(PublishPermit::by_reply_right(topic))
    }

    /// What one hears who has no right to `topic`.
    pub fn denial(topic: &Topic) -> Denial {
        Denial::new(DenialReason::ReplyRightNeeded, topic)
    }

    /// Drops the rights that have ended by `now`. The other methods do so by themselves.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&Reverse((until, serial))) = self.by_end.peek()
            && until <= now
        {
            self.by_end.pop();
            if let Some(topic) = leave_gap(&mut self.by_age, serial) {
                self.rights.remove(&topic);
            }
        }
    }

    /// Drops what has ended by `now`, and gives back the room that the rest does not need.
    pub fn rest(&mut self, now: Instant) {
        self.expire(now);
        self.close_gaps();
        self.rights.shrink_to_fit();
        self.by_age.shrink_to_fit();
        self.by_end.shrink_to_fit();
    }

    /// Holds at most `capacity` rights from now on; the oldest beyond it go.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        while self.rights.len() > capacity {
            self.evict_oldest();
        }
    }

    /// Takes all rights away, as when a new policy forbids responses.
    pub fn clear(&mut self) {
        self.rights = HashMap::default();
        self.by_age = VecDeque::new();
        self.by_end = BinaryHeap::new();
    }

    /// How many rights are held, ended ones that were not yet dropped among them.
    pub fn len(&self) -> usize {
        self.rights.len()
    }

    /// Whether no right is held.
    pub fn is_empty(&self) -> bool {
        self.rights.is_empty()
    }

    /// How many rights had to go before their end, since the session began.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn evict_oldest(&mut self) {
        while let Some((_, topic)) = self.by_age.pop_front() {
            if let Some(topic) = topic {
                self.rights.remove(&topic);
                self.evicted = self.evicted.saturating_add(1);
                return;
            }
        }
    }

    /// Clears both orders of what is over, and gives back what a burst of requests took.
    fn close_gaps(&mut self) {
        self.by_age.retain(|(_, topic)| topic.is_some());
        let live = |serial: &u64| self.by_age.binary_search_by_key(serial, |(serial, _)| *serial).is_ok();
        self.by_end.retain(|Reverse((_, serial))| live(serial));
        let room = 4 * (self.rights.len() + SLACK);
        self.rights.shrink_to(room);
        self.by_age.shrink_to(room);
        self.by_end.shrink_to(room);
    }
}

/// Takes a right out of the order by age, if it is there.
fn leave_gap(by_age: &mut VecDeque<(u64, Option<Topic>)>, serial: u64) -> Option<Topic> {
    // Without gaps that were closed it is as far from the front as their serials are.
    let (first, _) = by_age.front()?;
    let guess = usize::try_from(serial.wrapping_sub(*first)).unwrap_or(usize::MAX);
    let place = match by_age.get(guess) {
        Some((found, _)) if *found == serial => guess,
        _ => by_age.binary_search_by_key(&serial, |(serial, _)| *serial).ok()?,
    };
    let (_, topic) = by_age.get_mut(place)?;
    let topic = topic.take();
    while let Some((_, None)) = by_age.front() {
        by_age.pop_front();
    }
    topic
}

#[cfg(test)]
mod tests;
