//! What a request to the admin socket is refused with: a problem document (RFC 9457).

use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::problem;
use crate::reload::Unavailable;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
}

impl Problem {
    pub(super) fn request(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind: "malformed-request", detail: detail.into() }
    }

    pub(super) fn not_found(path: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, kind: "path", detail: format!("there is no page {path:?}") }
    }

    pub(super) fn method() -> Self {
        let detail = "reload and rollback take POST, all other pages GET".into();
        Self { status: StatusCode::METHOD_NOT_ALLOWED, kind: "method", detail }
    }

    pub(super) fn internal() -> Self {
        let detail = "the answer could not be made".into();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, kind: "internal", detail }
    }
}

impl From<BytesRejection> for Problem {
    fn from(why: BytesRejection) -> Self {
        Self { status: why.status(), kind: "body", detail: why.body_text() }
    }
}

impl From<Unavailable> for Problem {
    fn from(why: Unavailable) -> Self {
        let kind = match why {
            Unavailable::Stopping => "draining",
            Unavailable::Busy => "overload",
        };
        Self { status: StatusCode::SERVICE_UNAVAILABLE, kind, detail: why.to_string() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = problem::document(self.kind, self.status, &self.detail) + "\n";
        (self.status, [(CONTENT_TYPE, problem::MEDIA_TYPE)], body).into_response()
    }
}
