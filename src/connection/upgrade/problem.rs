//! How a refusal reads: status, headers and a problem document (RFC 9457) with a stable `type`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Response, StatusCode};

use super::examine::Fault;
use super::{Denied, RenewDenied, Turned};
use crate::limits::Refused;
use crate::problem;
use crate::renewal::RenewalError;
use crate::verdict::{Overruled, Refusal};

/// Seconds after which a peer may try again where the gateway cannot know better.
const RETRY_AFTER_SECONDS: u64 = 5;

/// One answer in place of the 101.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    /// The last part of the problem's `type`, and the label of the metric.
    pub kind: &'static str,
    /// For the developer of the service: what was wrong and what to do.
    pub detail: String,
}

impl Problem {
    /// The answer to a refusal. What the peer reads never names a rule of the mapping or of the policy.
    pub fn of(denied: &Denied) -> Self {
        let (status, kind, detail) = match denied {
            Denied::Turned(turned) => of_verdict(turned),
            Denied::Request(fault) => {
                let (status, kind) = of_request(*fault);
                (status, kind, fault.to_string())
            }
            Denied::Renewal(denied) => of_renewal(denied),
            Denied::Http(_) | Denied::Gone => {
                (StatusCode::BAD_REQUEST, "malformed-request", "the request did not come to an end".into())
            }
        };
        Self { status, kind, detail }
    }

    /// The HTTP response.
    pub fn response(&self) -> Response<Full<Bytes>> {
        let body = problem::document(self.kind, self.status, &self.detail);
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        for (name, value) in self.extra_headers() {
            headers.insert(name, value);
        }
        response
    }

    fn extra_headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => vec![(ALLOW, HeaderValue::from_static("GET"))],
            StatusCode::UPGRADE_REQUIRED => vec![
                (UPGRADE, HeaderValue::from_static("websocket")),
                (CONNECTION, HeaderValue::from_static("upgrade, close")),
                (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            ],
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                vec![(RETRY_AFTER, RETRY_AFTER_SECONDS.into())]
            }
            _ => Vec::new(),
        }
    }
}

fn of_verdict(turned: &Turned) -> (StatusCode, &'static str, String) {
    let (status, kind) = match turned {
        Turned::Away(Refusal::Identity(_)) => (StatusCode::FORBIDDEN, "identity"),
        Turned::Away(Refusal::Denied { .. }) | Turned::Overruled(Overruled::Denied(_)) => {
            (StatusCode::FORBIDDEN, "denied")
        }
        Turned::Away(Refusal::Connect { .. }) => (StatusCode::FORBIDDEN, "connect-forbidden"),
        Turned::Full(Refused::Address) => (StatusCode::TOO_MANY_REQUESTS, "address-limit"),
        Turned::Full(Refused::Service) => (StatusCode::TOO_MANY_REQUESTS, "service-limit"),
        Turned::Full(Refused::Opening) => (StatusCode::SERVICE_UNAVAILABLE, "overload"),
        Turned::Full(Refused::Sessions) => (StatusCode::SERVICE_UNAVAILABLE, "full"),
        Turned::Overruled(_) => (StatusCode::FORBIDDEN, "overruled"),
        Turned::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    let detail = match turned {
        Turned::Away(Refusal::Identity(_)) => {
            "the certificate's names map to no service, or not to exactly one; the gateway's audit log says why"
                .into()
        }
        other => other.to_string(),
    };
    (status, kind, detail)
}

fn of_renewal(denied: &RenewDenied) -> (StatusCode, &'static str, String) {
    let (status, kind) = match denied {
        RenewDenied::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "renewal-media-type"),
        RenewDenied::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "renewal-too-large"),
        RenewDenied::Cut | RenewDenied::Refused(RenewalError::Request(_)) => {
            (StatusCode::BAD_REQUEST, "renewal-request")
        }
        RenewDenied::Refused(RenewalError::Key(_)) => (StatusCode::BAD_REQUEST, "renewal-key"),
        RenewDenied::Refused(RenewalError::Names(_)) => (StatusCode::FORBIDDEN, "renewal-names"),
        RenewDenied::Rate { .. } => (StatusCode::TOO_MANY_REQUESTS, "renewal-rate"),
        RenewDenied::Refused(RenewalError::Issue(_)) => (StatusCode::INTERNAL_SERVER_ERROR, "renewal-failed"),
    };
    let detail = match denied {
        RenewDenied::Refused(RenewalError::Issue(_)) => {
            "the gateway cannot renew this certificate, and its log says why; renew it at its CA".into()
        }
        other => other.to_string(),
    };
    (status, kind, detail)
}

fn of_request(fault: Fault) -> (StatusCode, &'static str) {
    match fault {
        Fault::HttpVersion => (StatusCode::BAD_REQUEST, "http-version"),
        Fault::Host => (StatusCode::BAD_REQUEST, "host"),
        Fault::Query => (StatusCode::BAD_REQUEST, "query-string"),
        Fault::Path => (StatusCode::NOT_FOUND, "path"),
        Fault::Method => (StatusCode::METHOD_NOT_ALLOWED, "method"),
        Fault::Body => (StatusCode::BAD_REQUEST, "body"),
        Fault::NotAnUpgrade => (StatusCode::UPGRADE_REQUIRED, "upgrade-required"),
        Fault::WebSocketVersion => (StatusCode::UPGRADE_REQUIRED, "websocket-version"),
        Fault::Key => (StatusCode::BAD_REQUEST, "websocket-key"),
        Fault::SubprotocolList
        | Fault::SubprotocolUnknown
        | Fault::SubprotocolMissing
        | Fault::SubprotocolContradicts => (StatusCode::BAD_REQUEST, "subprotocol"),
        Fault::Origin => (StatusCode::FORBIDDEN, "origin"),
    }
}
