//! One session from its greeting to its end: a reader, a writer, a prover and a renewer, in one task.
//!
//! Invariant: the first thing written is the `sub` of every live subscription. What the reader hands on it never
//! waits for, so a slow subscriber holds up no answer; the writer waits for the socket, and callers for the writer.

mod reader;
mod renewal;
mod writer;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::CertificateDer;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::dial::{Greeted, Socket};
use super::ending::Ending;
use super::event::Event;
use super::ledger::{Epoch, Shared};
use super::outbox::{Item, Outbox, outbox};
use super::reauth::{Exchange, Prover};
use super::wire::Standing;

/// How long the other side may take to answer a close frame.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// A greeted session that takes operations.
pub(super) struct Session {
    shared: Arc<Shared>,
    epoch: Epoch,
    socket: Socket,
    standing: Arc<Standing>,
    leaf: Option<CertificateDer<'static>>,
    outbox: Outbox,
    queue: mpsc::Receiver<Item>,
    renewals: Vec<String>,
    signals: Signals,
}

/// What reader, writer and the connection tell each other.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    /// Cancelled to end the session in good order.
    pub(super) leave: CancellationToken,
    /// The deadline of the gateway's `draining`, Unix milliseconds.
    pub(super) draining: watch::Sender<Option<u64>>,
    /// What the gateway said about proofs.
    exchange: watch::Sender<Exchange>,
    /// A subscription was not renewed and is to be tried again.
    postponed: Arc<Notify>,
    /// An answer came: a session that leaves waits for those it is owed.
    answered: Arc<Notify>,
}

/// How a session ended, and how many operations were taken but never written.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) ending: Ending,
    pub(super) unsent: usize,
}

impl Session {
    /// Registers the session: from here on callers' operations queue up for it.
    pub(super) fn open(shared: Arc<Shared>, greeted: Greeted) -> Self {
        let (outbox, queue) = outbox(shared.options.max_queued, shared.options.max_queued_bytes);
        let (epoch, renewals) = shared.ledger().open(outbox.clone());
        let standing = Arc::new(greeted.hello.standing);
        shared.standing.send_replace(Some(standing.clone()));
        shared.emit(Event::Connected { standing: standing.clone() });
        let signals = Signals {
            leave: CancellationToken::new(),
            draining: watch::Sender::new(None),
            exchange: watch::Sender::new(Exchange::begin(greeted.hello.challenge)),
            postponed: Arc::default(),
            answered: Arc::default(),
        };
        let (socket, leaf) = (greeted.socket, greeted.leaf);
        Self { shared, epoch, socket, standing, leaf, outbox, queue, renewals, signals }
    }

    pub(super) fn signals(&self) -> Signals {
        self.signals.clone()
    }

    /// Runs until the session is over, then settles what still waits for it.
    pub(super) async fn run(self) -> Ended {
        let Self { shared, epoch, socket, standing, leaf, outbox, mut queue, renewals, signals } = self;
        let (mut sink, mut stream) = socket.split();
        let woken = outbox.woken();
        let renewing = renewal::renew_postponed(&shared, epoch, outbox.clone(), &signals.postponed);
        let (session, exchange) = (standing.session.as_str(), &signals.exchange);
        let prover = Prover { shared: &shared, outbox, session, epoch, exchange, proved: leaf };

        let ending = {
            let mut reading = pin!(reader::read(&shared, epoch, &mut stream, &signals));
            // In no fixed order: a flood of messages must not keep the writer from its turn.
            tokio::select! {
                ending = &mut reading => ending,
                ending = writer::write(&shared, epoch, &mut sink, renewals, &mut queue, &woken, &signals) => {
                    last_words(ending, reading).await
                }
                never = prover.run() => match never {},
                never = renewing => match never {},
            }
        };

        queue.close();
        let unsent = queue.len();
        settle(&shared, epoch);
        if let Ending::Closed(_) = &ending {
            // The codec has the answering close frame ready; sending it is a courtesy with a bound.
            let _ = timeout(CLOSE_GRACE, sink.flush()).await;
        }
        let ending = if signals.leave.is_cancelled() { Ending::Asked } else { ending };
        Ended { ending, unsent }
    }
}

/// A write fails as soon as the gateway has closed, but why it closed stands in what is still to be read.
async fn last_words(ending: Ending, reading: impl Future<Output = Ending>) -> Ending {
    if !matches!(ending, Ending::WebSocket { .. } | Ending::Lost) {
        return ending;
    }
    match timeout(CLOSE_GRACE, reading).await {
        Ok(closed @ Ending::Closed(_)) => closed,
        _ => ending,
    }
}

fn settle(shared: &Shared, epoch: Epoch) {
    let mut ledger = shared.ledger();
    if ledger.is_current(epoch) {
        shared.standing.send_replace(None);
    }
    ledger.close(epoch);
}
