//! `portcullis reload` and `portcullis rollback`.

use std::io::Write;

use hyper::{Method, StatusCode};

use super::exit::Exit;
use super::operator::{Failure, Gateway};
use crate::reload::Report;

/// Which of the two verbs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verb {
    Reload,
    Rollback,
}

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    gateway: Gateway,
    /// Tell what would change and whom it would cut, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Whatever share of the sessions it ends (`reload.max_cut_percent`).
    #[arg(long)]
    force: bool,
    /// Print the gateway's answer as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(verb: Verb, arguments: &Arguments) -> Exit {
    answer(verb, arguments).unwrap_or_else(|failure| failure.report())
}

fn answer(verb: Verb, arguments: &Arguments) -> Result<Exit, Failure> {
    let page = match verb {
        Verb::Reload => "reload",
        Verb::Rollback => "rollback",
    };
    let target = format!("/{page}?dry_run={}&force={}", arguments.dry_run, arguments.force);
    let answer = arguments.gateway.ask(Method::POST, &target)?;
    let mut out = std::io::stdout().lock();
    // Whoever reads may have gone; the exit code tells all the same.
    let _ = match arguments.json {
        true => out.write_all(&answer.body),
        false => {
            let report: Report = serde_json::from_slice(&answer.body).map_err(Failure::Foreign)?;
            write!(out, "{report}")
        }
    };
    Ok(if answer.status == StatusCode::OK { Exit::Success } else { Exit::Refused })
}
