//! Asks a running gateway through its admin socket: one request, one answer, all of it bounded.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::exit::Exit;
use crate::config::Faults;
use crate::load;
use crate::report::chain;

/// A dry run over a hundred thousand sessions takes some ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest page of sessions has some 6 MB.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Where the gateway is.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Gateway {
    /// The gateway's admin socket.
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    admin_socket: Option<PathBuf>,
    /// The gateway's configuration, which names its admin socket.
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    config: Option<PathBuf>,
}

/// What the gateway said.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Why it said nothing of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Config(Faults),
    #[error("{} names no `gateway.admin_socket`", .0.display())]
    NoSocket(PathBuf),
    #[error("no gateway answers on {}", path.display())]
    Connect { path: PathBuf, source: io::Error },
    #[error("the gateway broke off")]
    Http(#[source] hyper::Error),
    #[error("the answer cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Timeout,
    #[error("the gateway refuses: {0}")]
    Refused(String),
    #[error("the question cannot be put, for its path is no text")]
    Question(#[source] serde_json::Error),
    #[error("the gateway answers otherwise than this version expects")]
    Foreign(#[source] serde_json::Error),
}

/// As much of a problem document as a person wants.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Gateway {
    /// Sends a request. A problem document is a failure.
    pub(super) fn ask(&self, method: Method, target: &str, body: Vec<u8>) -> Result<Answer, Failure> {
        let path = self.socket()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| Failure::Connect { path: path.clone(), source })?;
        let asking = async { timeout(PATIENCE, ask(&path, method, target, body)).await };
        let answer = runtime.block_on(asking).unwrap_or(Err(Failure::Timeout))?;
        match serde_json::from_slice::<Problem>(&answer.body) {
            Ok(problem) if answer.status.is_client_error() || answer.status.is_server_error() => {
                Err(Failure::Refused(problem.detail))
            }
            _ => Ok(answer),
        }
    }

    fn socket(&self) -> Result<PathBuf, Failure> {
        match (&self.admin_socket, &self.config) {
            (Some(socket), _) => Ok(socket.clone()),
            (None, Some(config)) => {
                let settings = load::settings(config).map_err(Failure::Config)?;
                settings.gateway.admin_socket.ok_or_else(|| Failure::NoSocket(config.clone()))
            }
            (None, None) => Err(Failure::NoSocket(PathBuf::new())),
        }
    }
}

async fn ask(path: &Path, method: Method, target: &str, body: Vec<u8>) -> Result<Answer, Failure> {
    let connected = UnixStream::connect(path).await;
    let stream = connected.map_err(|source| Failure::Connect { path: path.into(), source })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Failure::Http)?;
    // Ends with the sender, or with the runtime.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(HOST, "admin")
        .body(Full::new(Bytes::from(body)));
    let request = request.expect("a target of fixed words, names and hex");
    let response = sender.send_request(request).await.map_err(Failure::Http)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(Failure::Body)?;
    Ok(Answer { status, body: body.to_bytes() })
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::NoSocket(_) => Exit::Config,
            Self::Connect { .. } | Self::Http(_) | Self::Body(_) => Exit::NoConnection,
            Self::Timeout => Exit::Timeout,
            Self::Question(_) => Exit::Usage,
            Self::Refused(_) | Self::Foreign(_) => Exit::Refused,
        }
    }

    /// Tells it, and with what to exit.
    pub(super) fn report(&self) -> Exit {
        eprintln!("{}", chain(self));
        self.exit()
    }
}
