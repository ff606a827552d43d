//! `POST /reload` and `POST /rollback`: the outcome as JSON. A set that is refused answers 409.

use std::path::PathBuf;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State as Extract};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::problem::Problem;
use super::{State, query};
use crate::reload::{Ask, Attempt, Report};

/// What a request may say.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    dry_run: bool,
    force: bool,
    /// Another configuration file, for a dry run.
    config: Option<PathBuf>,
}

pub(super) async fn try_files(
    Extract(state): Extract<State>,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let asked = Asked::read(query.as_deref(), &body?)?;
    let report = match asked.config {
        None => state.reload.try_files(asked.ask()).await?,
        Some(_) if !asked.dry_run || asked.force => {
            return Err(Problem::request("another `config` is for a dry run alone"));
        }
        Some(config) if config.is_relative() => {
            return Err(Problem::request("`config` is an absolute path: the gateway reads it"));
        }
        Some(config) => state.reload.preview(config).await?,
    };
    Ok(told(&report))
}

pub(super) async fn roll_back(
    Extract(state): Extract<State>,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let asked = Asked::read(query.as_deref(), &body?)?;
    if asked.config.is_some() {
        return Err(Problem::request("a rollback takes no `config`"));
    }
    Ok(told(&state.reload.roll_back(asked.ask()).await?))
}

impl Asked {
    /// Of the query, or of a JSON body.
    fn read(query: Option<&str>, body: &[u8]) -> Result<Self, Problem> {
        let pairs = query::pairs(query)?;
        if !body.is_empty() {
            if !pairs.is_empty() {
                return Err(Problem::request("a query and a body exclude each other"));
            }
            // serde would read an array as the fields in their order.
            if body.trim_ascii_start().first() != Some(&b'{') {
                return Err(Problem::request("the body: a JSON object is expected"));
            }
            return serde_json::from_slice(body)
                .map_err(|error| Problem::request(format!("the body: {error}")));
        }
        let mut asked = Self::default();
        for (key, value) in pairs {
            match key {
                "dry_run" => asked.dry_run = query::flag(key, value)?,
                "force" => asked.force = query::flag(key, value)?,
                _ => return Err(query::unknown(key, "`dry_run` and `force`")),
            }
        }
        Ok(asked)
    }

    fn ask(&self) -> Ask {
        Ask { dry_run: self.dry_run, force: self.force }
    }
}

fn told(report: &Report) -> Response {
    let status = match report.attempt {
        _ if report.attempt.is_held() => StatusCode::OK,
        Attempt::Refused { .. } | Attempt::RevocationsOnly { .. } => StatusCode::CONFLICT,
        Attempt::Unchanged | Attempt::Held | Attempt::Installed { .. } | Attempt::RolledBack { .. } => {
            StatusCode::OK
        }
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
        let both = || Asked { dry_run: true, force: true, config: None };
        assert_eq!(Asked::read(None, b""), Ok(Asked::default()));
        assert_eq!(Asked::read(Some("dry_run=true&force"), b""), Ok(both()));
        assert_eq!(Asked::read(None, br#"{"dry_run":true,"force":true}"#), Ok(both()));
        assert_eq!(Asked::read(Some("dry_run=false"), b""), Ok(Asked::default()));
    }

    /// A misspelt `dry_run` must not reload.
    #[test]
    fn whatever_is_not_known_is_refused() {
        for query in ["dryrun=true", "dry_run=yes", "dry_run=true&dry_run=false"] {
            assert!(Asked::read(Some(query), b"").is_err(), "{query}");
        }
        for body in
            ["{\"dryrun\":true}", "{\"dry_run\":true,\"dry_run\":false}", "true", "{", "[]", "[false,true]"]
        {
            assert!(Asked::read(None, body.as_bytes()).is_err(), "{body}");
        }
        assert!(Asked::read(Some("force"), b"{}").is_err());
    }
}
