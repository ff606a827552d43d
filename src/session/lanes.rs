//! The session's publish lanes: what it may publish to and where that goes, remembered by topic.

use std::collections::HashMap;

use crate::keyed::Keyed;
use crate::routing::Lane;
use crate::topic::Topic;

/// Topics remembered at once. A service that spreads over more pays for parsing, policy and matching each time.
const MOST: usize = 512;
/// Receivers of all of them together, by which their memory is bounded.
const MOST_RECEIVERS: usize = 65_536;

/// Bounded memory of permits and matches; emptied whenever the session's grants change, and while it is silent.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    places: HashMap<Topic, usize, Keyed>,
    /// The place of the lane that was used last: most messages go where the one before went.
    last: usize,
    receivers: usize,
}

impl Lanes {
    /// Whether messages on `topic` go down the lane that was used last.
    pub(super) fn goes_on(&self, topic: &str) -> bool {
        self.lanes.get(self.last).is_some_and(|lane| lane.permit().topic().as_str() == topic)
    }

    /// The lane that was used last.
    pub(super) fn last(&mut self) -> Option<&mut Lane> {
        self.lanes.get_mut(self.last)
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
        self.receivers += lane.receivers();
        self.last = self.lanes.len();
        self.places.insert(lane.permit().topic().clone(), self.last);
        self.lanes.push(lane);
        &mut self.lanes[self.last]
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }
}
