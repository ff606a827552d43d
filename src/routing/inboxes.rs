//! Who owns which inbox: the first service that subscribes to it, for as long as the gateway remembers.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::identity::ServiceName;

/// The owners of all inboxes. A service has at most as many as the caller says; the oldest that nobody is subscribed
/// to makes room for a new one, so that a reconnecting service finds its inbox and a busy one forgets only old names.
#[derive(Default)]
pub struct Inboxes {
    known: Mutex<Known>,
    /// How many were forgotten so far; changes with the lock held.
    forgotten: AtomicU64,
}

#[derive(Default)]
struct Known {
    owners: HashMap<Box<str>, Owner>,
    services: HashMap<ServiceName, Owned>,
    /// Counts how often an inbox fell idle.
    now: u64,
}

struct Owner {
    service: ServiceName,
    live: usize,
    /// Since when it is idle, if it is.
    idle_since: u64,
}

#[derive(Default)]
struct Owned {
    count: usize,
    /// Tokens in the order in which they fell idle. One that lives again, was forgotten, or fell idle again later is passed over.
    idle: VecDeque<(u64, Box<str>)>,
}

/// Why a service cannot have an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InboxError {
    #[error("the inbox belongs to another service")]
    Taken,
    #[error("the service has {most} inboxes in use, the most it may")]
    TooMany { most: usize },
}

impl Inboxes {
    /// Makes `service` the owner of the inbox, or adds a subscription of its owner.
    pub(super) fn claim(&self, token: &str, service: &ServiceName, most: usize) -> Result<(), InboxError> {
        let mut known = self.lock();
        if let Some(owner) = known.owners.get_mut(token) {
            if owner.service != *service {
                return Err(InboxError::Taken);
            }
            owner.live += 1;
            return Ok(());
        }
        known.make_room(service, most, &self.forgotten)?;
        known.owners.insert(token.into(), Owner { service: service.clone(), live: 1, idle_since: 0 });
        known.services.entry(service.clone()).or_default().count += 1;
        Ok(())
    }

    /// One subscription less. The owner stays.
    pub(super) fn release(&self, token: &str) {
        let mut guard = self.lock();
        let known = &mut *guard;
        let Some(owner) = known.owners.get_mut(token) else { return };
        owner.live = owner.live.saturating_sub(1);
        if owner.live > 0 {
            return;
        }
        known.now += 1;
        owner.idle_since = known.now;
        if let Some(owned) = known.services.get_mut(&owner.service) {
            owned.idle.push_back((known.now, token.into()));
            // A token that falls idle again and again stands here more than once.
            if owned.idle.len() > 2 * owned.count + 16 {
                let owners = &known.owners;
                owned.idle.retain(|(since, token)| {
                    owners.get(token).is_some_and(|owner| owner.is_idle_since(*since))
                });
            }
        }
    }

    /// Whether the inbox belongs to `service`.
    pub fn is_owned_by(&self, token: &str, service: &ServiceName) -> bool {
        self.lock().owners.get(token).is_some_and(|owner| owner.service == *service)
    }

    /// How many inboxes lost their owner so far. While that stays the same, each belongs to whom it belonged to.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owner {
    fn is_idle_since(&self, moment: u64) -> bool {
        self.live == 0 && self.idle_since == moment
    }
}

impl Known {
    fn make_room(
        &mut self,
        service: &ServiceName,
        most: usize,
        forgotten: &AtomicU64,
    ) -> Result<(), InboxError> {
        let Some(owned) = self.services.get_mut(service) else { return Ok(()) };
        while owned.count >= most {
            let (since, token) = owned.idle.pop_front().ok_or(InboxError::TooMany { most })?;
            if self.owners.get(&token).is_some_and(|owner| owner.is_idle_since(since)) {
                self.owners.remove(&token);
                owned.count -= 1;
                forgotten.fetch_add(1, Ordering::Release);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> ServiceName {
        ServiceName::parse(name).unwrap()
    }

    #[test]
    fn the_first_service_owns_the_inbox_and_keeps_it_while_away() {
        let inboxes = Inboxes::default();
        inboxes.claim("t", &service("billing"), 8).unwrap();
        inboxes.claim("t", &service("billing"), 8).unwrap();
        inboxes.release("t");
        inboxes.release("t");
        assert_eq!(inboxes.claim("t", &service("checkout"), 8), Err(InboxError::Taken));
        assert!(inboxes.is_owned_by("t", &service("billing")));
        inboxes.claim("t", &service("billing"), 8).unwrap();
    }

    #[test]
    fn the_oldest_idle_inbox_makes_room_and_a_live_one_never_does() {
        let inboxes = Inboxes::default();
        for token in ["a", "b"] {
            inboxes.claim(token, &service("billing"), 2).unwrap();
        }
        assert_eq!(inboxes.claim("c", &service("billing"), 2), Err(InboxError::TooMany { most: 2 }));
        inboxes.release("b");
        inboxes.release("a");
        assert_eq!(inboxes.forgotten(), 0);
        inboxes.claim("c", &service("billing"), 2).unwrap();
        assert_eq!(inboxes.forgotten(), 1);
        assert!(!inboxes.is_owned_by("b", &service("billing")));
        assert!(inboxes.is_owned_by("a", &service("billing")));
        inboxes.claim("a", &service("billing"), 2).unwrap();
        assert_eq!(inboxes.claim("d", &service("billing"), 2), Err(InboxError::TooMany { most: 2 }));
    }

    #[test]
    fn one_that_was_used_again_is_not_the_oldest() {
        let (inboxes, billing) = (Inboxes::default(), service("billing"));
        for token in ["a", "b"] {
            inboxes.claim(token, &billing, 2).unwrap();
        }
        for token in ["a", "b"] {
            inboxes.release(token);
        }
        inboxes.claim("a", &billing, 2).unwrap();
        inboxes.release("a");
        inboxes.claim("c", &billing, 2).unwrap();
        assert_eq!(["a", "b"].map(|token| inboxes.is_owned_by(token, &billing)), [true, false]);
    }

    #[test]
    fn falling_idle_again_and_again_does_not_grow_memory() {
        let inboxes = Inboxes::default();
        for _ in 0..10_000 {
            inboxes.claim("t", &service("billing"), 2).unwrap();
            inboxes.release("t");
        }
        assert!(inboxes.lock().services.values().all(|owned| owned.idle.len() <= 18));
    }
}
