//! What an exit code means, in one place.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Success = 0,
    /// The gateway or its policy said no, nobody answers, or something failed while running.
    Refused = 1,
    /// The command line or its input is wrong; `clap` exits with the same code.
    Usage = 2,
    /// No connection, or no address to listen on.
    NoConnection = 3,
    Timeout = 4,
    /// The configuration, or a file that it names, is invalid.
    Config = 5,
}

/// For the end of `--help`.
pub const EXIT_HELP: &str = "\
Exit codes:
  0  done
  1  the gateway or its policy said no, nobody answers, or it failed while running
  2  the command line or its input is wrong
  3  no connection: files, network, TLS, or lost on the way; no address to listen on
  4  no answer in time
  5  the configuration, or a file that it names, is invalid";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
