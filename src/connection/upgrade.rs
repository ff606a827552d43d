//! The one HTTP/1.1 request of a connection: a 101, a renewed certificate where the operator wants that, or a refusal as
//! `application/problem+json` (RFC 9457).
//!
//! Nothing that the request says about who is asking has any effect.

mod examine;
mod held;
mod problem;
mod renew;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::identify::{Admitted, Turned};
use crate::gateway::Gateway;
use crate::generation::ListenerState;
use crate::limits::{Admission, ServicePlace};
use crate::protocol::Dialect;
use examine::Accepted;
pub use examine::{Fault, OriginRule, UpgradeRules};
use held::Held;
pub use problem::Problem;
pub use renew::RenewDenied;

/// Header lines of one request; a flood of them is refused by the parser with 431.
const MAX_HEADER_LINES: usize = 64;
/// How long a refused peer has to read its answer.
const LINGER: Duration = Duration::from_millis(500);

/// What became of a request that was granted.
pub enum Answered {
    /// The peer is to have its 101.
    Upgraded(Box<Upgraded>),
    /// The peer has a new certificate; the connection is over.
    Renewed,
}

/// What a session begins with.
pub struct Upgraded {
    pub stream: TlsStream<TcpStream>,
    /// The 101, which goes out with the first words of the session.
    pub answer: Vec<u8>,
    /// What the peer sent behind its request.
    pub early: Vec<u8>,
    pub dialect: Dialect,
    pub admitted: Admitted,
    pub place: ServicePlace,
}

/// Why a request was not granted.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    #[error(transparent)]
    Turned(#[from] Turned),
    #[error(transparent)]
    Request(#[from] Fault),
    #[error(transparent)]
    Renewal(#[from] RenewDenied),
    #[error("no HTTP request came to an end")]
    Http(#[source] hyper::Error),
    #[error("the connection ended before the upgrade request")]
    Gone,
}

/// What a request is granted.
enum Granted {
    Session(Dialect, Admitted, ServicePlace),
    Certificate,
}

/// Reads the request and answers it, with a 101 that is still to be written if `verdict` lets the peer in, still holds, and the
/// request is in order.
pub async fn answer(
    stream: TlsStream<TcpStream>,
    verdict: Result<Admitted, Turned>,
    admission: &Admission,
    listener: &ListenerState,
    gateway: &Gateway,
    address: SocketAddr,
) -> Result<Answered, Denied> {
    let limits = gateway.generation().limits.clone();
    let verdict = Mutex::new(Some(verdict));
    let outcome = Mutex::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        // Every answer but the 101 closes the connection: there is one request, and so one verdict to take.
        let verdict = lock(&verdict).take().unwrap_or(Err(Turned::Draining));
        let outcome = &outcome;
        Box::pin(async move {
            let rules = &listener.rules;
            let decided = decide(request, verdict, admission, rules, gateway, address).await;
            let (granted, response) = match decided {
                Ok((granted, response)) => (Ok(granted), response),
                Err(denied) => {
                    let response = Problem::of(&denied).response();
                    (Err(denied), response)
                }
            };
            *lock(outcome) = Some(granted);
            Ok::<_, Infallible>(response)
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.open_deadline)
        .max_buf_size(limits.max_request_head)
        .max_headers(MAX_HEADER_LINES)
        .serve_connection(TokioIo::new(Held::new(stream)), service);
    // Not `without_shutdown`, which drops the stream with an error, and with it the parser's own answer.
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let parts = connection.into_parts();
    let (stream, answer) = parts.io.into_inner().into_parts();
    let granted = lock(&outcome).take();
    let answered = match (ended, granted) {
        (Ok(()), Some(Ok(Granted::Session(dialect, admitted, place)))) => {
            let early = Vec::from(parts.read_buf);
            let upgraded = Upgraded { stream, answer, early, dialect, admitted, place };
            return Ok(Answered::Upgraded(Box::new(upgraded)));
        }
        (_, Some(Ok(Granted::Certificate))) => Ok(Answered::Renewed),
        (_, Some(Err(denied))) => Err(denied),
        (Err(error), _) => Err(Denied::Http(error)),
        (Ok(()), None) => Err(Denied::Gone),
    };
    linger(stream, &answer).await;
    answered
}

async fn decide(
    request: Request<Incoming>,
    verdict: Result<Admitted, Turned>,
    admission: &Admission,
    rules: &UpgradeRules,
    gateway: &Gateway,
    address: SocketAddr,
) -> Result<(Granted, Response<Full<Bytes>>), Denied> {
    let admitted = verdict?.confirm(gateway)?;
    if renew::is_asked_for(&request, &admitted, gateway) {
        let response = renew::answer(request, admitted, rules, gateway, address).await?;
        return Ok((Granted::Certificate, response));
    }
    let accepted =
        examine::examine(request.method(), request.uri(), request.version(), request.headers(), rules)?;
    // The last of the checks: whoever gets no session keeps nobody from one.
    let limits = &gateway.generation().limits;
    let place = admission.take_service(admitted.standing.identity.service(), limits).map_err(Turned::from)?;
    Ok((Granted::Session(accepted.dialect, admitted, place), switching_protocols(&accepted)))
}

fn switching_protocols(accepted: &Accepted) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accepted.key.clone());
    if let Some(subprotocol) = accepted.subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    response
}

/// Writes what is left of the answer, ends TLS properly and reads a little on, so that the peer gets its answer and not a reset.
async fn linger(mut stream: TlsStream<TcpStream>, answer: &[u8]) {
    let read_away = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // The answer is out; a peer that does not listen has had its chance.
    let _ = timeout(LINGER, read_away).await;
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
