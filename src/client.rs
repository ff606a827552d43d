//! The Rust client: `portcullis.json.v1` over a WebSocket with a client certificate.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use portcullis::client::{Body, Client, Options};
//!
//! let options = Options::builder("wss://gateway.internal:8443/", "ca.pem", "cert.pem", "key.pem").build()?;
//! let client = Client::connect(options).await?;
//! let mut orders = client.subscribe("orders.>").await?;
//! client.publish("orders.created", Body::json(&42)?).await?;
//! while let Some(message) = orders.next().await {
//!     println!("{} from {:?}", message.topic, message.from);
//! }
//! # Ok(()) }
//! ```
//!
//! One background task owns the connection. What it promises:
//!
//! - **At most once.** Nothing is sent twice. When a session ends, every operation that waits for its answer fails with
//!   [`OperationError::Disconnected`]; operations without a session fail with [`OperationError::NotConnected`].
//! - **Subscriptions survive.** Each is renewed with its own number before anything else is sent on a new session.
//! - **Files are read anew** on every attempt to connect, and looked at every second while there is a session: another
//!   certificate is proved on it, so that rotation needs neither a restart nor a reconnect.
//! - **Everything is bounded**: the queue to the gateway (callers wait), a subscription's buffer (messages are dropped
//!   and counted), every wait.
//! - **The gateway's pace is kept**: `Retry-After` and `retry_after_ms` are a lower bound of the backoff, and a verdict
//!   on this very certificate or service is asked about only at the slowest pace.

mod backoff;
mod connection;
mod dial;
mod ending;
mod error;
pub(crate) mod escaped;
mod event;
mod ledger;
mod message;
mod operations;
mod options;
mod outbox;
mod pem;
mod reauth;
mod refusal;
mod rotation;
mod session;
mod subscription;
mod tls;
mod upgrade;
mod wire;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::DropGuard;

pub use ending::Ending;
pub use error::{ConnectError, CredentialError, CredentialFile, OperationError, OptionsError};
pub use event::{Event, Events};
pub use message::{Body, Headers, Message, Reply};
pub use operations::{PublishOptions, RequestOptions};
pub use options::{
    DEFAULT_BACKOFF_MAX, DEFAULT_BACKOFF_MIN, DEFAULT_CONNECT_TIMEOUT, DEFAULT_MAX_MESSAGE_BYTES,
    DEFAULT_MAX_QUEUED, DEFAULT_MAX_QUEUED_BYTES, DEFAULT_PING_INTERVAL, DEFAULT_REQUEST_TIMEOUT, Options,
    OptionsBuilder,
};
pub use refusal::{CloseReason, Refusal};
pub use subscription::{SubscribeOptions, Subscription};
pub use wire::{ErrorCode, Limits, Rejection, Standing, WhoAmI, WireError};

use self::dial::Greeted;
use self::ledger::Shared;
use self::session::Session;
use crate::topic::{Pattern, Topic};

/// A handle to one connection to the gateway. Cheap to clone; when the last one is dropped the connection is closed
/// and subscriptions end.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    _stop_with_last_handle: Arc<DropGuard>,
}

