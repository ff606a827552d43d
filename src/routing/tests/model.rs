//! Random sequences against a model that asks every subscription about every message.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const SERVICES: [&str; 5] = ["orders", "orders", "billing", "quiet", "quiet"];
const PATTERNS: [&str; 9] = ["a.b", "a.*", "a.>", "*.b", ">", "b.*.secret", "*.*.*", "$x.*", "$x.>"];
const TOPICS: [&str; 7] = ["a.b", "a.secret", "b.a.secret", "b.b", "a", "$x.a", "$x.b.c"];

#[derive(Debug, Clone)]
enum Step {
    Subscribe { peer: usize, pattern: &'static str, group: Option<&'static str>, echo: bool },
    Unsubscribe { place: usize },
    EndAfter { place: usize, more: u64 },
    Publish { peer: usize, topic: &'static str },
    Leave { peer: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    let peer = 0..SERVICES.len();
    let group = select(vec![None, None, Some("workers"), Some("others")]);
    prop_oneof![
        4 => (peer.clone(), select(&PATTERNS[..]), group, any::<bool>())
            .prop_map(|(peer, pattern, group, echo)| Step::Subscribe { peer, pattern, group, echo }),
        2 => (0..16_usize).prop_map(|place| Step::Unsubscribe { place }),
        1 => (0..16_usize, 0..3_u64).prop_map(|(place, more)| Step::EndAfter { place, more }),
        8 => (peer.clone(), select(&TOPICS[..])).prop_map(|(peer, topic)| Step::Publish { peer, topic }),
        1 => peer.prop_map(|peer| Step::Leave { peer }),
    ]
}

/// A subscription as the model sees it.
struct Known {
    peer: usize,
    sid: u64,
    pattern: Pattern,
    group: Option<String>,
    echo: bool,
    heard: u64,
    most: u64,
    real: Arc<Subscription>,
}

impl Known {
    fn hears(&self, topic: &Topic, sender: usize, left: &[bool]) -> bool {
        let is_secret = |topic: &Topic| {
            let tokens: Vec<&str> = topic.tokens().collect();
            matches!(tokens.as_slice(), ["a", "secret"])
                || (tokens.len() == 3 && tokens[2] == "secret" && !topic.is_reserved())
        };
        self.pattern.matches(topic)
            && !(SERVICES[self.peer] == "quiet" && is_secret(topic))
            && (self.echo || self.peer != sender)
            && self.heard < self.most
            && !left[self.peer]
    }
}

/// What the policy makes of a group's name: shared where a grant names it, the service's own elsewhere.
fn scope(service: &str, group: &str) -> String {
    match (service, group) {
        ("orders" | "billing", "workers") => "shared workers".to_owned(),
        _ => format!("{service}'s {group}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn everybody_receives_what_the_model_says(steps in prop::collection::vec(any_step(), 1..60)) {
        let router = Router::default();
        let peers: Vec<Peer> = SERVICES.iter().map(|service| Peer::new(service)).collect();
        let mut left = vec![false; peers.len()];
        let mut lanes: BTreeMap<(usize, &str), Lane> = BTreeMap::new();
        let mut known: Vec<Known> = Vec::new();
        let mut next_sid = 0;
        for step in steps {
            match step {
                Step::Subscribe { peer, pattern, group, echo } => {
                    let name = group.map(|name| GroupName::parse(name).unwrap());
                    let grants = RIGHTS.grants(peers[peer].identity.service(), &[]);
                    let pattern = Pattern::parse(pattern).unwrap();
                    let Ok(permit) = grants.subscribe(&pattern, name.as_ref()) else {
                        prop_assert!(SERVICES[peer] == "quiet" && pattern.as_str() == "b.*.secret");
                        continue;
                    };
                    next_sid += 1;
                    let real = peers[peer].subscribe_as(&router, next_sid, permit, echo).unwrap();
                    let group = group.map(|group| scope(SERVICES[peer], group));
                    known.push(Known { peer, sid: next_sid, pattern, group, echo, heard: 0, most: u64::MAX, real });
                }
                Step::Unsubscribe { place } if !known.is_empty() => {
                    let gone = known.swap_remove(place % known.len());
                    router.unsubscribe(&gone.real);
                }
                Step::EndAfter { place, more } if !known.is_empty() => {
                    let place = place % known.len();
                    known[place].most = known[place].heard + more;
                    known[place].real.end_after(known[place].most);
                }
                Step::Unsubscribe { .. } | Step::EndAfter { .. } => {}
                Step::Leave { peer } => {
                    left[peer] = true;
                    peers[peer].outbox.close();
                }
                Step::Publish { peer, topic: text } => {
                    let lane = lanes.entry((peer, text)).or_insert_with(|| peers[peer].lane(&router, text));
                    let taken = peers[peer].publish_on(&router, lane);
                    let heard: Vec<u64> = peers.iter().flat_map(Peer::heard).collect();
                    prop_assert_eq!(taken, heard.len());
                    let published = topic(text);
                    let mut groups: BTreeMap<String, (bool, usize)> = BTreeMap::new();
                    for subscription in &mut known {
                        let may = subscription.hears(&published, peer, &left);
                        let times = heard.iter().filter(|sid| **sid == subscription.sid).count();
                        subscription.heard += times as u64;
                        match &subscription.group {
                            None => prop_assert_eq!(times, usize::from(may), "{} on {}", &subscription.pattern, text),
                            Some(group) => {
                                prop_assert!(may || times == 0, "{} on {}", &subscription.pattern, text);
                                let (any, sum) = groups.entry(group.clone()).or_default();
                                (*any, *sum) = (*any || may, *sum + times);
                            }
                        }
                    }
                    for (group, (any, times)) in groups {
                        prop_assert_eq!(times, usize::from(any), "{} on {}", group, text);
                    }
                }
            }
        }
        prop_assert_eq!(router.subscriptions(), known.len());
    }
}
