//! What the client's handles and its connection share: who waits for which answer, and which subscriptions live.
//!
//! Invariant: an answer settles only the operation with its id, and an operation is settled exactly once: by its
//! answer, by the end of the session it was sent on, or by its caller going away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::error::OperationError;
use super::event::{EVENT_BUFFER, Event};
use super::message::{Message, Reply};
use super::options::Options;
use super::outbox::Outbox;
use super::wire::{Command, ErrorCode, Rejection, Sid, Standing};
use crate::topic::Pattern;

pub(super) type Answer<T> = Result<T, OperationError>;

/// Held by every handle and by the connection's task.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) standing: watch::Sender<Option<Arc<Standing>>>,
    /// Cancelled when the client is closed or its last handle dropped.
    pub(super) stop: CancellationToken,
    /// Cancelled when the connection's task is over.
    pub(super) finished: CancellationToken,
    /// Protects the books; never held across an `.await`.
    ledger: Mutex<Ledger>,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            events: broadcast::Sender::new(EVENT_BUFFER),
            standing: watch::Sender::new(None),
            stop: CancellationToken::new(),
            finished: CancellationToken::new(),
            ledger: Mutex::default(),
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever listens; nobody has to.
    pub(super) fn emit(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

/// One session of this client, counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Epoch(u64);

#[derive(Debug, Default)]
pub(super) struct Ledger {
    last_id: u64,
    last_sid: u64,
    epoch: Epoch,
    /// `None` while there is no session that takes operations.
    outbox: Option<Outbox>,
    pending: HashMap<u64, Pending>,
    subscriptions: BTreeMap<Sid, Entry>,
    /// Dropped by their owners, known to the gateway, to be ended there.
    closing: Vec<Sid>,
    /// Not renewed on this session for a reason that passes, to be tried again.
    postponed: Postponed,
}

#[derive(Debug, Default)]
struct Postponed {
    sids: BTreeSet<Sid>,
    /// The latest moment that the gateway asked to wait for.
    retry_after: Option<Duration>,
}

#[derive(Debug)]
struct Pending {
    epoch: Epoch,
    waiter: Waiter,
}

/// Who waits for an answer.
#[derive(Debug)]
pub(super) enum Waiter {
    Reply(oneshot::Sender<Answer<Reply>>),
    Ok(oneshot::Sender<Answer<String>>),
    Subscribe(Sid, oneshot::Sender<Answer<String>>),
    Renewal(Sid),
    Reauth,
}

/// What an answer means to the connection, once the waiting caller has it.
#[derive(Debug)]
pub(super) enum Settled {
    Done,
    /// Nobody waits: never asked, or gone meanwhile.
    Unasked,
    Lost(Pattern),
    /// A subscription that is to be renewed again later.
    Postponed(Pattern),
    Reauth,
}

/// A subscription as the connection sees it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) pattern: Pattern,
    pub(super) group: Option<String>,
    pub(super) echo: bool,
    pub(super) sender: mpsc::Sender<Message>,
    pub(super) meter: Arc<Meter>,
    /// Whether the `sub` was written on the current session.
    pub(super) written: bool,
}

/// Counts of a subscription's buffer, shared with its owner.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) bytes: AtomicUsize,
    pub(super) missed: AtomicU64,
}

impl Ledger {
    /// Makes `outbox` the way out and returns its epoch with the `sub` of every live subscription.
    pub(super) fn open(&mut self, outbox: Outbox) -> (Epoch, Vec<String>) {
        self.epoch = Epoch(self.epoch.0 + 1);
        self.outbox = Some(outbox);
        self.closing.clear();
        self.postponed = Postponed::default();
        let sids: Vec<Sid> = self.subscriptions.keys().copied().collect();
        let renewals = sids.into_iter().filter_map(|sid| self.renew(sid)).collect();
        self.subscriptions.values_mut().for_each(|entry| entry.written = true);
        (self.epoch, renewals)
    }

