//! [`PatternIndex`]: from patterns to values, for the router's subscriptions and the policy's rules.
//!
//! A trie with one level a token. Invariants: every node but the roots holds a value or leads to one, and reserved
//! patterns have a root of their own. No pattern that begins with a wildcard lies below that root, so the rule that
//! wildcards in first place see no reserved topic is a choice of the root and nothing else.

mod children;
mod values;

use std::fmt;
use std::hash::Hash;

use super::{Pattern, Topic};
use children::Children;
use values::Values;

/// A multiset of values, each under a [`Pattern`], found by the topics and patterns that theirs relate to.
///
/// A look-up allocates nothing, and unrelated patterns cost it nothing. Nor does it matter to a removal how many other values
/// its pattern has. The order in which values are visited is
/// unspecified.
pub struct PatternIndex<T> {
    open: Node<T>,
    reserved: Node<T>,
    len: usize,
}

impl<T> PatternIndex<T> {
    /// An empty index, without memory of its own.
    pub fn new() -> Self {
        Self { open: Node::default(), reserved: Node::default(), len: 0 }
    }

    /// How many values are stored.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no value is stored.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Stores `value` under `pattern`, beside equal ones that may be there.
    pub fn insert(&mut self, pattern: &Pattern, value: T)
    where
        T: Hash + PartialEq,
    {
        self.len += 1;
        let mut node = if pattern.is_reserved() { &mut self.reserved } else { &mut self.open };
        for token in pattern.tokens() {
            let branches = node.branches.get_or_insert_default();
            match token {
                ">" => return branches.tail.push(value),
                "*" => node = &mut branches.any,
                literal => node = branches.literal.get_or_insert(literal),
            }
        }
        node.here.push(value);
    }

    /// Takes one value equal to `value` away from `pattern`; false if there is none.
    pub fn remove(&mut self, pattern: &Pattern, value: &T) -> bool
    where
        T: Hash + PartialEq,
    {
        let root = if pattern.is_reserved() { &mut self.reserved } else { &mut self.open };
        let removed = root.remove(Some(pattern.as_str()), value);
        self.len -= usize::from(removed);
        removed
    }

    /// Visits the values of every pattern that [matches](Pattern::matches) `topic`, and tells how they were found.
    pub fn for_each_match<'a>(&'a self, topic: &Topic, mut visit: impl FnMut(&'a T)) -> Search {
        self.root(topic.is_reserved()).covering(Some(topic.as_str()), &mut visit)
    }

    /// Visits the values of every pattern that [covers](Pattern::covers) `pattern`.
    pub fn for_each_covering<'a>(&'a self, pattern: &Pattern, mut visit: impl FnMut(&'a T)) {
        self.root(pattern.is_reserved()).covering(Some(pattern.as_str()), &mut visit);
    }

    /// Visits the values of every pattern that [overlaps](Pattern::overlaps) `pattern`.
    pub fn for_each_overlapping<'a>(&'a self, pattern: &Pattern, mut visit: impl FnMut(&'a T)) {
        self.root(pattern.is_reserved()).overlapping(Some(pattern.as_str()), &mut visit);
    }

    fn root(&self, reserved: bool) -> &Node<T> {
        if reserved { &self.reserved } else { &self.open }
    }
}

impl<T> Default for PatternIndex<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for PatternIndex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PatternIndex").field("len", &self.len).finish_non_exhaustive()
    }
}

/// How the patterns were found that match a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// Nodes that had to be looked at.
    pub nodes: usize,
    /// Whether a [sibling](Topic::is_sibling_of) of the topic may match other patterns. Of a topic of one token any may.
    pub depends_on_last_token: bool,
}

/// What the tokens up to here lead to. Most nodes are leaves, so a leaf is four words.
struct Node<T> {
    /// Values of the pattern that ends here.
    here: Values<T>,
    branches: Option<Box<Branches<T>>>,
}

struct Branches<T> {
    literal: Children<T>,
    /// Below a `*`; an empty node where no pattern has one.
    any: Node<T>,
    /// Values of the pattern that ends in `>` here.
    tail: Values<T>,
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.here.is_empty() && self.branches.is_none()
    }

    fn remove(&mut self, rest: Option<&str>, value: &T) -> bool
    where
        T: Hash + PartialEq,
    {
        let Some((token, more)) = split(rest) else { return self.here.take(value) };
        let Some(branches) = &mut self.branches else { return false };
        let removed = match token {
            ">" => branches.tail.take(value),
            "*" => branches.any.remove(more, value),
            literal => branches.literal.remove(literal, more, value),
        };
        if branches.is_empty() {
            self.branches = None;
        }
        removed
    }

    /// A topic is a pattern without wildcards, and to match it is to cover it.
    fn covering<'a>(&'a self, rest: Option<&str>, visit: &mut impl FnMut(&'a T)) -> Search {
        let Some((token, more)) = split(rest) else {
            self.here.for_each(visit);
            return Search::ENDED;
        };
        let Some(branches) = &self.branches else { return Search::ENDED };
        branches.tail.for_each(&mut *visit);
        let mut search =
            Search { depends_on_last_token: more.is_none() && !branches.literal.is_empty(), ..Search::ENDED };
        let literal = match token {
            ">" => return search,
            "*" => None,
            literal => branches.literal.get(literal),
        };
        for child in literal.into_iter().chain([&branches.any]) {
            search.add(child.covering(more, visit));
        }
        search
    }

    fn overlapping<'a>(&'a self, rest: Option<&str>, visit: &mut impl FnMut(&'a T)) {
        let Some((token, more)) = split(rest) else { return self.here.for_each(visit) };
        let Some(branches) = &self.branches else { return };
        branches.tail.for_each(&mut *visit);
        match token {
            ">" => {
                branches.literal.for_each(|child| child.all(visit));
                branches.any.all(visit);
                return;
            }
            "*" => branches.literal.for_each(|child| child.overlapping(more, visit)),
            literal => {
                if let Some(child) = branches.literal.get(literal) {
                    child.overlapping(more, visit);
                }
            }
        }
        branches.any.overlapping(more, visit);
    }

    fn all<'a>(&'a self, visit: &mut impl FnMut(&'a T)) {
        self.here.for_each(&mut *visit);
        if let Some(branches) = &self.branches {
            branches.tail.for_each(&mut *visit);
            branches.literal.for_each(|child| child.all(visit));
            branches.any.all(visit);
        }
    }
}

impl Search {
    /// One node, behind which there is nothing to look at.
    const ENDED: Self = Self { nodes: 1, depends_on_last_token: false };

    fn add(&mut self, deeper: Self) {
        self.nodes += deeper.nodes;
        self.depends_on_last_token |= deeper.depends_on_last_token;
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { here: Values::EMPTY, branches: None }
    }
}

impl<T> Branches<T> {
    fn is_empty(&self) -> bool {
        self.tail.is_empty() && self.any.is_empty() && self.literal.is_empty()
    }
}

impl<T> Default for Branches<T> {
    fn default() -> Self {
        Self { literal: Children::default(), any: Node::default(), tail: Values::EMPTY }
    }
}

/// The first token and what follows it; nothing when all tokens are used up.
fn split(rest: Option<&str>) -> Option<(&str, Option<&str>)> {
    rest.map(super::split_token)
}

#[cfg(test)]
mod tests;
