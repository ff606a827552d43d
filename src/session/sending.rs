//! What a session sends: publications, requests and answers, each under a permit, and the burst in which publications wait.

use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use super::fault::Fault;
use super::inbound::Outcome;
use crate::policy::ReplyRights;
use crate::protocol::{Headers, OpId, Payload};
use crate::random::random;
use crate::routing::{Burst, Parcel, requester_token, requester_topic};
use crate::topic::{Topic, is_inbox};

impl Session {
    pub(super) fn publish(
        &mut self,
        topic: &str,
        payload: Payload<'_>,
        headers: Headers,
        reply: Option<&str>,
        now: Instant,
    ) -> Result<Outcome, Fault> {
        if is_inbox(topic) {
            self.send_burst();
            return self.respond(topic, payload, headers, now);
        }
        let reply = reply.map(|reply| self.reply_topic(reply)).transpose()?;
        let answer_within =
            reply.as_ref().filter(|reply| reply.is_inbox()).map(|_| self.limits.request_timeout);
        let taken = self.send(topic, payload, headers, reply.as_ref(), answer_within)?;
        Ok(match reply {
            Some(reply) if taken == Some(0) => Outcome::Unheard(reply),
            _ => Outcome::DONE,
        })
    }

    pub(super) fn request(
        &mut self,
        id: OpId,
        topic: &str,
        payload: Payload<'_>,
        headers: Headers,
        timeout: Option<Duration>,
        now: Instant,
    ) -> Result<Outcome, Fault> {
        if self.requests.len() >= self.limits.max_requests {
            return Err(Fault::TooManyRequests(self.limits.max_requests));
        }
        let within = timeout.unwrap_or(self.limits.request_timeout).min(self.limits.max_request_timeout);
        let token = self.requester_token();
        let number = self.requests.wait(id, now + within);
        let reply = requester_topic(&token, number);
        let sent = self.send(topic, payload, headers, reply.as_ref(), Some(within));
        match sent {
            Ok(Some(0)) => {
                self.requests.answered(number);
                Err(Fault::NoResponders)
            }
            Ok(_) => Ok(Outcome::AnsweredLater),
            Err(fault) => {
                self.requests.answered(number);
                Err(fault)
            }
        }
    }

    /// Uses up a right to answer. Nobody publishes into an inbox without one.
    pub(super) fn respond(
        &mut self,
        reply: &str,
        payload: Payload<'_>,
        headers: Headers,
        now: Instant,
    ) -> Result<Outcome, Fault> {
        let Some(permit) = self.rights.take(reply, now.into_std()) else {
            // A malformed topic is reported as that, not as forbidden.
            return Err(ReplyRights::denial(&Topic::parse(reply)?).into());
        };
        let (from, session) = (&self.standing.identity, self.id);
        let parcel = Parcel { from, session, payload, headers, reply: None, answer_within: None };
        self.gateway.router.respond(permit, parcel, &mut self.turn);
        Ok(Outcome::DONE)
    }

    /// Publishes under the remembered lane of `topic`, or opens one. How many subscriptions took the message; of one that waits in
    /// the burst that is not known yet.
    fn send(
        &mut self,
        topic: &str,
        payload: Payload<'_>,
        headers: Headers,
        reply: Option<&Topic>,
        answer_within: Option<Duration>,
    ) -> Result<Option<usize>, Fault> {
        let remembered = if self.lanes.goes_on(topic) {
            self.lanes.last()
        } else {
            self.send_burst();
            self.lanes.get(topic)
        };
        let router = &self.gateway.router;
        let lane = match remembered {
            Some(lane) => lane,
            None => {
                let permit = self.standing.grants.publish(&Topic::parse(topic)?)?;
                self.lanes.insert(router.lane(permit))
            }
        };
        let (from, session) = (&self.standing.identity, self.id);
        let parcel = Parcel { from, session, payload, headers, reply, answer_within };
        let burst = self.burst.get_or_insert_with(Burst::borrowed);
        let mut taken = None;
        if !Burst::takes(&parcel) {
            router.publish_burst(lane, burst, from, session, &mut self.turn);
            taken = Some(router.publish(lane, parcel, &mut self.turn));
        } else if burst.takes_more(&parcel.payload) {
            burst.add(&parcel.payload);
        } else {
            router.publish_burst(lane, burst, from, session, &mut self.turn);
            router.refresh(lane);
            burst.begin(&parcel.payload, lane.receivers());
        }
        self.lanes.recount();
        Ok(taken)
    }

    /// Sends what was published on one topic and waits.
    pub(super) fn send_burst(&mut self) {
        // Taken out, so that nothing goes twice should anything here fail.
        let Some(mut burst) = self.burst.take() else { return };
        debug_assert!(burst.is_empty() || self.lanes.last().is_some(), "lanes end behind the burst");
        if let Some(lane) = self.lanes.last() {
            let (from, session) = (&self.standing.identity, self.id);
            self.gateway.router.publish_burst(lane, &mut burst, from, session, &mut self.turn);
            self.lanes.recount();
        }
        self.burst = Some(burst);
    }

    /// The same, at the end of a turn or of the session.
    pub(super) fn end_burst(&mut self) {
        self.send_burst();
        if let Some(burst) = self.burst.take() {
            burst.give_back();
        }
    }

    fn reply_topic(&mut self, reply: &str) -> Result<Topic, Fault> {
        let (inboxes, service) = (self.gateway.router.inboxes(), self.standing.identity.service());
        // Asked before the owner is, so that one who changes meanwhile is asked for again.
        let forgotten = inboxes.forgotten();
        if let Some(reply) = self.lanes.in_own_inbox(reply, forgotten) {
            return Ok(reply);
        }
        let reply = Topic::parse(reply)?;
        self.standing.grants.reply_topic(&reply, |token| inboxes.is_owned_by(token, service))?;
        self.lanes.remember_inbox(&reply, forgotten);
        Ok(reply)
    }

    /// The token of the inbox that the gateway made for this session's requests.
    fn requester_token(&mut self) -> Box<str> {
        let (router, outbox) = (&self.gateway.router, &self.outbox);
        self.requester
            .get_or_insert_with(|| {
                let token = requester_token(random());
                router.register_requester(&token, outbox.clone());
                token
            })
            .clone()
    }
}
