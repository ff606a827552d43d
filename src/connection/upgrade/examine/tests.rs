//! The upgrade request as a table: what changes in a good request, and what comes of it.

use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn rules() -> UpgradeRules {
    UpgradeRules {
        path: "/".into(),
        nats_path: "/nats".into(),
        default_dialect: None,
        origins: OriginRule::DenyPresent,
    }
}

fn good() -> Vec<(&'static str, &'static str)> {
    vec![
        ("host", "localhost:8443"),
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-protocol", "portcullis.json.v1"),
    ]
}

fn check(
    method: &str,
    target: &str,
    headers: &[(&'static str, &'static str)],
    rules: &UpgradeRules,
) -> Result<Accepted, Fault> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    examine(&method.parse().unwrap(), &target.parse().unwrap(), Version::HTTP_11, &map, rules)
}

/// A good request in which the values of `name` are these.
fn with(name: &'static str, values: &[&'static str]) -> Vec<(&'static str, &'static str)> {
    let mut headers = good();
    headers.retain(|(known, _)| *known != name);
    headers.extend(values.iter().map(|value| (name, *value)));
    headers
}

#[test]
fn a_good_request_is_answered_with_the_key_of_rfc_6455() {
    let accepted = check("GET", "/", &good(), &rules()).unwrap();
    assert_eq!(accepted.key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!((accepted.dialect, accepted.subprotocol), (Dialect::Json, Some("portcullis.json.v1")));
}

#[test]
fn each_fault_has_its_answer() {
    let table: &[(&'static str, &[&'static str], Fault)] = &[
        ("host", &[], Fault::Host),
        ("host", &["a", "b"], Fault::Host),
        ("host", &[""], Fault::Host),
        ("host", &["user@localhost"], Fault::Host),
        ("host", &["a b"], Fault::Host),
        ("upgrade", &[], Fault::NotAnUpgrade),
        ("upgrade", &["h2c"], Fault::NotAnUpgrade),
        ("connection", &["close"], Fault::NotAnUpgrade),
        ("sec-websocket-version", &[], Fault::WebSocketVersion),
        ("sec-websocket-version", &["8"], Fault::WebSocketVersion),
        ("sec-websocket-version", &["13", "13"], Fault::WebSocketVersion),
        ("sec-websocket-key", &[], Fault::Key),
        ("sec-websocket-key", &[KEY, KEY], Fault::Key),
        ("sec-websocket-key", &["short"], Fault::Key),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ"], Fault::Key),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZSBpcyBsb25n"], Fault::Key),
        ("sec-websocket-protocol", &[], Fault::SubprotocolMissing),
        ("sec-websocket-protocol", &["mqtt"], Fault::SubprotocolUnknown),
        ("sec-websocket-protocol", &["mqtt,,portcullis.json.v1"], Fault::SubprotocolList),
        ("sec-websocket-protocol", &["Portcullis.JSON.v1"], Fault::SubprotocolUnknown),
        ("content-length", &["5"], Fault::Body),
        ("transfer-encoding", &["chunked"], Fault::Body),
        ("origin", &["https://localhost"], Fault::Origin),
        ("origin", &["null"], Fault::Origin),
        ("origin", &[""], Fault::Origin),
    ];
    for (name, values, fault) in table {
        assert_eq!(check("GET", "/", &with(name, values), &rules()), Err(*fault), "{name}: {values:?}");
    }
}

#[test]
fn method_path_and_query_have_their_answers() {
    assert_eq!(check("POST", "/", &good(), &rules()), Err(Fault::Method));
    assert_eq!(check("GET", "/chat", &good(), &rules()), Err(Fault::Path));
    assert_eq!(check("GET", "/?token=secret", &good(), &rules()), Err(Fault::Query));
    assert_eq!(check("GET", "/?", &good(), &rules()), Err(Fault::Query));
}

#[test]
fn http_1_0_is_refused() {
    let answer = examine(&Method::GET, &Uri::from_static("/"), Version::HTTP_10, &HeaderMap::new(), &rules());
    assert_eq!(answer, Err(Fault::HttpVersion));
}

