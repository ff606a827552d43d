//! One attempt, from what was found to what stands: whom it would cut, whether that is held back, the swap.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::candidate::{Basis, Candidate, Found, MadeOf, Previous, Source};
use super::changes::Changes;
use super::decision::{decide, decide_candidate, refuse};
use super::outcome::{Attempt, Report};
use super::preview::{Against, Preview};
use super::{Reloader, Retry, failure, texts, watched};
use crate::audit::{self, Swap};
use crate::clock::unix_now;
use crate::config::Settings;
use crate::generation::Generation;
use crate::session::Live;

/// How long reading the files may take: a hundred times what a list of a million entries takes.
const LONGEST_READING: Duration = Duration::from_secs(60);
const STUCK: &str = "reading the files does not come to an end; look at the file system they are on";

/// What brings an attempt about.
#[derive(Clone, Copy)]
struct Change {
    force: bool,
    noticed: Instant,
}

impl Reloader {
    pub(super) async fn carry_out(&mut self, source: Source, force: bool) -> Report {
        // Watched first and read then: what changes in between is noticed.
        self.watcher.watch(&watched(&self.config, &self.settings, self.restored.as_deref()));
        let started = Instant::now();
        let change = Change { force, noticed: self.watcher.noticed().unwrap_or(started) };
        let basis = self.basis();
        let current = basis.current.clone();
        let report = match self.find(source, basis).await {
            Ok(Found::Candidate(candidate)) => self.consider(*candidate, change, current).await,
            Ok(found) => {
                self.retry = match &found {
                    Found::Held { files, .. } => Retry::WhenChanged(*files),
                    Found::Refused { refused, .. } => Retry::after(refused, source, self.retry),
                    Found::Unchanged | Found::Candidate(_) => Retry::Never,
                };
                self.leave(found, change, current).await
            }
            Err(fault) => {
                self.retry = Retry::Always;
                Report::of(Attempt::Refused { faults: vec![fault] }, false, current.number)
            }
        };
        self.report(&report.attempt, source, started);
        report
    }

    /// Reads and compares, within a bound: a file system that does not answer must not end all reloading in silence. The
    /// thread that waits for it is left to itself, and no other is begun before it is back.
    async fn find(&mut self, source: Source, basis: Basis) -> Result<Found, String> {
        if self.stuck.as_ref().is_some_and(|stuck| !stuck.is_finished()) {
            return Err(STUCK.into());
        }
        let mut reading = spawn_blocking(move || basis.find(source, unix_now()));
        match timeout(LONGEST_READING, &mut reading).await {
            Ok(found) => found.map_err(|failed| failure(&failed)),
            Err(_) => {
                self.stuck = Some(reading);
                Err(STUCK.into())
            }
        }
    }

    /// Takes a valid set, unless it would end too many sessions. What it revokes goes ahead: that waits for no preview, which
    /// may take a second, and for no guard.
    async fn consider(&mut self, candidate: Candidate, change: Change, current: Arc<Generation>) -> Report {
        let (changes, live) = (candidate.changes.clone(), self.gateway.registry.sessions());
        let report = |attempt, preview| Report {
            dry_run: false,
            attempt,
            compared_with: current.number,
            changes: changes.clone(),
            preview,
        };
        let terms = self.terms(change.force);
        if !changes.can_cut() {
            let attempt = decide_candidate(&candidate, &Preview::default(), terms);
            let installed = self.take(candidate, change.noticed);
            let counted = self.count(&current, installed, live.clone()).await;
            tell(&attempt, &changes, Swap { forced: change.force, cut: counted.as_ref().map(Preview::cut) });
            return report(attempt, counted.unwrap_or_else(|| uncounted(&live)));
        }
        let revised = candidate.revised.clone();
        let mut ahead = Preview::default();
        if let Some(revised) = revised.clone() {
            let what = "revocations, ahead of the rest";
            ahead = self.revoke(revised, what, change, &current, live.clone()).await;
        }
        let against = current.clone();
        let previewing = spawn_blocking(move || {
            let preview = candidate.preview(&against, &live, unix_now());
            (candidate, preview)
        });
        let (candidate, preview) = match previewing.await {
            Ok(previewed) => previewed,
            Err(failed) => {
                self.retry = Retry::Always;
                let attempt = refuse(revised.map(|revised| revised.number), vec![failure(&failed)]);
                return report(attempt, ahead);
            }
        };
        let attempt = decide_candidate(&candidate, &preview, terms);
        match (&attempt, &candidate.made_of) {
            (Attempt::Installed { .. } | Attempt::RolledBack { .. }, _) => {
                let installed = self.take(candidate, change.noticed);
                if !self.guard().is_mass_revocation(&ahead) {
                    self.alarm(&preview, installed.number);
                }
                let cut = Some(preview.cut().saturating_sub(ahead.cut()));
                tell(&attempt, &changes, Swap { forced: change.force, cut });
            }
            (_, MadeOf::Files { digest, .. }) => self.retry = Retry::WhenChanged(*digest),
            (_, MadeOf::Previous { .. }) => {}
        }
        report(attempt, preview)
    }

