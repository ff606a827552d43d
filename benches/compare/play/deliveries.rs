//! Messages as fast as the server takes them.

use std::time::Duration;

use super::{Deliveries, Load, Measure, Packing, Sample};
use crate::dialect::{Dialect, Purpose, TOPIC};

/// What is sent before it is looked for receipts again, so that both ends stay busy: whole batches.
const BURST: usize = 64;

/// A publisher and what is under way from it.
struct Group {
    publisher: usize,
    sent: usize,
    received: usize,
    batch: Vec<u8>,
}

pub fn run(deliveries: Deliveries, mut load: Load<'_>, mut measure: Measure<'_>) -> Sample {
    let Deliveries { publishers, subscribers, payload, packing, window } = deliveries;
    let topic = |group| if publishers == 1 { TOPIC.into() } else { format!("bench.pair.{group}") };
    let first = load
        .open(
            (0..publishers)
                .flat_map(|group| (0..subscribers).map(move |_| group))
                .map(topic)
                .map(Purpose::Subscribe),
        )
        .start;
    let mut groups: Vec<Group> = load
        .open((0..publishers).map(topic).map(Purpose::Publish))
        .zip(0..publishers)
        .map(|(publisher, group)| {
            let batch = batch(load.dialect(), &topic(group), payload, packing);
            Group { publisher, sent: 0, received: 0, batch }
        })
        .collect();
    let in_batch = packing.messages() * subscribers;
    let (mut done, mut is_room_left) = (0, true);
    while measure.goes_on(done) {
        let wait = if is_room_left { Duration::ZERO } else { Duration::from_millis(100) };
        load.turn(Some(wait), |place, _| {
            groups[(place - first) / subscribers].received += 1;
            done += 1;
        });
        is_room_left = false;
        for group in &mut groups {
            let bursts = BURST.div_ceil(packing.messages());
            for burst in 0..=bursts {
                let is_room = group.sent + in_batch <= window * subscribers + group.received
                    && !load.connection(group.publisher).is_blocked();
                if !is_room {
                    break;
                }
                if burst == bursts {
                    is_room_left = true;
                    break;
                }
                load.send(group.publisher, &group.batch);
                group.sent += in_batch;
            }
        }
    }
    measure.sample()
}

/// What is handed to the system at once.
fn batch(dialect: Dialect, topic: &str, payload: usize, packing: Packing) -> Vec<u8> {
    match packing {
        Packing::One => dialect.publication(topic, None, payload).0.bytes,
        Packing::Frames(messages) => dialect.publication(topic, None, payload).0.bytes.repeat(messages),
        Packing::OneFrame(messages) => dialect.publications_in_one_frame(topic, payload, messages).bytes,
    }
}
