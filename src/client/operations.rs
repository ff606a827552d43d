//! One operation from the caller to its answer: an id, a place in the queue, a wait with a deadline.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::error::OperationError;
use super::ledger::{Answer, Entry, Meter, Shared, Waiter};
use super::message::{Body, Headers, Reply};
use super::subscription::{SubscribeOptions, Subscription};
use super::wire::{Command, ErrorCode, Sid, payload_fields};
use crate::topic::{Pattern, Topic};

/// The gateway enforces a request's timeout and answers; the caller waits this much longer before it gives up.
const ANSWER_GRACE: Duration = Duration::from_millis(500);

/// What goes with a message that is published.
#[derive(Debug, Clone, Default)]
pub struct PublishOptions {
    /// Headers; see [`Headers::add`].
    pub headers: Headers,
    /// Where answers shall go: in an inbox of this service, or where it may publish.
    pub reply: Option<Topic>,
}

/// What goes with a request.
#[derive(Debug, Clone, Default)]
pub struct RequestOptions {
    /// Headers; see [`Headers::add`].
    pub headers: Headers,
    /// How long to wait; by default the client's `request_timeout`.
    pub timeout: Option<Duration>,
}

impl Shared {
    pub(super) async fn publish(&self, topic: &Topic, body: &Body, options: &PublishOptions) -> Answer<()> {
        self.check_size(body)?;
        let text = self.encode(publication(None, topic, body, options))?;
        self.hand_over(text).await
    }

    pub(super) async fn publish_confirmed(
        &self,
        topic: &Topic,
        body: &Body,
        options: &PublishOptions,
    ) -> Answer<()> {
        self.check_size(body)?;
        self.confirm(|id| publication(Some(id), topic, body, options)).await.map(drop)
    }

    pub(super) async fn request(
        &self,
        topic: &Topic,
        body: &Body,
        options: &RequestOptions,
    ) -> Answer<Reply> {
        self.check_size(body)?;
        let patience = options.timeout.unwrap_or(self.options.request_timeout);
        let timeout_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).min(MAX_INTEGER);
        let (data, data_base64) = payload_fields(body);
        let headers = &options.headers;
        let topic = topic.as_str();
        let command = |id| Command::Req { id, topic, data, data_base64, headers, timeout_ms };
        let answer = self.ask(Waiter::Reply, command, None, patience.saturating_add(ANSWER_GRACE)).await;
        match answer {
            Err(OperationError::Timeout { .. }) => Err(OperationError::Timeout { after: patience }),
            // The gateway's own verdict means the same as ours.
            Err(OperationError::Rejected(rejection)) if rejection.code == ErrorCode::Timeout => {
                Err(OperationError::Timeout { after: patience })
            }
            answer => answer,
        }
    }

    pub(super) async fn respond(&self, reply: &Topic, body: &Body, headers: &Headers) -> Answer<()> {
        self.check_size(body)?;
        let (data, data_base64) = payload_fields(body);
        let text = self.encode(Command::Res { reply: reply.as_str(), data, data_base64, headers })?;
        self.hand_over(text).await
    }

    pub(super) async fn whoami(&self) -> Answer<String> {
        self.confirm(|id| Command::Whoami { id }).await
    }

    pub(super) async fn unsubscribe(&self, sid: Sid) -> Answer<()> {
        self.confirm(|id| Command::Unsub { sid, id: Some(id) }).await.map(drop)
    }

    pub(super) async fn subscribe(
        self: &Arc<Self>,
        pattern: Pattern,
        options: SubscribeOptions,
    ) -> Answer<Subscription> {
        let (sender, receiver) = mpsc::channel(self.options.max_queued);
        let meter = Arc::<Meter>::default();
        let (group, echo) = (options.group, options.echo);
        let entry = Entry {
            pattern: pattern.clone(),
            group: group.clone(),
            echo,
            sender,
            meter: meter.clone(),
            written: false,
        };
        let sid = self.ledger().add_subscription(entry);
        // From here on dropping this value, and with it an abandoned call, takes the entry back.
        let subscription = Subscription { sid, pattern, receiver, meter, shared: self.clone() };
        let (topic, group) = (subscription.pattern.as_str(), group.as_deref());
        let command = |id| Command::Sub { sid, id, topic, group, echo };
        let waiter = |answer| Waiter::Subscribe(sid, answer);
        self.ask(waiter, command, Some(sid), self.options.request_timeout).await?;
        Ok(subscription)
    }

    /// Sends without an id: only errors come back, as events.
    async fn hand_over(&self, text: String) -> Answer<()> {
        let after = self.options.request_timeout;
        let outbox = self.ledger().outbox()?;
        let sent = timeout(after, outbox.send(text, None)).await;
        sent.map_err(|_| OperationError::Timeout { after })?.map_err(|_| OperationError::NotConnected)
    }

    async fn confirm<'a>(&self, command: impl FnOnce(u64) -> Command<'a>) -> Answer<String> {
        self.ask(Waiter::Ok, command, None, self.options.request_timeout).await
    }

    async fn ask<'a, T>(
        &self,
        waiter: impl FnOnce(oneshot::Sender<Answer<T>>) -> Waiter,
        command: impl FnOnce(u64) -> Command<'a>,
        opens: Option<Sid>,
        after: Duration,
    ) -> Answer<T> {
        let (sender, answer) = oneshot::channel();
        let (id, outbox) = self.ledger().expect(waiter(sender))?;
        let _forget = Forget { shared: self, id };
        let text = self.encode(command(id))?;
        let outcome = timeout(after, async {
            outbox.send(text, opens).await.map_err(|_| OperationError::NotConnected)?;
            answer.await.unwrap_or(Err(OperationError::Disconnected))
        });
        match outcome.await.unwrap_or(Err(OperationError::Timeout { after })) {
            Err(OperationError::Forbidden { rejection, .. }) => {
                let service = self.standing.borrow().as_ref().map(|standing| standing.service.clone());
                Err(OperationError::Forbidden { service, rejection })
            }
            outcome => outcome,
        }
    }

    fn encode(&self, command: Command<'_>) -> Answer<String> {
        let text = command.encode().map_err(|source| OperationError::Encode { source })?;
        let (bytes, limit) = (text.len(), self.options.max_operation_bytes());
        if bytes > limit { Err(OperationError::OverLimit { bytes, limit }) } else { Ok(text) }
    }

    fn check_size(&self, body: &Body) -> Answer<()> {
        let bytes = body.as_bytes().len();
        let limit = self.standing.borrow().as_ref().and_then(|standing| standing.limits.max_payload);
        match limit {
            Some(limit) if bytes > limit => Err(OperationError::TooLarge { bytes, limit }),
            _ => Ok(()),
        }
    }
}

/// Integers on the wire stay below 2^53.
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Takes the operation out of the books when its caller stops waiting, for whatever reason.
struct Forget<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.ledger().forget(self.id);
    }
}

fn publication<'a>(
    id: Option<u64>,
    topic: &'a Topic,
    body: &'a Body,
    options: &'a PublishOptions,
) -> Command<'a> {
    let (data, data_base64) = payload_fields(body);
    let reply = options.reply.as_ref().map(Topic::as_str);
    Command::Pub { id, topic: topic.as_str(), data, data_base64, headers: &options.headers, reply }
}
