//! Messages at fixed times: what is late is late for everyone behind it too, and counts from when it was due.
//!
//! The load never sleeps here. Its core is its own, and whatever waking up is measured is the server's.

use std::time::{Duration, Instant};

use super::{Load, Measure, Sample};
use crate::dialect::{Purpose, TOPIC};

pub fn run(
    subscribers: usize,
    payload: usize,
    per_second: u32,
    mut load: Load<'_>,
    mut measure: Measure<'_>,
) -> Sample {
    load.open((0..subscribers).map(|_| Purpose::Subscribe(TOPIC.into())));
    let publisher = load.open([Purpose::Publish(TOPIC.into())]).start;
    let (mut frame, stamp_at) = load.dialect().publication(TOPIC, None, payload);
    let interval = Duration::from_secs(1) / per_second;
    let began = Instant::now();
    let mut due = Duration::ZERO;
    let (mut done, mut latencies) = (0, Vec::new());
    while measure.goes_on(done) {
        let counts = measure.counts();
        load.turn(Some(Duration::ZERO), |_, message| {
            done += 1;
            if counts {
                let due = Duration::from_nanos(u64::from_le_bytes(message.stamp));
                latencies.push(nanoseconds(began.elapsed() - due));
            }
        });
        while due <= began.elapsed() {
            frame.put(stamp_at, &nanoseconds(due).to_le_bytes());
            load.send(publisher, &frame.bytes);
            due += interval;
        }
    }
    measure.sample_with(latencies)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("less than centuries")
}
