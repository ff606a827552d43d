//! THE MESSAGE PATH: frame → command → policy → route → queues of the receivers.
//!
//! `take_in` reads what was said; `receive` (in the NATS dialect `receive_nats`, `publish_again`) is one command; `joins_burst` is the
//! short way of a publication that goes on with the one before, `perform` and `execute` are that of everything else.
//!
//! Each operation is one function that either succeeds with what the peer is told or fails with a [`Fault`], and every
//! fault is turned into the peer's answer in one place. The policy's rule goes to the audit log; the peer hears only
//! `forbidden`. What sends something stands in `sending.rs`.

use std::mem::take;

use tokio::time::Instant;

use super::fault::{self, Fault};
use super::wire::{Reader, Said, Writer};
use super::{CloseReason, Session, nats};
use crate::policy::{Denial, DenialReason, GroupName, Rule};
use crate::protocol::json::DecodeError;
use crate::protocol::nats::{Operation, SESSION_EVENTS};
use crate::protocol::{
    self, Challenge, Command, Dialect, ErrorEvent, Event, Headers, OkResult, Payload, Sid,
};
use crate::routing::InboxError;
use crate::topic::{Pattern, Topic};

impl Session {
    /// Executes what the peer sent, as long as there is room for the answers and until others have to have their turn. Whether
    /// something may be left.
    pub(super) fn take_in(
        &mut self,
        reader: &mut Reader,
        writer: &mut Writer,
        now: Instant,
    ) -> Result<bool, CloseReason> {
        reader.set_limits(&self.limits);
        let mut is_left = false;
        while writer.has_room() {
            if !self.turn.goes_on() {
                is_left = true;
                break;
            }
            // Looked at where it lies: to move it would cost as much as to execute the commonest of them. A verdict that fell since the
            // last one holds for this one.
            match &mut reader.next() {
                Ok(Some(Said::Nats(Operation::Again { topic, payload }))) => {
                    self.judge_again(writer)?;
                    self.publish_again(topic, payload, writer, now)?;
                }
                Ok(Some(Said::Nats(operation))) => {
                    self.judge_again(writer)?;
                    self.receive_nats(operation, writer, now)?;
                }
                Ok(Some(Said::Command(command))) => {
                    self.judge_again(writer)?;
                    self.receive(command.as_mut().map_err(|error| error.clone()), writer, now)?;
                }
                Ok(Some(Said::Ping(_) | Said::Pong)) if self.keepalive.is_flooded(now, &self.limits) => {
                    return Err(CloseReason::ProtocolAbuse);
                }
                Ok(Some(Said::Ping(payload))) => writer.pong(payload),
                Ok(Some(Said::Pong)) => {}
                Ok(Some(Said::Close)) => return Err(CloseReason::ClientClosed),
                Ok(None) => break,
                Err(reason) => return Err(*reason),
            }
        }
        self.end_burst();
        // All who receive something are told once.
        self.turn.end();
        Ok(is_left)
    }

    /// One command of the peer: execute it, answer it.
    pub(super) fn receive(
        &mut self,
        command: Result<&mut Command<'_>, DecodeError>,
        writer: &mut Writer,
        now: Instant,
    ) -> Result<(), CloseReason> {
        if let Ok(Command::Publish { id: None, topic, payload, headers, reply: None }) = &command
            && headers.is_empty()
            && self.joins_burst(topic, payload)
        {
            return Ok(());
        }
        self.receive_alone(command, writer, now)
    }

    /// The same for a publication that repeats the one before but for its payload, and has no answer.
    pub(super) fn publish_again(
        &mut self,
        topic: &str,
        payload: &[u8],
        writer: &mut Writer,
        now: Instant,
    ) -> Result<(), CloseReason> {
        let payload = Payload::opaque(payload);
        if self.joins_burst(topic, &payload) {
            return Ok(());
        }
        let (id, topic, headers, reply) = (None, topic.into(), Headers::EMPTY, None);
        self.receive_alone(Ok(&mut Command::Publish { id, topic, payload, headers, reply }), writer, now)
    }

    /// One command that does not go on with the burst.
    fn receive_alone(
        &mut self,
        command: Result<&mut Command<'_>, DecodeError>,
        writer: &mut Writer,
        now: Instant,
    ) -> Result<(), CloseReason> {
        let answer = self.perform(command, writer, now);
        if let Some(event) = &answer.event {
            writer.event(event);
        }
        self.conclude(&answer, writer)
    }

