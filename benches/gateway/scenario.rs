//! What is measured, and how it is loaded. No load ever overruns a queue: the publisher waits for its window.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::server::{CpuTime, Server};
use super::session::{Session, frame};

/// Load before the measurement begins.
const WARM_UP: Duration = Duration::from_millis(300);

/// One kind of load.
#[derive(Clone, Copy)]
pub enum Scenario {
    /// Connections to their `hello`, so many at once.
    Handshakes { at_once: usize },
    /// One publisher, and subscribers who all get everything.
    Deliveries {
        subscribers: usize,
        payload: usize,
        /// Messages that the publisher hands to the system at once.
        per_write: usize,
        /// Messages published and not yet received by all.
        window: usize,
    },
}

/// What one run showed.
pub struct Sample {
    /// Handshakes, or messages published.
    pub done: u64,
    pub took: Duration,
    pub cpu: CpuTime,
    /// Of each single one, where one waits for the other.
    pub latencies: Vec<Duration>,
}

impl Scenario {
    /// Loads `server` for `length` and measures what happens meanwhile.
    pub async fn run(self, server: &Server, client: &Arc<ClientConfig>, length: Duration) -> Sample {
        let load = Rc::new(Load::default());
        let mut tasks = JoinSet::new();
        match self {
            Self::Handshakes { at_once } => {
                for _ in 0..at_once {
                    tasks.spawn_local(handshakes(server.address, client.clone(), load.clone(), at_once == 1));
                }
            }
            Self::Deliveries { subscribers, payload, per_write, window } => {
                let room = Rc::new(Semaphore::new(window * subscribers));
                for _ in 0..subscribers {
                    let mut session = Session::open(server.address, client).await;
                    session.ask(r#"{"op":"sub","id":1,"sid":7,"topic":"bench.>"}"#).await;
                    tasks.spawn_local(receive(session, room.clone(), load.clone()));
                }
                let publisher = Session::open(server.address, client).await;
                let message = publish_frame(payload).repeat(per_write);
                let permits = u32::try_from(per_write * subscribers).expect("few");
                tasks.spawn_local(publish(publisher, message, permits, room, load.clone(), window == 1));
            }
        }
        sleep(WARM_UP).await;
        load.latencies.borrow_mut().clear();
        let (done, cpu, began) = (load.done.get(), server.cpu_time(), Instant::now());
        tokio::select! {
            () = sleep(length) => {}
            Some(ended) = tasks.join_next() => ended.expect("the load goes on"),
        }
        let (took, cpu) = (began.elapsed(), server.cpu_time().since(cpu));
        let done = (load.done.get() - done) / u64::try_from(self.receipts_each()).expect("few");
        Sample { done, took, cpu, latencies: load.latencies.take() }
    }

    /// Messages received for each one published.
    pub fn receipts_each(self) -> usize {
        match self {
            Self::Handshakes { .. } => 1,
            Self::Deliveries { subscribers, .. } => subscribers,
        }
    }
}

/// What the tasks of a load have done so far.
#[derive(Default)]
struct Load {
    done: Cell<u64>,
    latencies: RefCell<Vec<Duration>>,
}

impl Load {
    fn add(&self, count: usize) {
        self.done.set(self.done.get() + count as u64);
    }
}

async fn handshakes(address: SocketAddr, client: Arc<ClientConfig>, load: Rc<Load>, is_timed: bool) {
    loop {
        let began = Instant::now();
        drop(Session::open(address, &client).await);
        if is_timed {
            load.latencies.borrow_mut().push(began.elapsed());
        }
        load.add(1);
    }
}

async fn receive(session: Session, room: Rc<Semaphore>, load: Rc<Load>) {
    // The sending half stays, or the session would end.
    let (mut counter, _sink) = session.split();
    loop {
        let received = counter.count().await;
        room.add_permits(received);
        load.add(received);
    }
}

async fn publish(
    session: Session,
    messages: Vec<u8>,
    permits: u32,
    room: Rc<Semaphore>,
    load: Rc<Load>,
    is_timed: bool,
) {
    let (_counter, mut sink) = session.split();
    let mut began = None;
    loop {
        room.acquire_many(permits).await.expect("never closed").forget();
        let now = Instant::now();
        if let Some(before) = began.replace(now).filter(|_| is_timed) {
            load.latencies.borrow_mut().push(now - before);
        }
        sink.write_all(&messages).await.expect("sent");
    }
}

fn publish_frame(payload: usize) -> Vec<u8> {
    let data = "x".repeat(payload - 2);
    frame(&format!(r#"{{"op":"pub","topic":"bench.orders.created","data":"{data}"}}"#))
}
