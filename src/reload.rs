//! The reload transaction: notice a change, load everything, see whom it would cut, swap, and let every live session judge
//! itself.
//!
//! Invariant: one attempt at a time. Whatever is wrong with the files, the generation before them stays whole, and the
//! next good set is taken. One exception: a valid newer revocation list or deny list applies at once, whatever else is broken
//! or held back, because a typo in a policy must not hold up a revocation.

mod candidate;
pub mod changes;
mod guard;
mod outcome;
pub mod preview;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::clock::{unix_ms, unix_now};
use crate::config::{Faults, Settings};
use crate::gateway::Gateway;
use crate::generation::Generation;
use crate::load::{self, Digest, Refused};
use crate::session::Live;
use crate::{audit, expiry};
use candidate::{Basis, Candidate, Found, MadeOf, Previous, Source};
pub use outcome::{Ask, Attempt, Report, Status};
use preview::{Against, Preview};
use watch::Watcher;

/// Asks the reloader for an attempt now.
#[derive(Clone)]
pub struct ReloadHandle {
    requests: mpsc::Sender<Request>,
    status: Arc<Mutex<Status>>,
}

/// Why nobody answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("the gateway is stopping")]
    Stopping,
    #[error("another dry run is under way; ask again when it is done")]
    Busy,
}

struct Request {
    source: Source,
    ask: Ask,
    /// Another configuration file to try, dry.
    config: Option<PathBuf>,
    answer: oneshot::Sender<Result<Report, Unavailable>>,
}

impl ReloadHandle {
    /// Tries the files now. `None` if the gateway is stopping.
    pub async fn reload(&self) -> Option<Attempt> {
        self.try_files(Ask::default()).await.ok().map(|report| report.attempt)
    }

    /// Tries the files now, or tells what that would do.
    pub async fn try_files(&self, ask: Ask) -> Result<Report, Unavailable> {
        self.request(Source::Files, ask, None).await
    }

    /// Tells what the configuration in another file would do, and the files that it names.
    pub async fn preview(&self, config: PathBuf) -> Result<Report, Unavailable> {
        self.request(Source::Files, Ask { dry_run: true, force: false }, Some(config)).await
    }

    /// Goes back to the set before the current one, or tells what that would do.
    pub async fn roll_back(&self, ask: Ask) -> Result<Report, Unavailable> {
        self.request(Source::Previous, ask, None).await
    }

