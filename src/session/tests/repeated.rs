//! Publications that repeat the line of the one before, which pass by the general execution: nothing passes by with them.

use super::world::{Frame, OPEN, Peer, World};
use crate::limits::Limits;
use crate::protocol::Dialect;

/// A client that wants no `+OK`: only of such a one anything is taken for repeated.
struct Quiet(Peer);

impl Quiet {
    async fn open(world: &World, service: &str) -> Self {
        let leaf = world.authority.client(service, service.len() as u64, 3600);
        let mut quiet = Self(world.open_in(Dialect::Nats, &world.gateway.generation(), &leaf, || {}));
        let connect = r#"CONNECT {"verbose":false,"headers":true,"no_responders":true}"#;
        let heard = quiet.hears(&format!("{connect}\r\n")).await;
        assert!(heard.starts_with("INFO {"), "{heard}");
        quiet
    }

    /// What is heard up to the answer to a ping behind what is said, all of it in one message.
    async fn hears(&mut self, said: &str) -> String {
        self.0.frame(0x82, format!("{said}PING\r\n").as_bytes()).await;
        let mut heard = Vec::new();
        while !heard.ends_with(b"PONG\r\n") {
            match self.0.next().await.expect("the session lives") {
                Frame::Binary(bytes) => heard.extend(bytes),
                Frame::Ping => {}
                other => panic!("expected a message, found {other:?}"),
            }
        }
        String::from_utf8(heard).unwrap().strip_suffix("PONG\r\n").unwrap().to_owned()
    }
}

/// How often each of the texts stands in what was heard.
fn count(heard: &str, texts: [&str; 2]) -> [usize; 2] {
    texts.map(|text| heard.matches(text).count())
}

#[tokio::test(start_paused = true)]
async fn repetitions_above_the_rate_are_refused_each() {
    let world = World::with(Limits { messages_per_second: Some(20), ..Limits::default() });
    let mut hearer = Quiet::open(&world, "billing").await;
    hearer.hears("SUB a 1\r\n").await;
    let mut sender = Quiet::open(&world, "orders").await;
    let refused = sender.hears(&"PUB a 1\r\nx\r\n".repeat(100)).await;
    let refused = refused.matches("-ERR 'Permissions Violation for Publish to \"a\": ").count();
    let heard = hearer.hears("").await.matches("MSG a 1 ").count();
    assert!(heard >= 1 && refused >= 1, "{heard} heard, {refused} refused");
    assert_eq!(heard + refused, 100);
}

#[tokio::test(start_paused = true)]
async fn a_flood_above_the_rate_ends_though_some_of_it_is_within() {
    let world = World::with(Limits { messages_per_second: Some(20), ..Limits::default() });
    let mut sender = Quiet::open(&world, "orders").await;
    let mut refused = 0;
    for _ in 0..1_000 {
        // The rate is measured by the clock of the machine, so that some are let through all the while.
        sender.0.frame(0x82, format!("{}PING\r\n", "PUB a 1\r\nx\r\n".repeat(100)).as_bytes()).await;
        let mut heard = Vec::new();
        while !heard.ends_with(b"PONG\r\n") {
            match sender.0.next().await.expect("an end is told") {
                Frame::Binary(bytes) => {
                    refused += bytes.windows(4).filter(|window| window == b"-ERR").count();
                    heard.extend(bytes);
                }
                Frame::Ping => {}
                Frame::Close(code, reason) => {
                    assert!(reason.starts_with("rate_limited retry_after_ms="), "{reason}");
                    // A hundred pings above the rate count too.
                    assert!(code == 1008 && refused > 9_500, "{code} after {refused}");
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("{refused} refusals, and the session lives");
}

#[tokio::test(start_paused = true)]
async fn each_repetition_to_an_inbox_needs_a_right_of_its_own() {
    const INBOX: &str = "_INBOX.0123456789abcdefghijkl.1";
    let world = World::new();
    let (mut asker, mut answerer) =
        (Quiet::open(&world, "orders").await, Quiet::open(&world, "billing").await);
    answerer.hears("SUB quote 1\r\n").await;
    asker.hears(&format!("SUB {INBOX} 1\r\nPUB quote {INBOX} 1\r\n?\r\n")).await;
    let request = answerer.hears("").await;
    assert!(request.contains(INBOX), "{request}");
    let refused = answerer.hears(&format!("PUB {INBOX} 1\r\n!\r\n").repeat(3)).await;
    let heard = asker.hears("").await;
    let violation = format!("-ERR 'Permissions Violation for Publish to \"{INBOX}\"'");
    assert_eq!(count(&refused, [&violation, "-ERR"]), [2, 2], "{refused}");
    assert_eq!(count(&heard, [&format!("MSG {INBOX} 1 "), "!\r\n"]), [1, 1], "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_repetition_after_the_policy_changed_is_judged_by_the_new_one() {
    let world = World::new();
    let (mut sender, mut hearer) =
        (Quiet::open(&world, "orders").await, Quiet::open(&world, "billing").await);
    hearer.hears("SUB a 1\r\n").await;
    let again = "PUB a 1\r\nx\r\n".repeat(2);
    assert_eq!(sender.hears(&again).await, "");
    let deny = "[[grant]]\nname = \"deny\"\nservices = [\"orders\"]\ndeny_publish = [\"a\"]\n";
    world.change_policy(&format!("{OPEN}\n{deny}"));
    let violation = "-ERR 'Permissions Violation for Publish to \"a\"'\r\n";
    assert_eq!(sender.hears(&again).await, violation.repeat(2));
    world.change_policy(OPEN);
    assert_eq!(sender.hears(&again).await, "");
    assert_eq!(count(&hearer.hears("").await, ["MSG a 1 ", "x\r\n"]), [4, 4]);
}
