//! The session's publish lanes: what it may publish to and where that goes, remembered by topic.

use std::collections::HashMap;

use crate::routing::Lane;
use crate::topic::Topic;

/// Topics remembered at once. A service that spreads over more pays for parsing, policy and matching each time.
const MOST: usize = 512;
/// Receivers of all of them together, by which their memory is bounded.
const MOST_RECEIVERS: usize = 65_536;

/// Bounded memory of permits and matches; emptied whenever the session's grants change, and while it is silent.
#[derive(Default)]
pub(super) struct Lanes {
    known: HashMap<Topic, Lane>,
    receivers: usize,
}

impl Lanes {
    pub(super) fn get(&mut self, topic: &str) -> Option<&mut Lane> {
        self.known.get_mut(topic)
    }

    pub(super) fn insert(&mut self, lane: Lane) -> &mut Lane {
        if self.known.len() >= MOST || self.receivers >= MOST_RECEIVERS {
            self.clear();
        }
        self.receivers += lane.receivers();
        self.known.entry(lane.permit().topic().clone()).insert_entry(lane).into_mut()
    }

    pub(super) fn clear(&mut self) {
        self.known = HashMap::new();
        self.receivers = 0;
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
