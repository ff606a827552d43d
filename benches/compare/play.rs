//! How a server is loaded. In the closed loops no queue is ever overrun: what is under way has a bound.

mod deliveries;
mod handshakes;
mod idle;
mod offered;
mod requests;

use std::time::Duration;

use super::contender::Running;
use super::load::Load;
use super::measure::{Measure, Sample};

/// One kind of load.
#[derive(Clone, Copy)]
pub enum Play {
    /// Full handshakes and upgrades up to the server's first words, so many at once.
    Handshakes { at_once: usize },
    /// Publishers that send what their window lets them.
    Deliveries(Deliveries),
    /// One asks, one answers; an answer lets the next question go.
    Requests { outstanding: usize, payload: usize, packing: Packing },
    /// One publisher that sends at fixed times, whatever becomes of the messages before.
    Offered { subscribers: usize, payload: usize, per_second: u32 },
    /// Silent sessions with one subscription each.
    Idle { sessions: usize },
}

/// Publishers with subscribers of their own, who get everything.
#[derive(Clone, Copy)]
pub struct Deliveries {
    pub publishers: usize,
    /// Of each publisher.
    pub subscribers: usize,
    pub payload: usize,
    pub packing: Packing,
    /// Of each publisher: messages published and not yet received, by its subscribers on average.
    pub window: usize,
}

/// How messages are handed to the system.
#[derive(Clone, Copy)]
pub enum Packing {
    /// A frame, a TLS record and a system call for each.
    One,
    /// So many frames in a record and a system call.
    Frames(usize),
    /// So many messages in one frame, in a record and a system call.
    OneFrame(usize),
}

impl Packing {
    fn messages(self) -> usize {
        match self {
            Self::One => 1,
            Self::Frames(messages) | Self::OneFrame(messages) => messages,
        }
    }
}

impl Play {
    /// Loads a server for `length` and measures what happens meanwhile.
    pub fn run(self, running: &Running, length: Duration) -> Sample {
        let mut load = Load::new(&running.door);
        let measure = Measure::new(&running.process, length);
        match self {
            Self::Handshakes { at_once } => handshakes::run(at_once, load, measure),
            Self::Deliveries(deliveries) => deliveries::run(deliveries, load, measure),
            Self::Requests { outstanding, payload, packing } => {
                requests::run(outstanding, payload, packing, load, measure)
            }
            Self::Offered { subscribers, payload, per_second } => {
                offered::run(subscribers, payload, per_second, load, measure)
            }
            Self::Idle { sessions } => idle::run(sessions, &mut load, &running.process),
        }
    }
}
