//! What a change costs, and whether it stays within what was promised: `cargo bench --bench lifecycle -- rotation`, and
//! likewise `revocation` and `crl`. `scripts/measure/` has a script for each.
//!
//! Prints Markdown, and ends with a failure if a promise does not hold. The gateway is the built binary in a process of
//! its own; files are replaced by renames, as every careful writer does it, and nothing tells the gateway of it.

mod admin;
mod crl;
mod figures;
mod opening;
mod revocation;
mod rotation;
#[allow(dead_code, reason = "benches/gateway needs more of it")]
#[path = "../gateway/scenario.rs"]
mod scenario;
#[allow(dead_code, reason = "benches/gateway needs more of it")]
#[path = "../gateway/server.rs"]
mod server;
#[allow(dead_code, reason = "benches/gateway needs more of it")]
#[path = "../gateway/session.rs"]
mod session;
mod streams;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use figures::Promises;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    measurement: Option<Measurement>,
    /// Another build of the gateway
    #[arg(long, global = true)]
    binary: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Measurement {
    /// Reloads of everything while messages stream and connections open
    Rotation(rotation::Arguments),
    /// From a new revocation list to the close frames of those it names
    Revocation(revocation::Arguments),
    /// A large revocation list: its reload, its look-ups, its memory
    Crl(crl::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.bench {
        // `cargo test --all-targets` runs benchmarks too, without this flag; there is nothing to test.
        return ExitCode::SUCCESS;
    }
    let Some(measurement) = arguments.measurement else {
        eprintln!("lifecycle: nothing measured; name one: rotation, revocation, crl (see --help)");
        return ExitCode::SUCCESS;
    };
    let binary = arguments.binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_portcullis").into());
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let promises: Promises = LocalSet::new().block_on(&runtime, async {
        match measurement {
            Measurement::Rotation(arguments) => rotation::measure(&arguments, &binary).await,
            Measurement::Revocation(arguments) => revocation::measure(&arguments, &binary).await,
            Measurement::Crl(arguments) => crl::measure(&arguments, &binary).await,
        }
    });
    println!("\n{promises}");
    if promises.all_hold() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
