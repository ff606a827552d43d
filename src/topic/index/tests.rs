//! The index against a list that is searched from end to end.

use std::cell::Cell;
use std::hash::Hasher;

use proptest::prelude::*;

use super::*;
use crate::topic::tests::{any_pattern, any_topic};

/// What the index replaces.
#[derive(Default)]
struct Naive(Vec<(Pattern, u8)>);

impl Naive {
    fn remove(&mut self, pattern: &Pattern, value: u8) -> bool {
        let place = self.0.iter().position(|(stored, held)| stored == pattern && *held == value);
        place.map(|place| self.0.remove(place)).is_some()
    }

    fn values(&self, wanted: impl Fn(&Pattern) -> bool) -> Vec<u8> {
        let mut values: Vec<u8> =
            self.0.iter().filter(|(pattern, _)| wanted(pattern)).map(|(_, value)| *value).collect();
        values.sort_unstable();
        values
    }
}

fn matching(index: &PatternIndex<u8>, topic: &Topic) -> Vec<u8> {
    sorted(|values| {
        index.for_each_match(topic, |value| values.push(*value));
    })
}

fn sorted<V: Ord>(collect: impl FnOnce(&mut Vec<V>)) -> Vec<V> {
    let mut values = Vec::new();
    collect(&mut values);
    values.sort_unstable();
    values
}

/// Every node but the roots leads to a value.
fn is_pruned<T>(node: &Node<T>) -> bool {
    let Some(branches) = &node.branches else { return true };
    let mut pruned = !branches.is_empty() && is_pruned(&branches.any);
    branches.literal.for_each(|child| pruned &= !child.is_empty() && is_pruned(child));
    pruned
}

proptest! {
    #[test]
    fn finds_what_a_linear_scan_finds(
        changes in prop::collection::vec((any::<bool>(), any_pattern(), 0u8..3), 0..60),
        topics in prop::collection::vec(any_topic(), 1..20),
        patterns in prop::collection::vec(any_pattern(), 1..20),
    ) {
        let (mut index, mut naive) = (PatternIndex::new(), Naive::default());
        for (insert, pattern, value) in changes {
            if insert {
                index.insert(&pattern, value);
                naive.0.push((pattern, value));
            } else {
                prop_assert_eq!(index.remove(&pattern, &value), naive.remove(&pattern, value));
            }
            prop_assert_eq!(index.len(), naive.0.len());
            prop_assert!(is_pruned(&index.open) && is_pruned(&index.reserved));
        }
        for topic in &topics {
            prop_assert_eq!(matching(&index, topic), naive.values(|stored| stored.matches(topic)));
        }
        for pattern in &patterns {
            let covering = sorted(|values| index.for_each_covering(pattern, |value| values.push(*value)));
            prop_assert_eq!(covering, naive.values(|stored| stored.covers(pattern)));
            let overlapping = sorted(|values| index.for_each_overlapping(pattern, |value| values.push(*value)));
            prop_assert_eq!(overlapping, naive.values(|stored| stored.overlaps(pattern)));
        }
    }

    #[test]
    fn siblings_match_the_same_where_the_last_token_does_not_matter(
        patterns in prop::collection::vec(any_pattern(), 0..12),
        topic in any_topic(),
        last in "[a-c]",
    ) {
        let mut index = PatternIndex::new();
        for (place, pattern) in patterns.iter().enumerate() {
            index.insert(pattern, place as u8);
        }
        let before = topic.as_str().rsplit_once('.').map_or(String::new(), |(before, _)| format!("{before}."));
        let sibling = Topic::parse(&format!("{before}{last}")).expect("a topic");
        // One of one token may have siblings below another root.
        if !index.for_each_match(&topic, |_| {}).depends_on_last_token && !before.is_empty() {
            prop_assert_eq!(matching(&index, &sibling), matching(&index, &topic), "{} and {}", sibling, topic);
        }
    }

    #[test]
    fn what_is_inserted_can_be_removed_in_any_order(
        patterns in prop::collection::vec(any_pattern(), 0..60).prop_shuffle(),
        seed in any::<u64>(),
    ) {
        let mut index = PatternIndex::new();
        for pattern in &patterns {
            index.insert(pattern, 0u8);
        }
        let mut order: Vec<&Pattern> = patterns.iter().collect();
        order.rotate_left(usize::try_from(seed % 60).unwrap_or(0) % patterns.len().max(1));
        for pattern in order {
            prop_assert!(index.remove(pattern, &0));
        }
        prop_assert!(index.is_empty());
        prop_assert!(index.open.is_empty() && index.reserved.is_empty(), "no empty node is kept");
    }
}

