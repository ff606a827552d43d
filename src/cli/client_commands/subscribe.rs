//! `portcullis sub PATTERN…`

use std::io;

use clap::Args;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Failure;
use super::GatewayArgs;
use super::events;
use super::payload::{write_line, write_raw};
use crate::cli::exit::EXIT_HELP;
use crate::client::{Client, Event, Events, Message, SubscribeOptions, Subscription};

/// Print every message that matches, one line of JSON each, until interrupted.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_HELP)]
pub struct SubscribeArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// Patterns to listen to: `*` is one token, `>` one or more at the end
    #[arg(required = true)]
    patterns: Vec<String>,
    /// Share the messages with the other members of this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Stop after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print payloads alone
    #[arg(long)]
    raw: bool,
    /// Leave out what this very session publishes
    #[arg(long)]
    no_echo: bool,
}

impl SubscribeArgs {
    /// Prints until the count is reached, the process is interrupted, or no subscription is left.
    pub async fn run(self) -> Result<(), Failure> {
        let client = self.gateway.connect().await?;
        let outcome = tokio::select! {
            outcome = self.listen(&client) => outcome,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        client.close().await;
        outcome
    }

    async fn listen(&self, client: &Client) -> Result<(), Failure> {
        let mut events = client.events();
        let (sender, mut messages) = mpsc::channel(1);
        let mut forwarders = JoinSet::new();
        for pattern in &self.patterns {
            let options = SubscribeOptions { group: self.group.clone(), echo: !self.no_echo };
            let subscription = client.subscribe_with(pattern, options).await?;
            forwarders.spawn(forward(subscription, sender.clone()));
        }
        drop(sender);
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut lost = String::new();
        let mut refused = None;
        while left > 0 {
            tokio::select! {
                biased;
                Some(event) = events.next() => if let Err(failure) = report(&event, &mut lost) {
                    // What came before is printed still; then the messages end.
                    client.close().await;
                    refused = Some(failure);
                },
                message = messages.recv() => match message {
                    Some(message) if self.print(&message)? => left -= 1,
                    Some(_) => return Ok(()),
                    None => return Err(match refused {
                        Some(failure) => failure,
                        None => why_lost(events, lost).await,
                    }),
                },
            }
        }
        Ok(())
    }

    /// Whether somebody still reads.
    fn print(&self, message: &Message) -> Result<bool, Failure> {
        let mut out = io::stdout().lock();
        let written = match self.raw {
            true => write_raw(&message.body, &mut out),
            false => write_line(message, &mut out),
        };
        match written {
            Ok(()) => Ok(true),
            Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(fault) => Err(Failure::Output(fault)),
        }
    }
}

async fn forward(mut subscription: Subscription, sender: mpsc::Sender<Message>) {
    let mut missed = 0;
    while let Some(message) = subscription.next().await {
        if subscription.missed() > missed {
            missed = subscription.missed();
            eprintln!("`{}`: {missed} messages dropped so far: output is too slow", subscription.pattern());
        }
        if sender.send(message).await.is_err() {
            break;
        }
    }
}

/// Tells of the connection on standard error, and keeps why a subscription was lost. An error if no attempt to come
/// back can help.
fn report(event: &Event, lost: &mut String) -> Result<(), Failure> {
    if let Some(failure) = events::lasting_refusal(event) {
        return Err(failure);
    }
    if let Some(line) = events::line(event) {
        eprintln!("{line}");
    }
    if let Event::SubscriptionLost { reason, .. } = event {
        reason.clone_into(lost);
    }
    Ok(())
}

/// The event may come a moment after the subscription's end.
async fn why_lost(mut events: Events, mut lost: String) -> Failure {
    while lost.is_empty() {
        match events.next().await {
            Some(event) => {
                if let Err(failure) = report(&event, &mut lost) {
                    return failure;
                }
            }
            None => break,
        }
    }
    Failure::SubscriptionsLost { reason: lost }
}