#[test]
fn the_first_known_subprotocol_counts_over_several_lines() {
    let offered = with("sec-websocket-protocol", &["mqtt, soap", "portcullis.json.v1"]);
    assert_eq!(check("GET", "/", &offered, &rules()).unwrap().subprotocol, Some("portcullis.json.v1"));
}

#[test]
fn a_default_dialect_is_answered_without_a_subprotocol() {
    let rules = UpgradeRules { default_dialect: Some(Dialect::Json), ..rules() };
    let accepted = check("GET", "/", &with("sec-websocket-protocol", &[]), &rules).unwrap();
    assert_eq!((accepted.dialect, accepted.subprotocol), (Dialect::Json, None));
    assert_eq!(
        check("GET", "/", &with("sec-websocket-protocol", &["mqtt"]), &rules),
        Err(Fault::SubprotocolUnknown)
    );
}

/// A target, what is offered there, the listener's default, and what is chosen.
type Row = (&'static str, &'static [&'static str], Option<Dialect>, Result<Choice, Fault>);

#[test]
fn path_then_subprotocol_then_default_choose_the_dialect() {
    const JSON: &str = "portcullis.json.v1";
    const NATS: &str = "nats";
    let (json_default, nats_default) = (Some(Dialect::Json), Some(Dialect::Nats));
    let table: &[Row] = &[
        ("/", &[NATS], None, Ok((Dialect::Nats, Some(NATS)))),
        ("/", &["mqtt", "nats, portcullis.json.v1"], None, Ok((Dialect::Nats, Some(NATS)))),
        ("/", &["portcullis.json.v1, nats"], nats_default, Ok((Dialect::Json, Some(JSON)))),
        ("/", &[], None, Err(Fault::SubprotocolMissing)),
        ("/", &[], nats_default, Ok((Dialect::Nats, None))),
        ("/", &[], json_default, Ok((Dialect::Json, None))),
        ("/", &["mqtt"], nats_default, Err(Fault::SubprotocolUnknown)),
        ("/nats", &[], None, Ok((Dialect::Nats, None))),
        ("/nats", &[], json_default, Ok((Dialect::Nats, None))),
        ("/nats", &[NATS], None, Ok((Dialect::Nats, Some(NATS)))),
        ("/nats", &["portcullis.json.v1", NATS], None, Ok((Dialect::Nats, Some(NATS)))),
        ("/nats", &[JSON], None, Err(Fault::SubprotocolContradicts)),
        ("/nats", &["mqtt"], None, Err(Fault::SubprotocolUnknown)),
        ("/nats", &["nats,"], None, Err(Fault::SubprotocolList)),
        ("/nats/", &[NATS], None, Err(Fault::Path)),
        ("/nats?user=x", &[NATS], None, Err(Fault::Query)),
    ];
    for (target, offered, default_dialect, expected) in table {
        let rules = UpgradeRules { default_dialect: *default_dialect, ..rules() };
        let answer = check("GET", target, &with("sec-websocket-protocol", offered), &rules);
        let choice = answer.map(|accepted| (accepted.dialect, accepted.subprotocol));
        assert_eq!(choice, *expected, "{target} {offered:?} {default_dialect:?}");
    }
}

#[test]
fn an_allowed_origin_is_compared_as_a_whole() {
    let rules = UpgradeRules { origins: OriginRule::Allow(vec!["https://ops.internal".into()]), ..rules() };
    let origin = |values: &[&'static str]| check("GET", "/", &with("origin", values), &rules).err();
    assert_eq!(origin(&[]), None);
    assert_eq!(origin(&["https://ops.internal"]), None);
    for other in [
        "https://OPS.internal",
        "https://ops.internal:443",
        "https://ops.internal.evil",
        "http://ops.internal",
        "null",
    ] {
        assert_eq!(origin(&[other]), Some(Fault::Origin), "{other}");
    }
    assert_eq!(origin(&["https://ops.internal", "https://ops.internal"]), Some(Fault::Origin));
    assert_eq!(origin(&["https://ops.internal https://evil.example"]), Some(Fault::Origin));
}
