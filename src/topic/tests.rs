//! Tables for the grammar.
