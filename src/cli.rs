//! The command line: what a person or a script types, and what it gets back.

mod check;
pub mod exit;
mod explain;
mod logs;
mod serve;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use exit::Exit;

/// A mutual-TLS messaging gateway.
///
/// Exit codes: 0 done; 1 refused, denied or failed; 2 wrong arguments; 3 cannot connect or listen; 4 timed out;
/// 5 the configuration is invalid.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT; SIGHUP reloads.
    Serve(Config),
    /// Check the configuration and every file it names, and print all faults.
    Check(Config),
    /// Tell whom a certificate is mapped to, or who may talk to whom.
    Explain(explain::Arguments),
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct Config {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs one command to its end.
pub fn run(arguments: Arguments) -> Exit {
    match arguments.command {
        Command::Serve(Config { config }) => serve::run(&config),
        Command::Check(Config { config }) => check::run(&config),
        Command::Explain(arguments) => explain::run(&arguments),
    }
}