    /// Takes no set; revocations that come with what was found apply all the same.
    async fn leave(&mut self, found: Found, change: Change, current: Arc<Generation>) -> Report {
        let attempt = decide(&found, &Preview::default(), self.terms(change.force));
        let (revised, what) = match found {
            Found::Held { revised, faults, .. } => {
                // Nothing else tells of them: the files are not tried.
                for fault in texts(&faults) {
                    tracing::error!(fault, "what it would revoke does not apply");
                }
                (revised, "revocations alone; the files are held since a rollback")
            }
            Found::Refused { revised, .. } => (revised, "revocations alone; the rest was refused"),
            Found::Unchanged | Found::Candidate(_) => (None, ""),
        };
        let Some(revised) = revised else { return Report::of(attempt, false, current.number) };
        let (changes, live) = (Changes::between(&current, &revised), self.gateway.registry.sessions());
        let preview = self.revoke(Arc::new(revised), what, change, &current, live).await;
        Report { dry_run: false, attempt, compared_with: current.number, changes, preview }
    }

    /// Makes revocations alone the current generation, and counts whom they end.
    async fn revoke(
        &mut self,
        revised: Arc<Generation>,
        what: &'static str,
        change: Change,
        current: &Arc<Generation>,
        live: Vec<Live>,
    ) -> Preview {
        let number = revised.number;
        self.gateway.install(revised.clone(), change.noticed);
        self.digest = None;
        let counted = self.count(current, revised, live.clone()).await;
        // Nothing had to be forced.
        audit::reloaded(number, what, Swap { forced: false, cut: counted.as_ref().map(Preview::cut) });
        counted.unwrap_or_else(|| uncounted(&live))
    }

    /// Makes a candidate the current generation.
    fn take(&mut self, candidate: Candidate, noticed: Instant) -> Arc<Generation> {
        let generation = self.gateway.generation();
        let next = Arc::new(candidate.generation);
        if candidate.changes.is_more_than_revocation() {
            let settings = self.restored.as_ref().unwrap_or(&self.settings).clone();
            self.previous = Some(Previous { generation, settings, digest: self.digest });
        }
        self.gateway.install(next.clone(), noticed);
        match candidate.made_of {
            MadeOf::Files { settings, digest } => {
                self.use_settings(settings, None);
                (self.digest, self.held, self.retry) = (Some(digest), None, Retry::Never);
            }
            MadeOf::Previous { settings, files, is_of_files: true, is_exact, .. } => {
                self.use_settings(settings, None);
                (self.digest, self.held) = (is_exact.then_some(files), None);
                self.retry = Retry::WhenChanged(files);
                if !is_exact {
                    self.watcher.look_again();
                }
            }
            MadeOf::Previous { settings, files, .. } => {
                self.use_settings(self.settings.clone(), Some(settings));
                (self.digest, self.held) = (None, Some(files));
                self.retry = Retry::WhenChanged(files);
            }
        }
        next
    }

    fn use_settings(&mut self, settings: Arc<Settings>, restored: Option<Arc<Settings>>) {
        if settings.needs_restart_after(&self.settings) {
            tracing::warn!("[gateway] or [log] changed as well; that takes a restart");
        }
        self.gateway.pace.set_rate(settings.reload.closes_per_second);
        let before = std::mem::replace(&mut self.settings, settings);
        let restored_before = std::mem::replace(&mut self.restored, restored);
        let files = watched(&self.config, &self.settings, self.restored.as_deref());
        if files != watched(&self.config, &before, restored_before.as_deref()) {
            self.watcher.watch(&files);
            // What came anew may have changed between its reading and its watch.
            self.watcher.look_again();
        }
    }

    /// Counts what an installed generation ended of the sessions that lived before it, and tells if they are many.
    async fn count(
        &self,
        before: &Arc<Generation>,
        installed: Arc<Generation>,
        live: Vec<Live>,
    ) -> Option<Preview> {
        let (before, number) = (before.clone(), installed.number);
        let judging = spawn_blocking(move || {
            Preview::of(&installed, Against { current: &before, revised: None }, &live, unix_now())
        });
        match judging.await {
            Ok(preview) => {
                self.alarm(&preview, number);
                Some(preview)
            }
            // Sessions judge themselves in any case; without the count there is no alarm.
            Err(failed) => {
                tracing::error!(
                    error = failure(&failed),
                    "the sessions that a revocation ends were not counted"
                );
                None
            }
        }
    }

    /// Tells when the revocations of generation `number` ended a share of the sessions at which a person should look.
    fn alarm(&self, preview: &Preview, number: u64) {
        if self.guard().is_mass_revocation(preview) {
            self.gateway.metrics.mass_revocation();
            audit::mass_revocation(number, preview.revoked(), preview.live, &preview.revoked_services());
        }
    }
}

fn uncounted(live: &[Live]) -> Preview {
    Preview { live: live.len(), ..Preview::default() }
}

fn tell(attempt: &Attempt, changes: &Changes, swap: Swap) {
    let what = if changes.is_only_revocation() { "revocations alone" } else { "everything" };
    match attempt {
        Attempt::Installed { generation } => audit::reloaded(*generation, what, swap),
        Attempt::RolledBack { generation, to } => audit::rolled_back(*generation, *to, swap),
        Attempt::RevocationsOnly { .. } | Attempt::Unchanged | Attempt::Held | Attempt::Refused { .. } => {}
    }
}
