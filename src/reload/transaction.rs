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
        let changes = Changes::between(&current, &revised);
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
