//! A topic is a pattern, matches itself, and reads back as it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::topic::{Pattern, Topic};

fuzz_target!(|text: &str| {
    let Ok(topic) = Topic::parse(text) else { return };
    let pattern = Pattern::parse(text).expect("every topic is a pattern");
    assert_eq!(topic.as_str(), text);
    assert!(pattern.matches(&topic) && pattern.covers(&pattern) && pattern.overlaps(&pattern));
});
