//! What the NATS dialect has beside commands: what a client says of itself, its pings, and questions to the gateway.

use std::sync::Arc;

use tokio::time::Instant;

use super::fault::Fault;
use super::inbound::Outcome;
use super::wire::Writer;
use super::{CloseReason, Session};
use crate::protocol::json::DecodeError;
pub(super) use crate::protocol::nats::Connect;
use crate::protocol::nats::{self, Operation, Voice};
use crate::protocol::{Command, Dialect, Event, Form, OkResult, OpId, Sid};
use crate::routing::Subscription;
use crate::topic::{Pattern, Topic};

/// How sessions speak, beside what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialectSettings {
    /// Messages tell NATS clients their verified sender, in a header.
    pub stamp_sender: bool,
    /// A NATS client that gives credentials is turned away; otherwise they have no effect.
    pub refuse_credentials: bool,
    /// Where else clients can go when the gateway drains: whole `wss://` URLs.
    pub alternatives: Arc<[String]>,
}

impl Default for DialectSettings {
    fn default() -> Self {
        Self { stamp_sender: true, refuse_credentials: false, alternatives: Arc::from([]) }
    }
}

/// In which form a session is sent messages that are published from now on.
pub(super) fn form(dialect: Dialect, client: &Connect, settings: &DialectSettings) -> Form {
    match dialect {
        Dialect::Json => Form::Json,
        Dialect::Nats if !client.headers => Form::Nats(nats::Form::Headerless),
        Dialect::Nats if settings.stamp_sender => Form::Nats(nats::Form::Stamped),
        Dialect::Nats => Form::Nats(nats::Form::AsPublished),
    }
}

/// What it takes to hold a topic against a pattern of many tokens, in offers to receivers.
const MATCH_WORK: usize = 8;

impl Session {
    /// One operation of a NATS client.
    pub(super) fn receive_nats(
        &mut self,
        operation: &mut Operation<'_>,
        writer: &mut Writer,
        now: Instant,
    ) -> Result<(), CloseReason> {
        if !matches!(operation, Operation::Command(_) | Operation::Again { .. }) {
            self.send_burst();
        }
        match operation {
            Operation::Again { topic, payload } => self.publish_again(topic, payload, writer, now),
            Operation::Command(command) => self.receive(Ok(command), writer, now),
            Operation::Connect(client) => self.connect(*client, writer),
            Operation::Ping => {
                self.count()?;
                self.outbox.pong();
                Ok(())
            }
            Operation::Pong if self.keepalive.is_flooded(now, &self.limits) => {
                Err(CloseReason::ProtocolAbuse)
            }
            Operation::Pong => Ok(()),
            Operation::Ask { topic, command, reply } => self.answer(topic, command, *reply, writer, now),
            Operation::Refused { topic, fault } => {
                if let Some((voice, out)) = writer.nats() {
                    voice.refuse(topic, *fault, out);
                }
                self.faults.count(&self.limits)
            }
        }
    }

    /// Counts what has to be answered even above the rate, because a client would wait for ever: a session that goes on so ends.
    fn count(&mut self) -> Result<(), CloseReason> {
        match self.rate.take() {
            Ok(()) => {
                self.faults.within_rate();
                Ok(())
            }
            Err(_) => self.faults.over_rate(&self.limits),
        }
    }

    /// Takes over how the client wants to be spoken to.
    fn connect(&mut self, client: Connect, writer: &mut Writer) -> Result<(), CloseReason> {
        self.count()?;
        let settings = self.gateway.generation().dialects.clone();
        if client.has_credentials && settings.refuse_credentials {
            return Err(CloseReason::CredentialsRefused);
        }
        self.outbox.set_form(form(self.dialect, &client, &settings));
        if let Some((voice, _)) = writer.nats() {
            voice.connect(client);
        }
        writer.event(&done());
        Ok(())
    }

    /// Executes what a client asked the gateway itself, and answers it at `reply`, for that of its subscriptions which hears it.
    fn answer(
        &mut self,
        topic: &str,
        command: &mut Result<Command<'_>, DecodeError>,
        reply: Option<&str>,
        writer: &mut Writer,
        now: Instant,
    ) -> Result<(), CloseReason> {
        let listener = reply.and_then(|reply| {
            let reply = Topic::parse(reply).ok()?;
            let subscription = self.hearing(&reply)?;
            Some((reply, subscription))
        });
        if listener.is_none() && matches!(command, Ok(Command::WhoAmI { .. })) {
            self.understood();
            self.count()?;
            writer.event(&done());
            return Ok(());
        }
        let command = command.as_mut().map_err(|error| error.clone());
        let mut answer = self.perform(command, writer, now);
        match (listener, &mut answer.event, writer.nats()) {
            (Some((reply, heard)), Some(event), Some((voice, out))) => {
                voice.answer(&reply, heard.sid(), event, out);
                heard.count_own();
                self.end_if_over(&heard);
                writer.event(&done());
            }
            (None, Some(Event::Error(error)), _) => {
                error.topic = Some(topic.into());
                writer.event(&Event::Error(error.clone()));
            }
            _ => writer.event(&done()),
        }
        self.conclude(&answer, writer)
    }

    /// The session's own subscription that hears what is published on `topic`.
    fn hearing(&mut self, topic: &Topic) -> Option<Arc<Subscription>> {
        self.turn.count(self.subscriptions.len() * MATCH_WORK);
        self.subscriptions.values().find(|subscription| subscription.pattern().matches(topic)).cloned()
    }

    /// Tells a client that asked for it that nobody receives its request.
    pub(super) fn tell_no_responders(&mut self, reply: &Topic, writer: &mut Writer) {
        if let Some((voice, out)) = writer.nats()
            && voice.options().no_responders
            && voice.options().headers
            && let Some(heard) = self.hearing(reply)
        {
            nats::no_responders(reply.as_str(), heard.sid(), out);
            heard.count_own();
            self.end_if_over(&heard);
        }
    }
}

/// Subscribes to what the gateway tells the session. The router never hears of it.
pub(super) fn listen(voice: &mut Voice, sid: &Sid, pattern: &str) -> Result<Outcome, Fault> {
    match voice.listen(sid.clone(), Pattern::parse(pattern)?) {
        true => Ok(Outcome::DONE),
        false => Err(Fault::TooManySubscriptions(nats::MOST_LISTENING)),
    }
}

/// Success of an operation that returns nothing.
fn done() -> Event {
    Event::Ok { id: OpId::ZERO, result: OkResult::Empty }
}
