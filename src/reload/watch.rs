//! Notices that files changed: by the system's notification where that works, by looking where it does not.
//!
//! Directories are watched, not files, because every careful writer replaces a file by a rename; and the directories
//! of every symbolic link on the way, because that is what Kubernetes and our own scripts switch.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// A change counts as finished when nothing happens for this long, …
const QUIET: Duration = Duration::from_millis(25);
/// … and at the latest after this.
const LATEST: Duration = Duration::from_millis(100);
/// Symbolic links followed from one path, as the kernel itself limits them (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Watches files.
pub(super) struct Watcher {
    changed: Arc<Signal>,
    system: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    seen: Vec<Option<Look>>,
}

/// Wakes the reloader, and keeps since when there is something to look at.
#[derive(Default)]
struct Signal {
    wake: Notify,
    since: Mutex<Option<Instant>>,
}

impl Signal {
    fn give(&self) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        self.wake.notify_one();
    }
}

/// What can be seen of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    real: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Watcher {
    pub(super) fn new(files: &[&Path]) -> Self {
        let changed = Arc::<Signal>::default();
        let signal = changed.clone();
        let system = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| changes_something(&event)) {
                signal.give();
            }
        });
        if let Err(error) = &system {
            tracing::warn!(%error, "the system does not notify of file changes; polling alone");
        }
        let mut watcher = Self { changed, system: system.ok(), watched: BTreeSet::new(), seen: Vec::new() };
        watcher.watch(files);
        watcher
    }

    /// Watches every directory that leads to one of the files, those that came anew among them.
    pub(super) fn watch(&mut self, files: &[&Path]) {
        self.seen = looks(files);
        let Some(system) = &mut self.system else { return };
        let mut wanted = BTreeSet::new();
        for file in files {
            leading_directories(file, &mut wanted);
        }
        for gone in self.watched.difference(&wanted) {
            // It may not exist any more.
            let _ = notify::Watcher::unwatch(system, gone);
        }
        // Again even if it was watched: a directory that was deleted and made anew is another one.
        wanted.retain(|directory| match notify::Watcher::watch(system, directory, RecursiveMode::NonRecursive) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(directory = %directory.display(), %error, "not watched; polling covers it");
                false
            }
        });
        self.watched = wanted;
    }

    /// Waits for a notification.
    pub(super) async fn changed(&self) {
        self.changed.wake.notified().await;
    }

    /// Acts as if a change had been notified.
    pub(super) fn look_again(&self) {
        self.changed.give();
    }

    /// When the first change was notified that nobody asked about yet.
    pub(super) fn noticed(&self) -> Option<Instant> {
        self.changed.since.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until a change is likely to be finished.
    pub(super) async fn settled(&self) {
        let latest = Instant::now() + LATEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(latest);
            if timeout_at(quiet, self.changed.wake.notified()).await.is_err() {
                return;
            }
        }
    }

    /// Whether a file looks different from when it was last read.
    pub(super) fn has_moved(&self, files: &[&Path]) -> bool {
        looks(files) != self.seen
    }
}

/// Reading does not; neither do our own looks.
fn changes_something(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

fn looks(files: &[&Path]) -> Vec<Option<Look>> {
    files.iter().copied().map(look).collect()
}

fn look(path: &Path) -> Option<Look> {
    let real = fs::canonicalize(path).ok()?;
    let metadata = fs::metadata(&real).ok()?;
    Some(Look { real, modified: metadata.modified().ok(), bytes: metadata.len() })
}

/// Collects the directory of `path`, and of every symbolic link that is followed to reach it.
fn leading_directories(path: &Path, into: &mut BTreeSet<PathBuf>) {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let mut ahead: Vec<OsString> = components(&absolute);
    let mut here = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        let next = here.join(&part);
        match fs::read_link(&next) {
            Ok(target) if links < MOST_LINKS => {
                links += 1;
                into.insert(here.clone());
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                ahead.extend(components(&target));
            }
            _ if part == ".." => {
                here.pop();
            }
            _ => {
                if ahead.is_empty() {
                    into.insert(here.clone());
                }
                here = next;
            }
        }
    }
}

/// The parts of a path, the last one first.
fn components(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter_map(|component| match component {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut parts: Vec<_> = parts.collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_directory_of_every_link_on_the_way_is_watched() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        for directory in ["mount/..1", "elsewhere"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::write(root.join("mount/..1/tls.crt"), "x").unwrap();
        symlink("..1", root.join("mount/..data")).unwrap();
        symlink("..data/tls.crt", root.join("mount/tls.crt")).unwrap();
        symlink(root.join("mount"), root.join("elsewhere/link")).unwrap();
        let mut found = BTreeSet::new();
        leading_directories(&root.join("elsewhere/link/tls.crt"), &mut found);
        let expected: BTreeSet<_> =
            ["elsewhere", "mount", "mount/..1"].iter().map(|directory| root.join(directory)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_loop_of_links_ends() {
        let root = tempfile::tempdir().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        let mut found = BTreeSet::new();
        leading_directories(&root.path().join("a/file"), &mut found);
        assert!(found.len() <= 3, "{found:?}");
    }
}
