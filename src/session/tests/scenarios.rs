//! The list of scenarios: what the gateway is to services, whichever dialect each of them speaks.

mod ends;
mod requests;

use std::time::Duration;

use super::speaker::{Heard, Received, Speaker, pairs};
use super::world::{OPEN, World};
use crate::limits::Limits;
use crate::protocol::Dialect;

const DONE: Result<(), String> = Ok(());

fn forbidden() -> Result<(), String> {
    Err("forbidden".into())
}

/// Who publishes, and who receives.
async fn two(world: &World, (one, other): (Dialect, Dialect)) -> (Speaker, Speaker) {
    (Speaker::open(world, one, "checkout").await, Speaker::open(world, other, "billing").await)
}

#[tokio::test(start_paused = true)]
async fn a_message_reaches_its_subscribers_with_its_sender_its_headers_and_its_bytes() {
    for pair in pairs() {
        let world = World::new();
        let (mut sender, mut hearer) = two(&world, pair).await;
        assert_eq!(hearer.subscribe("s", "orders.*").await, DONE);
        assert_eq!(sender.publish_with("orders.new", &[("A", "b: c"), ("Gr", "ä")], 1).await, DONE);
        let headers = [("A", "b: c"), ("Gr", "ä")].map(|(name, value)| (name.into(), value.into()));
        let expected = Received {
            sid: "s".into(),
            topic: "orders.new".into(),
            from: "checkout".into(),
            headers: headers.to_vec(),
            reply: None,
            data: "1".into(),
        };
        assert_eq!(hearer.message().await, expected);
        assert_eq!(sender.publish("orders.new.eu", 2).await, DONE);
        assert_eq!(sender.publish("orders.new", "größe\r\n").await, DONE);
        let expected = Received { headers: Vec::new(), data: r#""größe\r\n""#.into(), ..expected };
        assert_eq!(hearer.message().await, expected);
        hearer.nothing_came().await;
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_topic_keep_their_order() {
    for pair in pairs() {
        let world = World::new();
        let (mut sender, mut hearer) = two(&world, pair).await;
        assert_eq!(hearer.subscribe("s", "n").await, DONE);
        for number in 0..300 {
            assert_eq!(sender.publish("n", number).await, DONE);
        }
        for number in 0..300 {
            assert_eq!(hearer.message().await.data, number.to_string());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_session_does_at_once_happens_in_its_order() {
    let stream = [
        "PUB a 1\r\n0\r\nPUB a 1\r\n1\r\nPUB b 1\r\n2\r\nPUB b 2\r\n30\r\nSUB a 1\r\nPUB a 2\r\n40\r\n",
        "HPUB a 18 19\r\nNATS/1.0\r\nA: b\r\n\r\n5\r\nPUB a 1\r\n6\r\nPUB a x 1\r\n7\r\n",
        "PUB a 1\r\n8\r\nPUB a 1\r\n9\r\nUNSUB 1\r\nPUB a 2\r\n10\r\n",
    ]
    .concat();
    // With an answer to each of its operations, and with one to the last alone.
    let quiet =
        [r#"CONNECT {"verbose":false}"#, "\r\n", &stream, r#"CONNECT {"verbose":true}"#, "\r\n"].concat();
    for (stream, answers) in [(stream, 13), (quiet, 1)] {
        for hearing in [Dialect::Json, Dialect::Nats] {
            let world = World::new();
            let (mut sender, mut hearer) = two(&world, (Dialect::Nats, hearing)).await;
            assert_eq!(hearer.subscribe("s", ">").await, DONE);
            sender.say(&stream).await;
            for _ in 0..answers {
                assert_eq!(sender.taken().await, DONE);
            }
            for data in ["0", "1", "2", "30", "40", "5", "6", "7", "8", "9", "10"] {
                assert_eq!(hearer.message().await.data, data);
            }
            for data in ["40", "5", "6", "7", "8", "9"] {
                assert_eq!(sender.message().await.data, data);
            }
            sender.nothing_came().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn patterns_match_token_by_token_and_see_nothing_reserved() {
    for pair in pairs() {
        let world = World::new();
        let (mut sender, mut hearer) = two(&world, pair).await;
        let patterns = ["a.*", "a.>", "*.b", "*.*.c", ">"];
        for pattern in patterns {
            assert_eq!(hearer.subscribe(&sid(pattern), pattern).await, DONE);
        }
        let cases: [(&str, &[&str]); 4] = [
            ("a", &[">"]),
            ("a.b", &["a.*", "a.>", "*.b", ">"]),
            ("a.b.c", &["a.>", "*.*.c", ">"]),
            ("b.b", &["*.b", ">"]),
        ];
        for (topic, expected) in cases {
            assert_eq!(sender.publish(topic, 1).await, DONE);
            let mut matched = Vec::new();
            for _ in expected {
                let message = hearer.message().await;
                assert_eq!(message.topic, topic);
                matched.push(message.sid);
            }
            matched.sort();
            let mut expected: Vec<_> = expected.iter().map(|pattern| sid(pattern)).collect();
            expected.sort();
            assert_eq!(matched, expected, "{topic}");
        }
        for reserved in ["_x.y", "$JS.API.x", "_INBOX.x"] {
            assert_eq!(sender.publish(reserved, 1).await, forbidden(), "{reserved}");
            assert_eq!(hearer.subscribe("r", reserved).await, forbidden(), "{reserved}");
        }
        hearer.unsubscribe(&sid(">")).await.expect("known");
        hearer.unsubscribe(&sid("*.*.c")).await.expect("known");
        hearer.nothing_came().await;
    }
}

/// A pattern in letters that a sid may have.
fn sid(pattern: &str) -> String {
    pattern.replace('*', "star").replace('>', "rest")
}

#[tokio::test(start_paused = true)]
async fn what_is_no_topic_is_refused_for_the_same_reason() {
    let world = World::new();
    let mut reasons = Vec::new();
    for dialect in Dialect::ALL {
        let mut speaker = Speaker::open(&world, dialect, "checkout").await;
        assert_eq!(speaker.subscribe("in-use", "t").await, DONE);
        let long = ["x".repeat(256), ["x"; 33].join(".")];
        let mut own = Vec::new();
        for topic in ["a..b", ".a", "a.", "a\u{200b}b", &long[0], &long[1]] {
            own.push(speaker.publish(topic, 1).await);
            own.push(speaker.subscribe("s", topic).await);
            own.push(speaker.join("s", "t", topic).await);
        }
        for pattern in ["a.*", ">", "a*"] {
            own.push(speaker.publish(pattern, 1).await);
        }
        own.push(speaker.subscribe("in-use", "u").await);
        own.push(speaker.publish_for("t", "a..b").await);
        assert!(own.iter().all(Result::is_err), "{own:?}");
        reasons.push(own);
        speaker.nothing_came().await;
    }
    // Quotes would end the text of the NATS dialect early.
    let [by_json, by_nats] = &reasons[..] else { panic!("two dialects") };
    for (one, other) in by_json.iter().zip(by_nats) {
        assert_eq!(one.clone().map_err(|why| why.replace('\'', "\u{2019}").replace('"', "\u{201d}")), *other);
    }
}

#[tokio::test(start_paused = true)]
async fn each_message_goes_to_one_member_of_a_group_and_to_all_beside_it() {
    for (one, other) in pairs() {
        let world = World::new();
        let mut sender = Speaker::open(&world, Dialect::Json, "checkout").await;
        let mut members =
            [Speaker::open(&world, one, "billing").await, Speaker::open(&world, other, "billing").await];
        let mut beside = Speaker::open(&world, other, "warehouse").await;
        for member in &mut members {
            assert_eq!(member.join("g", "job", "pool").await, DONE);
            assert_eq!(member.subscribe("end", "end").await, DONE);
        }
        // The same name in another service is another group.
        assert_eq!(beside.join("g", "job", "pool").await, DONE);
        for number in 0..40 {
            assert_eq!(sender.publish("job", number).await, DONE);
        }
        assert_eq!(sender.publish("end", 0).await, DONE);
        let mut all = Vec::new();
        for member in &mut members {
            let before = all.len();
            loop {
                match member.message().await {
                    message if message.sid == "end" => break,
                    message => all.push(message.data.parse::<u64>().unwrap()),
                }
            }
            assert!(all.len() - before >= 16, "each has its share: {all:?}");
        }
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
        for number in 0..40 {
            assert_eq!(beside.message().await.data, number.to_string());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_when_it_is_told_to_and_after_its_maximum() {
    for pair in pairs() {
        let world = World::new();
        let (mut sender, mut hearer) = two(&world, pair).await;
        assert_eq!(hearer.subscribe("s", "n").await, DONE);
        assert_eq!(sender.publish("n", 0).await, DONE);
        assert_eq!(hearer.message().await.data, "0");
        assert_eq!(hearer.unsubscribe("s").await, DONE);
        assert_eq!(sender.publish("n", 1).await, DONE);
        hearer.nothing_came().await;

        assert_eq!(hearer.subscribe("s", "n").await, DONE, "the sid is free again");
        assert_eq!(sender.publish("n", 2).await, DONE);
        assert_eq!(hearer.message().await.data, "2");
        assert_eq!(hearer.unsubscribe_after("s", 3).await, DONE);
        for number in 3..8 {
            assert_eq!(sender.publish("n", number).await, DONE);
        }
        for number in 3..5 {
            assert_eq!(hearer.message().await.data, number.to_string());
        }
        hearer.nothing_came().await;
        assert_eq!(world.gateway.router.subscriptions(), 0);
        // Fewer than came already: it is over at once.
        assert_eq!(hearer.subscribe("s", "n").await, DONE);
        assert_eq!(sender.publish("n", 8).await, DONE);
        assert_eq!(hearer.message().await.data, "8");
        assert_eq!(hearer.unsubscribe_after("s", 1).await, DONE);
        assert_eq!(world.gateway.router.subscriptions(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_the_policy_grants_is_done_and_a_refusal_costs_nothing_else() {
    const POLICY: &str = r#"
        [[grant]]
        name = "sells"
        services = ["checkout"]
        publish = ["orders.>", "nobody.>"]
        deny_publish = ["orders.internal.>"]
        [[grant]]
        name = "bills"
        services = ["billing"]
        publish = ["nobody.>"]
        subscribe = ["orders.>"]
        deny_subscribe = ["orders.secret"]
    "#;
    for pair in pairs() {
        let world = World::new();
        world.change_policy(POLICY);
        let (mut sender, mut hearer) = two(&world, pair).await;
        for topic in ["orders.internal.x", "quotes.x", "orders"] {
            assert_eq!(sender.publish(topic, 1).await, forbidden(), "{topic}");
        }
        for pattern in [">", "quotes.>", "orders.secret", "*.>"] {
            assert_eq!(hearer.subscribe("s", pattern).await, forbidden(), "{pattern}");
            assert_eq!(hearer.join("s", pattern, "g").await, forbidden(), "{pattern}");
        }
        assert_eq!(hearer.publish("orders.x", 1).await, forbidden());
        assert_eq!(sender.subscribe("s", "orders.x").await, forbidden());
        assert_eq!(hearer.subscribe("s", "orders.>").await, DONE);
        for topic in ["orders.secret", "orders.open"] {
            assert_eq!(sender.publish(topic, 1).await, DONE);
        }
        assert_eq!(hearer.message().await.topic, "orders.open", "what is denied within it is filtered out");
        hearer.nothing_came().await;
    }
}

#[tokio::test(start_paused = true)]
async fn bounds_are_told_and_hurt_nothing_else() {
    for dialect in Dialect::ALL {
        let limits = Limits {
            max_subscriptions: 2,
            messages_per_second: Some(8),
            max_payload: 16,
            ..Limits::default()
        };
        let world = World::with(limits);
        let mut speaker = Speaker::open(&world, dialect, "checkout").await;
        assert_eq!(speaker.subscribe("1", "a").await, DONE);
        assert_eq!(speaker.subscribe("2", "b").await, DONE);
        let full = "the session has 2 subscriptions, the most it may";
        assert_eq!(speaker.subscribe("3", "c").await, Err(full.into()));
        assert_eq!(speaker.unsubscribe("1").await, DONE);
        assert_eq!(speaker.subscribe("3", "c").await, DONE);
        assert_eq!(speaker.publish("x", "x".repeat(14)).await, DONE);
        // By now eight operations were done, whatever became of them.
        let (mut done, mut refused) = (0, 0);
        for _ in 0..20 {
            match speaker.publish("x", 1).await {
                Ok(()) => done += 1,
                Err(why) if why == "the service sends more messages a second than it may" => refused += 1,
                Err(why) => panic!("{why}"),
            }
        }
        assert!(refused >= 10 && done < 10, "{done} done and {refused} refused");
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_above_the_limit_reaches_nobody() {
    for pair in pairs() {
        let world = World::with(Limits { max_payload: 16, ..Limits::default() });
        let (mut sender, mut hearer) = two(&world, pair).await;
        assert_eq!(hearer.subscribe("s", "x").await, DONE);
        let refused = sender.publish("x", "x".repeat(15)).await.expect_err("too large");
        match pair.0 {
            Dialect::Json => assert!(refused.contains("16 bytes"), "{refused}"),
            // The stream cannot be read on behind a payload that was not taken.
            Dialect::Nats => assert_eq!(refused, "1009 "),
        }
        hearer.nothing_came().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_takes_what_it_no_longer_grants_and_nothing_more() {
    for pair in pairs() {
        let world = World::new();
        let (mut sender, mut hearer) = two(&world, pair).await;
        assert_eq!(hearer.subscribe("1", "a.secret").await, DONE);
        assert_eq!(hearer.subscribe("2", "a.*").await, DONE);
        assert_eq!(sender.publish("a.secret", 1).await, DONE);
        let sids = [hearer.message().await.sid, hearer.message().await.sid];
        assert!(sids.contains(&"1".into()) && sids.contains(&"2".into()), "{sids:?}");

        let deny = r#"
            [[grant]]
            name = "deny"
            services = ["*"]
            deny_subscribe = ["a.secret"]
            deny_publish = ["a.forbidden"]
        "#;
        assert_eq!(sender.publish("a.forbidden", 1).await, DONE);
        assert_eq!(hearer.message().await.topic, "a.forbidden");
        world.change_policy(&format!("{OPEN}{deny}"));
        assert_eq!(hearer.hear().await, Heard::Taken("a.secret".into()));
        assert_eq!(sender.publish("a.forbidden", 2).await, forbidden(), "a right that was used before");
        for topic in ["a.secret", "a.public"] {
            assert_eq!(sender.publish(topic, 3).await, DONE);
        }
        let message = hearer.message().await;
        assert_eq!((message.sid.as_str(), message.topic.as_str()), ("2", "a.public"));
        world.change_policy(OPEN);
        assert_eq!(hearer.subscribe("1", "a.secret").await, DONE, "the sid is free, and the right is back");
        assert_eq!(sender.publish("a.secret", 4).await, DONE);
        let sids = [hearer.message().await.sid, hearer.message().await.sid];
        assert!(sids.contains(&"1".into()) && sids.contains(&"2".into()), "{sids:?}");
        hearer.nothing_came().await;
    }
}

/// Longer than a request waits for its answer.
fn too_long() -> Duration {
    Limits::default().request_timeout + Duration::from_secs(1)
}
