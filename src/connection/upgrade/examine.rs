//! Whether an HTTP request is a WebSocket handshake that this listener answers (RFC 6455, section 4.2.1).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::uri::Authority;
use hyper::{Method, Uri, Version};
use tungstenite::handshake::derive_accept_key;

use crate::protocol::Dialect;

/// How a listener answers requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeRules {
    /// The path at which the subprotocol decides.
    pub path: String,
    /// The path at which the NATS dialect is spoken, whether a subprotocol says so or none is offered.
    pub nats_path: String,
    /// What a client speaks that offers no subprotocol; `None` refuses it.
    pub default_dialect: Option<Dialect>,
    pub origins: OriginRule,
}

/// Which `Origin` headers are let through. A browser sends one with every WebSocket handshake, a service sends none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginRule {
    /// No request with an Origin: the listener is for services alone.
    DenyPresent,
    /// Requests without an Origin, and those with one of these, compared as serialised (RFC 6454, section 6.2).
    Allow(Vec<String>),
}

/// What a good request settles.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    pub dialect: Dialect,
    /// The subprotocol to answer with: none for a client that offered none.
    pub subprotocol: Option<&'static str>,
    /// The value of `Sec-WebSocket-Accept`.
    pub key: HeaderValue,
}

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    #[error("the request is not HTTP/1.1")]
    HttpVersion,
    #[error("exactly one well-formed Host header is needed")]
    Host,
    #[error("the target may not have a query string")]
    Query,
    #[error(
        "there is nothing at this path; sessions are opened at `/`, by NATS clients at `/nats`, unless the listener is configured \
         otherwise"
    )]
    Path,
    #[error("the method is not GET")]
    Method,
    #[error("an upgrade request has no body")]
    Body,
    #[error("this is no WebSocket upgrade: `Upgrade: websocket` and `Connection: Upgrade` are needed")]
    NotAnUpgrade,
    #[error("`Sec-WebSocket-Version: 13` is needed")]
    WebSocketVersion,
    #[error("exactly one `Sec-WebSocket-Key` of 16 bytes in base64 is needed")]
    Key,
    #[error("the subprotocol list is malformed")]
    SubprotocolList,
    #[error(
        "none of the subprotocols offered is spoken here; this gateway speaks portcullis.json.v1 and nats"
    )]
    SubprotocolUnknown,
    #[error(
        "a subprotocol must be offered at this path; this gateway speaks portcullis.json.v1 and nats, and serves NATS clients, \
         which offer none, at a path of their own, `/nats` unless it is configured otherwise"
    )]
    SubprotocolMissing,
    #[error(
        "at this path only nats is spoken, and other subprotocols were offered; portcullis.json.v1 is spoken at the listener's `path`"
    )]
    SubprotocolContradicts,
    #[error(
        "the Origin is not allowed: services send none, so tell a library that adds one by itself not to; the page of a browser needs an \
         entry in the listener's `origins`"
    )]
    Origin,
}

/// Checks a request line and headers against the rules of a listener.
pub fn examine(
    method: &Method,
    target: &Uri,
    version: Version,
    headers: &HeaderMap,
    rules: &UpgradeRules,
) -> Result<Accepted, Fault> {
    check_version(version)?;
    check_host(headers)?;
    check_query(target)?;
    let is_nats = target.path() == rules.nats_path;
    if !is_nats && target.path() != rules.path {
        return Err(Fault::Path);
    }
    if method != Method::GET {
        return Err(Fault::Method);
    }
    if headers.contains_key(TRANSFER_ENCODING)
        || headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0")
    {
        return Err(Fault::Body);
    }
    if !lists(headers, &UPGRADE, "websocket") || !lists(headers, &CONNECTION, "upgrade") {
        return Err(Fault::NotAnUpgrade);
    }
    if single(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Fault::WebSocketVersion);
    }
    let key = accept_key(headers).ok_or(Fault::Key)?;
    check_origin(headers, &rules.origins)?;
    let (dialect, subprotocol) = if is_nats { nats(headers)? } else { choose_dialect(headers, rules)? };
    Ok(Accepted { dialect, subprotocol, key })
}

