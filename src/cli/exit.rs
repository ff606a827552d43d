//! Exit codes, all in one place.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// The gateway or the policy refused, nobody answered, or something failed.
    Refused,
    /// The arguments make no sense; `clap` exits with the same code.
    Usage,
    /// No connection or no listening address.
    Unreachable,
    TimedOut,
    /// The configuration, or a file that it names, is invalid.
    Config,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::TimedOut => 4,
            Exit::Config => 5,
        })
    }
}
