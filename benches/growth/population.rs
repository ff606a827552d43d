//! Patterns that are near to the measured topics and match none of them.
//!
//! All are below one first token, so that one shard of the router has them. However many there are, a topic leads to an
//! entity that some of them name, and meets ten of them there, by its name and behind a `*`.

/// What the receiver subscribes to: every measured topic, and one delivery of each message.
pub const RECEIVED: &str = "bench.orders.>";

/// Topics of the series that changes them with every message: a session remembers 512.
pub const TOPICS: usize = 10_000;

/// Of one entity: five literal patterns, three with a `*`, two with a `>`. The first is a topic too.
const SHAPES: [&str; 10] = [
    "bench.orders.{}.all.created",
    "bench.orders.{}.all.lost",
    "bench.orders.{}.*.lost",
    "bench.orders.{}.all.billed",
    "bench.orders.{}.*.created.>",
    "bench.orders.{}.all.shipped",
    "bench.orders.{}.*.failed",
    "bench.*.{}.*.refused",
    "bench.orders.{}.all.paid",
    "bench.orders.{}.all.>",
];

/// Prime, so that the topics are spread over all entities.
const STRIDE: usize = 7_919;

pub fn pattern(place: usize) -> String {
    SHAPES[place % SHAPES.len()].replace("{}", &entity(place / SHAPES.len()))
}

/// All are different, whatever the population, and of one length.
pub fn topic(number: usize, population: usize) -> String {
    let entity = entity(number * STRIDE % population.div_ceil(SHAPES.len()));
    format!("bench.orders.{entity}.{number:05}.created")
}

fn entity(number: usize) -> String {
    format!("{number:06}")
}
