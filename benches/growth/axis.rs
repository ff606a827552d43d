//! What grows around a message.

use crate::population::{TOPICS, pattern};

/// Subscriptions of one session, which is what a gateway allows unless told otherwise.
const MOST_OF_ONE_SESSION: usize = 1_000;

/// One thing that grows while everything else stays.
pub struct Axis {
    pub name: &'static str,
    pub sizes: &'static [usize],
    grows: Grows,
}

#[derive(Clone, Copy, PartialEq)]
enum Grows {
    /// With one subscription each.
    Sessions,
    /// Over as many sessions as they need.
    Patterns,
    /// Of the service: what it may publish, may subscribe to, and may not publish.
    Rules,
    /// What is taken out of the pattern that the receiver subscribed to.
    Denies,
}

pub const AXES: [Axis; 4] = [
    Axis { name: "idle sessions", sizes: &[10, 100, 1_000, 10_000], grows: Grows::Sessions },
    Axis { name: "patterns", sizes: &[100, 1_000, 10_000, 100_000, 1_000_000], grows: Grows::Patterns },
    Axis { name: "policy rules", sizes: &[10, 100, 1_000, 10_000, 100_000], grows: Grows::Rules },
    Axis { name: "denies within the subscription", sizes: &[10, 100, 1_000, 10_000], grows: Grows::Denies },
];

impl Axis {
    /// The patterns of each session that is there beside the publisher and the receiver.
    pub fn crowd(&self, size: usize) -> Vec<Vec<String>> {
        match self.grows {
            Grows::Sessions => (0..size).map(|place| vec![format!("bench.idle.{place}")]).collect(),
            Grows::Patterns => {
                let patterns: Vec<String> = (0..size).map(pattern).collect();
                patterns.chunks(MOST_OF_ONE_SESSION).map(<[String]>::to_vec).collect()
            }
            Grows::Rules | Grows::Denies => Vec::new(),
        }
    }

    /// How many patterns lie about the measured topics; without any, the topics are always the same.
    pub fn population(&self, size: usize) -> usize {
        if self.grows == Grows::Sessions { TOPICS } else { size }
    }

    /// One grant that everything measured rests on, and where rules grow one grant for each.
    pub fn policy(&self, size: usize) -> String {
        let mut policy = crate::server::POLICY.to_owned();
        let rules = match self.grows {
            Grows::Sessions | Grows::Patterns => 0,
            Grows::Rules | Grows::Denies => size,
        };
        for place in 0..rules {
            let verb = match (self.grows, place % 5) {
                (Grows::Denies, _) => "deny_subscribe",
                (_, 0 | 3) => "publish",
                (_, 1) => "subscribe",
                (_, _) => "deny_publish",
            };
            let pattern = pattern(place);
            policy += &format!(
                "[[grant]]\nname = \"rule-{place}\"\nservices = [\"bench\"]\n{verb} = [\"{pattern}\"]\n"
            );
        }
        policy
    }
}
