//! Who gets what: one buffer of frames for each subscriber.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use tokio::sync::Notify;

/// Subscribers by topic; those that are gone fall out at the next publication.
#[derive(Default)]
pub struct Topics {
    subscribers: RefCell<HashMap<String, Vec<Weak<Outbox>>>>,
}

/// What a subscriber has yet to be sent.
#[derive(Default)]
pub struct Outbox {
    frames: RefCell<Vec<u8>>,
    filled: Notify,
}

impl Topics {
    pub fn subscribe(&self, topic: &str) -> Rc<Outbox> {
        let outbox = Rc::<Outbox>::default();
        self.subscribers.borrow_mut().entry(topic.into()).or_default().push(Rc::downgrade(&outbox));
        outbox
    }

    pub fn publish(&self, topic: &str, frames: &[u8]) {
        let mut subscribers = self.subscribers.borrow_mut();
        let Some(subscribers) = subscribers.get_mut(topic) else { return };
        subscribers.retain(|subscriber| {
            let Some(outbox) = subscriber.upgrade() else { return false };
            outbox.frames.borrow_mut().extend_from_slice(frames);
            outbox.filled.notify_one();
            true
        });
    }
}

impl Outbox {
    /// Waits until there is something, and takes all of it in exchange for an empty buffer.
    pub async fn take(&self, frames: &mut Vec<u8>) {
        while self.frames.borrow().is_empty() {
            self.filled.notified().await;
        }
        std::mem::swap(&mut *self.frames.borrow_mut(), frames);
    }
}
