//! What a message costs the gateway as everything around it grows: `cargo bench --bench growth`.
//!
//! Each run is a fresh gateway on one core, the load generator of `benches/compare` on another. Prints Markdown;
//! `scripts/measure/growth` prints the machine with it.

mod axis;
mod check;
#[allow(dead_code, reason = "benches/compare needs more of it")]
#[path = "../compare/connection.rs"]
mod connection;
mod crowd;
mod curve;
#[allow(dead_code, reason = "benches/compare needs more of it")]
#[path = "../compare/dialect.rs"]
mod dialect;
#[allow(dead_code, reason = "benches/compare needs more of it")]
#[path = "../compare/frame.rs"]
mod frame;
mod gateway;
#[allow(dead_code, reason = "benches/compare needs more of it")]
#[path = "../compare/load.rs"]
mod load;
mod plot;
mod population;
#[allow(dead_code, reason = "benches/compare needs more of it")]
#[path = "../compare/process.rs"]
mod process;
#[allow(dead_code, reason = "benches/compare needs more of it")]
#[path = "../compare/reader.rs"]
mod reader;
#[allow(dead_code, reason = "benches/lifecycle needs more of it")]
#[path = "../gateway/server.rs"]
mod server;
mod stream;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use axis::{AXES, Axis};
use curve::Curve;
use gateway::Stage;
use load::Load;
use stream::{Pair, SERIES, Series};

/// File descriptors for the most sessions, with room.
const DESCRIPTORS: u64 = 10_000 + 1_000;

#[derive(Parser)]
struct Arguments {
    /// Only what has this in its name, such as `patterns` or `patterns, 10,000 topics`
    filter: Option<String>,
    /// Another build of the gateway
    #[arg(long)]
    binary: Option<PathBuf>,
    /// How often each is measured; what is shown are medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one measurement
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Where to draw the curves, as SVG
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What grows, and the curve of each series.
struct Panel {
    axis: &'static Axis,
    curves: Vec<(&'static Series, Curve)>,
}

fn main() {
    let arguments = Arguments::parse();
    if !arguments.bench {
        // `cargo test --all-targets` runs benchmarks too, without this flag.
        check::all();
        return;
    }
    rlimit::increase_nofile_limit(DESCRIPTORS).expect("enough file descriptors");
    process::pin_load();
    let filter = arguments.filter.as_deref();
    let mut panels: Vec<Panel> = AXES.iter().map(|axis| Panel::new(axis, filter)).collect();
    panels.retain(|panel| !panel.curves.is_empty());
    let stage = Stage::new(arguments.binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_portcullis").into()));
    let length = Duration::from_secs_f64(arguments.seconds);
    // Round after round, so that what the machine does meanwhile falls on all sizes alike.
    for round in 1..=arguments.rounds {
        for panel in &mut panels {
            for place in 0..panel.axis.sizes.len() {
                eprintln!("round {round}: {}", panel.measure(place, &stage, length));
            }
        }
    }
    panels.iter().for_each(|panel| println!("{}", table::write(panel)));
    if let Some(path) = arguments.plot {
        std::fs::write(path, plot::draw(&panels)).expect("the plot is written");
    }
}

impl Panel {
    fn new(axis: &'static Axis, filter: Option<&str>) -> Self {
        let is_wanted = |series: &&Series| {
            filter.is_none_or(|filter| format!("{}, {}", axis.name, series.name).contains(filter))
        };
        let curves = SERIES.iter().filter(is_wanted).map(|series| (series, Curve::new(axis.sizes))).collect();
        Self { axis, curves }
    }

    /// One run of every series at one size; tells what they came to.
    fn measure(&mut self, place: usize, stage: &Stage, length: Duration) -> String {
        let size = self.axis.sizes[place];
        let gateway = stage.start(&self.axis.policy(size));
        let mut load = Load::new(&gateway.door);
        crowd::open(&mut load, &self.axis.crowd(size));
        let mut pair = Pair::open(&mut load);
        let mut said = format!("{} {}", table::grouped(size), self.axis.name);
        for (series, curve) in &mut self.curves {
            let cost = pair.run(series, self.axis.population(size), &gateway.process, length);
            curve.add(place, cost);
            said += &format!("; {}: {}", series.name, table::time(cost));
        }
        said
    }
}
