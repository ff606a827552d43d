//! The NATS dialect over real TLS, byte by byte: what official clients rely on, and what they would never send.

mod changes;
mod framing;
mod hostile;
mod interop;
mod messages;
mod order;
mod proofs;
mod requests;
mod session;

use crate::harness::nats::{Nats, Said, publish};
use crate::harness::{Closed, Harness, Setup};

/// An inbox of the spelling that official clients use.
const INBOX: &str = "_INBOX.0123456789abcdefghijkl";

fn violation(kind: &str, topic: &str) -> String {
    format!("Permissions Violation for {kind} to \"{topic}\"")
}

fn publish_refused(topic: &str) -> String {
    violation("Publish", topic)
}

fn reply_refused(reply: &str) -> String {
    format!("Permissions Violation for Publish with Reply of \"{reply}\"")
}

fn subscribe_refused(pattern: &str) -> String {
    violation("Subscription", pattern)
}

fn closed(code: u16, reason: &str) -> Closed {
    Closed::Frame(code, reason.into())
}

/// A gateway with these lines in its `[nats]` block and in its `[gateway]` block.
async fn with(nats: &str, gateway: &str) -> Harness {
    Harness::with(Setup { more: format!("[nats]\n{nats}"), gateway: gateway.into(), ..Setup::default() })
        .await
}

/// The payloads of messages that come next, up to the one that is `end`.
async fn until_end(nats: &mut Nats) -> Vec<String> {
    let mut payloads = Vec::new();
    loop {
        match nats.said().await {
            Said::Message(message) if message.payload == "end" => return payloads,
            Said::Message(message) => payloads.push(message.payload),
            other => panic!("a message was expected, not {other:?}"),
        }
    }
}

/// Numbered publications, and one that ends them.
fn numbered(topic: &str, count: usize) -> String {
    let numbers = (0..count).map(|n| publish(topic, &n.to_string()));
    numbers.chain([publish(topic, "end")]).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}
