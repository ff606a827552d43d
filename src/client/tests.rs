//! The client against a gateway of a few lines, over TLS in memory, on a clock that waits for nobody.

mod gateway;
mod life;
mod operations;
mod reauth;
mod subscriptions;