impl Client {
    /// Makes the first connection, or says at once why there is none. Later ones are made in the background.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let greeted = dial::dial(&options).await?;
        Ok(Self::start(options, greeted))
    }

    /// Makes the first connection however long it takes, with the same backoff as later; failures are logged.
    pub async fn connect_with_retry(options: Options) -> Self {
        let greeted = connection::connect_patiently(&options).await;
        Self::start(options, greeted)
    }

    fn start(options: Options, greeted: Greeted) -> Self {
        let shared = Arc::new(Shared::new(options));
        let _stop_with_last_handle = Arc::new(shared.stop.clone().drop_guard());
        let session = Session::open(shared.clone(), greeted);
        tokio::spawn(connection::supervise(shared.clone(), session));
        Self { shared, _stop_with_last_handle }
    }

    /// Publishes without waiting for an answer: returns when the message is queued. A refusal comes as
    /// [`Event::Rejected`].
    pub async fn publish(&self, topic: &str, body: impl Into<Body>) -> Result<(), OperationError> {
        self.publish_with(topic, body, &PublishOptions::default()).await
    }

    /// [`publish`](Self::publish) with headers or a place for answers.
    pub async fn publish_with(
        &self,
        topic: &str,
        body: impl Into<Body>,
        options: &PublishOptions,
    ) -> Result<(), OperationError> {
        self.shared.publish(&Topic::parse(topic)?, &body.into(), options).await
    }

    /// Publishes and waits until the gateway has authorised the message and queued it to every session that matches;
    /// nobody listening is fine too.
    pub async fn publish_confirmed(&self, topic: &str, body: impl Into<Body>) -> Result<(), OperationError> {
        self.publish_confirmed_with(topic, body, &PublishOptions::default()).await
    }

    /// [`publish_confirmed`](Self::publish_confirmed) with headers or a place for answers.
    pub async fn publish_confirmed_with(
        &self,
        topic: &str,
        body: impl Into<Body>,
        options: &PublishOptions,
    ) -> Result<(), OperationError> {
        self.shared.publish_confirmed(&Topic::parse(topic)?, &body.into(), options).await
    }

    /// Subscribes and waits until the gateway has granted it.
    pub async fn subscribe(&self, pattern: &str) -> Result<Subscription, OperationError> {
        self.subscribe_with(pattern, SubscribeOptions::default()).await
    }

    /// [`subscribe`](Self::subscribe) in a group, or without one's own messages.
    pub async fn subscribe_with(
        &self,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, OperationError> {
        self.shared.subscribe(Pattern::parse(pattern)?, options).await
    }

    /// Asks and waits for the one answer.
    pub async fn request(&self, topic: &str, body: impl Into<Body>) -> Result<Reply, OperationError> {
        self.request_with(topic, body, &RequestOptions::default()).await
    }

    /// [`request`](Self::request) with headers or a timeout of its own.
    pub async fn request_with(
        &self,
        topic: &str,
        body: impl Into<Body>,
        options: &RequestOptions,
    ) -> Result<Reply, OperationError> {
        self.shared.request(&Topic::parse(topic)?, &body.into(), options).await
    }

    /// Answers a message that carried `reply`. Returns when the answer is queued.
    pub async fn respond(&self, message: &Message, body: impl Into<Body>) -> Result<(), OperationError> {
        self.respond_with(message, body, &Headers::new()).await
    }

    /// [`respond`](Self::respond) with headers.
    pub async fn respond_with(
        &self,
        message: &Message,
        body: impl Into<Body>,
        headers: &Headers,
    ) -> Result<(), OperationError> {
        let reply = message.reply.as_ref().ok_or(OperationError::NoReplyWanted)?;
        self.shared.respond(reply, &body.into(), headers).await
    }

    /// Who the gateway takes this client for, and what it may do.
    pub async fn whoami(&self) -> Result<WhoAmI, OperationError> {
        let text = self.shared.whoami().await?;
        WhoAmI::decode(&text).map_err(|source| OperationError::Answer { source })
    }

    /// Who this client is on its present session; `None` while there is none.
    pub fn standing(&self) -> watch::Receiver<Option<Arc<Standing>>> {
        self.shared.standing.subscribe()
    }

    /// What happens to the connection from now on.
    pub fn events(&self) -> Events {
        Events { receiver: self.shared.events.subscribe(), finished: self.shared.finished.clone() }
    }

    /// Writes what is queued, waits for the answers still owed (at most `request_timeout`), closes the session with
    /// 1000 and ends every subscription. Returns when that is done, for whichever handle asked first.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.finished.cancelled().await;
    }
}

#[cfg(test)]
mod tests;