    /// Publishes a payload, of which nobody hears anything, if it goes on with the burst: all that is left of [`Self::perform`]
    /// then. Whether it did.
    fn joins_burst(&mut self, topic: &str, payload: &Payload<'_>) -> bool {
        let Some(burst) = &mut self.burst else { return false };
        if !burst.takes_more(payload) || !self.lanes.goes_on(topic) || self.rate.take().is_err() {
            return false;
        }
        burst.add(payload);
        self.understood();
        self.faults.within_rate();
        true
    }

    /// Counts a command, whatever comes of it.
    pub(super) fn understood(&mut self) {
        self.faults.forget();
        self.counts.commands += 1;
    }

    /// What an answer that is given means for the session.
    pub(super) fn conclude(&mut self, answer: &Answer, writer: &mut Writer) -> Result<(), CloseReason> {
        if answer.is_to_proof {
            // A revocation that looked for the new certificate before the registry had it alarmed nobody.
            self.judge_again(writer)?;
        }
        answer.end.map_or(Ok(()), Err)
    }

    /// Executes a command, and tells what its sender is to hear.
    pub(super) fn perform(
        &mut self,
        command: Result<&mut Command<'_>, DecodeError>,
        writer: &mut Writer,
        now: Instant,
    ) -> Answer {
        let command = match command {
            Ok(command) => command,
            Err(error) => {
                let challenge = self.spend_challenge(error.op()).map(|_| self.challenge);
                let event = Event::Error(Box::new(ErrorEvent { challenge, ..error.into_event() }));
                let end = self.faults.count(&self.limits).err();
                return Answer { event: Some(event), end, is_to_proof: false };
            }
        };
        self.understood();
        let spent = self.spend_challenge(Some(command.op()));
        let id = command.id();
        let done = |result| id.map(|id| Event::Ok { id, result });
        let event = match self.execute(command, spent, writer, now) {
            Ok(Outcome::Done(result)) => done(result),
            Ok(Outcome::Unheard(reply)) => {
                self.tell_no_responders(&reply, writer);
                done(OkResult::Empty)
            }
            Ok(Outcome::AnsweredLater) => None,
            Err(fault) => {
                let operation = fault::Operation::of(command);
                self.record(&operation, &fault);
                let ends = fault.ends_session(&mut self.faults, &mut self.credential, &self.limits, now);
                let event = operation.failed(&fault, spent.map(|_| self.challenge));
                return Answer { event: Some(event), end: ends.err(), is_to_proof: false };
            }
        };
        Answer { event, end: None, is_to_proof: spent.is_some() }
    }

    /// Executes a command, out of which the message is taken. What it is about stays, so that its failure can be told.
    fn execute(
        &mut self,
        command: &mut Command<'_>,
        challenge: Option<Challenge>,
        writer: &mut Writer,
        now: Instant,
    ) -> Result<Outcome, Fault> {
        self.rate.take().map_err(Fault::RateLimited)?;
        self.faults.within_rate();
        if !matches!(command, Command::Publish { .. }) {
            self.send_burst();
        }
        match command {
            Command::Subscribe { sid, topic, group, echo, .. } => {
                if self.subscriptions.contains_key(sid) {
                    return Err(Fault::SidInUse);
                }
                match writer.nats() {
                    Some((voice, _)) if voice.is_listening(sid) => Err(Fault::SidInUse),
                    Some((voice, _)) if topic.starts_with(SESSION_EVENTS) => nats::listen(voice, sid, topic),
                    _ => self.subscribe(sid.clone(), topic, group.as_deref(), *echo),
                }
            }
            Command::Unsubscribe { sid, max, .. } => {
                if writer.nats().is_some_and(|(voice, _)| voice.forget(sid, *max)) {
                    return Ok(Outcome::DONE);
                }
                self.unsubscribe(sid, *max)
            }
            Command::Publish { topic, payload, headers, reply, .. } => {
                self.publish(topic, take(payload), take(headers), reply.as_deref(), now)
            }
            Command::Request { id, topic, payload, headers, timeout } => {
                self.request(*id, topic, take(payload), take(headers), *timeout, now)
            }
            Command::Respond { reply, payload, headers, .. } => {
                self.respond(reply, take(payload), take(headers), now)
            }
            Command::WhoAmI { .. } => Ok(Outcome::Done(OkResult::WhoAmI(Box::new(self.who_am_i())))),
            Command::Reauthenticate { proof, .. } => {
                self.reauthenticate(proof, challenge, writer, now).map(Outcome::Done)
            }
        }
    }

