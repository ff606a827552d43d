//! How an error is told: its own text and that of everything behind it, in one line.

use std::error::Error;
use std::fmt::Write;

/// The error and its sources, from the outermost in: `outer: inner: innermost`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        // Writing to a String does not fail.
        let _ = write!(text, ": {inner}");
        source = inner.source();
    }
    text
}