    /// The `sub` of one live subscription for the current session.
    fn renew(&mut self, sid: Sid) -> Option<String> {
        let entry = self.subscriptions.get(&sid)?;
        self.last_id += 1;
        let (topic, group) = (entry.pattern.as_str(), entry.group.as_deref());
        let command = Command::Sub { sid, id: self.last_id, topic, group, echo: entry.echo };
        let text = command.encode().ok()?;
        self.pending.insert(self.last_id, Pending { epoch: self.epoch, waiter: Waiter::Renewal(sid) });
        Some(text)
    }

    /// The `sub` of every subscription that was not renewed and is to be tried again on this very session.
    pub(super) fn renew_postponed(&mut self, epoch: Epoch) -> Vec<(Sid, String)> {
        if !self.is_current(epoch) || self.outbox.is_none() {
            return Vec::new();
        }
        let sids = std::mem::take(&mut self.postponed).sids;
        sids.into_iter().filter_map(|sid| Some((sid, self.renew(sid)?))).collect()
    }

    /// How long the gateway asked to wait before that.
    pub(super) fn postponed_for(&self) -> Option<Duration> {
        self.postponed.retry_after
    }

    /// Takes no more operations for this session, if it is still the one that gets them.
    pub(super) fn detach(&mut self, epoch: Epoch) {
        if self.is_current(epoch) {
            self.outbox = None;
        }
    }

    /// Ends a session: whoever waits for an answer on it learns that none will come.
    pub(super) fn close(&mut self, epoch: Epoch) {
        self.pending.retain(|_, pending| pending.epoch != epoch);
        if self.is_current(epoch) {
            self.outbox = None;
            self.closing.clear();
            self.postponed = Postponed::default();
            self.subscriptions.values_mut().for_each(|entry| entry.written = false);
        }
    }

    pub(super) fn is_current(&self, epoch: Epoch) -> bool {
        self.epoch == epoch
    }

    /// How many answers this session still owes.
    pub(super) fn owed(&self, epoch: Epoch) -> usize {
        self.pending.values().filter(|pending| pending.epoch == epoch).count()
    }

    pub(super) fn outbox(&self) -> Answer<Outbox> {
        self.outbox.clone().ok_or(OperationError::NotConnected)
    }

    /// Takes an id for an operation of the current session.
    pub(super) fn expect(&mut self, waiter: Waiter) -> Answer<(u64, Outbox)> {
        let outbox = self.outbox()?;
        self.last_id += 1;
        self.pending.insert(self.last_id, Pending { epoch: self.epoch, waiter });
        Ok((self.last_id, outbox))
    }

    /// Takes an id for an operation of this very session, if it is still the one that gets operations.
    pub(super) fn expect_on(&mut self, epoch: Epoch, waiter: Waiter) -> Option<u64> {
        let is_open = self.is_current(epoch) && self.outbox.is_some();
        is_open.then(|| self.expect(waiter).ok()).flatten().map(|(id, _)| id)
    }

    /// The caller no longer waits.
    pub(super) fn forget(&mut self, id: u64) {
        self.pending.remove(&id);
    }

    /// An `ok` came.
    pub(super) fn settle_ok(&mut self, id: u64, text: String) -> Settled {
        match self.pending.remove(&id).map(|pending| pending.waiter) {
            Some(Waiter::Ok(waiter) | Waiter::Subscribe(_, waiter)) => {
                let _ = waiter.send(Ok(text));
                Settled::Done
            }
            Some(Waiter::Renewal(_)) => Settled::Done,
            Some(Waiter::Reauth) => Settled::Reauth,
            Some(Waiter::Reply(_)) | None => Settled::Unasked,
        }
    }

    /// A `res` came.
    pub(super) fn settle_reply(&mut self, id: u64, reply: Reply) -> Settled {
        match self.pending.remove(&id).map(|pending| pending.waiter) {
            Some(Waiter::Reply(waiter)) => {
                let _ = waiter.send(Ok(reply));
                Settled::Done
            }
            _ => Settled::Unasked,
        }
    }