    fn subscribe(
        &mut self,
        sid: Sid,
        topic: &str,
        group: Option<&str>,
        echo: bool,
    ) -> Result<Outcome, Fault> {
        if self.subscriptions.len() >= self.limits.max_subscriptions {
            return Err(Fault::TooManySubscriptions(self.limits.max_subscriptions));
        }
        let pattern = Pattern::parse(topic)?;
        let group = group.map(GroupName::parse).transpose().map_err(Fault::Group)?;
        let permit = self.standing.grants.subscribe(&pattern, group.as_ref())?;
        let subscription = self.gateway.router.subscribe(
            permit,
            self.id,
            sid.clone(),
            echo,
            self.outbox.clone(),
            self.limits.max_inboxes_per_service,
        );
        let subscription = subscription.map_err(|error| match error {
            InboxError::Taken => {
                let why = DenialReason::InboxNotOwned;
                Fault::Forbidden(Denial { rule: None, why, topic: Some(pattern) })
            }
            InboxError::TooMany { most } => Fault::TooManyInboxes(most),
        })?;
        self.subscriptions.insert(sid, subscription);
        Ok(Outcome::DONE)
    }

    fn unsubscribe(&mut self, sid: &Sid, max: Option<u64>) -> Result<Outcome, Fault> {
        let subscription = self.subscriptions.get(sid).ok_or(Fault::UnknownSid)?;
        // Until `max` is reached the last message that is written ends it.
        if let Some(max) = max.filter(|max| *max > 0)
            && !subscription.end_after(max)
        {
            return Ok(Outcome::DONE);
        }
        if let Some(subscription) = self.subscriptions.remove(sid) {
            match self.dialect {
                Dialect::Json => self.gateway.router.unsubscribe(&subscription),
                // Its clients drain a subscription by ending it.
                Dialect::Nats => self.retire(subscription),
            }
        }
        Ok(Outcome::DONE)
    }

    fn who_am_i(&self) -> protocol::WhoAmI {
        protocol::WhoAmI {
            standing: self.describe(),
            fingerprint: self.peer.facts().fingerprint().to_string().into(),
            expires: self.peer.facts().not_after().saturating_mul(1000),
            grants: protocol::Grants {
                publish: patterns(self.standing.grants.publish_rules()),
                subscribe: patterns(self.standing.grants.subscribe_rules()),
            },
        }
    }

    fn record(&mut self, operation: &fault::Operation<'_>, fault: &Fault) {
        match fault {
            Fault::Forbidden(denial) => {
                self.counts.denials += 1;
                self.gateway.metrics.denied();
                let denied = denial.topic.as_ref().map_or(operation.subject(), Pattern::as_str);
                if let Some(times) = self.denials.count(operation.op, denied) {
                    crate::audit::denied(self.id, &self.standing, operation, denial, times);
                }
            }
            Fault::Reauth(failed) => {
                self.gateway.metrics.reauthenticated("failed");
                let generation = self.gateway.generation_number();
                crate::audit::reauth_failed(self.id, &self.standing, failed, generation);
            }
            _ => {}
        }
    }
}

/// What came of a command.
pub(super) struct Answer {
    /// What the peer hears, unless it did not ask or hears it later.
    pub(super) event: Option<Event>,
    /// Why the session ends over it.
    end: Option<CloseReason>,
    /// The command was a proof that was taken.
    is_to_proof: bool,
}

/// What the peer is told of an operation that succeeded.
pub(super) enum Outcome {
    Done(OkResult),
    /// A message was published that asks for an answer there, and nobody received it.
    Unheard(Topic),
    /// A response, or the error that stands for it, comes later.
    AnsweredLater,
}

impl Outcome {
    pub(super) const DONE: Self = Self::Done(OkResult::Empty);
}

fn patterns(rules: &[Rule]) -> Vec<Pattern> {
    rules.iter().map(|rule| rule.pattern.clone()).collect()
}
