//! The whole gateway on a loopback port, with real TLS and real WebSockets: what its users and its attackers see.

mod documents;
mod harness;
mod http;
mod identity;
mod operations;
mod smoke;
mod tls;
mod websocket;
