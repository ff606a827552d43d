//! Why a client verb came to nothing, and with which code it exits.

use std::io;

use crate::cli::exit::Exit;
use crate::client::{ConnectError, OperationError, OptionsError};

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
    #[error("the gateway does not take this certificate: {by}")]
    CertificateRefused { by: String },
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
            Self::SubscriptionsLost { .. } | Self::CertificateRefused { .. } => Exit::Refused,
        }
    }
}

fn of_operation(fault: &OperationError) -> Exit {
    match fault {
        OperationError::Forbidden { .. }
        | OperationError::NoResponders
        | OperationError::Rejected(_)
        | OperationError::TooLarge { .. }
        | OperationError::OverLimit { .. }
        | OperationError::Answer { .. } => Exit::Refused,
        OperationError::Topic(_) | OperationError::Encode { .. } | OperationError::NoReplyWanted => {
            Exit::Usage
        }
        OperationError::NotConnected | OperationError::Disconnected => Exit::NoConnection,
        OperationError::Timeout { .. } => Exit::Timeout,
    }
}
