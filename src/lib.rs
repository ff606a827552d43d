//! Portcullis: a mutual-TLS messaging gateway.

pub mod identity;
pub mod policy;
pub mod topic;
