//! The session's publish lanes: what it may publish to and where that goes, remembered by topic. And the inbox that it has answers sent
//! to, which is forgotten with them when its grants change.

use std::collections::HashMap;

use crate::keyed::Keyed;
use crate::routing::Lane;
use crate::topic::Topic;

/// Topics remembered at once, which take some kilobyte each. A service that spreads over more pays for parsing, policy and matching
/// each time.
const MOST: usize = 2_048;
/// Receivers of all of them together, by which their memory is bounded. One lane alone may lead to more.
const MOST_RECEIVERS: usize = 65_536;

/// Bounded memory of permits and matches; emptied whenever the session's grants change, and while it is silent.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Vec<Counted>,
    places: HashMap<Topic, usize, Keyed>,
    /// The place of the lane that was used last: most messages go where the one before went.
    last: usize,
    receivers: usize,
    inbox: Option<OwnInbox>,
}

/// An inbox in which the session may have answers sent to it.
struct OwnInbox {
    /// Somewhere within it.
    topic: Topic,
    /// How many inboxes had lost their owner.
    forgotten: u64,
}

struct Counted {
    lane: Lane,
    /// Of how many the count knows.
    receivers: usize,
}

impl Lanes {
    /// Whether messages on `topic` go down the lane that was used last.
    pub(super) fn goes_on(&self, topic: &str) -> bool {
        self.lanes.get(self.last).is_some_and(|counted| counted.lane.permit().topic().as_str() == topic)
    }

    /// The lane that was used last.
    pub(super) fn last(&mut self) -> Option<&mut Lane> {
        self.lanes.get_mut(self.last).map(|counted| &mut counted.lane)
    }

    /// The lane of `topic`, which from here on is the one that was used last.
    pub(super) fn get(&mut self, topic: &str) -> Option<&mut Lane> {
        self.last = *self.places.get(topic)?;
        self.last()
    }

    pub(super) fn insert(&mut self, lane: Lane) -> &mut Lane {
        if self.lanes.len() >= MOST || self.receivers >= MOST_RECEIVERS {
            self.clear();
        }
        let receivers = lane.receivers();
        self.receivers += receivers;
        self.last = self.lanes.len();
        self.places.insert(lane.permit().topic().clone(), self.last);
        self.lanes.push(Counted { lane, receivers });
        &mut self.lanes[self.last].lane
    }

    /// Counts anew whom the lane that was used last leads to. Where all together lead to too many, the others are forgotten.
    pub(super) fn recount(&mut self) {
        let Some(last) = self.lanes.get_mut(self.last) else { return };
        let before = std::mem::replace(&mut last.receivers, last.lane.receivers());
        self.receivers = self.receivers - before + last.receivers;
        if last.receivers > before && self.receivers > MOST_RECEIVERS {
            let last = self.lanes.swap_remove(self.last);
            self.clear();
            self.insert(last.lane);
        }
    }

    /// The topic `reply` if it lies in the inbox in which the session had an answer sent to it before, and no inbox has lost its
    /// owner since.
    pub(super) fn in_own_inbox(&self, reply: &str, forgotten: u64) -> Option<Topic> {
        let inbox = self.inbox.as_ref().filter(|inbox| inbox.forgotten == forgotten)?;
        inbox.topic.sibling(reply)
    }

    /// Remembers the inbox that `reply` lies in, which is the session's own; `forgotten` inboxes had lost their owner before that
    /// was looked at.
    pub(super) fn remember_inbox(&mut self, reply: &Topic, forgotten: u64) {
        if reply.is_within_inbox() {
            self.inbox = Some(OwnInbox { topic: reply.clone(), forgotten });
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    #[cfg(test)]
    pub(super) fn receivers(&self) -> usize {
        self.lanes.iter().map(|counted| counted.lane.receivers()).sum()
    }
}
