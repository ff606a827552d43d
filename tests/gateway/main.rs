//! The whole gateway on a loopback port, with real TLS and real WebSockets: what its users and its attackers see.

mod client;
mod harness;
mod messaging;
mod policy;
mod reload;
mod requests;
mod rotation;
mod verbs;
