//! Sessions over a stream in memory, with paused time: what a peer sees, to the millisecond.

mod answers;
mod ends;
mod messages;
mod verdicts;
mod world;
