//! The whole gateway on a loopback port, with real TLS and real WebSockets: what its users and its attackers see.

mod client;
mod documents;
mod harness;
mod http;
mod identity;
mod messaging;
mod nats;
mod nats_clients;
mod operations;
mod policy;
mod reauth;
mod reload;
mod renewal;
mod requests;
mod rotation;
mod tls;
mod verbs;
mod websocket;
