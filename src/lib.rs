//! Portcullis: a mutual-TLS messaging gateway.

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
pub mod identity;
pub mod topic;
