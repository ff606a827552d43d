//! The whole gateway on a loopback port, with real TLS and real WebSockets: what its users and its attackers see.

mod harness;
mod messaging;
mod policy;
mod reload;
mod requests;
