//! `GET /sessions`: who is there, on which certificate, anchor and generation; in pages, because there may be many.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State as Extract};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::problem::Problem;
use super::{State, query};
use crate::generation::Generation;
use crate::identity::Role;
use crate::session::Live;
use crate::trust::{AuthorityKind, TrustDomain};

const USUAL_PAGE: u64 = 1_000;
const LARGEST_PAGE: u64 = 10_000;
const KEYS: &str = "`anchor`, `service`, `trust`, `generation_below`, `after` and `limit`";

/// One page of the sessions that match, in the order of their ids, and what all of them hang on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPage {
    pub generation: u64,
    /// All sessions, matching or not.
    pub live: usize,
    pub matching: usize,
    /// Of all sessions: how many hang on each anchor, configured ones that nobody hangs on among them.
    pub anchors: Vec<AnchorSessions>,
    pub sessions: Vec<SessionRow>,
    /// Give this as `after` for the next page.
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorSessions {
    pub trust: String,
    pub anchor: String,
    /// From the certificate: show it escaped. `None` if the anchor is configured no more.
    pub name: Option<String>,
    pub sessions: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    pub session: String,
    pub service: String,
    pub trust: String,
    pub roles: Vec<String>,
    pub address: String,
    pub listener: usize,
    pub serial: String,
    pub fingerprint: String,
    pub anchor: String,
    pub anchor_name: Option<String>,
    /// Serials of the CA certificates between its own and the anchor.
    pub issuer_serials: Vec<String>,
    /// The last second of its certificate path, or of its anchor if that ends before. A maximum age may end the session
    /// sooner.
    pub certificate_end_unix: u64,
    /// The generation that gave it what it stands as.
    pub generation: u64,
}

/// Which sessions are asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    anchor: Option<String>,
    service: Option<String>,
    trust: Option<String>,
    generation_below: Option<u64>,
    after: Option<String>,
    limit: usize,
}

pub(super) async fn page(
    Extract(state): Extract<State>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let filter = Filter::parse(query.as_deref())?;
    let gateway = state.gateway;
    let listing = spawn_blocking(move || {
        let page = filter.page(&gateway.generation(), gateway.registry.sessions());
        serde_json::to_string(&page)
    });
    let body = listing.await.ok().and_then(Result::ok).ok_or_else(Problem::internal)?;
    Ok(([(CONTENT_TYPE, "application/json")], body + "\n").into_response())
}

impl Filter {
    fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut filter = Self { limit: small(USUAL_PAGE), ..Self::default() };
        for (key, value) in query::pairs(query)? {
            match key {
                "anchor" => filter.anchor = Some(hex_start(value)?),
                "service" => filter.service = Some(value.into()),
                "trust" => filter.trust = Some(value.into()),
                "generation_below" => filter.generation_below = Some(query::number(key, value)?),
                "after" => filter.after = Some(value.into()),
                "limit" => filter.limit = small(query::number(key, value)?.clamp(1, LARGEST_PAGE)),
                _ => return Err(query::unknown(key, KEYS)),
            }
        }
        Ok(filter)
    }

    fn page(&self, generation: &Generation, live: Vec<Live>) -> SessionPage {
        let names = Names::of(generation);
        let (count, anchors) = (live.len(), names.count(&live));
        let mut matching: Vec<_> = live
            .iter()
            .filter(|session| self.matches(session))
            .map(|session| (session.id.to_string(), session))
            .collect();
        matching.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let all = matching.len();
        if let Some(after) = &self.after {
            matching.retain(|(id, _)| id > after);
        }
        let rest = matching.len();
        matching.truncate(self.limit);
        let next = matching.last().filter(|_| rest > self.limit).map(|(id, _)| id.clone());
        let sessions = matching.into_iter().map(|(id, session)| names.row(id, session)).collect();
        SessionPage { generation: generation.number, live: count, matching: all, anchors, sessions, next }
    }

    fn matches(&self, session: &Live) -> bool {
        let identity = &session.standing.identity;
        let is =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        is(&self.service, identity.service().as_str())
            && is(&self.trust, identity.trust().as_str())
            && self.anchor.as_ref().is_none_or(|start| session.peer.anchor().to_string().starts_with(start))
            && self.generation_below.is_none_or(|below| session.standing.generation < below)
    }
}

/// The anchors of a generation by trust domain and fingerprint.
struct Names(BTreeMap<(String, String), String>);

impl Names {
    fn of(generation: &Generation) -> Self {
        let of_domain = |domain: &TrustDomain| -> Vec<_> {
            let anchors = domain.authorities().filter(|authority| authority.kind == AuthorityKind::Anchor);
            let entry =
                |name: &str, fingerprint: String| ((domain.name().to_string(), fingerprint), name.to_owned());
            anchors.map(|anchor| entry(anchor.name, anchor.fingerprint.to_string())).collect()
        };
        Self(generation.trust.domains().iter().flat_map(of_domain).collect())
    }

    fn count(&self, live: &[Live]) -> Vec<AnchorSessions> {
        let mut counts: BTreeMap<(String, String), usize> =
            self.0.keys().map(|anchor| (anchor.clone(), 0)).collect();
        for session in live {
            let anchor = (session.peer.trust().to_string(), session.peer.anchor().to_string());
            *counts.entry(anchor).or_default() += 1;
        }
        let told = |(key, sessions): ((String, String), usize)| {
            let name = self.0.get(&key).cloned();
            AnchorSessions { trust: key.0, anchor: key.1, name, sessions }
        };
        counts.into_iter().map(told).collect()
    }

    fn row(&self, id: String, session: &Live) -> SessionRow {
        let (peer, identity) = (&session.peer, &session.standing.identity);
        let (trust, anchor) = (peer.trust().to_string(), peer.anchor().to_string());
        let certificate = peer.facts().id();
        SessionRow {
            session: id,
            service: identity.service().to_string(),
            anchor_name: self.0.get(&(trust.clone(), anchor.clone())).cloned(),
            trust,
            roles: identity.roles().iter().map(Role::to_string).collect(),
            address: session.origin.address.to_string(),
            listener: session.origin.listener,
            serial: certificate.serial.map_or_else(|| "-".into(), |serial| serial.to_string()),
            fingerprint: certificate.fingerprint.to_string(),
            anchor,
            issuer_serials: peer.links().iter().skip(1).map(|link| link.serial().to_string()).collect(),
            certificate_end_unix: peer.deadline(),
            generation: session.standing.generation,
        }
    }
}

/// The beginning of a fingerprint tells it from the few others.
fn hex_start(value: &str) -> Result<String, Problem> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Problem::request(
            "`anchor` is the SHA-256 of its certificate in hex, or how that begins",
        ));
    }
    Ok(value.to_ascii_lowercase())
}

fn small(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_and_a_misspelt_one_refused() {
        let filter =
            Filter::parse(Some("anchor=AB12&service=billing&generation_below=3&limit=999999")).unwrap();
        assert_eq!((filter.anchor.as_deref(), filter.service.as_deref()), (Some("ab12"), Some("billing")));
        assert_eq!((filter.generation_below, filter.limit), (Some(3), 10_000));
        for bad in ["ancor=ab", "anchor=", "anchor=xyz", "limit=many", "service=a%20b"] {
            assert!(Filter::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
