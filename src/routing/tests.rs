//! Routing as a specification.
