//! What might become the next generation: of the files as they are, or of the set before the current one.
//!
//! Everything here reads and compares, and changes nothing: a dry run and the transaction begin alike.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::UnixTime;

use super::changes::Changes;
use super::preview::{Against, Preview};
use crate::config::{Faults, Settings};
use crate::generation::Generation;
use crate::load::{self, Before, Digest, Loaded, Refused};
use crate::session::Live;

/// What an attempt starts from.
#[derive(Clone)]
pub(super) struct Basis {
    pub(super) config: PathBuf,
    /// Of the files that were taken last.
    pub(super) settings: Arc<Settings>,
    /// Of the set in force, where an operator went back to it.
    pub(super) restored: Option<Arc<Settings>>,
    pub(super) current: Arc<Generation>,
    /// What the files were that the generation was made of; `None` if it is not of any one set of files.
    pub(super) digest: Option<Digest>,
    /// What the files were when an operator went back from them.
    pub(super) held: Option<Digest>,
    pub(super) previous: Option<Previous>,
}

/// The last generation that differed from the current one in more than revocation and key pairs.
#[derive(Clone)]
pub(super) struct Previous {
    pub(super) generation: Arc<Generation>,
    /// What it was made of, to go on reading its revocations where it comes back.
    pub(super) settings: Arc<Settings>,
    pub(super) digest: Option<Digest>,
}

/// Where a candidate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Files,
    Previous,
}

/// A whole set that is valid by itself.
pub(super) struct Candidate {
    pub(super) generation: Generation,
    pub(super) made_of: MadeOf,
    pub(super) changes: Changes,
    /// The current generation with the candidate's newer revocations. They go ahead where the rest waits for a preview, and
    /// have the number before the candidate's.
    pub(super) revised: Option<Arc<Generation>>,
}

pub(super) enum MadeOf {
    Files {
        settings: Arc<Settings>,
        digest: Digest,
    },
    Previous {
        number: u64,
        settings: Arc<Settings>,
        files: Digest,
        /// It is what the files say by now, but for revocation.
        is_of_files: bool,
        /// Nothing of the files is missing in it.
        is_exact: bool,
    },
}

pub(super) enum Found {
    Unchanged,
    /// The files are those that an operator went back from, but for what they revoke.
    Held {
        files: Digest,
        /// Newer revocations of theirs, and of the files of the set that is in force.
        revised: Option<Generation>,
        /// What of them cannot be read.
        faults: Faults,
    },
    Candidate(Box<Candidate>),
    /// Valid newer revocations among what was refused stand in `revised`.
    Refused {
        refused: Refused,
        revised: Option<Generation>,
    },
}

impl MadeOf {
    fn settings(&self) -> &Settings {
        match self {
            Self::Files { settings, .. } | Self::Previous { settings, .. } => settings,
        }
    }
}

impl Source {
    /// The command that takes a set whatever it ends.
    pub(super) fn forcing(self) -> &'static str {
        match self {
            Self::Files => "portcullis reload --force",
            Self::Previous => "portcullis rollback --force",
        }
    }
}

impl Basis {
    pub(super) fn find(&self, source: Source, now: UnixTime) -> Found {
        match source {
            Source::Files => self.of_files(now),
            Source::Previous => self.of_previous(now),
        }
    }

    fn of_files(&self, now: UnixTime) -> Found {
        if let Some(held) = self.held {
            let files = load::digest(&self.config);
            if files.is_but_for_revocations(&held) {
                let mut faults = Faults::default();
                let revised = load::newer_revocations(&self.revoking(), &self.current, &mut faults, now);
                return Found::Held { files, revised, faults };
            }
        }
        let before = Before { settings: &self.settings, generation: &self.current, digest: self.digest };
        match load::next(&self.config, &before, now) {
            Ok(None) => Found::Unchanged,
            Ok(Some(Loaded { settings, generation, digest })) => {
                let made_of = MadeOf::Files { settings: Arc::new(settings), digest };
                self.candidate(generation, made_of, now)
            }
            Err(refused) => {
                // What is wrong with the files is told with all else of them.
                let unread = &mut Faults::default();
                let revised = load::newer_revocations(&self.revoking(), &self.current, unread, now);
                Found::Refused { refused, revised }
            }
        }
    }

    /// By whose files revocations apply that go ahead alone: a set that an operator went back to goes on with its own.
    pub(super) fn revoking(&self) -> Vec<&Settings> {
        [Some(&self.settings), self.restored.as_ref()].into_iter().flatten().map(Arc::as_ref).collect()
    }

    pub(super) fn candidate(&self, mut generation: Generation, made_of: MadeOf, now: UnixTime) -> Found {
        let changes = Changes::between(&self.current, &generation);
        let revised = || self.revised(&generation, made_of.settings(), now).map(Arc::new);
        let revised = changes.can_cut().then(revised).flatten();
        let base = revised.as_ref().map_or(self.current.number, |revised| revised.number);
        generation.number = base + 1;
        Found::Candidate(Box::new(Candidate { generation, made_of, changes, revised }))
    }

    /// The current generation with what the files of the set in force and `candidate` newly revoke or deny, and nothing else
    /// of it: should the candidate be held back, its revocations count all the same, and so do those that are published
    /// where they were before. What it denies no more stays denied: that is lifted by the candidate itself, if it is taken.
    fn revised(&self, candidate: &Generation, settings: &Settings, now: UnixTime) -> Option<Generation> {
        let current = &*self.current;
        // What the candidate names too was read with it, and a large list is not read twice.
        let read: HashSet<&Path> = settings.revocation_files().collect();
        let is_read = |known: &&Settings| known.revocation_files().all(|file| read.contains(file));
        // Files that are gone went with the set before.
        let newer = (!self.revoking().iter().all(is_read))
            .then(|| load::newer_revocations(&self.revoking(), current, &mut Faults::default(), now))
            .flatten();
        let base = newer.as_ref().unwrap_or(current);
        let trust = Arc::new(base.trust.with_revocations_of(&candidate.trust, now));
        let revised = current.revised(trust, Arc::new(base.deny.with(&candidate.deny)))?;
        (!Changes::between(current, &revised).is_empty()).then_some(revised)
    }
}

impl Candidate {
    /// What it would do to these sessions.
    pub(super) fn preview(&self, current: &Generation, live: &[Live], now: UnixTime) -> Preview {
        let against = Against { current, revised: self.revised.as_deref() };
        Preview::of(&self.generation, against, live, now)
    }
}
