//! The way to the reloader, for signals and for the admin socket.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::candidate::Source;
use super::outcome::{Ask, Attempt, Report, Status};

/// Asks the reloader for an attempt now.
#[derive(Clone)]
pub struct ReloadHandle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) status: Arc<Mutex<Status>>,
}

/// Why nobody answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("the gateway is stopping")]
    Stopping,
    #[error("another dry run is under way; ask again when it is done")]
    Busy,
}

pub(super) type Answer = oneshot::Sender<Result<Report, Unavailable>>;

pub(super) struct Request {
    pub(super) source: Source,
    pub(super) ask: Ask,
    /// Another configuration file to try, dry.
    pub(super) config: Option<PathBuf>,
    pub(super) answer: Answer,
}

impl ReloadHandle {
    /// Tries the files now. `None` if the gateway is stopping.
    pub async fn reload(&self) -> Option<Attempt> {
        self.try_files(Ask::default()).await.ok().map(|report| report.attempt)
    }

    /// Tries the files now, or tells what that would do.
    pub async fn try_files(&self, ask: Ask) -> Result<Report, Unavailable> {
        self.request(Source::Files, ask, None).await
    }

    /// Tells what the configuration in another file would do, and the files that it names.
    pub async fn preview(&self, config: PathBuf) -> Result<Report, Unavailable> {
        self.request(Source::Files, Ask { dry_run: true, force: false }, Some(config)).await
    }

    /// Goes back to the set before the current one, or tells what that would do.
    pub async fn roll_back(&self, ask: Ask) -> Result<Report, Unavailable> {
        self.request(Source::Previous, ask, None).await
    }

    async fn request(
        &self,
        source: Source,
        ask: Ask,
        config: Option<PathBuf>,
    ) -> Result<Report, Unavailable> {
        let (answer, report) = oneshot::channel();
        let request = Request { source, ask, config, answer };
        self.requests.send(request).await.map_err(|_| Unavailable::Stopping)?;
        report.await.unwrap_or(Err(Unavailable::Stopping))
    }

    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
