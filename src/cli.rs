//! The command line.

pub mod client_commands;
