//! What the gateway says to one session of this dialect.

use std::sync::Arc;

use super::connect::Connect;
use super::encode::{own_message, write_error};
use super::headers::HeaderFault;
use super::info::Info;
use super::violation::{of_headers, subscription, violation};
use crate::protocol::{Event, OkResult, Sid, Standing, json};
use crate::topic::{Pattern, Topic};

/// Where a session is told that its certificate ends.
const REAUTH_REQUIRED: &str = "$SYS.SESSION.REAUTH_REQUIRED";
/// Where a session is told that a subscription was taken away.
const REVOKED_SUB: &str = "$SYS.SESSION.REVOKED_SUB";
/// Subscriptions to what the gateway tells a session.
pub const MOST_LISTENING: usize = 16;

/// What is said depends on what the client said of itself, and on what it listens to.
#[derive(Default)]
pub struct Voice {
    connect: Connect,
    listening: Vec<Listening>,
    greeting: Option<Box<Greeting>>,
}

/// A subscription to what the gateway tells the session.
struct Listening {
    sid: Sid,
    pattern: Pattern,
    told: u64,
    most: u64,
}

/// What every `INFO` of a session repeats.
struct Greeting {
    session: Arc<str>,
    gateway: Arc<str>,
    service: Box<str>,
    max_payload: usize,
    /// Where else to go, once the gateway drains.
    leaving: Option<Arc<[String]>>,
}

impl Voice {
    /// Speaks as the client wants it from now on.
    pub fn connect(&mut self, connect: Connect) {
        self.connect = connect;
    }

    pub fn options(&self) -> &Connect {
        &self.connect
    }

    /// Tells this subscription from now on what its pattern matches. Whether there was room for it.
    pub fn listen(&mut self, sid: Sid, pattern: Pattern) -> bool {
        let has_room = self.listening.len() < MOST_LISTENING;
        if has_room {
            self.listening.push(Listening { sid, pattern, told: 0, most: u64::MAX });
        }
        has_room
    }

    /// Tells this subscription nothing any more, or nothing beyond `max` messages in all. Whether there was one.
    pub fn forget(&mut self, sid: &Sid, max: Option<u64>) -> bool {
        let Some(listening) = self.listening.iter_mut().find(|listening| listening.sid == *sid) else {
            return false;
        };
        listening.most = max.unwrap_or(0);
        self.end_those_over();
        true
    }

    pub fn is_listening(&self, sid: &Sid) -> bool {
        self.listening.iter().any(|listening| listening.sid == *sid)
    }

    /// Tells the client of another limit, if it is another.
    pub fn limit(&mut self, max_payload: usize, out: &mut Vec<u8>) {
        if let Some(greeting) = &mut self.greeting
            && std::mem::replace(&mut greeting.max_payload, max_payload) != max_payload
        {
            self.inform(out);
        }
    }

    fn end_those_over(&mut self) {
        self.listening.retain(|listening| listening.told < listening.most);
    }

    /// Appends what an event is to this session; maybe nothing.
    pub fn say(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Hello(standing) => {
                self.greeting = Some(Box::new(Greeting::of(standing)));
                self.inform(out);
            }
            Event::Draining { alternatives, .. } => {
                if let Some(greeting) = &mut self.greeting {
                    greeting.leaving = Some(alternatives.clone());
                }
                self.inform(out);
            }
            // What else an operation returns goes to whoever asked, in `answer`.
            Event::Ok { result: OkResult::Empty, .. } => {
                if self.connect.verbose {
                    out.extend_from_slice(b"+OK\r\n");
                }
            }
            Event::Ok { result: OkResult::WhoAmI(_) | OkResult::Reauthenticated(_), .. } => {}
            Event::Error(error) => match violation(error) {
                Some(text) => write_error(&text, out),
                None if self.connect.verbose => out.extend_from_slice(b"+OK\r\n"),
                None => {}
            },
            Event::ReauthRequired { .. } => self.tell(REAUTH_REQUIRED, event, out),
            Event::SubscriptionRevoked { topic, group, .. } => {
                // As nats-server does when its permissions are reloaded.
                write_error(&subscription(topic.as_str(), group.as_deref()), out);
                self.tell(REVOKED_SUB, event, out);
            }
        }
    }

    /// Appends that a message was not published, because of its headers.
    pub fn refuse(&self, topic: &str, fault: HeaderFault, out: &mut Vec<u8>) {
        write_error(&of_headers(topic, fault), out);
    }

    /// Appends the answer to a question that a client published, for its subscription `sid` on `reply`.
    pub fn answer(&self, reply: &Topic, sid: &Sid, answer: &Event, out: &mut Vec<u8>) {
        own_message(reply.as_str(), sid, &document(answer), out);
    }

    fn inform(&self, out: &mut Vec<u8>) {
        let Some(greeting) = &self.greeting else { return };
        let Greeting { session, gateway, service, max_payload, leaving } = &**greeting;
        let info = Info::new(session, gateway, service, *max_payload);
        let connect_urls = leaving.as_deref().unwrap_or_default();
        Info { is_draining: leaving.is_some(), connect_urls, ..info }.write(out);
    }

    fn tell(&mut self, name: &str, event: &Event, out: &mut Vec<u8>) {
        let Ok(topic) = Topic::parse(name) else { return };
        for listening in self.listening.iter_mut().filter(|listening| listening.pattern.matches(&topic)) {
            own_message(name, &listening.sid, &document(event), out);
            listening.told += 1;
        }
        self.end_those_over();
    }
}

impl Greeting {
    fn of(standing: &Standing) -> Self {
        Self {
            session: standing.session.clone(),
            gateway: standing.gateway.clone(),
            service: standing.service.as_str().into(),
            max_payload: standing.limits.max_payload,
            leaving: None,
        }
    }
}

/// An event as the other dialect has it: one JSON object.
fn document(event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    json::encode(event, &mut out);
    out
}
