//! The `portcullis` command.

use std::process::ExitCode;

use clap::Parser;
use portcullis::cli;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse()).into()
}
