//! From the session's queue to its peer: what waits is encoded, and whoever may answer gets the right to.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::wire::Writer;
use super::{CloseReason, Delivery, Outgoing, Session};
use crate::protocol::Event;

/// Items taken from the outbox at once.
const BATCH: usize = 256;

impl Session {
    /// Moves what waits for this session into the writer, as much as fits.
    pub(super) fn hand_out<S: AsyncRead + AsyncWrite>(
        &mut self,
        writer: &mut Writer<S>,
        now: Instant,
    ) -> Result<(), CloseReason> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut more = true;
        while more && writer.has_room() {
            // Nothing is delivered by a verdict that has grown old.
            self.judge_again(writer)?;
            more = self.outbox.take(&mut scratch, BATCH, writer.room());
            for item in scratch.drain(..) {
                self.write_item(item, writer, now);
            }
        }
        self.scratch = scratch;
        Ok(())
    }

    fn write_item<S: AsyncRead + AsyncWrite>(
        &mut self,
        item: Outgoing,
        writer: &mut Writer<S>,
        now: Instant,
    ) {
        match item {
            Outgoing::Delivery(delivery) => self.write_delivery(&delivery, writer, now),
            Outgoing::Response { request, message } => {
                if let Some(id) = self.requests.answered(request) {
                    self.counts.deliveries += 1;
                    writer.event(&Event::Response { id, message });
                }
            }
            Outgoing::Event(event) => writer.event(&event),
        }
    }

    fn write_delivery<S: AsyncRead + AsyncWrite>(
        &mut self,
        delivery: &Delivery,
        writer: &mut Writer<S>,
        now: Instant,
    ) {
        let Delivery { subscription, message, answer_within } = delivery;
        subscription.count_written();
        // It may have been queued before the subscription ended or was narrowed.
        if subscription.has_ended() {
            return;
        }
        if !subscription.filters(message.topic()) {
            if let (Some(reply), Some(within)) = (message.reply(), answer_within) {
                let (now, until) = (now.into_std(), (now + *within).into_std());
                if let Ok(right) = self.standing.grants.response_right(now, until) {
                    self.rights.grant(reply.clone(), right.until, right.uses, now);
                }
            }
            writer.message(subscription.sid(), message);
            self.counts.deliveries += 1;
        }
        if subscription.is_over() {
            self.subscriptions.remove(subscription.sid());
            self.gateway.router.unsubscribe(subscription);
        }
    }
}
