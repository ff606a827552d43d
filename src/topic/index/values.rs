//! The values under one pattern: a short list where they are few, a table where they are many.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Up to here a list is searched value by value. It costs no more than the values themselves.
const FEW: usize = 64;
/// Down to here a table becomes a list again; lower than [`FEW`], so that one value coming and going moves nothing.
const FEW_AGAIN: usize = 16;
/// Values of a bucket, on average, above which a table doubles.
const FULL: usize = 32;

/// A multiset. To take a value out costs a search of some [`FULL`] others, however many there are.
pub(super) enum Values<T> {
    Few(Vec<T>),
    Many(Box<Table<T>>),
}

/// Values in buckets by their hash; a list for each bucket, because a map would cost each value an entry of its own.
pub(super) struct Table<T> {
    /// Never empty.
    buckets: Vec<Vec<T>>,
    len: usize,
}

impl<T> Values<T> {
    pub(super) const EMPTY: Self = Self::Few(Vec::new());

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Few(few) if few.is_empty())
    }

    pub(super) fn for_each<'a>(&'a self, visit: impl FnMut(&'a T)) {
        match self {
            Self::Few(few) => few.iter().for_each(visit),
            Self::Many(many) => many.buckets.iter().flatten().for_each(visit),
        }
    }
}

impl<T: Hash + PartialEq> Values<T> {
    pub(super) fn push(&mut self, value: T) {
        match self {
            Self::Few(few) if few.len() < FEW => {
                // Most patterns have one value: a vector's usual first allocation of four would be mostly air.
                if few.is_empty() {
                    few.reserve_exact(1);
                }
                few.push(value);
            }
            Self::Few(few) => {
                let mut table = Table::with_buckets(2 * FEW / FULL);
                few.drain(..).for_each(|held| table.push(held));
                table.push(value);
                *self = Self::Many(Box::new(table));
            }
            Self::Many(table) => {
                if table.len >= table.buckets.len() * FULL {
                    table.resize(table.buckets.len() * 2);
                }
                table.push(value);
            }
        }
    }

    /// Takes one value equal to `value` out; false if there is none.
    pub(super) fn take(&mut self, value: &T) -> bool {
        match self {
            Self::Few(few) => take(few, value),
            Self::Many(table) => {
                let removed = take(table.bucket(value), value);
                table.len -= usize::from(removed);
                if table.len <= FEW_AGAIN {
                    *self = Self::Few(table.buckets.drain(..).flatten().collect());
                } else if table.len <= table.buckets.len() * FULL / 8 {
                    table.resize(table.buckets.len() / 2);
                }
                removed
            }
        }
    }
}

impl<T: Hash> Table<T> {
    fn with_buckets(count: usize) -> Self {
        Self { buckets: (0..count.max(1)).map(|_| Vec::new()).collect(), len: 0 }
    }

    fn bucket(&mut self, value: &T) -> &mut Vec<T> {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        let place = hasher.finish() % self.buckets.len() as u64;
        &mut self.buckets[place as usize]
    }

    fn push(&mut self, value: T) {
        self.bucket(&value).push(value);
        self.len += 1;
    }

    fn resize(&mut self, count: usize) {
        let mut resized = Self::with_buckets(count);
        self.buckets.drain(..).flatten().for_each(|value| resized.push(value));
        *self = resized;
    }
}

fn take<T: PartialEq>(values: &mut Vec<T>, value: &T) -> bool {
    let Some(place) = values.iter().position(|stored| stored == value) else { return false };
    values.swap_remove(place);
    if values.len() <= values.capacity() / 4 {
        values.shrink_to(values.len().saturating_mul(2));
    }
    true
}
