//! What a client verb's exit code means, in one place.

use std::io;
use std::process::ExitCode;

use crate::client::{ConnectError, OperationError, OptionsError};

/// The exit codes of the client verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Success = 0,
    Refused = 1,
    Usage = 2,
    NoConnection = 3,
    Timeout = 4,
}

/// For the end of each verb's `--help`.
pub const EXIT_HELP: &str = "\
Exit codes:
  0  done
  1  the gateway or its policy said no, or nobody answers requests on the topic
  2  the command line or its input is wrong
  3  no connection: files, network, TLS, or lost on the way
  4  no answer in time";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a client verb came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("the options are not usable")]
    Options(#[from] OptionsError),
    #[error("cannot connect")]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Operation(#[from] OperationError),
    #[error("cannot read standard input")]
    Input(#[source] io::Error),
    #[error("a line of standard input is longer than {most} bytes")]
    LongLine { most: u64 },
    #[error("the data is not base64")]
    Base64,
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("the gateway took every subscription away: {reason}")]
    SubscriptionsLost { reason: String },
}

impl Failure {
    /// The code to exit with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Options(_) | Self::Input(_) | Self::LongLine { .. } | Self::Base64 | Self::Output(_) => {
                Exit::Usage
            }
            Self::Connect(ConnectError::Refused(refusal)) if matches!(refusal.status, 401 | 403) => {
                Exit::Refused
            }
            Self::Connect(ConnectError::Closed(reason)) if reason.code == 4403 => Exit::Refused,
            Self::Connect(_) => Exit::NoConnection,
            Self::Operation(fault) => of_operation(fault),
            Self::SubscriptionsLost { .. } => Exit::Refused,
        }
    }
}

fn of_operation(fault: &OperationError) -> Exit {
    match fault {
        OperationError::Forbidden { .. }
        | OperationError::NoResponders
        | OperationError::Rejected(_)
        | OperationError::TooLarge { .. }
        | OperationError::Answer { .. } => Exit::Refused,
        OperationError::Topic(_) | OperationError::Encode { .. } | OperationError::NoReplyWanted => {
            Exit::Usage
        }
        OperationError::NotConnected | OperationError::Disconnected => Exit::NoConnection,
        OperationError::Timeout { .. } => Exit::Timeout,
    }
}