    async fn request(
        &self,
        source: Source,
        ask: Ask,
        config: Option<PathBuf>,
    ) -> Result<Report, Unavailable> {
        let (answer, report) = oneshot::channel();
        let request = Request { source, ask, config, answer };
        self.requests.send(request).await.map_err(|_| Unavailable::Stopping)?;
        report.await.unwrap_or(Err(Unavailable::Stopping))
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
    /// `None` while the generation has revocation lists of files that were refused otherwise, or is an earlier set.
    digest: Option<Digest>,
    /// What the files were when an operator went back from them: they are not tried while they are just that.
    held: Option<Digest>,
    previous: Option<Previous>,
    retry: Retry,
    watcher: Watcher,
    requests: mpsc::Receiver<Request>,
    /// At most one: it may cost a second of CPU for each ten thousand sessions.
    dry_runs: JoinSet<()>,
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
        let watcher = Watcher::new(&config, &settings);
        gateway.pace.set_rate(settings.reload.closes_per_second);
        let handle = ReloadHandle { requests: sender, status: status.clone() };
        let reloader = Self {
            gateway,
            config,
            settings,
            digest: Some(digest),
            held: None,
            previous: None,
            retry: Retry::Never,
            watcher,
            requests,
            dry_runs: JoinSet::new(),
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
                Some(_) = self.dry_runs.join_next() => {}
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
        let (mut basis, gateway) = (self.basis(), self.gateway.clone());
        if let Some(config) = config {
            // Not the files that anything is known about.
            (basis.config, basis.digest, basis.held) = (config, None, None);
        }
        self.dry_runs.spawn(async move {
            let tried = spawn_blocking(move || try_dry(&basis, &gateway, source, ask.force)).await;
            let _ = answer.send(Ok(tried.unwrap_or_else(|failed| {
                Report::of(Attempt::Refused { faults: vec![failure(&failed)] }, true, 0)
            })));
        });
    }

    async fn attempt(&mut self) -> Attempt {
        self.carry_out(Source::Files, false).await.attempt
    }

    fn basis(&self) -> Basis {
        Basis {
            config: self.config.clone(),
            settings: self.settings.clone(),
            current: self.gateway.generation(),
            digest: self.digest,
            held: self.held,
            previous: self.previous.clone(),
        }
    }

    async fn carry_out(&mut self, source: Source, force: bool) -> Report {
        // Watched first and read then: what changes in between is noticed.
        self.watcher.watch(&self.config, &self.settings);
        let started = Instant::now();
        let change = Change { source, force, noticed: self.watcher.noticed().unwrap_or(started) };
        let basis = self.basis();
        let current = basis.current.clone();
        let report = match spawn_blocking(move || basis.find(source, unix_now())).await {
            Ok(Found::Unchanged) => {
                self.retry = Retry::Never;
                Report::of(Attempt::Unchanged, false, current.number)
            }
            Ok(Found::Held) => Report::of(Attempt::Held, false, current.number),
            Ok(Found::Candidate(candidate)) => self.consider(*candidate, change, current).await,
            Ok(Found::Refused { refused, revised }) => {
                self.retry = Retry::after(&refused, source, self.retry);
                self.refuse(texts(&refused.faults), revised, change, current).await
            }
            Err(failed) => {
                self.retry = Retry::Always;
                Report::of(Attempt::Refused { faults: vec![failure(&failed)] }, false, current.number)
            }
        };
        self.report(&report.attempt, source, started);
        report
    }

    /// Takes a valid set, unless it would end too many sessions.
    async fn consider(
        &mut self,
        mut candidate: Candidate,
        change: Change,
        current: Arc<Generation>,
    ) -> Report {
        let guard = self.basis().guard();
        let compared_with = current.number;
        if !candidate.changes.can_cut() {
            let (changes, live) = (candidate.changes.clone(), self.gateway.registry.sessions());
            let (attempt, installed) = self.take(candidate, change.noticed);
            let preview = self.count_revoked(current, installed, live).await;
            return Report { dry_run: false, attempt, compared_with, changes, preview };
        }
        let changes = candidate.changes.clone();
        // A preview may take a second, and a revocation does not wait for it.
        let mut before = current.clone();
        if let Some(revised) = candidate.revised.take() {
            let (revised, live) = (Arc::new(revised), self.gateway.registry.sessions());
            let preview = judged(current.clone(), revised.clone(), live).await;
            if preview.cut() > 0 {
                self.gateway.install(revised.clone(), change.noticed);
                audit::reloaded(revised.number, "revocations, ahead of the rest");
                self.digest = None;
                self.alarm(&preview, &revised);
                candidate.generation.number = revised.number + 1;
                before = revised;
            } else {
                candidate.revised = Arc::into_inner(revised);
            }
        }
        let (gateway, against) = (self.gateway.clone(), before.clone());
        let previewing = spawn_blocking(move || {
            let preview = candidate.preview(&against, &gateway.registry.sessions(), unix_now());
            (candidate, preview)
        });
        let (mut candidate, preview) = match previewing.await {
            Ok(previewed) => previewed,
            Err(failed) => {
                self.retry = Retry::Always;
                let attempt = Attempt::Refused { faults: vec![failure(&failed)] };
                return Report { changes, ..Report::of(attempt, false, compared_with) };
            }
        };
        let mut faults = Faults::default();
        if !change.force
            && let Err(why) = guard.check(&preview, change.source.forcing())
        {
            faults.add("reload.max_cut_percent", why);
            if let MadeOf::Files { digest, .. } = candidate.made_of {
                self.retry = Retry::WhenChanged(digest);
            }
            let went_ahead = (before.number > current.number).then_some(before.number);
            let revised = candidate.revised.take();
            let refused = self.refuse(texts(&faults), revised, change, current).await;
            if let (Some(generation), Attempt::Refused { faults }) = (went_ahead, &refused.attempt) {
                let attempt = Attempt::RevocationsOnly { generation, faults: faults.clone() };
                return Report { attempt, changes, preview, ..refused };
            }
            return Report { changes, preview, ..refused };
        }
        let (attempt, installed) = self.take(candidate, change.noticed);
        self.alarm(&preview, &installed);
        Report { dry_run: false, attempt, compared_with, changes, preview }
    }

    /// Refuses a set; what it revokes applies all the same.
    async fn refuse(
        &mut self,
        faults: Vec<String>,
        revised: Option<Generation>,
        change: Change,
        current: Arc<Generation>,
    ) -> Report {
        let compared_with = current.number;
        let Some(revised) = revised else {
            return Report::of(Attempt::Refused { faults }, false, compared_with);
        };
        let (generation, live) = (revised.number, self.gateway.registry.sessions());
        let changes = changes::Changes::between(&current, &revised);
        let revised = Arc::new(revised);
        self.gateway.install(revised.clone(), change.noticed);
        self.digest = None;
        audit::reloaded(generation, "revocations alone; the rest was refused");
        let preview = self.count_revoked(current, revised, live).await;
        let attempt = Attempt::RevocationsOnly { generation, faults };
        Report { dry_run: false, attempt, compared_with, changes, preview }
    }

    /// Makes a candidate the current generation.
    fn take(&mut self, candidate: Candidate, noticed: Instant) -> (Attempt, Arc<Generation>) {
        let before = self.gateway.generation();
        let next = Arc::new(candidate.generation);
        let generation = next.number;
        if candidate.changes.is_more_than_revocation() {
            self.previous = Some(Previous { generation: before, digest: self.digest });
        }
        self.gateway.install(next.clone(), noticed);
        let attempt = match candidate.made_of {
            MadeOf::Files { settings, digest } => {
                self.use_settings(*settings);
                (self.digest, self.held, self.retry) = (Some(digest), None, Retry::Never);
                audit::reloaded(generation, "everything");
                Attempt::Installed { generation }
            }
            MadeOf::Previous { number, files, is_of_files } => {
                (self.digest, self.held) =
                    if is_of_files { (Some(files), None) } else { (None, Some(files)) };
                self.retry = Retry::WhenChanged(files);
                audit::rolled_back(generation, number);
                Attempt::RolledBack { generation, to: number }
            }
        };
        (attempt, next)
    }

    fn use_settings(&mut self, settings: Settings) {
        if settings.needs_restart_after(&self.settings) {
            tracing::warn!("[gateway] or [log] changed as well; that takes a restart");
        }
        self.gateway.pace.set_rate(settings.reload.closes_per_second);
        let before = std::mem::replace(&mut self.settings, settings);
        if !before.files().eq(self.settings.files()) {
            self.watcher.watch(&self.config, &self.settings);
            // What came anew may have changed between its reading and its watch.
            self.watcher.look_again();
        }
    }

    /// Counts what an installed generation revoked of the sessions that lived before it.
    async fn count_revoked(
        &self,
        before: Arc<Generation>,
        installed: Arc<Generation>,
        live: Vec<Live>,
    ) -> Preview {
        let preview = judged(before, installed.clone(), live).await;
        self.alarm(&preview, &installed);
        preview
    }

    fn alarm(&self, preview: &Preview, installed: &Generation) {
        if self.basis().guard().is_mass_revocation(preview) {
            self.gateway.metrics.mass_revocation();
            let services = preview.revoked_services();
            audit::mass_revocation(installed.number, preview.revoked(), preview.live, &services);
        }
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
        if source == Source::Previous || *attempt == Attempt::Held {
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

/// What brings an attempt about.
#[derive(Clone, Copy)]
struct Change {
    source: Source,
    force: bool,
    noticed: Instant,
}

/// What happens to these sessions where `next` follows `current`.
async fn judged(current: Arc<Generation>, next: Arc<Generation>, live: Vec<Live>) -> Preview {
    let count = live.len();
    let judging = spawn_blocking(move || {
        Preview::of(&next, Against { current: &current, revised: None }, &live, unix_now())
    });
    // Sessions judge themselves in any case; without the count there is no alarm.
    judging.await.unwrap_or_else(|failed| {
        tracing::error!(error = failure(&failed), "the sessions that a revocation ends were not counted");
        Preview { live: count, ..Preview::default() }
    })
}

/// What an attempt would come to.
fn try_dry(basis: &Basis, gateway: &Gateway, source: Source, force: bool) -> Report {
    let now = unix_now();
    let current = &basis.current;
    let live = gateway.registry.sessions();
    let report = |attempt| Report::of(attempt, true, current.number);
    match basis.find(source, now) {
        Found::Unchanged => report(Attempt::Unchanged),
        Found::Held => report(Attempt::Held),
        Found::Refused { refused, revised: None } => {
            report(Attempt::Refused { faults: texts(&refused.faults) })
        }
        Found::Refused { refused, revised: Some(revised) } => Report {
            changes: changes::Changes::between(current, &revised),
            preview: Preview::of(&revised, Against { current, revised: None }, &live, now),
            ..report(Attempt::RevocationsOnly { generation: revised.number, faults: texts(&refused.faults) })
        },
        Found::Candidate(candidate) => {
            let preview = candidate.preview(current, &live, now);
            let mut faults = Faults::default();
            if !force
                && candidate.changes.can_cut()
                && let Err(why) = basis.guard().check(&preview, source.forcing())
            {
                faults.add("reload.max_cut_percent", why);
            }
            let (generation, faults) = (candidate.generation.number, texts(&faults));
            let attempt = match (faults.is_empty(), &candidate.revised, &candidate.made_of) {
                (true, _, MadeOf::Files { .. }) => Attempt::Installed { generation },
                (true, _, MadeOf::Previous { number, .. }) => Attempt::RolledBack { generation, to: *number },
                (false, Some(_), _) => Attempt::RevocationsOnly { generation, faults },
                (false, None, _) => Attempt::Refused { faults },
            };
            Report { changes: candidate.changes, preview, ..report(attempt) }
        }
    }
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
