//! One attempt, from what was found to what stands: whom it would cut, whether that is held back, the swap.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::candidate::{Candidate, Found, MadeOf, Previous, Source};
use super::changes::Changes;
use super::outcome::{Attempt, Report};
use super::preview::{Against, Preview};
use super::{Reloader, Retry, failure, texts};
use crate::audit;
use crate::clock::unix_now;
use crate::config::{Faults, Settings};
use crate::generation::Generation;
use crate::session::Live;

/// What brings an attempt about.
#[derive(Clone, Copy)]
struct Change {
    source: Source,
    force: bool,
    noticed: Instant,
}

impl Reloader {
    pub(super) async fn carry_out(&mut self, source: Source, force: bool) -> Report {
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

    /// Takes a valid set, unless it would end too many sessions. What it revokes goes ahead: that waits for no preview, which
    /// may take a second, and for no guard.
    async fn consider(
        &mut self,
        mut candidate: Candidate,
        change: Change,
        current: Arc<Generation>,
    ) -> Report {
        let (changes, live) = (candidate.changes.clone(), self.gateway.registry.sessions());
        let report = |attempt, preview| Report {
            dry_run: false,
            attempt,
            compared_with: current.number,
            changes: changes.clone(),
            preview,
        };
        if !changes.can_cut() {
            let (attempt, installed) = self.take(candidate, change.noticed);
            let preview = self.count(&current, installed, live).await;
            return report(attempt, preview);
        }
        let revised = candidate.revised.take().map(|revised| {
            let revised = self.revoke(revised, "revocations, ahead of the rest", change.noticed);
            candidate.generation.number = revised.number + 1;
            revised
        });
        let against = (current.clone(), revised.clone());
        let previewing = spawn_blocking(move || {
            let against = Against { current: &against.0, revised: against.1.as_deref() };
            let preview = Preview::of(&candidate.generation, against, &live, unix_now());
            (candidate, preview)
        });
        let held_back = |faults| match &revised {
            Some(revised) => Attempt::RevocationsOnly { generation: revised.number, faults },
            None => Attempt::Refused { faults },
        };
        let (candidate, preview) = match previewing.await {
            Ok(previewed) => previewed,
            Err(failed) => {
                self.retry = Retry::Always;
                return report(held_back(vec![failure(&failed)]), Preview::default());
            }
        };
        self.alarm(&preview, revised.as_ref().map_or(current.number, |revised| revised.number));
        let judged = self.basis().guard().check(&preview, change.source.forcing());
        if let (Err(why), false) = (judged, change.force) {
            let mut faults = Faults::default();
            faults.add("reload.max_cut_percent", why);
            if let MadeOf::Files { digest, .. } = candidate.made_of {
                self.retry = Retry::WhenChanged(digest);
            }
            return report(held_back(texts(&faults)), preview);
        }
        let (attempt, _) = self.take(candidate, change.noticed);
        report(attempt, preview)
    }

    /// Refuses a set that is not valid; what it revokes applies all the same.
    async fn refuse(
        &mut self,
        faults: Vec<String>,
        revised: Option<Generation>,
        change: Change,
        current: Arc<Generation>,
    ) -> Report {
        let Some(revised) = revised else {
            return Report::of(Attempt::Refused { faults }, false, current.number);
        };
        let (changes, live) = (Changes::between(&current, &revised), self.gateway.registry.sessions());
        let revised = self.revoke(revised, "revocations alone; the rest was refused", change.noticed);
        let attempt = Attempt::RevocationsOnly { generation: revised.number, faults };
        let preview = self.count(&current, revised, live).await;
        Report { dry_run: false, attempt, compared_with: current.number, changes, preview }
    }

    /// Makes revocations alone the current generation.
    fn revoke(&mut self, revised: Generation, what: &'static str, noticed: Instant) -> Arc<Generation> {
        let revised = Arc::new(revised);
        self.gateway.install(revised.clone(), noticed);
        self.digest = None;
        audit::reloaded(revised.number, what);
        revised
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

    /// Counts what an installed generation ended of the sessions that lived before it.
    async fn count(&self, before: &Arc<Generation>, installed: Arc<Generation>, live: Vec<Live>) -> Preview {
        let (before, count, number) = (before.clone(), live.len(), installed.number);
        let judging = spawn_blocking(move || {
            Preview::of(&installed, Against { current: &before, revised: None }, &live, unix_now())
        });
        // Sessions judge themselves in any case; without the count there is no alarm.
        let preview = judging.await.unwrap_or_else(|failed| {
            tracing::error!(error = failure(&failed), "the sessions that a revocation ends were not counted");
            Preview { live: count, ..Preview::default() }
        });
        self.alarm(&preview, number);
        preview
    }

    /// Tells when the revocations of generation `number` ended a share of the sessions at which a person should look.
    fn alarm(&self, preview: &Preview, number: u64) {
        if self.basis().guard().is_mass_revocation(preview) {
            self.gateway.metrics.mass_revocation();
            audit::mass_revocation(number, preview.revoked(), preview.live, &preview.revoked_services());
        }
    }
}
