//! Why an operation failed, and what its sender is told of it.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

use super::CloseReason;
use super::credential::Credential;
use super::reauth::FailedProof;
use crate::limits::Limits;
use crate::policy::Denial;
use crate::protocol::{Challenge, Command, ErrorCode, ErrorEvent, Event, Op, OpId, Sid};
use crate::topic::{MAX_TOPIC_BYTES, TopicError};

/// Why an operation failed.
#[derive(Debug)]
pub enum Fault {
    Topic(TopicError),
    Group(TopicError),
    SidInUse,
    UnknownSid,
    Forbidden(Denial),
    TooManyInboxes(usize),
    TooManySubscriptions(usize),
    TooManyRequests(usize),
    NoResponders,
    RateLimited(Duration),
    Reauth(Box<FailedProof>),
    Unsupported,
}

/// Which operation an answer is about. Borrows from its frame: most operations succeed, and nobody asks.
#[derive(Debug)]
pub struct Operation<'a> {
    pub id: Option<OpId>,
    pub op: Op,
    pub topic: Option<Cow<'a, str>>,
    pub sid: Option<Sid>,
    pub group: Option<Cow<'a, str>>,
}

impl<'a> Operation<'a> {
    pub(super) fn of(command: &Command<'a>) -> Self {
        let (topic, sid): (Option<&Cow<'a, str>>, Option<&Sid>) = match command {
            Command::Subscribe { topic, sid, .. } => (Some(topic), Some(sid)),
            Command::Unsubscribe { sid, .. } => (None, Some(sid)),
            Command::Publish { topic, .. } | Command::Request { topic, .. } => (Some(topic), None),
            Command::Respond { reply, .. } => (Some(reply), None),
            Command::WhoAmI { .. } | Command::Reauthenticate { .. } => (None, None),
        };
        // What cannot be a topic is not repeated: to the peer, to the audit log, or into the memory of denials.
        let topic = topic.filter(|topic| topic.len() <= MAX_TOPIC_BYTES).cloned();
        let group = match command {
            Command::Subscribe { group, .. } => group.clone().filter(|group| group.len() <= MAX_TOPIC_BYTES),
            _ => None,
        };
        Self { id: command.id(), op: command.op(), topic, sid: sid.cloned(), group }
    }

    /// What the operation was about, for the audit log.
    pub fn subject(&self) -> &str {
        self.topic.as_deref().unwrap_or_default()
    }

    /// The peer's answer to this operation. `challenge` is for its next attempt, if this was one to prove.
    pub(super) fn failed(self, fault: &Fault, challenge: Option<Challenge>) -> Event {
        let retry_after = match fault {
            Fault::RateLimited(wait) => Some(*wait),
            Fault::Reauth(failed) => failed.retry_after,
            _ => None,
        };
        Event::Error(Box::new(ErrorEvent {
            id: self.id,
            op: Some(self.op),
            topic: self.topic.map(|topic| topic.into_owned().into_boxed_str()),
            reply: fault.denied_reply(self.op),
            sid: self.sid,
            group: self.group.map(|group| group.into_owned().into_boxed_str()),
            code: fault.code(),
            reason: fault.reason(),
            retry_after,
            challenge,
        }))
    }
}

