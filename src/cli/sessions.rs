//! `portcullis sessions`: who is there, and on which anchor.

use std::io::{self, Write};

use hyper::Method;

use super::exit::Exit;
use super::operator::{Failure, Gateway};
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
    match list(arguments) {
        Ok(page) => {
            let mut out = io::stdout().lock();
            // Whoever reads may have gone.
            let _ = match arguments.json {
                true => serde_json::to_writer(&mut out, &page)
                    .map_err(io::Error::from)
                    .and_then(|()| writeln!(out)),
                false => print(&mut out, &page),
            };
            Exit::Success
        }
        Err(failure) => failure.report(),
    }
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

fn print(out: &mut impl Write, page: &SessionPage) -> io::Result<()> {
    for anchor in &page.anchors {
        let name = named(anchor.name.as_deref());
        writeln!(out, "anchor   {:>7}  {:16} {} {name}", anchor.sessions, anchor.trust, anchor.anchor)?;
    }
    for row in &page.sessions {
        let (service, trust, roles) = (&row.service, &row.trust, row.roles.join(","));
        writeln!(
            out,
            "session  {}  {service:24} {trust:16} {} serial {} anchor {:.16} certificate end {} generation {} {roles}",
            row.session, row.address, row.serial, row.anchor, row.certificate_end_unix, row.generation,
        )?;
    }
    writeln!(
        out,
        "in all   {:>7}  of {} live sessions, generation {}",
        page.matching, page.live, page.generation
    )
}

/// A name of a certificate, so that it forges no line.
fn named(name: Option<&str>) -> String {
    name.map_or_else(|| "(configured no more)".into(), |name| format!("\"{}\"", name.escape_default()))
}
