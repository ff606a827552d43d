//! How often what was denied, so that a client in a loop cannot bury the audit log.

use std::collections::HashMap;

use crate::protocol::Op;

/// Denials that are told apart; the others are counted together.
const MOST: usize = 512;

/// Counts of one session's denials.
#[derive(Default)]
pub(super) struct Denials {
    known: HashMap<(Op, Box<str>), u64>,
    others: u64,
}

impl Denials {
    /// Counts that an operation was denied `topic`: what it is about, or where its answer was to go. Its count, if the audit log should
    /// have it: the first, the second, the fourth, …
    pub(super) fn count(&mut self, op: Op, topic: &str) -> Option<u64> {
        let denial = (op, topic.into());
        let has_place = self.known.len() < MOST || self.known.contains_key(&denial);
        let count = if has_place { self.known.entry(denial).or_default() } else { &mut self.others };
        *count += 1;
        count.is_power_of_two().then_some(*count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_denial_is_told_ever_less_often() {
        let mut denials = Denials::default();
        let told: Vec<_> = (0..1_000).filter_map(|_| denials.count(Op::Publish, "a")).collect();
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
        assert_eq!(denials.count(Op::Publish, "b"), Some(1));
        assert_eq!(denials.count(Op::Subscribe, "a"), Some(1), "to hear is another thing than to speak");
    }

    #[test]
    fn ever_new_subjects_do_not_get_round_it() {
        let mut denials = Denials::default();
        let told = (0..100_000).filter_map(|topic| denials.count(Op::Publish, &format!("t{topic}"))).count();
        assert!(told < MOST + 20, "{told}");
        assert_eq!(denials.known.len(), MOST);
    }
}
