//! The command line: what a person or a script types, and what it gets back.

mod check;
pub mod client_commands;
pub mod exit;
mod explain;
mod logs;
mod operator;
mod output;
mod reload;
mod serve;
mod sessions;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::report::chain;
use client_commands::{Failure, PublishArgs, RequestArgs, SubscribeArgs, WhoAmIArgs};
use exit::{EXIT_HELP, Exit};

/// A mutual-TLS messaging gateway.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_HELP)]
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
    /// Have a running gateway try its files, or see what that would do.
    Reload(reload::ReloadArguments),
    /// Have a running gateway go back to the set before the current one.
    Rollback(reload::Arguments),
    /// List the live sessions of a running gateway.
    Sessions(sessions::Arguments),
    /// Publish messages.
    Pub(PublishArgs),
    /// Subscribe, and print one line of JSON for each message.
    Sub(SubscribeArgs),
    /// Send a request and print its answer.
    Request(RequestArgs),
    /// Ask the gateway who it takes this service for.
    #[command(name = "whoami")]
    WhoAmI(WhoAmIArgs),
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct Config {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    config: PathBuf,
}

/// Runs one command to its end.
pub fn run(arguments: Arguments) -> Exit {
    match arguments.command {
        Command::Serve(Config { config }) => serve::run(&config),
        Command::Check(Config { config }) => check::run(&config),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Reload(arguments) => reload::reload(&arguments),
        Command::Rollback(arguments) => reload::roll_back(&arguments),
        Command::Sessions(arguments) => sessions::run(&arguments),
        Command::Pub(arguments) => as_client(arguments.run()),
        Command::Sub(arguments) => as_client(arguments.run()),
        Command::Request(arguments) => as_client(arguments.run()),
        Command::WhoAmI(arguments) => as_client(arguments.run()),
    }
}

fn as_client(verb: impl Future<Output = Result<(), Failure>>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the runtime cannot be started: {error}");
            return Exit::Refused;
        }
    };
    match runtime.block_on(verb) {
        Ok(()) => Exit::Success,
        Err(failure) => {
            eprintln!("{}", chain(&failure));
            failure.exit()
        }
    }
}
