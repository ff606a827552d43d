//! A verdict of no, with its reason and its rule, for the audit log. What the client hears is decided elsewhere.

use std::fmt;

use crate::identity::RuleName;
use crate::topic::Pattern;

/// Why a service may not do what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Denial {
    /// The grant that says no; none where it is for lack of a grant, or where the protocol itself says no.
    pub rule: Option<RuleName>,
    pub why: DenialReason,
    /// The topic or pattern asked for, if the question was about one.
    pub topic: Option<Pattern>,
}

impl Denial {
    pub(super) fn new(why: DenialReason, topic: impl Into<Pattern>) -> Self {
        Self { rule: None, why, topic: Some(topic.into()) }
    }

    pub(super) fn of_service(why: DenialReason, rule: Option<RuleName>) -> Self {
        Self { rule, why, topic: None }
    }

    pub(super) fn by(self, rule: RuleName) -> Self {
        Self { rule: Some(rule), ..self }
    }

    pub(super) fn about(self, topic: impl Into<Pattern>) -> Self {
        Self { topic: Some(topic.into()), ..self }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(topic) = &self.topic {
            write!(f, "`{topic}`: ")?;
        }
        f.write_str(self.why.describe())?;
        match &self.rule {
            Some(rule) => write!(f, " (rule `{rule}`)"),
            None => Ok(()),
        }
    }
}

/// The closed list of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DenialReason {
    /// No grant allows it.
    NoGrant,
    /// A grant denies it.
    DeniedBy,
    /// A grant says `connect = false`.
    ConnectForbidden,
    /// A topic in an inbox, for which the session has no reply right, or none any more.
    ReplyRightNeeded,
    /// An inbox of another service.
    InboxNotOwned,
    /// Not the name of one inbox: a wildcard, or an owner token that could be guessed.
    InboxName,
    /// `$SYS`, which the gateway answers itself.
    SystemTopic,
    /// A grant forbids the service to answer requests.
    ResponsesForbidden,
    /// A reply topic outside inboxes where the sender itself may not publish.
    ReplyTopic,
}

impl DenialReason {
    /// Whether a publication is denied by this for where its answers were to go.
    pub(crate) fn is_about_reply(self) -> bool {
        matches!(self, Self::ReplyTopic | Self::InboxNotOwned | Self::InboxName)
    }

    /// A stable label for metrics and audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoGrant => "no_grant",
            Self::DeniedBy => "denied_by",
            Self::ConnectForbidden => "connect_forbidden",
            Self::ReplyRightNeeded => "reply_right_needed",
            Self::InboxNotOwned => "inbox_not_owned",
            Self::InboxName => "inbox_name",
            Self::SystemTopic => "system_topic",
            Self::ResponsesForbidden => "responses_forbidden",
            Self::ReplyTopic => "reply_topic",
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::NoGrant => "no grant allows it",
            Self::DeniedBy => "a grant denies it",
            Self::ConnectForbidden => "a grant denies the right to connect",
            Self::ReplyRightNeeded => "only who holds a reply right publishes into an inbox",
            Self::InboxNotOwned => "the inbox is another service's",
            Self::InboxName => "an inbox is named by a literal second token of at least 16 characters",
            Self::SystemTopic => "`$SYS` is the gateway's own",
            Self::ResponsesForbidden => "a grant forbids to answer requests",
            Self::ReplyTopic => "a reply goes to an inbox of the sender or to where it may publish",
        }
    }
}