impl Fault {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Topic(_) | Self::Group(_) | Self::SidInUse | Self::UnknownSid => ErrorCode::BadMessage,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::TooManyInboxes(_) | Self::TooManySubscriptions(_) | Self::TooManyRequests(_) => {
                ErrorCode::LimitExceeded
            }
            Self::NoResponders => ErrorCode::NoResponders,
            Self::RateLimited(_) => ErrorCode::RateLimited,
            Self::Reauth(failed) if failed.error.is_ours() => ErrorCode::Unavailable,
            Self::Reauth(_) => ErrorCode::ReauthFailed,
            Self::Unsupported => ErrorCode::Unsupported,
        }
    }

    /// Where answers were to go, if a publication is denied for that.
    fn denied_reply(&self, op: Op) -> Option<Box<str>> {
        match (op, self) {
            (Op::Publish, Self::Forbidden(Denial { why, topic: Some(reply), .. }))
                if why.is_about_reply() =>
            {
                Some(reply.as_str().into())
            }
            _ => None,
        }
    }

    /// What the peer may read: never a rule of the policy.
    fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::Topic(error) => error.to_string().into(),
            Self::Group(error) => format!("the group's name is spelled like a topic: {error}").into(),
            Self::SidInUse => "a subscription of this sid exists; end it first or choose another sid".into(),
            Self::UnknownSid => "there is no subscription of this sid".into(),
            Self::Forbidden(_) => "forbidden".into(),
            Self::TooManyInboxes(most) => format!("the service has {most} inboxes, the most it may").into(),
            Self::TooManySubscriptions(most) => {
                format!("the session has {most} subscriptions, the most it may").into()
            }
            Self::TooManyRequests(most) => {
                format!("{most} requests wait for their answer, the most that may").into()
            }
            Self::NoResponders => "nobody is subscribed to this topic".into(),
            Self::RateLimited(_) => "the service sends more messages a second than it may".into(),
            Self::Reauth(failed) => failed.error.reason(),
            Self::Unsupported => "this gateway does not offer the operation".into(),
        }
    }

    /// Whether the session ends over it: when it keeps sending far above its rate, or keeps failing to prove itself.
    pub(super) fn ends_session(
        &self,
        faults: &mut Faults,
        credential: &mut Credential,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), CloseReason> {
        match self {
            Self::RateLimited(_) => faults.over_rate(limits),
            Self::Reauth(failed) => {
                let wait = failed.retry_after.unwrap_or_default();
                let is_one_too_many = match failed.error.is_ours() {
                    true => credential.proof_postponed(wait, now),
                    false => credential.proof_failed(),
                };
                if is_one_too_many { Err(CloseReason::ReauthFailed) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }
}

impl From<TopicError> for Fault {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

impl From<Denial> for Fault {
    fn from(denial: Denial) -> Self {
        Self::Forbidden(denial)
    }
}

/// The answer to a request whose time is over.
pub(super) fn timed_out(id: OpId) -> Event {
    let event = ErrorEvent::new(ErrorCode::Timeout, "no answer came in time");
    Event::Error(Box::new(ErrorEvent { id: Some(id), op: Some(Op::Request), ..event }))
}

/// How often the peer was not understood, or sent too fast.
#[derive(Default)]
pub(super) struct Faults {
    /// In a row.
    unreadable: u32,
    /// As far as what was within the rate has not made up for it.
    over_rate: u32,
}

/// Refusals for rate, not made up for, after which a session that does not slow down ends.
const MAX_OVER_RATE: u32 = 10_000;
/// Refusals for rate that one message within it makes up for. In a flood some are within it, too.
const MADE_UP_FOR: u32 = 10;

impl Faults {
    /// Counts a message that could not be understood.
    pub(super) fn count(&mut self, limits: &Limits) -> Result<(), CloseReason> {
        self.unreadable += 1;
        if self.unreadable > limits.max_faults { Err(CloseReason::ProtocolAbuse) } else { Ok(()) }
    }

    /// A message was understood.
    pub(super) fn forget(&mut self) {
        self.unreadable = 0;
    }

    pub(super) fn over_rate(&mut self, limits: &Limits) -> Result<(), CloseReason> {
        self.over_rate += 1;
        let most = limits.messages_per_second.unwrap_or(0).max(MAX_OVER_RATE);
        if self.over_rate > most { Err(CloseReason::RateLimited) } else { Ok(()) }
    }

    /// A message was within the rate.
    pub(super) fn within_rate(&mut self) {
        self.over_rate = self.over_rate.saturating_sub(MADE_UP_FOR);
    }
}
