//! Portcullis beside nats-server, in the same protocol, under the same load: `cargo bench --bench compare`.
//!
//! Each run is a fresh server on one core and the load generator, one thread, on another; runs alternate between the
//! contenders. What counts is what a server does with a second of its own CPU time. The floor is what TLS and
//! WebSocket frames cost without any logic: this very program, started again. `scripts/measure/compare-nats` finds the
//! nats-servers and prints the machine with it.

mod check;
mod connection;
mod contender;
mod dialect;
mod floor;
mod frame;
mod goal;
mod load;
mod measure;
mod medians;
mod play;
mod process;
mod reader;
mod scenario;
#[allow(dead_code, reason = "benches/lifecycle needs more of it")]
#[path = "../gateway/server.rs"]
mod server;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use contender::{Contender, Field, Kind};
use measure::Sample;
use medians::Medians;
use scenario::{SCENARIOS, Scenario};
use table::Line;

/// File descriptors for the most sessions of a scenario, with room.
const DESCRIPTORS: u64 = 10_000 + 1_000;

#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only scenarios that have this in their name
    filter: Option<String>,
    /// A nats-server to compare with; may be given several times
    #[arg(long)]
    nats: Vec<PathBuf>,
    /// Another build of the gateway, measured in turns with this one
    #[arg(long)]
    against: Option<PathBuf>,
    /// Only contenders whose name begins with one of these, such as `portcullis,nats`
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often each is measured; the tables show medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one measurement
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Offer X25519MLKEM768, which older servers do not have
    #[arg(long)]
    post_quantum: bool,
    /// Fail if something is not reached
    #[arg(long)]
    check: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Serves TLS and WebSocket frames without any logic
    #[command(hide = true)]
    Floor { certificate: PathBuf, key: PathBuf, anchors: PathBuf },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    rlimit::increase_nofile_limit(DESCRIPTORS).expect("enough file descriptors");
    if let Some(Command::Floor { certificate, key, anchors }) = &arguments.command {
        floor::serve(certificate, key, anchors);
        return ExitCode::SUCCESS;
    }
    if !arguments.bench {
        // `cargo test --all-targets` runs benchmarks too, without this flag.
        check::all();
        return ExitCode::SUCCESS;
    }
    process::pin_load();
    let contenders = contenders(&arguments);
    let field = Field::new(arguments.post_quantum);
    let wanted = |scenario: &&Scenario| {
        arguments.filter.as_ref().is_none_or(|filter| scenario.name.contains(filter.as_str()))
    };
    let lines: Vec<Line<'_>> = SCENARIOS
        .iter()
        .filter(wanted)
        .map(|scenario| Line { scenario, medians: compare(scenario, &contenders, &field, &arguments) })
        .collect();
    let (tables, is_reached) = table::write(&contenders, &lines);
    println!("{} rounds of {} s each.\n\n{tables}", arguments.rounds, arguments.seconds);
    if arguments.check && !is_reached { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn contenders(arguments: &Arguments) -> Vec<Contender> {
    let binary = Path::new(env!("CARGO_BIN_EXE_portcullis"));
    let mut all = vec![Contender::portcullis("portcullis", binary), Contender::unstamped(binary)];
    all.extend(arguments.against.as_deref().map(|other| Contender::portcullis("other", other)));
    all.extend(arguments.nats.iter().map(|nats| Contender::nats(nats)));
    all.push(Contender::floor());
    if !arguments.only.is_empty() {
        all.retain(|contender| arguments.only.iter().any(|name| contender.name.starts_with(name.as_str())));
    }
    all
}

/// One scenario with every contender in turn, round after round.
fn compare(
    scenario: &Scenario,
    contenders: &[Contender],
    field: &Field,
    arguments: &Arguments,
) -> Vec<Option<Medians>> {
    let length = Duration::from_secs_f64(arguments.seconds);
    let mut samples: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..arguments.rounds {
        for (contender, samples) in contenders.iter().zip(&mut samples) {
            if scenario.includes(contender) {
                let running = contender.start(field, scenario.is_json);
                samples.push(scenario.play.run(&running, length));
                let so_far = Medians::of(samples).headline();
                eprintln!("{}, {}: {so_far}", scenario.name, contender.name);
            }
        }
    }
    samples.iter().map(|samples| (!samples.is_empty()).then(|| Medians::of(samples))).collect()
}

impl Scenario {
    /// The stamp of the sender is of the NATS dialect.
    fn includes(&self, contender: &Contender) -> bool {
        let is_usual = matches!(contender.kind, Kind::Portcullis { configuration: "portcullis.toml", .. });
        !self.is_json || is_usual || !matches!(contender.kind, Kind::Portcullis { .. })
    }
}
