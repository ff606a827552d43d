//! A live subscription and its bounded buffer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::error::OperationError;
use super::ledger::{Meter, Shared};
use super::message::Message;
use super::wire::Sid;
use crate::topic::Pattern;

/// How to subscribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Share the messages with the other members of this group: each goes to one of them.
    pub group: Option<String>,
    /// Whether messages that this very client publishes come too.
    pub echo: bool,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self { group: None, echo: true }
    }
}

/// Messages of one pattern, across reconnects. Dropping it ends it at the gateway too.
///
/// The buffer is bounded in messages and bytes ([`OptionsBuilder::max_queued`](super::OptionsBuilder::max_queued),
/// `max_queued_bytes`). When it is full, new messages are dropped and counted in [`missed`](Self::missed): delivery
/// is at most once anyway, and holding up the socket would stall every other subscription and answer of this client
/// until the gateway closed the session as a slow consumer.
#[derive(Debug)]
pub struct Subscription {
    pub(super) sid: Sid,
    pub(super) pattern: Pattern,
    pub(super) receiver: mpsc::Receiver<Message>,
    pub(super) meter: Arc<Meter>,
    pub(super) shared: Arc<Shared>,
}

impl Subscription {
    /// The next message. `None` when the subscription is over: taken away by the gateway (see
    /// [`Event::SubscriptionLost`](super::Event::SubscriptionLost)) or the client closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Message> {
        let message = tokio::select! {
            biased;
            message = self.receiver.recv() => message,
            () = self.shared.finished.cancelled() => None,
        }?;
        self.meter.bytes.fetch_sub(message.weight(), Ordering::Relaxed);
        Some(message)
    }

    /// What it listens to.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// How many messages were dropped because the buffer was full, since the subscription began.
    pub fn missed(&self) -> u64 {
        self.meter.missed.load(Ordering::Relaxed)
    }

    /// Ends it and waits until the gateway has confirmed that. What is still in the buffer is gone. Without a
    /// connection there is nothing to confirm: it is not renewed on the next one.
    pub async fn unsubscribe(self) -> Result<(), OperationError> {
        let known = self.shared.ledger().take_subscription(self.sid);
        if !known {
            return Ok(());
        }
        match self.shared.unsubscribe(self.sid).await {
            Err(OperationError::NotConnected | OperationError::Disconnected) => Ok(()),
            outcome => outcome,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.ledger().drop_subscription(self.sid);
    }
}
