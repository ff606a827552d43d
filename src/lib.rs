//! Portcullis: a mutual-TLS messaging gateway for the services inside one organisation.
//!
//! The verdict on a client's certificate falls *before* the WebSocket handshake is answered and holds for the whole
//! life of the connection. Read the crate in the order in which things happen:
//!
//! - **a connection**: [`connection`] takes a socket through `accept → handshake → identify → upgrade`, under one
//!   deadline, and hands it to a [`session`];
//! - **a message**: `session/wire/reader.rs` makes a [`protocol`] command of what was read, `session/inbound.rs` and `sending.rs` ask the
//!   [`policy`] for a permit, and give both to [`routing`], which encodes the message and queues its bytes for every session
//!   that receives it;
//! - **a change**: [`reload`] notices it, [`load`] reads and checks everything into one [`generation`], and every live
//!   session is judged by it again, in [`verdict`];
//! - **a renewal**: `session/reauth.rs` takes a [`proof`] of another certificate on a live session, by the same verdict.
//!
//! Words at the bottom ([`topic`], [`identity`]), services above them ([`trust`], [`limits`]), the edge on top. The
//! core does no I/O and reads no clock. `ARCHITECTURE.md` lists tasks, locks, bounds and the threat model.

pub mod identity;
#[cfg(any(feature = "client", feature = "server"))]
pub mod proof;
pub mod report;
pub mod topic;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod connection;
#[cfg(feature = "server")]
pub mod deny;
#[cfg(feature = "server")]
pub mod expiry;
#[cfg(feature = "server")]
pub mod gateway;
#[cfg(feature = "server")]
pub mod generation;
#[cfg(feature = "server")]
mod keyed;
#[cfg(feature = "server")]
pub mod limits;
#[cfg(feature = "server")]
pub mod load;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod moderation;
#[cfg(feature = "server")]
pub mod policy;
#[cfg(feature = "server")]
pub mod problem;
#[cfg(feature = "server")]
pub mod protocol;
#[cfg(feature = "server")]
mod random;
#[cfg(feature = "server")]
pub mod reload;
#[cfg(feature = "server")]
pub mod renewal;
#[cfg(feature = "server")]
pub mod routing;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod session;
#[cfg(all(test, feature = "server"))]
mod testing;
#[cfg(feature = "server")]
pub mod tls;
#[cfg(feature = "server")]
pub mod trust;
#[cfg(feature = "server")]
pub mod verdict;
#[cfg(feature = "server")]
pub mod websocket;
