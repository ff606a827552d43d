//! One publisher, one receiver, and messages as fast as the gateway takes them.

use std::time::{Duration, Instant};

use crate::dialect::Purpose;
use crate::load::Load;
use crate::population::{RECEIVED, TOPICS, topic};
use crate::process::Process;

const PAYLOAD: usize = 128;

/// Messages published and not yet received.
const WINDOW: usize = 1_024;

/// What is sent before it is looked for receipts again, so that both ends stay busy.
const BURST: usize = 64;

/// Load before the measurement begins.
const WARM_UP: Duration = Duration::from_millis(300);

/// How long the last messages may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the messages go.
pub struct Series {
    pub name: &'static str,
    topics: usize,
    /// Messages in a record and a system call, each in a frame of its own.
    at_once: usize,
}

pub const SERIES: [Series; 3] = [
    Series { name: "one topic, 32 a write", topics: 1, at_once: 32 },
    Series { name: "one topic, one a write", topics: 1, at_once: 1 },
    Series { name: "10,000 topics, 32 a write", topics: TOPICS, at_once: 32 },
];

/// The two that everything goes between.
pub struct Pair<'l, 'd> {
    load: &'l mut Load<'d>,
    publisher: usize,
    receiver: usize,
    sent: usize,
    received: usize,
}

impl<'l, 'd> Pair<'l, 'd> {
    pub fn open(load: &'l mut Load<'d>) -> Self {
        let receiver = load.open([Purpose::Subscribe(RECEIVED.into())]).start;
        let publisher = load.open([Purpose::Publish(RECEIVED.into())]).start;
        Self { load, publisher, receiver, sent: 0, received: 0 }
    }

    /// Microseconds of the server's CPU time for each message.
    pub fn run(&mut self, series: &Series, population: usize, server: &Process, length: Duration) -> f64 {
        let mut tape = Tape::new(series, population, self.load);
        self.stream(&mut tape, WARM_UP);
        let (before, cpu) = (self.received, server.cpu());
        self.stream(&mut tape, length);
        // What is under way counts too, and the next series begins with nothing.
        let ended = Instant::now();
        while self.received < self.sent {
            self.receive(Duration::from_millis(100));
            assert!(ended.elapsed() < PATIENCE, "{} messages are missing", self.sent - self.received);
        }
        (server.cpu() - cpu).as_secs_f64() * 1e6 / (self.received - before) as f64
    }

    /// Keeps the window full for so long.
    fn stream(&mut self, tape: &mut Tape, length: Duration) {
        let began = Instant::now();
        while began.elapsed() < length {
            for _ in 0..BURST / tape.at_once {
                if !self.has_room(tape) {
                    break;
                }
                self.load.send(self.publisher, tape.next());
                self.sent += tape.at_once;
            }
            let is_waiting = !self.has_room(tape);
            self.receive(if is_waiting { Duration::from_millis(100) } else { Duration::ZERO });
        }
    }

    fn has_room(&mut self, tape: &Tape) -> bool {
        self.sent + tape.at_once <= WINDOW + self.received
            && !self.load.connection(self.publisher).is_blocked()
    }

    fn receive(&mut self, wait: Duration) {
        let Self { load, receiver, received, .. } = self;
        load.turn(Some(wait), |place, _| *received += usize::from(place == *receiver));
    }
}

/// Frames of all topics one behind the other, and some of them again, so that a batch begins anywhere.
struct Tape {
    frames: Vec<u8>,
    frame: usize,
    at_once: usize,
    topics: usize,
    next: usize,
}

impl Tape {
    fn new(series: &Series, population: usize, load: &Load<'_>) -> Self {
        let Series { topics, at_once, .. } = *series;
        let frames: Vec<Vec<u8>> = (0..topics + at_once)
            .map(|place| topic(place % topics, population))
            .map(|topic| load.dialect().publication(&topic, None, PAYLOAD).0.bytes)
            .collect();
        Self { frame: frames[0].len(), frames: frames.concat(), at_once, topics, next: 0 }
    }

    fn next(&mut self) -> &[u8] {
        let batch = &self.frames[self.next * self.frame..][..self.at_once * self.frame];
        self.next = (self.next + self.at_once) % self.topics;
        batch
    }
}
