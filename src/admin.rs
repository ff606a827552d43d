//! HTTP for operators on a Unix socket that only its owner may open: liveness, readiness with its reasons, metrics, the
//! live sessions, and the two verbs that change the gateway: reload and roll back.

mod problem;
mod query;
mod reload;
mod sessions;
mod socket;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State as Extract};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::clock::unix_now;
use crate::expiry::{authority_end, certificate_end, refusing_from, revocation_alarms, revocation_end};
use crate::gateway::{Gateway, Phase};
use crate::reload::ReloadHandle;
use problem::Problem;
pub use sessions::{AnchorSessions, SessionPage, SessionRow};
pub use socket::{AdminError, AdminSocket, bind};

/// Bytes of a request's body.
const MAX_BODY: usize = 4 * 1024;

/// What the pages are made of.
#[derive(Clone)]
pub struct State {
    pub gateway: Arc<Gateway>,
    pub reload: ReloadHandle,
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
    /// The generation whose set is in force though the files hold another, until one of them changes.
    rolled_back_to_generation: Option<u64>,
}

/// Answers until `stop` is cancelled, then takes the socket away.
pub async fn serve(socket: AdminSocket, state: State, stop: CancellationToken) {
    let pages = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .route("/sessions", get(sessions::page))
        .route("/reload", post(reload::try_files))
        .route("/rollback", post(reload::roll_back))
        .fallback(async |uri: Uri| Problem::not_found(uri.path()))
        .method_not_allowed_fallback(async || Problem::method())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state);
    let AdminSocket { listener, place } = socket;
    let stopped = async move {
        stop.cancelled_owned().await;
        // Before those are waited for who are in the midst of a request, which may take longer than the stop.
        place.remove();
    };
    let served = axum::serve(listener, pages).with_graceful_shutdown(stopped).await;
    if let Err(error) = served {
        tracing::error!(%error, "the admin socket failed");
    }
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
        rolled_back_to_generation: status.rolled_back_to,
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
