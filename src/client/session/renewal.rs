//! Subscriptions that the gateway did not renew for a reason that passes are tried again, ever more rarely.

use std::convert::Infallible;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::client::backoff::{Backoff, Pace, random};
use crate::client::ledger::{Epoch, Shared};
use crate::client::outbox::Outbox;

/// Renews what is postponed, each time after a wait, for as long as the session lives.
pub(super) async fn renew_postponed(
    shared: &Shared,
    epoch: Epoch,
    outbox: Outbox,
    postponed: &Notify,
) -> Infallible {
    let mut backoff = Backoff::new(shared.options.backoff_min, shared.options.backoff_max);
    let mut tried = 0;
    loop {
        postponed.notified().await;
        let asked_for = shared.ledger().postponed_for();
        sleep(backoff.next(Pace::Usual, asked_for, random())).await;
        let renewals = shared.ledger().renew_postponed(epoch);
        // A gateway that takes so many a second takes some each time, and must not be waited for ever longer.
        if renewals.len() < tried {
            backoff.reset();
        }
        tried = renewals.len();
        for (sid, text) in renewals {
            // The session is ending; the next one renews everything.
            if outbox.send(text, Some(sid)).await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
