//! Sessions over a stream in memory, with paused time: what a peer sees, to the millisecond.

mod answers;
mod credential;
mod deadlines;
mod ends;
mod messages;
mod proofs;
mod reauth;
mod repeated;
mod scenarios;
mod speaker;
mod verdicts;
mod world;