#[test]
fn the_last_token_matters_where_some_pattern_spells_it() {
    let cases = [
        ("_INBOX.one.*", false),
        ("_INBOX.one.>", false),
        ("_INBOX.*.*", false),
        ("_INBOX.>", false),
        ("_INBOX.two.1", false),
        ("_INBOX.one", false),
        ("_INBOX.one.*.2", false),
        ("_INBOX.one.2", true),
        ("_INBOX.*.2", true),
        ("_INBOX.one.2.3", true),
    ];
    for (pattern, expected) in cases {
        let mut index = PatternIndex::new();
        index.insert(&Pattern::parse("_INBOX.one.*").unwrap(), 0u8);
        index.insert(&Pattern::parse(pattern).unwrap(), 1);
        let search = index.for_each_match(&Topic::parse("_INBOX.one.1").unwrap(), |_| {});
        assert_eq!(search.depends_on_last_token, expected, "{pattern}");
    }
}

#[test]
fn many_children_come_and_go() {
    let mut index = PatternIndex::new();
    let patterns: Vec<Pattern> =
        (0..1000).map(|number| Pattern::parse(&format!("orders.{number}.created")).unwrap()).collect();
    for (number, pattern) in patterns.iter().enumerate() {
        index.insert(pattern, number);
    }
    let found = |index: &PatternIndex<usize>, number: usize| {
        let topic = Topic::parse(&format!("orders.{number}.created")).unwrap();
        let mut found = Vec::new();
        index.for_each_match(&topic, |value| found.push(*value));
        found
    };
    for number in 0..1000 {
        assert_eq!(found(&index, number), [number]);
    }
    for (number, pattern) in patterns.iter().enumerate().skip(2) {
        assert!(index.remove(pattern, &number));
        assert!(!index.remove(pattern, &number), "only once");
    }
    assert_eq!(index.len(), 2);
    assert_eq!(found(&index, 1), [1]);
    assert!(found(&index, 2).is_empty());
}

#[test]
fn a_pattern_holds_equal_values_as_often_as_they_were_inserted() {
    let mut index = PatternIndex::new();
    let pattern = Pattern::parse("a.>").unwrap();
    index.insert(&pattern, 1);
    index.insert(&pattern, 1);
    assert!(index.remove(&pattern, &1));
    assert_eq!(matching(&index, &Topic::parse("a.b").unwrap()), [1]);
    assert!(!index.remove(&pattern, &2));
    assert!(!index.remove(&Pattern::parse("a.*").unwrap(), &1), "another pattern for the same topics");
}

/// Tells apart by number, and counts how often it was compared.
struct Counted<'a>(usize, &'a Cell<usize>);

impl PartialEq for Counted<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.1.set(self.1.get() + 1);
        self.0 == other.0
    }
}

impl Hash for Counted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn many_values_of_one_pattern_leave_at_little_cost() {
    const MANY: usize = 20_000;
    let (pattern, topic) = (Pattern::parse("orders.>").unwrap(), Topic::parse("orders.new").unwrap());
    let comparisons = Cell::new(0);
    let mut index = PatternIndex::new();
    for number in 0..MANY {
        index.insert(&pattern, Counted(number, &comparisons));
    }
    assert_eq!(comparisons.get(), 0);
    for number in (0..MANY).rev() {
        assert!(index.remove(&pattern, &Counted(number, &comparisons)));
        assert!(number % 1_000 > 0 || !index.remove(&pattern, &Counted(number, &comparisons)), "only once");
        if number.is_power_of_two() || number % 4_999 == 0 {
            let left = sorted(|values| {
                index.for_each_match(&topic, |value| values.push(value.0));
            });
            assert!(left.into_iter().eq(0..number));
        }
    }
    assert!(index.is_empty() && index.open.is_empty());
    assert!(comparisons.get() < MANY * 64, "{} comparisons", comparisons.get());
}

#[test]
fn nodes_stay_small() {
    let word = size_of::<usize>();
    assert!(size_of::<Node<u64>>() <= 4 * word);
    assert!(size_of::<Branches<u64>>() <= 14 * word);
}
