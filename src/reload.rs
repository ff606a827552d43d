//! The reload transaction: notice a change, load everything, swap, and let every live session judge itself.
//!
//! Invariant: one attempt at a time. Whatever is wrong with the files, the generation before them stays whole, and the
//! next good set is taken. One exception: a valid newer revocation list or deny list applies at once, whatever else is broken,
//! because a typo in a policy must not hold up a revocation.

mod watch;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::clock::{unix_ms, unix_now};
use crate::config::{Faults, Settings};
use crate::gateway::Gateway;
use crate::load::{self, Before, Digest, Loaded, Refused};
use crate::{audit, expiry};
use watch::Watcher;

/// How the last attempt went, for readiness and for people.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// When the current generation was installed, Unix milliseconds.
    pub since_unix_ms: u64,
    /// What is wrong with the files as they are now; empty if they are those of the current generation.
    pub faults: Vec<String>,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The files are those of the current generation.
    Unchanged,
    /// A new generation stands.
    Installed { generation: u64 },
    /// The files were refused, but revocation lists or the deny list among them were newer and stand in a new generation.
    RevocationsOnly { generation: u64, faults: Vec<String> },
    /// The files were refused; everything is as before.
    Refused { faults: Vec<String> },
}

/// Asks the reloader for an attempt now.
#[derive(Clone)]
pub struct ReloadHandle {
    requests: mpsc::Sender<oneshot::Sender<Attempt>>,
    status: Arc<Mutex<Status>>,
}

impl ReloadHandle {
    /// Tries the files now. `None` if the gateway is stopping.
    pub async fn reload(&self) -> Option<Attempt> {
        let (answer, attempt) = oneshot::channel();
        self.requests.send(answer).await.ok()?;
        attempt.await.ok()
    }

    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether files that were refused are tried again though nothing tells of a change.
#[derive(Debug, Clone, Copy)]
enum Retry {
    /// They were not refused.
    Never,
    /// Once they hold other bytes. They are read for that at every poll, since not every one of them is watched: what
    /// a refused configuration names is not.
    WhenChanged(Digest),
    /// At every poll: time may mend a fault, such as a certificate that is not valid yet.
    Always,
}

/// The one task that changes generations.
pub struct Reloader {
    gateway: Arc<Gateway>,
    config: PathBuf,
    settings: Settings,
    /// `None` while the generation has revocation lists of files that were refused otherwise.
    digest: Option<Digest>,
    retry: Retry,
    watcher: Watcher,
    requests: mpsc::Receiver<oneshot::Sender<Attempt>>,
    status: Arc<Mutex<Status>>,
    expiry: expiry::Warnings,
}

impl Reloader {
    /// Starts to watch the files of the generation that `gateway` was made with.
    pub fn new(
        gateway: Arc<Gateway>,
        config: PathBuf,
        settings: Settings,
        digest: Digest,
    ) -> (Self, ReloadHandle) {
        let (sender, requests) = mpsc::channel(8);
        let status = Status { since_unix_ms: unix_ms(SystemTime::now()), faults: Vec::new() };
        let status = Arc::new(Mutex::new(status));
        let watcher = Watcher::new(&config, &settings);
        let handle = ReloadHandle { requests: sender, status: status.clone() };
        let expiry = expiry::Warnings::default();
        let digest = Some(digest);
        let retry = Retry::Never;
        (Self { gateway, config, settings, digest, retry, watcher, requests, status, expiry }, handle)
    }

    /// Attempts a reload after every change until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        self.expiry.warn(&self.gateway.generation(), unix_now());
        // The generation was read before the watch began: what changed in between would go unnoticed.
        self.attempt().await;
        let mut poll = every(self.settings.reload.poll_interval);
        loop {
            if poll.period() != self.settings.reload.poll_interval {
                poll = every(self.settings.reload.poll_interval);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(answer) = self.requests.recv() => {
                    let attempt = self.attempt().await;
                    // Whoever asked may have gone.
                    let _ = answer.send(attempt);
                }
                () = self.watcher.changed() => {
                    self.watcher.settled().await;
                    self.attempt().await;
                }
                _ = poll.tick() => {
                    self.expiry.warn(&self.gateway.generation(), unix_now());
                    if self.is_due().await {
                        self.attempt().await;
                    }
                }
            }
        }
    }

