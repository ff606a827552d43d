//! What the gateway says, handed to whom it concerns. Waits for nobody but the gateway.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Message as Frame;
use tracing::{debug, warn};

use super::Signals;
use crate::client::dial::Socket;
use crate::client::ending::Ending;
use crate::client::event::Event;
use crate::client::ledger::{Epoch, Settled, Shared};
use crate::client::refusal::CloseReason;
use crate::client::wire::{Incoming, ReauthOk, Rejection, Sid};

/// Reads until the session ends, or until two intervals pass without even a pong.
pub(super) async fn read(
    shared: &Arc<Shared>,
    epoch: Epoch,
    stream: &mut SplitStream<Socket>,
    signals: &Signals,
) -> Ending {
    let after = shared.options.ping_interval.saturating_mul(2);
    loop {
        let frame = match timeout(after, stream.next()).await {
            Err(_) => return Ending::Silent { after },
            Ok(None) => return Ending::Lost,
            Ok(Some(Err(fault))) => return fault.into(),
            Ok(Some(Ok(frame))) => frame,
        };
        match frame {
            Frame::Text(text) => match Incoming::decode(text.as_str()) {
                Ok(incoming) => handle(shared, epoch, signals, incoming),
                Err(fault) => {
                    warn!(error = %fault, "a message of the gateway is not understood and passed over")
                }
            },
            Frame::Close(frame) => return Ending::Closed(CloseReason::parse(frame.as_ref())),
            Frame::Binary(_) => return Ending::Binary,
            Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => {}
        }
    }
}

fn handle(shared: &Arc<Shared>, epoch: Epoch, signals: &Signals, incoming: Incoming) {
    match incoming {
        Incoming::Message { sid, message } => {
            shared.ledger().deliver(epoch, sid, message, shared.options.max_queued_bytes);
        }
        Incoming::Response { id, reply } => {
            report_unasked(shared.ledger().settle_reply(id, reply), id);
            signals.answered.notify_one();
        }
        Incoming::Ok { id, text } => {
            acknowledged(shared, epoch, signals, id, text);
            signals.answered.notify_one();
        }
        Incoming::Error { id: Some(id), rejection, challenge } => {
            rejected(shared, signals, id, rejection, challenge);
            signals.answered.notify_one();
        }
        Incoming::Error { id: None, rejection, .. } => shared.emit(Event::Rejected { rejection }),
        Incoming::ReauthRequired { challenge, deadline, cause } => {
            signals.exchange.send_modify(|exchange| exchange.demanded(challenge, cause.clone()));
            shared.emit(Event::ReauthRequired { deadline, cause });
        }
        Incoming::RevokedSubscription { sid, reason } => revoked(shared, sid, reason),
        Incoming::Draining { deadline } => {
            shared.emit(Event::Draining { deadline });
            signals.draining.send_replace(Some(deadline));
        }
        Incoming::Hello(_) => warn!("a second greeting in one session is passed over"),
        Incoming::Unknown => debug!("an operation of a later protocol is passed over"),
    }
}

fn acknowledged(shared: &Shared, epoch: Epoch, signals: &Signals, id: u64, text: String) {
    let answer = ReauthOk::decode(&text);
    let settled = shared.ledger().settle_ok(id, text);
    match settled {
        Settled::Reauth => {
            let ReauthOk { deadline, challenge } = answer.unwrap_or_default();
            reauthenticated(shared, epoch, deadline);
            signals.exchange.send_modify(|exchange| exchange.accepted(challenge));
        }
        settled => report_unasked(settled, id),
    }
}

fn reauthenticated(shared: &Shared, epoch: Epoch, deadline: Option<u64>) {
    if shared.ledger().is_current(epoch) {
        shared.standing.send_modify(|standing| {
            if let Some(standing) = standing {
                Arc::make_mut(standing).deadline = deadline.or(standing.deadline);
            }
        });
    }
    shared.emit(Event::Reauthenticated { deadline });
}

fn rejected(shared: &Shared, signals: &Signals, id: u64, rejection: Rejection, challenge: Option<String>) {
    let settled = shared.ledger().settle_error(id, &rejection);
    match settled {
        Settled::Lost(pattern) => {
            shared.emit(Event::SubscriptionLost { pattern, reason: rejection.to_string() });
        }
        Settled::Postponed(pattern) => {
            warn!(%pattern, code = %rejection.code, "a subscription is not renewed yet and is tried again");
            signals.postponed.notify_one();
        }
        Settled::Reauth => {
            signals.exchange.send_modify(|exchange| exchange.refused(challenge, &rejection));
            shared.emit(Event::ReauthRejected { rejection });
        }
        settled => report_unasked(settled, id),
    }
}

fn revoked(shared: &Shared, sid: Sid, reason: String) {
    let lost = shared.ledger().lose_subscription(sid);
    if let Some(pattern) = lost {
        shared.emit(Event::SubscriptionLost { pattern, reason });
    }
}

fn report_unasked(settled: Settled, id: u64) {
    if let Settled::Unasked = settled {
        debug!(id, "an answer that nobody waits for any more");
    }
}
