//! The one task of a client: keeps a session, moves it before a gateway drains, makes a new one when it is lost.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::backoff::{Backoff, Pace, fraction, random};
use super::dial::{Greeted, dial};
use super::error::ConnectError;
use super::event::Event;
use super::ledger::Shared;
use super::options::Options;
use super::session::{Ended, Session};

/// Runs from the first session until the client is closed.
pub(super) async fn supervise(shared: Arc<Shared>, mut session: Session) {
    let _finished = shared.finished.clone().drop_guard();
    let mut retiring = JoinSet::new();
    let mut backoff = backoff(&shared.options);
    loop {
        let since = Instant::now();
        session = match live(&shared, session, &mut retiring).await {
            Next::Moved(session) => *session,
            Next::Over(ended) => {
                // A session that lasted shows that the way is good; one that died at once must not be hammered.
                if since.elapsed() >= shared.options.backoff_max {
                    backoff.reset();
                }
                match reconnect(&shared, &mut backoff, ended).await {
                    Some(greeted) => Session::open(shared.clone(), greeted),
                    None => break,
                }
            }
        };
        while retiring.try_join_next().is_some() {}
    }
    while retiring.join_next().await.is_some() {}
}

enum Next {
    /// To a gateway that is not draining.
    Moved(Box<Session>),
    Over(Ended),
}

/// Runs `session` until it ends, the client is closed, or another session has taken its place.
async fn live(shared: &Arc<Shared>, session: Session, retiring: &mut JoinSet<Ended>) -> Next {
    let signals = session.signals();
    let mut running = Box::pin(session.run());
    tokio::select! {
        biased;
        ended = &mut running => Next::Over(ended),
        () = shared.stop.cancelled() => {
            signals.leave.cancel();
            Next::Over(running.await)
        }
        greeted = replacement(&shared.options, signals.draining.subscribe()) => {
            let next = Session::open(shared.clone(), greeted);
            signals.leave.cancel();
            retiring.spawn(running);
            Next::Moved(Box::new(next))
        }
    }
}

/// A greeted session for when this one drains, at a random moment of the first half of the time left, so that the
/// gateway's clients do not all move at once.
async fn replacement(options: &Options, mut draining: watch::Receiver<Option<u64>>) -> Greeted {
    let deadline = draining.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
    let Some(deadline) = deadline else { return std::future::pending().await };
    sleep(fraction(time_left(deadline) / 2, random())).await;
    let mut backoff = backoff(options);
    loop {
        match dial(options).await {
            Ok(greeted) => return greeted,
            Err(error) => {
                debug!(error = %error, "no new session yet while the gateway drains");
                sleep(backoff.next(pace(&error), retry_after(&error), random())).await;
            }
        }
    }
}

fn time_left(deadline_ms: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(deadline_ms).saturating_sub(now)
}

/// Tells what happened and tries until there is a session again, or returns `None` when the client is closed.
async fn reconnect(shared: &Shared, backoff: &mut Backoff, ended: Ended) -> Option<Greeted> {
    let Ended { ending, unsent } = ended;
    let mut wait = backoff.next(ending.pace(), ending.retry_after(), random());
    let retry_in = (!shared.stop.is_cancelled()).then_some(wait);
    shared.emit(Event::Disconnected { reason: Arc::new(ending), unsent, retry_in });
    let attempts = async {
        loop {
            sleep(wait).await;
            match dial(&shared.options).await {
                Ok(greeted) => return greeted,
                Err(error) => {
                    wait = backoff.next(pace(&error), retry_after(&error), random());
                    shared.emit(Event::ConnectFailed { error: Arc::new(error), retry_in: wait });
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => None,
        greeted = attempts => Some(greeted),
    }
}

/// The first session, however long it takes.
pub(super) async fn connect_patiently(options: &Options) -> Greeted {
    let mut backoff = backoff(options);
    loop {
        match dial(options).await {
            Ok(greeted) => return greeted,
            Err(error) => {
                let wait = backoff.next(pace(&error), retry_after(&error), random());
                tracing::warn!(error = %error, cause = cause(&error), retry_in = ?wait, "cannot connect");
                sleep(wait).await;
            }
        }
    }
}

fn cause(error: &ConnectError) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}

fn backoff(options: &Options) -> Backoff {
    Backoff::new(options.backoff_min, options.backoff_max)
}

fn pace(error: &ConnectError) -> Pace {
    match error {
        ConnectError::Refused(refusal) => refusal.pace(),
        ConnectError::Closed(reason) => reason.pace(),
        ConnectError::CertificateRefused { .. } => Pace::Slow,
        _ => Pace::Usual,
    }
}

fn retry_after(error: &ConnectError) -> Option<Duration> {
    match error {
        ConnectError::Refused(refusal) => refusal.retry_after,
        ConnectError::Closed(reason) => reason.retry_after,
        _ => None,
    }
}
