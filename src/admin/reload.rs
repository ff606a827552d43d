//! `POST /reload` and `POST /rollback`: the outcome as JSON. A set that is refused answers 409.

use axum::body::Bytes;
use axum::extract::{RawQuery, State as Extract};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::{State, query};
use crate::reload::{Ask, Attempt, Report};

pub(super) async fn try_files(
    Extract(state): Extract<State>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Problem> {
    Ok(told(&state.reload.try_files(asked(query.as_deref(), &body)?).await?))
}

pub(super) async fn roll_back(
    Extract(state): Extract<State>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Problem> {
    Ok(told(&state.reload.roll_back(asked(query.as_deref(), &body)?).await?))
}

/// `dry_run` and `force`, of the query or of a JSON body.
fn asked(query: Option<&str>, body: &[u8]) -> Result<Ask, Problem> {
    let pairs = query::pairs(query)?;
    if !body.is_empty() {
        if !pairs.is_empty() {
            return Err(Problem::request("a query and a body exclude each other"));
        }
        return serde_json::from_slice(body).map_err(|error| Problem::request(format!("the body: {error}")));
    }
    let mut ask = Ask::default();
    for (key, value) in pairs {
        match key {
            "dry_run" => ask.dry_run = query::flag(key, value)?,
            "force" => ask.force = query::flag(key, value)?,
            _ => return Err(query::unknown(key, "`dry_run` and `force`")),
        }
    }
    Ok(ask)
}

fn told(report: &Report) -> Response {
    let status = match report.attempt {
        Attempt::Refused { .. } | Attempt::RevocationsOnly { .. } => StatusCode::CONFLICT,
        Attempt::Unchanged | Attempt::Held | Attempt::Installed { .. } | Attempt::RolledBack { .. } => StatusCode::OK,
    };
    match serde_json::to_string_pretty(report) {
        Ok(body) => (status, [(CONTENT_TYPE, "application/json")], body + "\n").into_response(),
        Err(_) => Problem::internal().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_from_the_query_or_from_the_body() {
        let both = Ask { dry_run: true, force: true };
        assert_eq!(asked(None, b""), Ok(Ask::default()));
        assert_eq!(asked(Some("dry_run=true&force"), b""), Ok(both));
        assert_eq!(asked(None, br#"{"dry_run":true,"force":true}"#), Ok(both));
        assert_eq!(asked(Some("dry_run=false"), b""), Ok(Ask::default()));
    }

    /// A misspelt `dry_run` must not reload.
    #[test]
    fn whatever_is_not_known_is_refused() {
        for query in ["dryrun=true", "dry_run=yes", "dry_run=true&dry_run=false"] {
            assert!(asked(Some(query), b"").is_err(), "{query}");
        }
        for body in ["{\"dryrun\":true}", "true", "{"] {
            assert!(asked(None, body.as_bytes()).is_err(), "{body}");
        }
        assert!(asked(Some("force"), b"{}").is_err());
    }
}
