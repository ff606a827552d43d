//! What a session costs that is only there.

use std::time::{Duration, Instant};

use super::{Load, Sample};
use crate::dialect::Purpose;
use crate::process::Process;

/// Memory is looked at when it has moved by less than `MOVE` of itself for `STILL`, or after `AT_MOST`: allocators and
/// collectors give back what the handshakes took.
const MOVE: f64 = 0.01;
const STILL: Duration = Duration::from_secs(3);
const AT_MOST: Duration = Duration::from_secs(20);

pub fn run(sessions: usize, load: &mut Load<'_>, server: &Process) -> Sample {
    // The first one pages in what all share.
    load.open([Purpose::Subscribe("bench.idle.first".into())]);
    let before = settled(load, server);
    load.open((0..sessions).map(|place| Purpose::Subscribe(format!("bench.idle.{place}"))));
    let resident = settled(load, server);
    Sample { resident, session: Some((resident - before) / sessions as f64), ..Sample::default() }
}

/// Resident memory once it moves no more; whoever is asked for a sign of life meanwhile gives one.
fn settled(load: &mut Load<'_>, server: &Process) -> f64 {
    let began = Instant::now();
    let mut still = (server.resident_kib() as f64, began);
    while still.1.elapsed() < STILL && began.elapsed() < AT_MOST {
        load.turn(Some(Duration::from_millis(100)), |_, _| {});
        let resident = server.resident_kib() as f64;
        if (resident - still.0).abs() > MOVE * still.0 {
            still = (resident, Instant::now());
        }
    }
    server.resident_kib() as f64
}
