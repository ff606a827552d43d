//! From the session's queue to its peer: what waits is written as it is, and whoever may answer gets the right to.

use std::sync::Arc;

use tokio::time::Instant;

use super::outbound::{Batch, Item};
use super::wire::Writer;
use super::{CloseReason, Session};
use crate::routing::Subscription;

impl Session {
    /// Moves what waits for this session into the writer, as much as fits.
    pub(super) fn hand_out(&mut self, writer: &mut Writer, now: Instant) -> Result<(), CloseReason> {
        let mut batch = std::mem::take(&mut self.batch);
        while writer.has_room() {
            // Nothing is delivered by a verdict that has grown old.
            self.judge_again(writer)?;
            if !self.outbox.take(&mut batch) {
                break;
            }
            while writer.has_room() && !batch.is_empty() {
                self.write_next(&mut batch, writer, now);
            }
        }
        self.batch = batch;
        Ok(())
    }

    /// Ends a subscription behind what waits for it. The verdict on it goes on until that is written.
    pub(super) fn retire(&mut self, subscription: Arc<Subscription>) {
        self.gateway.router.retire(&subscription);
        if subscription.may_write() > 0 {
            self.retired.insert(subscription);
        }
    }

    /// Forgets a subscription that had all its messages.
    pub(super) fn end_if_over(&mut self, subscription: &Arc<Subscription>) {
        if subscription.may_write() > 0 || self.retired.remove(subscription) {
            return;
        }
        // Its `sid` may be another's by now.
        let is_live = |live: &Arc<Subscription>| Arc::ptr_eq(live, subscription);
        if self.subscriptions.get(subscription.sid()).is_some_and(is_live) {
            self.subscriptions.remove(subscription.sid());
            self.gateway.router.unsubscribe(subscription);
        }
    }

    /// Writes what comes next: of messages for one subscription as many as there is room for.
    fn write_next(&mut self, batch: &mut Batch, writer: &mut Writer, now: Instant) {
        let run = match batch.front() {
            Some(Item::Run(run)) => run,
            Some(Item::Response { request, .. }) => {
                let id = self.requests.answered(*request);
                if let (Some(id), Some(tail)) = (id, batch.take_response()) {
                    self.counts.deliveries += 1;
                    writer.response(id, &tail);
                }
                return;
            }
            Some(Item::Pong) => {
                if let (true, Some((_, out))) = (batch.take_pong(), writer.nats()) {
                    out.extend_from_slice(b"PONG\r\n");
                }
                return;
            }
            None => return,
        };
        let subscription = run.subscription.clone();
        let may_write = usize::try_from(subscription.may_write()).unwrap_or(usize::MAX);
        // They may have been queued before the subscription ended or was narrowed.
        if may_write == 0 || subscription.filters(&run.topic) {
            let dropped = batch.cut(usize::MAX, usize::MAX);
            subscription.count_written(dropped.messages as u64);
        } else {
            if let Some((reply, within)) = batch.take_answer() {
                let (now, until) = (now.into_std(), (now + within).into_std());
                if let Ok(right) = self.standing.grants.response_right(now, until) {
                    self.rights.grant(reply, right.until, right.uses, now);
                }
            }
            let piece = batch.cut(may_write, writer.room());
            subscription.count_written(piece.messages as u64);
            self.counts.deliveries += piece.messages as u64;
            writer.messages(piece);
        }
        self.end_if_over(&subscription);
    }
}
