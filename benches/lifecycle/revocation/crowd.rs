//! Thousands of silent sessions with one subscription each, and one that can speak to all of them.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::server::Site;
use super::super::server::pki::Issued;
use super::super::session::{Frame, Session};

/// Sessions that are opened at once.
const AT_ONCE: usize = 32;
/// How long a message to all may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sessions; each has a task that waits for frames and does nothing else.
pub struct Crowd {
    seen: Rc<Seen>,
    /// Its certificate is never revoked.
    announcer: Session,
    _tasks: JoinSet<()>,
}

/// The end of a session.
#[derive(Debug, Clone, Copy)]
pub struct Closed {
    pub place: usize,
    pub at: Instant,
    /// Zero is an end without a close frame.
    pub code: u16,
}

#[derive(Default)]
struct Seen {
    closed: RefCell<Vec<Closed>>,
    messages: Cell<usize>,
    changed: Notify,
}

impl Crowd {
    pub async fn open(site: &Site, address: SocketAddr, holders: &[Issued]) -> Self {
        let (seen, mut tasks) = (Rc::new(Seen::default()), JoinSet::new());
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let is_open = Rc::new(Notify::new());
        let open = Rc::new(Cell::new(0));
        for (place, holder) in holders.iter().enumerate() {
            let opening = places.clone().acquire_owned().await.expect("never closed");
            let client = Arc::new(site.client_of(holder));
            let (seen, open, is_open) = (seen.clone(), open.clone(), is_open.clone());
            tasks.spawn_local(async move {
                let mut session = Session::open(address, &client).await;
                session.ask(r#"{"op":"sub","id":1,"sid":7,"topic":"bench.everyone"}"#).await;
                drop((opening, client));
                open.set(open.get() + 1);
                is_open.notify_one();
                let (at, code) = listen(&mut session, &seen).await;
                seen.closed.borrow_mut().push(Closed { place, at, code });
                seen.changed.notify_one();
            });
        }
        while open.get() < holders.len() {
            is_open.notified().await;
        }
        let announcer = Session::open(address, &Arc::new(site.client("announcer"))).await;
        Self { seen, announcer, _tasks: tasks }
    }

    /// Those that ended so far, in the order of their ends.
    pub fn closed(&self) -> Vec<Closed> {
        self.seen.closed.borrow().clone()
    }

    /// Waits until so many have ended in all, or for as long as that.
    pub async fn wait_for(&self, count: usize, patience: Duration) {
        let enough = async {
            while self.seen.closed.borrow().len() < count {
                self.seen.changed.notified().await;
            }
        };
        // Who waits looks at what was closed.
        let _ = timeout(patience, enough).await;
    }

    /// Publishes one message to all, and tells how many of them have received it once `expected` have, or at the end
    /// of its patience.
    pub async fn announce(&mut self, expected: usize) -> usize {
        self.seen.messages.set(0);
        self.announcer.ask(r#"{"op":"pub","id":2,"topic":"bench.everyone","data":"here?"}"#).await;
        let enough = async {
            while self.seen.messages.get() < expected {
                self.seen.changed.notified().await;
            }
        };
        let _ = timeout(PATIENCE, enough).await;
        self.seen.messages.get()
    }

    /// Whether the one that speaks to them is still answered.
    pub async fn announcer_lives(&mut self) -> bool {
        let asked = self.announcer.send(r#"{"op":"whoami","id":3}"#).await;
        let answered = timeout(PATIENCE, self.announcer.frame()).await;
        asked.is_ok() && matches!(answered, Ok(Ok(Frame::Text(text))) if text.starts_with(br#"{"op":"ok""#))
    }
}

async fn listen(session: &mut Session, seen: &Seen) -> (Instant, u16) {
    loop {
        match session.frame().await {
            Ok(Frame::Text(_)) => {
                seen.messages.set(seen.messages.get() + 1);
                seen.changed.notify_one();
            }
            Ok(Frame::Control) => {}
            Ok(Frame::Close { code, .. }) => return (Instant::now(), code),
            Err(_) => return (Instant::now(), 0),
        }
    }
}