    /// An `err` came.
    pub(super) fn settle_error(&mut self, id: u64, rejection: &Rejection) -> Settled {
        let fault = || rejection_to_error(rejection.clone());
        let Some(Pending { epoch, waiter }) = self.pending.remove(&id) else { return Settled::Unasked };
        match waiter {
            Waiter::Reply(waiter) => {
                let _ = waiter.send(Err(fault()));
                Settled::Done
            }
            Waiter::Ok(waiter) => {
                let _ = waiter.send(Err(fault()));
                Settled::Done
            }
            Waiter::Subscribe(sid, waiter) => {
                self.subscriptions.remove(&sid);
                let _ = waiter.send(Err(fault()));
                Settled::Done
            }
            // A session that has been replaced has no say: the one in its place answers for itself.
            Waiter::Renewal(_) if !self.is_current(epoch) => Settled::Done,
            Waiter::Renewal(sid) if rejection.is_lasting() => {
                self.subscriptions.remove(&sid).map_or(Settled::Done, |entry| Settled::Lost(entry.pattern))
            }
            Waiter::Renewal(sid) => self.postpone(sid, rejection.retry_after),
            Waiter::Reauth => Settled::Reauth,
        }
    }

    fn postpone(&mut self, sid: Sid, retry_after: Option<Duration>) -> Settled {
        let Some(entry) = self.subscriptions.get_mut(&sid) else { return Settled::Done };
        entry.written = false;
        self.postponed.sids.insert(sid);
        self.postponed.retry_after = self.postponed.retry_after.max(retry_after);
        Settled::Postponed(entry.pattern.clone())
    }

    pub(super) fn add_subscription(&mut self, entry: Entry) -> Sid {
        self.last_sid += 1;
        let sid = Sid(self.last_sid);
        self.subscriptions.insert(sid, entry);
        sid
    }

    /// Whether to write the `sub`: its owner may have gone while it waited in the queue.
    pub(super) fn write_subscription(&mut self, sid: Sid) -> bool {
        self.subscriptions.get_mut(&sid).map(|entry| entry.written = true).is_some()
    }

    /// The gateway took it away.
    pub(super) fn lose_subscription(&mut self, sid: Sid) -> Option<Pattern> {
        self.subscriptions.remove(&sid).map(|entry| entry.pattern)
    }

    /// The owner is gone: the gateway hears of it if it knows the subscription.
    pub(super) fn drop_subscription(&mut self, sid: Sid) {
        if let (true, Some(outbox)) = (self.take_subscription(sid), &self.outbox) {
            self.closing.push(sid);
            outbox.wake();
        }
    }

    /// Removes a subscription whose `unsub` the caller sends; whether the gateway knows it.
    pub(super) fn take_subscription(&mut self, sid: Sid) -> bool {
        let Some(entry) = self.subscriptions.remove(&sid) else { return false };
        self.postponed.sids.remove(&sid);
        if !entry.written {
            // Its renewal may wait in the queue, where it is dropped: then no answer will come.
            self.pending.retain(|_, pending| !matches!(pending.waiter, Waiter::Renewal(of) if of == sid));
        }
        entry.written
    }

    pub(super) fn take_closing(&mut self) -> Vec<Sid> {
        std::mem::take(&mut self.closing)
    }

    /// Puts a message into its subscription's buffer, or counts it as missed. A session that was already replaced
    /// delivers only what went to one member of a group: everything else comes on the new one too.
    pub(super) fn deliver(&self, epoch: Epoch, sid: Sid, message: Message, max_bytes: usize) {
        let Some(entry) = self.subscriptions.get(&sid) else { return };
        if !self.is_current(epoch) && entry.group.is_none() {
            return;
        }
        let weight = message.weight();
        let before = entry.meter.bytes.fetch_add(weight, Ordering::Relaxed);
        let has_room = before == 0 || before.saturating_add(weight) <= max_bytes;
        if !has_room || entry.sender.try_send(message).is_err() {
            entry.meter.bytes.fetch_sub(weight, Ordering::Relaxed);
            entry.meter.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn rejection_to_error(rejection: Rejection) -> OperationError {
    match rejection.code {
        ErrorCode::Forbidden => OperationError::Forbidden { service: None, rejection: rejection.into() },
        ErrorCode::NoResponders => OperationError::NoResponders,
        _ => OperationError::Rejected(Box::new(rejection)),
    }
}
