//! The bounded queue of one session's outgoing operations: so many messages and so many bytes, then senders wait.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use super::wire::Sid;

/// The sending half. A session has one; it dies with the session, and what it holds is then never sent.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    sender: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
    max_bytes: usize,
    wake: Arc<Notify>,
}

/// An encoded operation on its way. Without `Debug`, because the text holds the payload.
pub(super) struct Item {
    pub(super) text: String,
    /// Set when the operation opens this subscription.
    pub(super) opens: Option<Sid>,
    _room: OwnedSemaphorePermit,
}

/// The session is over, nothing was sent.
#[derive(Debug)]
pub(super) struct OutboxClosed;

pub(super) fn outbox(max_items: usize, max_bytes: usize) -> (Outbox, mpsc::Receiver<Item>) {
    let (sender, receiver) = mpsc::channel(max_items);
    let room = Arc::new(Semaphore::new(max_bytes));
    (Outbox { sender, room, max_bytes, wake: Arc::default() }, receiver)
}

impl Outbox {
    /// Waits for room. An operation larger than the whole bound goes alone.
    pub(super) async fn send(&self, text: String, opens: Option<Sid>) -> Result<(), OutboxClosed> {
        let weight = u32::try_from(text.len().min(self.max_bytes)).unwrap_or(u32::MAX);
        let place = self.sender.reserve().await.map_err(|_| OutboxClosed)?;
        let room = self.room.clone().acquire_many_owned(weight);
        let room = tokio::select! {
            biased;
            () = self.sender.closed() => return Err(OutboxClosed),
            room = room => room.map_err(|_| OutboxClosed)?,
        };
        place.send(Item { text, opens, _room: room });
        Ok(())
    }

    /// Tells the session that a subscription lost its owner. Needs no room, so that `Drop` can call it.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// What [`Self::wake`] notifies.
    pub(super) fn woken(&self) -> Arc<Notify> {
        self.wake.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn senders_wait_for_messages_and_for_bytes() {
        let (sender, mut receiver) = outbox(2, 10);
        assert!(poll(pin!(sender.send("12345678".into(), None))).is_ready());
        let mut second = pin!(sender.send("abc".into(), None));
        assert!(poll(second.as_mut()).is_pending());
        drop(receiver.try_recv().unwrap());
        assert!(poll(second.as_mut()).is_ready());
        assert!(poll(pin!(sender.send("d".into(), None))).is_ready());
        assert!(poll(pin!(sender.send("e".into(), None))).is_pending());
    }

    #[test]
    fn an_operation_above_the_bound_goes_alone_and_not_never() {
        let (sender, receiver) = outbox(2, 4);
        assert!(poll(pin!(sender.send("longer than four".into(), None))).is_ready());
        let mut next = pin!(sender.send("x".into(), None));
        assert!(poll(next.as_mut()).is_pending());
        drop(receiver);
        assert!(matches!(poll(next.as_mut()), Poll::Ready(Err(OutboxClosed))));
    }
}
