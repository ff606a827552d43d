//! `POST /renew`: a certificate request in, a certificate with the peer's own names out.
//!
//! The verdict is that of an upgrade. It is taken once more by what holds when the request is there, and the certificate
//! is issued by that very generation.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response};

use super::examine::{UpgradeRules, examine_plain, single};
use super::{Admitted, Denied, Turned};
use crate::clock::unix_now;
use crate::gateway::{Gateway, Phase};
use crate::generation::Generation;
use crate::identity::peer::VerifiedPeer;
use crate::random::random;
use crate::renewal::{self, Issuer, RenewalError, Renewed};
use crate::report::chain;
use crate::trust::pem;

/// Where certificates are renewed, on each listener.
const PATH: &str = "/renew";
/// Bytes of a request; one for an RSA key of 8192 bits takes 4 KiB of PEM.
pub const MAX_BODY_BYTES: usize = 16 * 1024;
const REQUEST_TYPE: &str = "application/pkcs10";
const ANSWER_TYPE: HeaderValue = HeaderValue::from_static("application/pem-certificate-chain");

/// Why a peer that was let in gets no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum RenewDenied {
    #[error("the body must be a certificate request with the content type {REQUEST_TYPE}")]
    MediaType,
    #[error("the certificate request has more than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error("the body did not come to an end")]
    Cut,
    #[error("the service renews too often; again in {} ms", .wait.as_millis())]
    Rate { wait: Duration },
    #[error(transparent)]
    Refused(#[from] RenewalError),
}

/// Whether this is a request for a new certificate, and one that the peer's trust domain answers.
pub(super) fn is_asked_for<B>(request: &Request<B>, admitted: &Admitted, gateway: &Gateway) -> bool {
    request.method() == Method::POST
        && request.uri().path() == PATH
        && issuer(&gateway.generation(), admitted).is_some()
}

fn issuer<'g>(generation: &'g Generation, admitted: &Admitted) -> Option<&'g Issuer> {
    generation.renewal.of(admitted.standing.identity.trust())
}

/// The name of the CA that issued the peer's own certificate, if it is a configured one.
fn issuer_of<'g>(peer: &VerifiedPeer, generation: &'g Generation) -> Option<&'g str> {
    generation.trust.domain(peer.trust())?.authority_name(peer.links().first()?.issuer())
}

/// Reads the request and issues a certificate, or says why not.
pub(super) async fn answer(
    request: Request<Incoming>,
    admitted: Admitted,
    rules: &UpgradeRules,
    gateway: &Gateway,
    address: SocketAddr,
) -> Result<Response<Full<Bytes>>, Denied> {
    examine_plain(request.uri(), request.version(), request.headers(), rules)?;
    check_type(request.headers())?;
    gateway.renewals.take(admitted.standing.identity.service()).map_err(|wait| RenewDenied::Rate { wait })?;
    let body = read(request.into_body()).await?;

    // The body may have taken until now, and a certificate is not taken back.
    if gateway.phase() != Phase::Running {
        return Err(Turned::Draining.into());
    }
    let (generation, now) = (gateway.generation(), unix_now());
    let admitted = admitted.judged_by(&generation, now)?;
    let issuer = issuer(&generation, &admitted).ok_or(super::Fault::Path)?;
    let (peer, identity) = (&admitted.peer, &admitted.standing.identity);
    let renewed = renewal::renew(&generation, issuer, peer, identity, &body, random(), now);
    let renewed = renewed.map_err(|error| told(error, address, &admitted))?;
    gateway.metrics.renewed();
    let presented = peer.facts().id();
    crate::audit::renewed(address, &admitted.standing, presented, issuer_of(peer, &generation), &renewed);
    Ok(response(&renewed))
}

fn check_type(headers: &HeaderMap) -> Result<(), RenewDenied> {
    let stated = single(headers, &CONTENT_TYPE).and_then(|stated| stated.to_str().ok());
    let essence = stated.and_then(|stated| stated.split(';').next()).map(str::trim);
    match essence {
        Some(essence) if essence.eq_ignore_ascii_case(REQUEST_TYPE) => Ok(()),
        _ => Err(RenewDenied::MediaType),
    }
}

/// The whole body, within its bound. The deadline of the opening covers it.
async fn read(body: Incoming) -> Result<Bytes, RenewDenied> {
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(RenewDenied::TooLarge);
    }
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(RenewDenied::TooLarge),
        Err(_) => Err(RenewDenied::Cut),
    }
}

/// What is wrong on our side is the operator's to know; the audit log has it as a refusal only.
fn told(error: RenewalError, address: SocketAddr, admitted: &Admitted) -> RenewDenied {
    if let RenewalError::Issue(fault) = &error {
        let identity = &admitted.standing.identity;
        let (service, trust) = (identity.service().as_str(), identity.trust().as_str());
        tracing::error!(peer = %address, service, trust, why = chain(fault), "a certificate could not be renewed");
    }
    error.into()
}

fn response(renewed: &Renewed) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(pem::of_certificates(&renewed.chain)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, ANSWER_TYPE);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
