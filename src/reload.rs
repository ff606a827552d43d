//! The reload transaction: notice a change, load everything, see whom it would cut, swap, and let every live session judge
//! itself.
//!
//! Invariant: one attempt at a time. Whatever is wrong with the files, the generation before them stays whole, and the
//! next good set is taken. One exception: what a valid newer revocation list or a valid deny list adds applies at once, whatever
//! else is broken or held back, because a typo in a policy must not hold up a revocation. A set that is not taken whole lifts
//! nothing.

mod candidate;
pub mod changes;
mod decision;
mod dry_run;
mod earlier;
mod guard;
mod handle;
mod outcome;
pub mod preview;
mod transaction;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::clock::{unix_ms, unix_now};
use crate::config::{Faults, Settings};
use crate::gateway::Gateway;
use crate::load::{self, Digest, Refused};
use crate::{audit, expiry};
use candidate::{Basis, Found, Previous, Source};
use decision::Terms;
use guard::Guard;
use handle::{Answer, Request};
pub use handle::{ReloadHandle, Unavailable};
pub use outcome::{Ask, Attempt, Report, Status};
use watch::Watcher;

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
    settings: Arc<Settings>,
    /// Those of the set in force, while that is an earlier one: its own revocation files go on to count.
    restored: Option<Arc<Settings>>,
    /// `None` while the generation has revocation lists of files that were refused otherwise, or is an earlier set.
    digest: Option<Digest>,
    /// What the files were when an operator went back from them: while they are that, only their revocations are tried.
    held: Option<Digest>,
    previous: Option<Previous>,
    retry: Retry,
    watcher: Watcher,
    requests: mpsc::Receiver<Request>,
    /// At most one: it may cost a second of CPU for each ten thousand sessions.
    dry_runs: JoinSet<(Answer, Report)>,
    /// Reading that did not come to an end in time.
    stuck: Option<JoinHandle<Found>>,
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
        let status = Status { since_unix_ms: unix_ms(SystemTime::now()), ..Status::default() };
        let status = Arc::new(Mutex::new(status));
        let watcher = Watcher::new(&watched(&config, &settings, None));
        gateway.pace.set_rate(settings.reload.closes_per_second);
        let handle = ReloadHandle { requests: sender, status: status.clone() };
        let reloader = Self {
            gateway,
            config,
            settings: Arc::new(settings),
            restored: None,
            digest: Some(digest),
            held: None,
            previous: None,
            retry: Retry::Never,
            watcher,
            requests,
            dry_runs: JoinSet::new(),
            stuck: None,
            status,
            expiry: expiry::Warnings::default(),
        };
        (reloader, handle)
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
                Some(request) = self.requests.recv() => self.answer(request).await,
                // Answered when it is over, so that the next one finds the place free.
                Some(Ok((answer, report))) = self.dry_runs.join_next() => {
                    let _ = answer.send(Ok(report));
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

    async fn answer(&mut self, Request { source, ask, config, answer }: Request) {
        if !ask.dry_run {
            let report = self.carry_out(source, ask.force).await;
            // Whoever asked may have gone.
            let _ = answer.send(Ok(report));
            return;
        }
        if !self.dry_runs.is_empty() {
            let _ = answer.send(Err(Unavailable::Busy));
            return;
        }
        // Beside the loop: a revocation that comes meanwhile does not wait for it.
        let (mut basis, gateway, terms) = (self.basis(), self.gateway.clone(), self.terms(ask.force));
        if let Some(config) = config {
            // Not the files that anything is known about.
            (basis.config, basis.digest, basis.held) = (config, None, None);
        }
        self.dry_runs.spawn(async move {
            let tried = spawn_blocking(move || dry_run::dry_run(&basis, &gateway, source, terms)).await;
            let report = tried.unwrap_or_else(|failed| {
                Report::of(Attempt::Refused { faults: vec![failure(&failed)] }, true, 0)
            });
            (answer, report)
        });
    }

    async fn attempt(&mut self) -> Attempt {
        self.carry_out(Source::Files, false).await.attempt
    }

    fn basis(&self) -> Basis {
        Basis {
            config: self.config.clone(),
            settings: self.settings.clone(),
            restored: self.restored.clone(),
            current: self.gateway.generation(),
            digest: self.digest,
            held: self.held,
            previous: self.previous.clone(),
        }
    }

    fn guard(&self) -> Guard {
        Guard::of(&self.settings.reload)
    }

    fn terms(&self, force: bool) -> Terms {
        Terms { guard: self.guard(), force }
    }

    fn report(&self, attempt: &Attempt, source: Source, started: Instant) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(generation) = attempt.generation() {
            status.since_unix_ms = unix_ms(SystemTime::now());
            tracing::info!(generation, seconds = started.elapsed().as_secs_f64(), "new generation installed");
        }
        match attempt {
            Attempt::RolledBack { to, .. } => status.rolled_back_to = self.held.map(|_| *to),
            Attempt::Installed { .. } => status.rolled_back_to = None,
            _ => {}
        }
        let faults = attempt.faults();
        // What is wrong with the files is what the last attempt at them found.
        if source == Source::Previous || attempt.is_held() {
            let is_broken = !status.faults.is_empty();
            drop(status);
            for fault in faults {
                tracing::error!(fault, "the earlier set is refused; the current generation stays");
            }
            return self.gateway.metrics.reloaded(attempt.label(), started.elapsed(), is_broken);
        }
        let is_news = status.faults != faults;
        status.faults = faults.to_vec();
        drop(status);
        self.gateway.metrics.reloaded(attempt.label(), started.elapsed(), !faults.is_empty());
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
    }

    /// Whether the files deserve an attempt that no notification asks for.
    async fn is_due(&self) -> bool {
        if self.watcher.has_moved(&watched(&self.config, &self.settings, self.restored.as_deref())) {
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

/// The files of which a change may matter.
fn watched<'f>(config: &'f Path, settings: &'f Settings, restored: Option<&'f Settings>) -> Vec<&'f Path> {
    let revoking = restored.into_iter().flat_map(Settings::revocation_files);
    let all: BTreeSet<_> = [config].into_iter().chain(settings.files()).chain(revoking).collect();
    all.into_iter().collect()
}

fn failure(panicked: &JoinError) -> String {
    format!("loading failed: {panicked}")
}

impl Retry {
    /// An earlier set that is refused says nothing about the files.
    fn after(refused: &Refused, source: Source, before: Self) -> Self {
        if source == Source::Previous {
            return before;
        }
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
