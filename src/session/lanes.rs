//! The session's publish lanes: what it may publish to and where that goes, remembered by topic.

use std::collections::HashMap;

use crate::routing::Lane;
use crate::topic::Topic;

/// Topics remembered at once. A service that spreads over more pays for parsing, policy and matching each time.
const MOST: usize = 512;

/// Bounded memory of verdicts; emptied whenever the session's grants change.
#[derive(Default)]
pub(super) struct Lanes {
    known: HashMap<Topic, Lane>,
    denials: HashMap<Box<str>, u64>,
}

impl Lanes {
    pub(super) fn get(&mut self, topic: &str) -> Option<&mut Lane> {
        self.known.get_mut(topic)
    }

    pub(super) fn insert(&mut self, lane: Lane) -> &mut Lane {
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.entry(lane.permit().topic().clone()).insert_entry(lane).into_mut()
    }

    /// Counts a denial of `what`. Whether the audit log should have it: the first, the second, the fourth, … of each,
    /// so that a client in a loop cannot bury the log.
    pub(super) fn is_telling(&mut self, what: &str) -> Option<u64> {
        if self.denials.len() >= MOST {
            self.denials.clear();
        }
        let count = self.denials.entry(what.into()).or_default();
        *count += 1;
        count.is_power_of_two().then_some(*count)
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.denials.clear();
    }

    /// Lanes and counted denials.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.known.len(), self.denials.len())
    }
}
