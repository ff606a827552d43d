//! Publishes numbered messages to itself for SECONDS, through as many certificates as that takes, and tells in one line
//! of JSON what became of them; the exit code is 1 unless all came, once and in order, on one connection.
//!
//! `stream SECONDS [MESSAGES_PER_SECOND]`, with the environment of the `portcullis` commands.

use std::collections::BTreeSet;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use portcullis::client::{Body, Client, Event, Events, Options, Subscription};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// What is still under way at the end has so long to arrive.
const LAST_WAIT: Duration = Duration::from_secs(5);

type Fallible<T = ()> = Result<T, Box<dyn Error>>;

/// What came of the numbers. Keeps only those that are missing, so that a stream may be as long as it likes.
#[derive(Default)]
struct Tally {
    sent: u64,
    next: u64,
    missing: BTreeSet<u64>,
    duplicated: u64,
    reordered: u64,
    reauthentications: u64,
    reconnects: u64,
}

#[derive(Serialize)]
struct Report {
    messages: u64,
    lost: u64,
    duplicated: u64,
    reordered: u64,
    reauthentications: u64,
    reconnects: u64,
}

impl Tally {
    fn count(&mut self, number: u64) {
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
        } else if self.missing.remove(&number) {
            self.reordered += 1;
        } else {
            self.duplicated += 1;
        }
    }

    fn lost(&self) -> u64 {
        self.missing.len() as u64 + self.sent.saturating_sub(self.next)
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Reauthenticated { .. } => self.reauthentications += 1,
            Event::Disconnected { retry_in: Some(_), reason, .. } => {
                self.reconnects += 1;
                eprintln!("disconnected: {reason}");
            }
            Event::Connected { .. } | Event::ReauthRequired { .. } => {}
            other => eprintln!("{other:?}"),
        }
    }

    fn report(&self) -> Report {
        Report {
            messages: self.sent,
            lost: self.lost(),
            duplicated: self.duplicated,
            reordered: self.reordered,
            reauthentications: self.reauthentications,
            reconnects: self.reconnects,
        }
    }
}

impl Report {
    fn is_whole(&self) -> bool {
        self.messages > 0 && self.lost + self.duplicated + self.reordered + self.reconnects == 0
    }
}

#[tokio::main]
async fn main() -> Fallible<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().ok_or("usage: stream SECONDS [MESSAGES_PER_SECOND]")?.parse()?;
    let rate: f64 = arguments.next().map_or(Ok(100.0), |text| text.parse())?;
    let pace = Duration::try_from_secs_f64(1.0 / rate)?;
    let end = Instant::now() + Duration::try_from_secs_f64(seconds)?;

    let client = Client::connect(options()?).await?;
    let events = client.events();
    let topic = format!("services.{}.stream", client.whoami().await?.service);
    let numbers = client.subscribe(&topic).await?;
    let tally = stream(&client, &topic, numbers, events, end, pace).await?;
    client.close().await;

    let report = tally.report();
    println!("{}", serde_json::to_string(&report)?);
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options() -> Fallible<Options> {
    let [url, ca, cert, key] = ["URL", "CA", "CERT", "KEY"].map(|name| {
        let name = format!("PORTCULLIS_{name}");
        std::env::var(&name).map_err(|error| format!("{name}: {error}"))
    });
    Ok(Options::builder(url?, ca?, cert?, key?).build()?)
}

/// Publishes and receives until `end`, then waits a moment for what is still under way.
async fn stream(
    client: &Client,
    topic: &str,
    mut numbers: Subscription,
    mut events: Events,
    end: Instant,
    pace: Duration,
) -> Fallible<Tally> {
    let mut tally = Tally::default();
    let mut due = interval(pace.max(Duration::from_micros(1)));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let publish = async {
        loop {
            tokio::select! {
                _ = due.tick() => {
                    // What cannot be sent while there is no session counts as lost.
                    if let Err(fault) = client.publish(topic, Body::json(&tally.sent)?).await {
                        eprintln!("{fault}");
                    }
                    tally.sent += 1;
                }
                Some(message) = numbers.next() => tally.count(message.json()?),
                Some(event) = events.next() => tally.note(event),
                else => return Err::<(), Box<dyn Error>>("the subscription was taken away".into()),
            }
        }
    };
    if let Ok(fault) = timeout_at(end, publish).await {
        fault?;
    }
    let rest = async {
        while tally.lost() > 0 {
            tokio::select! {
                Some(message) = numbers.next() => tally.count(message.json()?),
                Some(event) = events.next() => tally.note(event),
                else => break,
            }
        }
        Ok::<(), Box<dyn Error>>(())
    };
    if let Ok(outcome) = timeout_at(end + LAST_WAIT, rest).await {
        outcome?;
    }
    Ok(tally)
}
