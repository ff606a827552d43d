//! `portcullis reload` and `portcullis rollback`.

use std::path::PathBuf;

use hyper::{Method, StatusCode};
use serde::Serialize;

use super::exit::Exit;
use super::operator::{Failure, Gateway};
use super::output::Told;
use crate::reload::Report;

#[derive(Debug, clap::Args)]
pub(super) struct ReloadArguments {
    #[command(flatten)]
    arguments: Arguments,
    /// With `--dry-run`: try this configuration, and the files that it names, instead of the gateway's own.
    #[arg(long, value_name = "FILE", requires = "dry_run", conflicts_with = "force")]
    candidate: Option<PathBuf>,
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

/// What the gateway is asked.
#[derive(Serialize)]
struct Asked {
    dry_run: bool,
    force: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<PathBuf>,
}

pub(super) fn reload(reload: &ReloadArguments) -> Exit {
    // The gateway runs in a folder of its own.
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let config = reload.candidate.as_ref().map(absolute);
    answer("/reload", &reload.arguments, config).unwrap_or_else(|failure| failure.report())
}

pub(super) fn roll_back(arguments: &Arguments) -> Exit {
    answer("/rollback", arguments, None).unwrap_or_else(|failure| failure.report())
}

fn answer(page: &str, arguments: &Arguments, config: Option<PathBuf>) -> Result<Exit, Failure> {
    let asked = Asked { dry_run: arguments.dry_run, force: arguments.force, config };
    let body = serde_json::to_vec(&asked).map_err(Failure::Question)?;
    let answer = arguments.gateway.ask(Method::POST, page, body)?;
    let mut told = Told::default();
    match arguments.json {
        true => told.text(String::from_utf8_lossy(&answer.body)),
        false => {
            told.text(serde_json::from_slice::<Report>(&answer.body).map_err(Failure::Foreign)?);
        }
    }
    Ok(told.print(if answer.status == StatusCode::OK { Exit::Success } else { Exit::Refused }))
}
