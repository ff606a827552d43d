//! The live sessions: by id, with what each is judged by and the way to alarm it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Origin, Outbox, SessionId};
use crate::identity::ServiceName;
use crate::identity::peer::VerifiedPeer;
use crate::verdict::Standing;

/// All live sessions of one gateway. A session is in here before it is judged, so that none slips between a verdict
/// and the list.
#[derive(Default)]
pub struct Registry {
    live: Arc<Mutex<Sessions>>,
}

type Sessions = HashMap<SessionId, Entry>;

struct Entry {
    live: Live,
    outbox: Arc<Outbox>,
}

/// What a live session is judged by, for whoever asks what a change would do to it.
#[derive(Clone)]
pub struct Live {
    pub id: SessionId,
    pub origin: Origin,
    pub peer: Arc<VerifiedPeer>,
    /// As what it stands. Its generation may be an older one than that which the session was last judged by.
    pub standing: Standing,
}

/// A session's entry; gone when dropped.
pub struct Registration {
    live: Arc<Mutex<Sessions>>,
    id: SessionId,
}

impl Registry {
    pub(super) fn register(&self, live: Live, outbox: Arc<Outbox>) -> Registration {
        let id = live.id;
        lock(&self.live).insert(id, Entry { live, outbox });
        Registration { live: self.live.clone(), id }
    }

    /// Tells every session to look around: the generation or the gateway's phase changed.
    pub fn alarm_all(&self) {
        let outboxes: Vec<_> = lock(&self.live).values().map(|entry| entry.outbox.clone()).collect();
        for outbox in outboxes {
            outbox.signal();
        }
    }

    /// Every live session, in no order.
    pub fn sessions(&self) -> Vec<Live> {
        lock(&self.live).values().map(|entry| entry.live.clone()).collect()
    }

    /// Live sessions by service.
    pub fn services(&self) -> BTreeMap<ServiceName, usize> {
        let mut services = BTreeMap::new();
        for entry in lock(&self.live).values() {
            *services.entry(entry.live.standing.identity.service().clone()).or_default() += 1;
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

impl Registration {
    /// The session rests on this from now on.
    pub(super) fn update(&self, peer: &Arc<VerifiedPeer>, standing: &Standing) {
        if let Some(entry) = lock(&self.live).get_mut(&self.id) {
            (entry.live.peer, entry.live.standing) = (peer.clone(), standing.clone());
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.live).remove(&self.id);
    }
}

fn lock(live: &Mutex<Sessions>) -> MutexGuard<'_, Sessions> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}
