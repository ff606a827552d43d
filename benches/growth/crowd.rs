//! Those who are there and have nothing to do with what is measured.

use std::time::{Duration, Instant};

use crate::dialect::{Dialect, Purpose};
use crate::frame::{BINARY, Frame};
use crate::load::Load;

/// Subscriptions in one frame: some 8 KiB.
const AT_ONCE: usize = 200;

/// How long all may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens a session for each list of patterns, and waits until the last one stands.
///
/// A session's first pattern is a topic too. It publishes there behind its other subscriptions, so that what it hears
/// proves that they are made.
pub fn open(load: &mut Load<'_>, sessions: &[Vec<String>]) {
    let places = load.open(sessions.iter().map(|patterns| Purpose::Subscribe(patterns[0].clone())));
    let first = places.start;
    let mut heard = vec![true; sessions.len()];
    for (place, patterns) in places.zip(sessions) {
        let [topic, more @ ..] = patterns.as_slice() else { continue };
        if more.is_empty() {
            continue;
        }
        heard[place - first] = false;
        // The first has the sid 1.
        let lines: Vec<String> =
            more.iter().zip(2..).map(|(pattern, sid)| format!("SUB {pattern} {sid}\r\n")).collect();
        let frames =
            lines.chunks(AT_ONCE).flat_map(|lines| Frame::new(BINARY, lines.concat().as_bytes()).bytes);
        let publication = Dialect::Nats.publication(topic, None, 1).0.bytes;
        load.send(place, &frames.chain(publication).collect::<Vec<u8>>());
    }
    let began = Instant::now();
    while heard.contains(&false) {
        load.turn(Some(Duration::from_millis(100)), |place, _| heard[place - first] = true);
        assert!(began.elapsed() < PATIENCE, "not all subscriptions are made");
    }
}
