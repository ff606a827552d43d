//! One kind of rule of one service, found at a cost that does not grow with their number.

use crate::identity::RuleName;
use crate::topic::{Pattern, PatternIndex, Topic};

/// A pattern and the grant it stands in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub pattern: Pattern,
    pub grant: RuleName,
}

/// Rules in the order of their grants. Where several decide alike, the first is the one that is named.
#[derive(Debug)]
pub(super) struct Rules {
    list: Vec<Rule>,
    index: PatternIndex<usize>,
}

impl Rules {
    pub(super) fn list(&self) -> &[Rule] {
        &self.list
    }

    pub(super) fn first_matching(&self, topic: &Topic) -> Option<&Rule> {
        let mut first = usize::MAX;
        self.index.for_each_match(topic, |place| first = first.min(*place));
        self.list.get(first)
    }

    pub(super) fn first_covering(&self, pattern: &Pattern) -> Option<&Rule> {
        let mut first = usize::MAX;
        self.index.for_each_covering(pattern, |place| first = first.min(*place));
        self.list.get(first)
    }

    /// The patterns that have a topic in common with `pattern`, each once, sorted.
    pub(super) fn overlapping(&self, pattern: &Pattern) -> Vec<Pattern> {
        let mut found = Vec::new();
        self.index.for_each_overlapping(pattern, |place| found.extend(self.list.get(*place)));
        let mut patterns: Vec<Pattern> = found.into_iter().map(|rule| rule.pattern.clone()).collect();
        patterns.sort_unstable();
        patterns.dedup();
        patterns
    }
}

impl FromIterator<Rule> for Rules {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        let list: Vec<Rule> = rules.into_iter().collect();
        let mut index = PatternIndex::new();
        for (place, rule) in list.iter().enumerate() {
            index.insert(&rule.pattern, place);
        }
        Self { list, index }
    }
}