/// Checks what every request has, where it is no WebSocket handshake.
pub fn examine_plain(
    target: &Uri,
    version: Version,
    headers: &HeaderMap,
    rules: &UpgradeRules,
) -> Result<(), Fault> {
    check_version(version)?;
    check_host(headers)?;
    check_query(target)?;
    check_origin(headers, &rules.origins)
}

fn check_version(version: Version) -> Result<(), Fault> {
    if version == Version::HTTP_11 { Ok(()) } else { Err(Fault::HttpVersion) }
}

fn check_query(target: &Uri) -> Result<(), Fault> {
    if target.query().is_none() { Ok(()) } else { Err(Fault::Query) }
}

fn check_host(headers: &HeaderMap) -> Result<(), Fault> {
    let host = single(headers, &HOST).and_then(|host| host.to_str().ok()).ok_or(Fault::Host)?;
    let authority: Authority = host.parse().map_err(|_| Fault::Host)?;
    if authority.host().is_empty() || host.contains('@') {
        return Err(Fault::Host);
    }
    Ok(())
}

/// The value of a header that occurs exactly once.
pub(super) fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// Whether a comma-separated header names `token`, in whatever case (RFC 9110, section 7.6.1).
fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|listed| listed.trim().eq_ignore_ascii_case(token))
}

fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let key = single(headers, &SEC_WEBSOCKET_KEY)?.as_bytes();
    let nonce = BASE64_STANDARD.decode(key).ok()?;
    if nonce.len() != 16 {
        return None;
    }
    HeaderValue::from_str(&derive_accept_key(key)).ok()
}

fn check_origin(headers: &HeaderMap, rule: &OriginRule) -> Result<(), Fault> {
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    // Several Origins, or a list in one, name nobody: only one value spelled as configured is let through.
    let origin = single(headers, &ORIGIN).and_then(|origin| origin.to_str().ok()).ok_or(Fault::Origin)?;
    match rule {
        OriginRule::Allow(allowed) if allowed.iter().any(|known| known == origin) => Ok(()),
        OriginRule::Allow(_) | OriginRule::DenyPresent => Err(Fault::Origin),
    }
}

/// What is spoken, and the subprotocol to answer with.
type Choice = (Dialect, Option<&'static str>);

/// The first subprotocol that is known decides.
fn choose_dialect(headers: &HeaderMap, rules: &UpgradeRules) -> Result<Choice, Fault> {
    let Some(offered) = offered_dialects(headers)? else {
        return rules.default_dialect.map(|dialect| (dialect, None)).ok_or(Fault::SubprotocolMissing);
    };
    offered.first().map(|dialect| (*dialect, Some(dialect.subprotocol()))).ok_or(Fault::SubprotocolUnknown)
}

/// The path has decided; who offers subprotocols must offer that one.
fn nats(headers: &HeaderMap) -> Result<Choice, Fault> {
    match offered_dialects(headers)?.as_deref() {
        None => Ok((Dialect::Nats, None)),
        Some([]) => Err(Fault::SubprotocolUnknown),
        Some(offered) if offered.contains(&Dialect::Nats) => {
            Ok((Dialect::Nats, Some(Dialect::Nats.subprotocol())))
        }
        Some(_) => Err(Fault::SubprotocolContradicts),
    }
}

/// The subprotocols offered that are known, in the client's order; nothing if it offers none at all.
fn offered_dialects(headers: &HeaderMap) -> Result<Option<Vec<Dialect>>, Fault> {
    if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return Ok(None);
    }
    let mut known = Vec::new();
    for line in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        for offered in line.to_str().map_err(|_| Fault::SubprotocolList)?.split(',').map(str::trim) {
            if offered.is_empty() {
                return Err(Fault::SubprotocolList);
            }
            known.extend(Dialect::ALL.into_iter().find(|dialect| dialect.subprotocol() == offered));
        }
    }
    Ok(Some(known))
}

#[cfg(test)]
mod tests;
