//! What is asked of the reloader, and what it answers: values that the admin socket hands on as they are.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::changes::Changes;
use super::preview::Preview;

/// How the last attempt went, for readiness and for people.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// When the current generation was installed, Unix milliseconds.
    pub since_unix_ms: u64,
    /// What is wrong with the files as they are now; empty if they are those of the current generation.
    pub faults: Vec<String>,
    /// The number of the generation that an operator went back to, while the files wait to be changed.
    pub rolled_back_to: Option<u64>,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Attempt {
    /// The files are those of the current generation.
    Unchanged,
    /// The files are those that an operator went back from; they wait until one of them changes.
    Held,
    /// A new generation stands.
    Installed { generation: u64 },
    /// A new generation stands, made of the set of an earlier one.
    RolledBack { generation: u64, to: u64 },
    /// The set was refused, or is held, but newer revocation lists or more denials among it stand in a new generation. It is
    /// held where no fault is told.
    RevocationsOnly { generation: u64, faults: Vec<String> },
    /// The set was refused; everything is as before.
    Refused { faults: Vec<String> },
}

/// How something is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask {
    /// Tell what would happen, and change nothing.
    pub dry_run: bool,
    /// Whatever share of the sessions it ends.
    pub force: bool,
}

/// What an attempt came to, or would come to, and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Nothing of it happened.
    pub dry_run: bool,
    pub attempt: Attempt,
    /// The generation that `changes` and `preview` are held against.
    pub compared_with: u64,
    pub changes: Changes,
    pub preview: Preview,
}

impl Attempt {
    /// What is wrong with the set.
    pub fn faults(&self) -> &[String] {
        match self {
            Self::RevocationsOnly { faults, .. } | Self::Refused { faults } => faults,
            Self::Unchanged | Self::Held | Self::Installed { .. } | Self::RolledBack { .. } => &[],
        }
    }

    /// The generation that it brought about.
    pub fn generation(&self) -> Option<u64> {
        match self {
            Self::Installed { generation }
            | Self::RolledBack { generation, .. }
            | Self::RevocationsOnly { generation, .. } => Some(*generation),
            Self::Unchanged | Self::Held | Self::Refused { .. } => None,
        }
    }

    /// Whether the files wait, because an operator went back from them.
    pub fn is_held(&self) -> bool {
        match self {
            Self::Held => true,
            Self::RevocationsOnly { faults, .. } => faults.is_empty(),
            Self::Unchanged | Self::Installed { .. } | Self::RolledBack { .. } | Self::Refused { .. } => {
                false
            }
        }
    }

    /// The label of the metric.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Held => "held",
            Self::Installed { .. } => "installed",
            Self::RolledBack { .. } => "rolled_back",
            Self::RevocationsOnly { .. } => "revocations_only",
            Self::Refused { .. } => "refused",
        }
    }
}

impl Report {
    /// One that concerns nobody.
    pub(super) fn of(attempt: Attempt, dry_run: bool, compared_with: u64) -> Self {
        Self { dry_run, attempt, compared_with, changes: Changes::default(), preview: Preview::default() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = if self.dry_run { "would be " } else { "" };
        match &self.attempt {
            Attempt::Unchanged => {
                writeln!(f, "unchanged: the files are those of generation {}", self.compared_with)?;
            }
            Attempt::Held => writeln!(
                f,
                "held: the files were rolled back from; change one that is no revocation list and not the deny list to have them taken"
            )?,
            Attempt::Installed { generation } => writeln!(f, "{would}installed: generation {generation}")?,
            Attempt::RolledBack { generation, to } => {
                writeln!(f, "{would}rolled back: generation {generation} is the set of generation {to}")?;
            }
            Attempt::RevocationsOnly { generation, .. } if self.attempt.is_held() => {
                writeln!(f, "{would}held, but for their revocations: generation {generation}")?;
            }
            Attempt::RevocationsOnly { generation, .. } => {
                writeln!(f, "{would}refused, but for its revocations: generation {generation}")?;
            }
            Attempt::Refused { .. } => {
                writeln!(f, "{would}refused: generation {} stays", self.compared_with)?
            }
        }
        for fault in self.attempt.faults() {
            writeln!(f, "{:14}! {fault}", "fault")?;
        }
        write!(f, "{}", self.changes)?;
        if self.preview.live > 0 {
            write!(f, "{}", self.preview)?;
        }
        Ok(())
    }
}
