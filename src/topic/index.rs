//! Placeholder.
pub struct PatternIndex<T>(Vec<T>);
