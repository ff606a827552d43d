//! Figures as they are printed, and the promises they are held against.

use std::fmt;
use std::time::Duration;

/// Durations, sorted.
pub struct Durations(Vec<Duration>);

impl Durations {
    pub fn new(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<_> = durations.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The least duration that so many of a hundred do not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    pub fn median(&self) -> Duration {
        self.percentile(50)
    }

    pub fn most(&self) -> Duration {
        self.percentile(100)
    }
}

/// A duration in the unit that all tables use.
pub fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

pub fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

/// What must hold, and what of it does not.
#[derive(Default)]
pub struct Promises {
    held: usize,
    broken: Vec<String>,
}

impl Promises {
    /// `what` says the promise with the figure it is judged by.
    pub fn expect(&mut self, holds: bool, what: impl fmt::Display) {
        match holds {
            true => self.held += 1,
            false => self.broken.push(what.to_string()),
        }
    }

    pub fn all_hold(&self) -> bool {
        self.broken.is_empty()
    }
}

impl fmt::Display for Promises {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all_hold() {
            return write!(f, "All {} promises hold.", self.held);
        }
        writeln!(f, "**{} of {} promises do not hold:**", self.broken.len(), self.broken.len() + self.held)?;
        self.broken.iter().try_for_each(|broken| write!(f, "\n- {broken}"))
    }
}
