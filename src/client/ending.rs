//! Every way a session can end, and what the client makes of it.

use std::time::Duration;

use tokio_tungstenite::tungstenite;

use super::backoff::Pace;
use super::refusal::CloseReason;

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum Ending {
    /// The client was closed, or moved to another session.
    #[error("asked for by this side")]
    Asked,
    #[error("the gateway closed the session: {0}")]
    Closed(CloseReason),
    #[error("the connection ended without a close frame")]
    Lost,
    #[error("nothing was heard for {after:?}, not even an answer to a ping")]
    Silent { after: Duration },
    #[error("the gateway read nothing for {after:?}")]
    Stalled { after: Duration },
    #[error("the gateway sent a binary message, which the dialect does not use")]
    Binary,
    #[error("the WebSocket failed")]
    WebSocket { source: Box<tungstenite::Error> },
}

impl From<tungstenite::Error> for Ending {
    fn from(source: tungstenite::Error) -> Self {
        match source {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Self::Lost,
            source => Self::WebSocket { source: source.into() },
        }
    }
}

impl Ending {
    pub(super) fn pace(&self) -> Pace {
        match self {
            Self::Closed(reason) => reason.pace(),
            Self::Asked
            | Self::Lost
            | Self::Silent { .. }
            | Self::Stalled { .. }
            | Self::Binary
            | Self::WebSocket { .. } => Pace::Usual,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Closed(reason) => reason.retry_after,
            Self::Asked
            | Self::Lost
            | Self::Silent { .. }
            | Self::Stalled { .. }
            | Self::Binary
            | Self::WebSocket { .. } => None,
        }
    }
}