    async fn attempt(&mut self) -> Attempt {
        // Watched first and read then: what changes in between is noticed.
        self.watcher.watch(&self.config, &self.settings);
        let started = Instant::now();
        let (config, settings, digest) = (self.config.clone(), self.settings.clone(), self.digest);
        let current = self.gateway.generation();
        let loading = spawn_blocking(move || {
            let before = Before { settings: &settings, generation: &current, digest };
            load::next(&config, &before, unix_now()).map_err(|refused| {
                let newer = load::newer_revocations(&settings, &current, unix_now());
                (refused, newer)
            })
        });
        let attempt = match loading.await {
            Ok(Ok(loaded)) => {
                self.retry = Retry::Never;
                loaded.map_or(Attempt::Unchanged, |loaded| self.install(loaded))
            }
            Ok(Err((refused, Some(newer)))) => {
                self.retry = Retry::after(&refused);
                let generation = newer.number;
                self.gateway.install(Arc::new(newer));
                self.digest = None;
                audit::reloaded(generation, "revocations alone; the rest was refused");
                Attempt::RevocationsOnly { generation, faults: texts(&refused.faults) }
            }
            Ok(Err((refused, None))) => {
                self.retry = Retry::after(&refused);
                Attempt::Refused { faults: texts(&refused.faults) }
            }
            Err(panicked) => {
                self.retry = Retry::Always;
                Attempt::Refused { faults: vec![format!("loading failed: {panicked}")] }
            }
        };
        self.report(&attempt, started);
        attempt
    }

    fn install(&mut self, loaded: Loaded) -> Attempt {
        let generation = loaded.generation.number;
        if loaded.settings.needs_restart_after(&self.settings) {
            tracing::warn!("[gateway] or [log] changed as well; that takes a restart");
        }
        self.gateway.install(Arc::new(loaded.generation));
        let before = std::mem::replace(&mut self.settings, loaded.settings);
        if !before.files().eq(self.settings.files()) {
            self.watcher.watch(&self.config, &self.settings);
            // What came anew may have changed between its reading and its watch.
            self.watcher.look_again();
        }
        self.digest = Some(loaded.digest);
        audit::reloaded(generation, "everything");
        Attempt::Installed { generation }
    }

    fn report(&self, attempt: &Attempt, started: Instant) {
        let (outcome, faults) = match attempt {
            Attempt::Unchanged => ("unchanged", &[][..]),
            Attempt::Installed { .. } => ("installed", &[][..]),
            Attempt::RevocationsOnly { faults, .. } => ("revocations_only", faults.as_slice()),
            Attempt::Refused { faults } => ("refused", faults.as_slice()),
        };
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(attempt, Attempt::Installed { .. } | Attempt::RevocationsOnly { .. }) {
            status.since_unix_ms = unix_ms(SystemTime::now());
        }
        let is_news = status.faults != faults;
        status.faults = faults.to_vec();
        drop(status);
        self.gateway.metrics.reloaded(outcome, started.elapsed(), !faults.is_empty());
        // The same faults at every poll are told once.
        if is_news && faults.is_empty() {
            audit::reload_mended(self.gateway.generation_number());
        }
        if is_news && let Some(first) = faults.first() {
            audit::reload_refused(self.gateway.generation_number(), faults.len(), first);
            for fault in faults {
                tracing::error!(fault, "the changed files are refused; the generation before them stays");
            }
        }
        if let Attempt::Installed { generation } | Attempt::RevocationsOnly { generation, .. } = attempt {
            tracing::info!(generation, seconds = started.elapsed().as_secs_f64(), "new generation installed");
        }
    }

    /// Whether the files deserve an attempt that no notification asks for.
    async fn is_due(&self) -> bool {
        if self.watcher.has_moved(&self.config, &self.settings) {
            return true;
        }
        match self.retry {
            Retry::Never => false,
            Retry::Always => true,
            Retry::WhenChanged(refused) => {
                let config = self.config.clone();
                let reading = spawn_blocking(move || load::digest(&config));
                reading.await.is_ok_and(|now| now != refused)
            }
        }
    }
}

impl Retry {
    fn after(refused: &Refused) -> Self {
        match refused.faults.0.iter().any(|fault| fault.why.depends_on_time()) {
            true => Self::Always,
            false => Self::WhenChanged(refused.digest),
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut poll = interval_at(Instant::now() + period, period);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll
}

fn texts(faults: &Faults) -> Vec<String> {
    faults.0.iter().map(|fault| cut(fault.to_string())).collect()
}

/// A fault quotes the line it is about, and a line may be the whole file.
fn cut(text: String) -> String {
    const MOST_CHARACTERS: usize = 2_000;
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
