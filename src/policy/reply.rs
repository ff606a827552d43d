//! Reply rights: leave to publish into another's inbox, because a request came from there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::denial::{Denial, DenialReason};
use super::permit::PublishPermit;
use crate::topic::Topic;

/// A table of this capacity is not worth giving back, since the next request would allocate it again.
const KEPT: usize = 32;

/// The reply rights of one session, bounded in number: when a right too many is granted, the oldest goes. The oldest
/// and not the next to end, or a requester with long timeouts could keep others' rights out with one burst.
#[derive(Debug)]
pub struct ReplyRights {
    capacity: usize,
    rights: HashMap<Topic, Right>,
    by_age: BTreeMap<u64, Topic>,
    by_end: BTreeSet<(Instant, u64)>,
    next_serial: u64,
    evicted: u64,
}

#[derive(Debug)]
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
            rights: HashMap::new(),
            by_age: BTreeMap::new(),
            by_end: BTreeSet::new(),
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
        let earlier = self.forget(&reply);
        if self.rights.len() >= self.capacity {
            self.evict_oldest();
        }
        let (until, uses) = match earlier {
            Some(right) => (right.until.max(until), right.uses.saturating_add(uses)),
            None => (until, uses),
        };
        self.remember(reply, until, uses);
        true
    }

    /// Uses up one message of the right to `topic`.
    ///
    /// # Errors
    /// [`DenialReason::ReplyRightNeeded`] if there is no right, if it has ended or if it is used up.
    pub fn take(&mut self, topic: &Topic, now: Instant) -> Result<PublishPermit, Denial> {
        self.expire(now);
        let Some(right) = self.rights.get_mut(topic) else {
            return Err(Denial::new(DenialReason::ReplyRightNeeded, topic));
        };
        right.uses = right.uses.saturating_sub(1);
        if right.uses == 0 {
            self.forget(topic);
        }
        Ok(PublishPermit::by_reply_right(topic.clone()))
    }

    /// Drops the rights that have ended by `now`. The other methods do so by themselves; an idle session's timer may
    /// call this to give memory back.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(until, serial)) = self.by_end.first()
            && until <= now
        {
            self.by_end.pop_first();
            if let Some(topic) = self.by_age.remove(&serial) {
                self.rights.remove(&topic);
            }
        }
        if self.rights.capacity() > KEPT && self.rights.len() <= self.rights.capacity() / 8 {
            self.rights.shrink_to(self.rights.len().saturating_mul(2));
        }
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
        self.rights = HashMap::new();
        self.by_age.clear();
        self.by_end.clear();
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

    fn remember(&mut self, reply: Topic, until: Instant, uses: u32) {
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        self.by_age.insert(serial, reply.clone());
        self.by_end.insert((until, serial));
        self.rights.insert(reply, Right { serial, until, uses });
    }

    fn forget(&mut self, topic: &Topic) -> Option<Right> {
        let right = self.rights.remove(topic)?;
        self.by_age.remove(&right.serial);
        self.by_end.remove(&(right.until, right.serial));
        Some(right)
    }

    fn evict_oldest(&mut self) {
        let Some((_, topic)) = self.by_age.pop_first() else { return };
        self.forget(&topic);
        self.evicted = self.evicted.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
