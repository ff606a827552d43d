//! The live sessions: by id, with their service and the way to alarm them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Outbox, SessionId};
use crate::identity::ServiceName;

/// All live sessions of one gateway. A session is in here before it is judged, so that none slips between a verdict
/// and the list.
#[derive(Default)]
pub struct Registry {
    live: Arc<Mutex<HashMap<SessionId, Entry>>>,
}

struct Entry {
    service: ServiceName,
    outbox: Arc<Outbox>,
}

/// A session's entry; gone when dropped.
pub struct Registration {
    live: Arc<Mutex<HashMap<SessionId, Entry>>>,
    id: SessionId,
}

impl Registry {
    pub(super) fn register(&self, id: SessionId, service: ServiceName, outbox: Arc<Outbox>) -> Registration {
        lock(&self.live).insert(id, Entry { service, outbox });
        Registration { live: self.live.clone(), id }
    }

    /// Tells every session to look around: the generation or the gateway's phase changed.
    pub fn alarm_all(&self) {
        let outboxes: Vec<_> = lock(&self.live).values().map(|entry| entry.outbox.clone()).collect();
        for outbox in outboxes {
            outbox.alarm();
        }
    }

    /// Live sessions by service.
    pub fn services(&self) -> std::collections::BTreeMap<ServiceName, usize> {
        let mut services = std::collections::BTreeMap::new();
        for entry in lock(&self.live).values() {
            *services.entry(entry.service.clone()).or_default() += 1;
        }
        services
    }

    /// Live sessions in all.
    pub fn len(&self) -> usize {
        lock(&self.live).len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.live).remove(&self.id);
    }
}

type Live = HashMap<SessionId, Entry>;

fn lock(live: &Mutex<Live>) -> MutexGuard<'_, Live> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}
