//! The patterns must be what they are said to be, and so must growth: this runs with `cargo test`.

use std::collections::HashSet;

use portcullis::topic::{Pattern, Topic};

use super::curve::{Curve, Growth};
use super::population::{RECEIVED, TOPICS, pattern, topic};

const SIZES: &[usize] = &[10, 100, 1_000, 10_000];

pub fn all() {
    a_topic_meets_patterns_and_matches_one();
    growth_is_told_apart();
}

fn a_topic_meets_patterns_and_matches_one() {
    let received = Pattern::parse(RECEIVED).expect("a pattern");
    for population in [10, 100, 1_000] {
        let patterns: Vec<Pattern> =
            (0..population).map(|place| Pattern::parse(&pattern(place)).expect("a pattern")).collect();
        assert_eq!(patterns.iter().map(Pattern::as_str).collect::<HashSet<_>>().len(), population);
        assert!(patterns.iter().all(|pattern| pattern.overlaps(&received)));
        let topics: HashSet<String> = (0..TOPICS).map(|number| topic(number, population)).collect();
        assert_eq!(topics.len(), TOPICS);
        for topic in topics.iter().take(100) {
            let entity = topic.split('.').nth(2).expect("five tokens");
            let near = patterns.iter().filter(|pattern| pattern.as_str().contains(entity)).count();
            assert_eq!(near, 10, "{topic}");
            let topic = Topic::parse(topic).expect("a topic");
            assert!(received.matches(&topic));
            assert!(!patterns.iter().any(|pattern| pattern.matches(&topic)), "{topic:?}");
        }
    }
}

fn growth_is_told_apart() {
    assert_eq!(growth([1.0, 1.1, 0.95, 1.15]), Growth::Flat);
    assert_eq!(growth([1.0, 1.2, 1.4, 1.6]), Growth::Logarithmic);
    assert_eq!(growth([1.0, 1.3, 1.5, 1.5]), Growth::Logarithmic);
    assert!(matches!(growth([1.0, 1.01, 1.1, 2.0]), Growth::Polynomial(_)));
    assert!(
        matches!(growth([1.0, 3.2, 10.0, 32.0]), Growth::Polynomial(power) if (0.4..0.6).contains(&power))
    );
    assert!(
        matches!(growth([10.0, 100.0, 1e3, 1e4]), Growth::Polynomial(power) if (0.9..1.1).contains(&power))
    );
}

fn growth(costs: [f64; 4]) -> Growth {
    let mut curve = Curve::new(SIZES);
    costs.into_iter().enumerate().for_each(|(place, cost)| curve.add(place, cost));
    curve.growth()
}
