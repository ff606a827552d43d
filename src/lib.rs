//! Portcullis: a mutual-TLS messaging gateway.

pub mod identity;
#[cfg(feature = "server")]
pub mod protocol;
pub mod topic;
#[cfg(feature = "server")]
pub mod websocket;
