//! What is compared, and what is to be reached in it.

use super::goal::Goal;
use super::play::{Deliveries, Packing, Play};

/// A line of the comparison.
pub struct Scenario {
    pub name: &'static str,
    pub play: Play,
    pub goals: &'static [Goal],
    /// Portcullis speaks `portcullis.json.v1` in it, the others NATS.
    pub is_json: bool,
}

const PIPELINED: Play = Play::Deliveries(one_to_one(128, Packing::Frames(32), 1_024));

pub const SCENARIOS: [Scenario; 14] = [
    nats(
        "full handshake and upgrade",
        Play::Handshakes { at_once: 16 },
        &[Goal::TimesFloor(0.9), Goal::TimesNats(2.0)],
    ),
    nats("1→1, 128 B, 32 a write", PIPELINED, &[Goal::TimesNats(2.5)]),
    nats("1→1, 128 B, 32 a frame", Play::Deliveries(one_to_one(128, Packing::OneFrame(32), 1_024)), &[]),
    nats(
        "1→1, 128 B, one a write",
        Play::Deliveries(one_to_one(128, Packing::One, 1_024)),
        &[Goal::TimesNats(2.0)],
    ),
    nats("1→1, 128 B, one a write, 16 under way", Play::Deliveries(one_to_one(128, Packing::One, 16)), &[]),
    nats("1→1, 16 KiB", Play::Deliveries(one_to_one(16 * 1024, Packing::One, 256)), &[Goal::TimesNats(2.0)]),
    nats(
        "1→100, 128 B, deliveries",
        Play::Deliveries(Deliveries {
            publishers: 1,
            subscribers: 100,
            payload: 128,
            packing: Packing::Frames(32),
            window: 256,
        }),
        &[Goal::TimesNats(2.0)],
    ),
    nats(
        "fifty pairs, 128 B",
        Play::Deliveries(Deliveries {
            publishers: 50,
            subscribers: 1,
            payload: 128,
            packing: Packing::Frames(32),
            window: 256,
        }),
        &[Goal::TimesNats(2.5)],
    ),
    nats(
        "request and reply, 64 outstanding",
        Play::Requests { outstanding: 64, payload: 128, packing: Packing::One },
        &[Goal::TimesNats(2.5)],
    ),
    nats(
        "request and reply, all that is ready a write",
        Play::Requests { outstanding: 64, payload: 128, packing: Packing::Frames(64) },
        &[],
    ),
    nats(
        "1→1, 128 B, 5,000 a second",
        Play::Offered { subscribers: 1, payload: 128, per_second: 5_000 },
        &[Goal::LatencyTimesNats(1.1)],
    ),
    nats(
        "1→100, 128 B, 200 a second",
        Play::Offered { subscribers: 100, payload: 128, per_second: 200 },
        &[Goal::LatencyAtMost(550.0, 1_000.0)],
    ),
    nats("10,000 idle sessions, each", Play::Idle { sessions: 10_000 }, &[Goal::SessionAtMost(16.0)]),
    Scenario {
        name: "1→1, 128 B, 32 a write, JSON",
        play: PIPELINED,
        goals: &[Goal::TimesNats(1.0)],
        is_json: true,
    },
];

const fn nats(name: &'static str, play: Play, goals: &'static [Goal]) -> Scenario {
    Scenario { name, play, goals, is_json: false }
}

const fn one_to_one(payload: usize, packing: Packing, window: usize) -> Deliveries {
    Deliveries { publishers: 1, subscribers: 1, payload, packing, window }
}
