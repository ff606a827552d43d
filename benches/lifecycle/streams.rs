//! Streaming sessions, each a publisher and a subscriber in one ring, that account for every message.
//!
//! In a thread of their own, so that what else the measurement does leaves them alone.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval_at, sleep};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::session::{Counter, Frame, Session, frame};

/// How long the last messages may be on their way before they count as lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// Fills a message up to some 128 bytes.
const FILLING: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// Running streams.
pub struct Streams {
    stop: CancellationToken,
    thread: JoinHandle<Vec<Account>>,
}

/// What became of the messages to one session.
#[derive(Default, Clone)]
pub struct Account {
    pub sent: u64,
    pub received: u64,
    next: u64,
    missing: BTreeSet<u64>,
    pub duplicated: u64,
    pub reordered: u64,
    /// Frames that no stream expects: errors, subscriptions taken away.
    pub unexpected: Vec<String>,
    /// When the session ended, if it did, and with which code; zero is an end without a close frame.
    pub ended: Option<(Instant, u16)>,
}

impl Account {
    fn book(&mut self, sequence: u64) {
        self.received += 1;
        if sequence >= self.next {
            self.missing.extend(self.next..sequence);
            self.next = sequence + 1;
        } else if self.missing.remove(&sequence) {
            self.reordered += 1;
        } else {
            self.duplicated += 1;
        }
    }

    pub fn lost(&self) -> u64 {
        self.missing.len() as u64 + self.sent.saturating_sub(self.next)
    }

    fn is_settled(&self) -> bool {
        self.lost() == 0 || self.ended.is_some()
    }

    /// The sums over all of them.
    pub fn total(accounts: &[Self]) -> Totals {
        let sum = |of: fn(&Self) -> u64| accounts.iter().map(of).sum();
        Totals {
            sent: sum(|account| account.sent),
            received: sum(|account| account.received),
            lost: sum(Self::lost),
            duplicated: sum(|account| account.duplicated),
            reordered: sum(|account| account.reordered),
            closed: accounts.iter().filter(|account| account.ended.is_some()).count(),
            unexpected: accounts.iter().flat_map(|account| account.unexpected.iter().cloned()).collect(),
        }
    }
}

pub struct Totals {
    pub sent: u64,
    pub received: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub closed: usize,
    pub unexpected: Vec<String>,
}

impl Streams {
    /// Opens a session for each of `clients`, and has each publish so many messages a second to the next one. Returns
    /// once all have subscribed.
    pub fn start(address: SocketAddr, clients: Vec<Arc<ClientConfig>>, per_second: u32) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            LocalSet::new().block_on(&runtime, stream(address, clients, per_second, ready, stopped))
        });
        is_ready.recv().expect("the streams start");
        Self { stop, thread }
    }

    /// Ends the publishing, waits for what is on its way, or for the ends of the sessions, and closes the books.
    pub fn stop(self) -> Vec<Account> {
        self.stop.cancel();
        self.thread.join().expect("the streams' thread")
    }
}

async fn stream(
    address: SocketAddr,
    clients: Vec<Arc<ClientConfig>>,
    per_second: u32,
    ready: mpsc::Sender<()>,
    stop: CancellationToken,
) -> Vec<Account> {
    let (mut receivers, mut sinks, mut accounts) = (JoinSet::new(), Vec::new(), Vec::new());
    for (place, client) in clients.iter().enumerate() {
        let mut session = Session::open(address, client).await;
        session.ask(&format!(r#"{{"op":"sub","id":1,"sid":7,"topic":"bench.stream.{place}"}}"#)).await;
        let (counter, sink) = session.split();
        let account = Rc::new(RefCell::new(Account::default()));
        receivers.spawn_local(receive(counter, account.clone()));
        sinks.push(sink);
        accounts.push(account);
    }
    ready.send(()).expect("somebody waits for the streams");

    let period = Duration::from_secs(1) / per_second;
    let began = tokio::time::Instant::now();
    let mut publishers = JoinSet::new();
    let count = sinks.len();
    // Kept until the end: a session whose sending half is dropped would end.
    let kept = Rc::new(RefCell::new(Vec::new()));
    for (place, sink) in sinks.into_iter().enumerate() {
        let to = (place + 1) % count;
        let first = began + period.mul_f64(place as f64 / count as f64);
        let (account, kept, stop) = (accounts[to].clone(), kept.clone(), stop.clone());
        publishers.spawn_local(async move {
            let sink = publish(sink, to, first, period, &account, stop).await;
            kept.borrow_mut().push(sink);
        });
    }
    while publishers.join_next().await.is_some() {}
    let stopped = Instant::now();
    while stopped.elapsed() < PATIENCE && !accounts.iter().all(|account| account.borrow().is_settled()) {
        sleep(Duration::from_millis(2)).await;
    }
    receivers.abort_all();
    accounts.iter().map(|account| account.borrow().clone()).collect()
}

/// Publishes until told to stop or until the session ends.
async fn publish(
    mut sink: WriteHalf<TlsStream<TcpStream>>,
    to: usize,
    first: tokio::time::Instant,
    period: Duration,
    account: &RefCell<Account>,
    stop: CancellationToken,
) -> WriteHalf<TlsStream<TcpStream>> {
    let mut due = interval_at(first, period);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sequence = Cell::new(0u64);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return sink,
            _ = due.tick() => {}
        }
        let message = frame(&format!(
            r#"{{"op":"pub","topic":"bench.stream.{to}","data":{{"seq":{},"filling":"{FILLING}"}}}}"#,
            sequence.get()
        ));
        let written = async {
            sink.write_all(&message).await?;
            sink.flush().await
        };
        if written.await.is_err() {
            return sink;
        }
        sequence.set(sequence.get() + 1);
        account.borrow_mut().sent = sequence.get();
    }
}

async fn receive(mut counter: Counter, account: Rc<RefCell<Account>>) {
    loop {
        let came = counter.frame().await;
        let mut account = account.borrow_mut();
        match came {
            Ok(Frame::Text(text)) => match sequence_of(&text) {
                Some(sequence) => account.book(sequence),
                None => account.unexpected.push(String::from_utf8_lossy(&text).into_owned()),
            },
            Ok(Frame::Control) => {}
            Ok(Frame::Close { code, .. }) => {
                account.ended = Some((Instant::now(), code));
                return;
            }
            Err(_) => {
                account.ended = Some((Instant::now(), 0));
                return;
            }
        }
    }
}

/// The number in a message of a stream; `None` if it is anything else.
fn sequence_of(text: &[u8]) -> Option<u64> {
    const BEFORE: &[u8] = br#""data":{"seq":"#;
    if !text.starts_with(br#"{"op":"msg""#) {
        return None;
    }
    let begins = text.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let digits = text.get(begins..)?;
    let ends = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..ends)?).ok()?.parse().ok()
}
