//! Connections opened at a fixed rate, whatever becomes of those before, each timed from the socket to its `hello`.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::session::Session;

/// How long one connection may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that are being opened, in a thread of their own.
pub struct Opening {
    stop: CancellationToken,
    thread: JoinHandle<Opened>,
}

/// What became of them.
#[derive(Default)]
pub struct Opened {
    pub took: Vec<Duration>,
    pub failed: Vec<String>,
    /// Each certificate that the gateway showed.
    pub certificates: HashSet<Vec<u8>>,
}

impl Opened {
    pub fn join(&mut self, other: Self) {
        self.took.extend(other.took);
        self.failed.extend(other.failed);
        self.certificates.extend(other.certificates);
    }
}

impl Opening {
    pub fn start(address: SocketAddr, client: Arc<ClientConfig>, per_second: u32) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            LocalSet::new().block_on(&runtime, open_many(address, client, per_second, stopped))
        });
        Self { stop, thread }
    }

    /// Opens no more, and waits for those under way.
    pub fn stop(self) -> Opened {
        self.stop.cancel();
        self.thread.join().expect("the thread that opens connections")
    }
}

async fn open_many(
    address: SocketAddr,
    client: Arc<ClientConfig>,
    per_second: u32,
    stop: CancellationToken,
) -> Opened {
    let opened = Rc::new(RefCell::new(Opened::default()));
    let mut due = interval(Duration::from_secs(1) / per_second);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = due.tick() => {
                under_way.spawn_local(open_one(address, client.clone(), opened.clone()));
            }
        }
    }
    while let Some(ended) = under_way.join_next().await {
        ended.expect("a connection's task");
    }
    opened.take()
}

async fn open_one(address: SocketAddr, client: Arc<ClientConfig>, opened: Rc<RefCell<Opened>>) {
    let began = Instant::now();
    let session = timeout(PATIENCE, Session::try_open(address, &client)).await;
    let took = began.elapsed();
    let mut opened = opened.borrow_mut();
    match session {
        Ok(Ok(session)) => {
            opened.took.push(took);
            opened.certificates.extend(session.gateway_certificate().map(|certificate| certificate.to_vec()));
        }
        Ok(Err(error)) => opened.failed.push(error.to_string()),
        Err(_) => opened.failed.push(format!("no `hello` within {PATIENCE:?}")),
    }
}
