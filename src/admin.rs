//! HTTP for operators on a Unix socket that only its owner may open: liveness, readiness with its reasons, metrics.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::clock::unix_now;
use crate::expiry::{authority_end, certificate_end, refusing_from, revocation_alarms, revocation_end};
use crate::gateway::{Gateway, Phase};
use crate::reload::ReloadHandle;
use crate::session::random;

/// What the pages are made of.
#[derive(Clone)]
pub struct State {
    pub gateway: Arc<Gateway>,
    pub reload: ReloadHandle,
}

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("another process answers on the admin socket {}", path.display())]
    InUse { path: PathBuf },
    #[error("{} is something else than a socket; choose another path for the admin socket", path.display())]
    Occupied { path: PathBuf },
    #[error("cannot make the admin socket {}", path.display())]
    Bind { path: PathBuf, source: io::Error },
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    phase: &'static str,
    generation: u64,
    generation_since_unix_ms: u64,
    sessions: usize,
    opening: usize,
    certificate_ends_unix: Option<u64>,
    /// Told, and no reason to be unready: other CAs may go on.
    authority_ends_unix: Option<u64>,
    revocation_list_stale_unix: Option<u64>,
    /// The revocation lists that are about to go stale, or are stale.
    revocation_alarms: Vec<String>,
    /// What is wrong with the files as they are now. The gateway goes on with the generation before them.
    reload_faults: Vec<String>,
}

/// Makes the socket in a fresh directory beside `path` that nobody else may enter, and moves it into its place once its
/// own mode is 0600: at no moment may others open it. Takes the place of a socket that nobody answers on, and of nothing
/// else: a path that names a key by mistake must not cost the key.
pub async fn bind(path: &Path) -> Result<UnixListener, AdminError> {
    if std::fs::symlink_metadata(path).is_ok_and(|there| !there.file_type().is_socket()) {
        return Err(AdminError::Occupied { path: path.into() });
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(AdminError::InUse { path: path.into() });
    }
    bind_in_private(path).map_err(|source| AdminError::Bind { path: path.into(), source })
}

fn bind_in_private(path: &Path) -> io::Result<UnixListener> {
    // A name that a crash left behind is never met again. Short, because the path of a socket has some 100 bytes.
    let name = format!(".{:016x}", u64::from_ne_bytes(random()));
    let folder = path.parent().unwrap_or(Path::new("")).join(name);
    DirBuilder::new().mode(0o700).create(&folder)?;
    let inside = folder.join("s");
    let made = UnixListener::bind(&inside).and_then(|listener| {
        std::fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        std::fs::rename(&inside, path)?;
        Ok(listener)
    });
    // Empty unless making it failed halfway.
    let _ = std::fs::remove_dir_all(&folder);
    made
}

/// Answers until `stop` is cancelled, then takes the socket away.
pub async fn serve(socket: UnixListener, path: PathBuf, state: State, stop: CancellationToken) {
    let pages = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(state);
    let served = axum::serve(socket, pages).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the admin socket failed");
    }
    // Nobody listens behind it any more.
    let _ = std::fs::remove_file(path);
}

async fn readiness(Extract(state): Extract<State>) -> impl IntoResponse {
    let State { gateway, reload } = state;
    let (generation, status) = (gateway.generation(), reload.status());
    let phase = match gateway.phase() {
        Phase::Running => "running",
        Phase::Draining { .. } => "draining",
        Phase::Stopping => "stopping",
    };
    let now = unix_now().as_secs();
    let certificate_ends_unix = certificate_end(&generation);
    let ready = phase == "running"
        && certificate_ends_unix.is_none_or(|end| now <= end)
        && refusing_from(&generation).is_none_or(|stale| now < stale);
    let page = Readiness {
        ready,
        phase,
        generation: generation.number,
        generation_since_unix_ms: status.since_unix_ms,
        sessions: gateway.registry.len(),
        opening: gateway.admissions.opening(),
        certificate_ends_unix,
        authority_ends_unix: authority_end(&generation),
        revocation_list_stale_unix: revocation_end(&generation),
        revocation_alarms: revocation_alarms(&generation, unix_now())
            .iter()
            .map(|alarm| alarm.to_string())
            .collect(),
        reload_faults: status.faults,
    };
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string_pretty(&page).expect("a flat structure serialises") + "\n";
    (code, [(CONTENT_TYPE, "application/json")], body)
}

async fn metrics(Extract(state): Extract<State>) -> impl IntoResponse {
    let gateway = &state.gateway;
    let text = gateway.metrics.render(gateway);
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
