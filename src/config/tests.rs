//! The shipped examples, and every fault at its key.
