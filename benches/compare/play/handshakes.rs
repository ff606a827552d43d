//! Connections up to the server's first words, one after the other in each of some places.

use std::time::Duration;

use super::{Load, Measure, Sample};
use crate::dialect::Purpose;

pub fn run(at_once: usize, mut load: Load<'_>, mut measure: Measure<'_>) -> Sample {
    let places = load.open((0..at_once).map(|_| Purpose::Greeting));
    let mut done = 0;
    while measure.goes_on(done) {
        for place in places.clone() {
            if load.connection(place).is_ready() {
                load.reopen(place, &Purpose::Greeting);
                done += 1;
            }
        }
        load.turn(Some(Duration::from_millis(100)), |_, _| {});
    }
    measure.sample()
}
