//! What a client tells about itself while it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::ending::Ending;
use super::error::{ConnectError, CredentialError};
use super::wire::{Rejection, Standing};
use crate::topic::Pattern;

/// Events that a slow listener can be behind before it misses some.
pub(super) const EVENT_BUFFER: usize = 256;

/// Something that happened to the connection, or an answer to nobody in particular.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// There is a session; every live subscription is being renewed on it before anything else is sent.
    Connected { standing: Arc<Standing> },
    /// The session ended. `unsent` operations had been taken but not written and are gone; the next attempt is made
    /// after `retry_in` (`None`: the client was closed).
    Disconnected { reason: Arc<Ending>, unsent: usize, retry_in: Option<Duration> },
    /// An attempt to connect failed; the next is made after `retry_in`.
    ConnectFailed { error: Arc<ConnectError>, retry_in: Duration },
    /// The gateway goes away at `deadline` (Unix milliseconds); the client moves to a new session before that.
    Draining { deadline: u64 },
    /// The session ends at `deadline` (Unix milliseconds) unless the certificate is proved anew. The client reads its
    /// files and sends the proof by itself; put a new certificate in place before that if this one is running out.
    ReauthRequired { deadline: u64, cause: String },
    /// The proof was taken; the session now lasts until `deadline` (Unix milliseconds).
    Reauthenticated { deadline: Option<u64> },
    /// The gateway did not take the proof.
    ReauthRejected { rejection: Rejection },
    /// No proof can be made of the files as they are; the session ends at its deadline unless they are mended.
    ReauthImpossible { error: Arc<CredentialError> },
    /// A subscription is gone while its owner still listens: taken away by a change of policy or roles, or not granted
    /// again after a reconnect. It ends after what it has buffered.
    SubscriptionLost { pattern: Pattern, reason: String },
    /// An operation without confirmation was refused.
    Rejected { rejection: Rejection },
    /// This listener was too slow for `count` events.
    Missed { count: u64 },
}

/// The events from the moment of [`Client::events`](super::Client::events) on.
#[derive(Debug)]
pub struct Events {
    pub(super) receiver: broadcast::Receiver<Event>,
    pub(super) finished: CancellationToken,
}

impl Events {
    /// The next event, or `None` after the client is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        let received = tokio::select! {
            biased;
            received = self.receiver.recv() => received,
            () = self.finished.cancelled() => return None,
        };
        match received {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(count)) => Some(Event::Missed { count }),
            Err(RecvError::Closed) => None,
        }
    }
}
