//! Portcullis: a mutual-TLS messaging gateway.

pub mod identity;
pub mod topic;
