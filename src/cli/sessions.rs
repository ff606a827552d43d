//! `portcullis sessions`: who is there, and on which anchor.

use std::iter;

use hyper::Method;
use time::OffsetDateTime;

use super::exit::Exit;
use super::operator::{Failure, Gateway};
use super::output::Told;
use crate::admin::SessionPage;

/// All that match. The table of anchors counts every session; where an old root is replaced, it shows who still hangs on it.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    gateway: Gateway,
    /// Those below this anchor: the SHA-256 of its certificate in hex, or how that begins.
    #[arg(long, value_name = "HEX")]
    anchor: Option<String>,
    /// Those of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Those of this trust domain.
    #[arg(long, value_name = "NAME")]
    trust: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match list(arguments).and_then(|page| report(&page, arguments.json)) {
        Ok(told) => told.print(Exit::Success),
        Err(failure) => failure.report(),
    }
}

fn report(page: &SessionPage, as_json: bool) -> Result<Told, Failure> {
    let mut told = Told::default();
    match as_json {
        // Its fields in the order of the gateway's answer.
        true => told.line(serde_json::to_string(page).map_err(Failure::Foreign)?),
        false => list_page(page, &mut told),
    }
    Ok(told)
}

/// Every page, as one.
fn list(arguments: &Arguments) -> Result<SessionPage, Failure> {
    let filters =
        [("anchor", &arguments.anchor), ("service", &arguments.service), ("trust", &arguments.trust)];
    let mut target = String::from("/sessions?limit=5000");
    for (key, value) in filters {
        let Some(value) = value else { continue };
        if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return Err(Failure::Refused(format!("--{key}: {value:?} is neither a name nor hex")));
        }
        target += &format!("&{key}={value}");
    }
    let fetch = |target: &str| -> Result<SessionPage, Failure> {
        let answer = arguments.gateway.ask(Method::GET, target, Vec::new())?;
        serde_json::from_slice(&answer.body).map_err(Failure::Foreign)
    };
    let mut all = fetch(&target)?;
    while let Some(after) = all.next.take() {
        let page = fetch(&format!("{target}&after={after}"))?;
        all.sessions.extend(page.sessions);
        all.next = page.next;
    }
    Ok(all)
}

fn list_page(page: &SessionPage, told: &mut Told) {
    let anchors = page.anchors.iter().map(|row| {
        [row.sessions.to_string(), row.trust.clone(), row.anchor.clone(), named(row.name.as_deref())]
    });
    table(told, ["SESSIONS", "TRUST", "ANCHOR", "NAME"], anchors.collect());
    let sessions = page.sessions.iter().map(|row| {
        [
            row.session.clone(),
            row.service.clone(),
            row.trust.clone(),
            row.address.clone(),
            row.serial.clone(),
            format!("{:.16}", row.anchor),
            utc(row.certificate_end_unix),
            row.generation.to_string(),
            row.roles.join(","),
        ]
    });
    const HEAD: [&str; 9] =
        ["SESSION", "SERVICE", "TRUST", "ADDRESS", "SERIAL", "ANCHOR", "PATH ENDS", "GENERATION", "ROLES"];
    table(told, HEAD, sessions.collect());
    let SessionPage { matching, live, generation, .. } = page;
    told.line(format_args!("{matching} of {live} live sessions, generation {generation}"));
}

/// Columns below their heads, and an empty line; nothing where there are no rows.
fn table<const COLUMNS: usize>(told: &mut Told, head: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) {
    if rows.is_empty() {
        return;
    }
    let mut widths = head.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in iter::once(head.map(str::to_owned)).chain(rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        told.line(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    told.line("");
}

/// A moment as RFC 3339 writes it.
fn utc(unix: u64) -> String {
    let time = i64::try_from(unix).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.map_or_else(
        || unix.to_string(),
        |time| format!("{}T{:02}:{:02}:{:02}Z", time.date(), time.hour(), time.minute(), time.second()),
    )
}

/// A name of a certificate, so that it forges no line.
fn named(name: Option<&str>) -> String {
    name.map_or_else(|| "(configured no more)".into(), |name| format!("\"{}\"", name.escape_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{AnchorSessions, SessionRow};

    fn printed(page: &SessionPage) -> String {
        report(page, false).expect("a page").as_str().to_owned()
    }

    #[test]
    fn columns_stand_below_their_heads_and_times_are_for_people() {
        let anchor = "3f".repeat(32);
        let row = SessionRow {
            session: "a1".into(),
            service: "billing".into(),
            trust: "internal".into(),
            roles: vec!["reader".into(), "writer".into()],
            address: "127.0.0.1:50000".into(),
            listener: 0,
            serial: "0badcafe".into(),
            fingerprint: String::new(),
            anchor: anchor.clone(),
            anchor_name: None,
            issuer_serials: Vec::new(),
            certificate_end_unix: 951_782_400,
            generation: 7,
        };
        let hung =
            AnchorSessions { trust: "internal".into(), anchor, name: Some("CN=\n".into()), sessions: 1 };
        let page = SessionPage {
            generation: 8,
            live: 12,
            matching: 1,
            anchors: vec![hung],
            sessions: vec![row],
            next: None,
        };
        let expected = "\
SESSIONS  TRUST     ANCHOR                                                            NAME
1         internal  3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f  \"CN=\\n\"

SESSION  SERVICE  TRUST     ADDRESS          SERIAL    ANCHOR            PATH ENDS             GENERATION  ROLES
a1       billing  internal  127.0.0.1:50000  0badcafe  3f3f3f3f3f3f3f3f  2000-02-29T00:00:00Z  7           reader,writer

1 of 12 live sessions, generation 8
";
        assert_eq!(printed(&page), expected);
        let json = report(&page, true).expect("a page");
        assert_eq!(json.as_str(), serde_json::to_string(&page).unwrap() + "\n");
    }

    #[test]
    fn where_nobody_is_there_is_no_table() {
        let page = SessionPage {
            generation: 1,
            live: 0,
            matching: 0,
            anchors: Vec::new(),
            sessions: Vec::new(),
            next: None,
        };
        assert_eq!(printed(&page), "0 of 0 live sessions, generation 1\n");
    }
}
