//! The official Rust client, unchanged: each scenario of `tests/nats/scenarios.txt` is a test of that name here. The official
//! Python and JavaScript clients run the same list in `scripts/measure/nats-clients`.

mod ends;
mod messages;
mod refusals;
mod requests;

use std::path::Path;
use std::sync::atomic::Ordering;

use async_nats::{Client, ConnectOptions, Event, Message, RequestErrorKind, Subscriber};
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::harness::{Harness, Issued, PATIENCE, Pki, Profile, replace};

/// A connection of one service, and what its client told of it.
struct Session {
    service: String,
    client: Client,
    events: mpsc::UnboundedReceiver<Event>,
    /// The certificate and its key, which the client reads for each connection.
    files: TempDir,
}

impl Session {
    /// billing may take orders.
    async fn billing(harness: &Harness) -> Self {
        Self::of(harness, "billing", "reader", ConnectOptions::new()).await
    }

    /// checkout may publish orders.
    async fn checkout(harness: &Harness) -> Self {
        Self::checkout_with(harness, ConnectOptions::new()).await
    }

    async fn checkout_with(harness: &Harness, options: ConnectOptions) -> Self {
        Self::of(harness, "checkout", "writer", options).await
    }

    async fn of(harness: &Harness, service: &str, role: &str, options: ConnectOptions) -> Self {
        Self::open(&harness.pki, harness.address.port(), service, role, options).await
    }

    async fn open(pki: &Pki, port: u16, service: &str, role: &str, options: ConnectOptions) -> Self {
        Self::present(pki, port, Profile::service(service, &[role]), options).await
    }

    async fn present(pki: &Pki, port: u16, profile: Profile, options: ConnectOptions) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        write_pair(files.path(), &pki.issue(&profile));
        let (sender, events) = mpsc::unbounded_channel();
        let connecting = options
            .add_root_certificates(pki.path("anchors.pem"))
            .add_client_certificate(files.path().join("chain.pem"), files.path().join("key.pem"))
            .event_callback(move |event| {
                // Nobody listens any more when the test is over.
                let _ = sender.send(event);
                async {}
            })
            .connect(format!("wss://localhost:{port}/nats"));
        let client =
            timeout(PATIENCE, connecting).await.expect("a connection in time").expect("a connection");
        Self { service: profile.common_names[0].clone(), client, events, files }
    }

    /// A subscription that the gateway knows of.
    async fn subscribed(&self, subject: &str) -> Subscriber {
        let subscriber = self.client.subscribe(subject.to_owned()).await.expect("subscribed");
        self.round_trip().await;
        subscriber
    }

    async fn publish(&self, subject: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(subject.to_owned(), payload.into().into()).await.expect("published");
    }

    /// What was sent before has been taken, and what was on its way here has come. `flush` of this client waits for its own
    /// buffers alone, so this asks where nobody answers.
    async fn round_trip(&self) {
        let asking = self.client.request(format!("services.{}.nobody", self.service), "".into());
        let answer = timeout(PATIENCE, asking).await.expect("an answer in time");
        let kind = answer.expect_err("nobody answers").kind();
        assert_eq!(kind, RequestErrorKind::NoResponders);
    }

    /// How many messages came, to whatever subscription.
    fn received(&self) -> u64 {
        self.client.statistics().in_messages.load(Ordering::Relaxed)
    }

    /// Waits for this event and passes over others.
    async fn happens(&mut self, wanted: impl Fn(&Event) -> bool) {
        let waiting = async { while !wanted(&self.events.recv().await.expect("the client lives")) {} };
        timeout(PATIENCE, waiting).await.expect("the event in time");
    }

    /// Waits for an error of the gateway's.
    async fn hears_error(&mut self) -> String {
        loop {
            let event = timeout(PATIENCE, self.events.recv()).await.expect("an event in time");
            if let Event::ServerError(error) = event.expect("the client lives") {
                return error.to_string();
            }
        }
    }
}

fn write_pair(folder: &Path, issued: &Issued) {
    replace(&folder.join("chain.pem"), issued.pem.as_bytes());
    replace(&folder.join("key.pem"), issued.key_pem.as_bytes());
}

async fn next(subscriber: &mut Subscriber) -> Message {
    timeout(PATIENCE, subscriber.next()).await.expect("a message in time").expect("a message")
}

/// The next so many payloads, which are numbers.
async fn numbers(subscriber: &mut Subscriber, count: usize) -> Vec<usize> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(number(&next(subscriber).await));
    }
    numbers
}

fn number(message: &Message) -> usize {
    std::str::from_utf8(&message.payload).expect("digits").parse().expect("a number")
}

/// All headers with their values, in the order of their names.
fn headers_of(message: &Message) -> Vec<(String, String)> {
    let headers = message.headers.iter().flat_map(|headers| headers.iter());
    let mut all: Vec<_> = headers
        .flat_map(|(name, values)| values.iter().map(|value| (name.to_string(), value.to_string())))
        .collect();
    all.sort();
    all
}

#[test]
fn every_scenario_is_a_test() {
    let sources = [
        include_str!("nats_clients/ends.rs"),
        include_str!("nats_clients/messages.rs"),
        include_str!("nats_clients/refusals.rs"),
        include_str!("nats_clients/requests.rs"),
    ];
    for name in include_str!("../nats/scenarios.txt").lines() {
        let test = format!("\nasync fn {name}() {{");
        assert!(sources.iter().any(|source| source.contains(&test)), "no test is called {name}");
    }
}
