//! The literal tokens that follow a node: a short list where they are few, a hash map where they are many.

use std::collections::HashMap;
use std::hash::Hash;

use super::Node;

/// Up to here a list is searched token by token: it is as fast as a hash map, and a quarter of its size.
const FEW: usize = 8;
/// Down to here a hash map becomes a list again; lower than [`FEW`], so that one token coming and going moves nothing.
const FEW_AGAIN: usize = 4;

pub(super) enum Children<T> {
    Few(Vec<(Box<str>, Node<T>)>),
    /// With the standard library's keyed hasher, because peers choose the tokens.
    Many(HashMap<Box<str>, Node<T>>),
}

impl<T> Children<T> {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    pub(super) fn get(&self, token: &str) -> Option<&Node<T>> {
        match self {
            Self::Few(few) => few.iter().find(|(name, _)| **name == *token).map(|(_, node)| node),
            Self::Many(many) => many.get(token),
        }
    }

    pub(super) fn for_each<'a>(&'a self, mut visit: impl FnMut(&'a Node<T>)) {
        match self {
            Self::Few(few) => few.iter().for_each(|(_, node)| visit(node)),
            Self::Many(many) => many.values().for_each(visit),
        }
    }

    pub(super) fn get_or_insert(&mut self, token: &str) -> &mut Node<T> {
        if matches!(self, Self::Few(few) if few.len() == FEW) && self.get(token).is_none() {
            self.grow();
        }
        match self {
            Self::Few(few) => {
                let place = few.iter().position(|(name, _)| **name == *token).unwrap_or_else(|| {
                    few.reserve_exact(1);
                    few.push((token.into(), Node::default()));
                    few.len() - 1
                });
                &mut few[place].1
            }
            Self::Many(many) => many.entry(token.into()).or_default(),
        }
    }

    /// Takes `value` out from under `token` and `rest`, and the child with it if that leaves the child empty.
    pub(super) fn remove(&mut self, token: &str, rest: Option<&str>, value: &T) -> bool
    where
        T: Hash + PartialEq,
    {
        match self {
            Self::Few(few) => {
                let Some(place) = few.iter().position(|(name, _)| **name == *token) else { return false };
                let child = &mut few[place].1;
                let removed = child.remove(rest, value);
                if child.is_empty() {
                    few.swap_remove(place);
                    few.shrink_to_fit();
                }
                removed
            }
            Self::Many(many) => {
                let Some(child) = many.get_mut(token) else { return false };
                let removed = child.remove(rest, value);
                if child.is_empty() {
                    many.remove(token);
                    self.shrink();
                }
                removed
            }
        }
    }

    fn grow(&mut self) {
        if let Self::Few(few) = self {
            *self = Self::Many(few.drain(..).collect());
        }
    }

    fn shrink(&mut self) {
        let Self::Many(many) = self else { return };
        if many.len() <= FEW_AGAIN {
            *self = Self::Few(many.drain().collect());
        } else if many.len() <= many.capacity() / 4 {
            many.shrink_to(many.len().saturating_mul(2));
        }
    }
}

impl<T> Default for Children<T> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}
