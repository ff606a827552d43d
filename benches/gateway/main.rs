//! The real gateway under load over loopback: `cargo bench --bench gateway`.
//!
//! Prints a Markdown table. What counts is the server's CPU time for each handshake and message: on a machine that
//! also runs the load, rates say more about the load than about the gateway. `--against OTHER_BINARY` measures two
//! builds in turns, because two runs on a shared machine are not comparable.

mod scenario;
#[allow(dead_code, reason = "benches/lifecycle needs more of it")]
mod server;
#[allow(dead_code, reason = "benches/lifecycle needs more of it")]
mod session;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rustls::ClientConfig;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use scenario::Scenario;
use server::{Server, Site};
use session::Session;
use table::Row;

/// Sessions of the measurement of idle memory.
const IDLE_SESSIONS: usize = 2_000;

#[derive(Parser)]
struct Arguments {
    /// Only what has this in its name
    filter: Option<String>,
    /// Another build of the gateway, measured in turns with this one
    #[arg(long)]
    against: Option<PathBuf>,
    /// How often each is measured; the table shows the median
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of one measurement
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

const SCENARIOS: [(&str, Scenario); 7] = [
    ("handshake to `hello`, one at a time", Scenario::Handshakes { at_once: 1 }),
    ("handshake to `hello`, 16 at once", Scenario::Handshakes { at_once: 16 }),
    ("1→1, 128 B, one at a time", deliveries(1, 128, 1, 1)),
    ("1→1, 128 B, one a write", deliveries(1, 128, 1, 1_024)),
    ("1→1, 128 B, 32 a write", deliveries(1, 128, 32, 1_024)),
    ("1→1, 16 KiB, one a write", deliveries(1, 16 * 1024, 1, 256)),
    ("1→100, 128 B, 32 a write", deliveries(100, 128, 32, 256)),
];

const fn deliveries(subscribers: usize, payload: usize, per_write: usize, window: usize) -> Scenario {
    Scenario::Deliveries { subscribers, payload, per_write, window }
}

fn main() {
    let arguments = Arguments::parse();
    if !arguments.bench {
        // `cargo test --all-targets` runs benchmarks too, without this flag; there is nothing to test.
        return;
    }
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, measure(&arguments));
}

async fn measure(arguments: &Arguments) {
    let site = Site::new();
    let client = Arc::new(site.client("bench"));
    let binary = Path::new(env!("CARGO_BIN_EXE_portcullis"));
    let this = site.start(binary);
    let other = arguments.against.as_deref().map(|other| site.start(other));
    let wanted = |name: &str| arguments.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
    let length = Duration::from_secs_f64(arguments.seconds);

    println!("{}", table::header(other.is_some()));
    for (name, scenario) in SCENARIOS.iter().filter(|(name, _)| wanted(name)) {
        let (mut samples, mut others) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            samples.push(scenario.run(&this, &client, length).await);
            if let Some(other) = &other {
                others.push(scenario.run(other, &client, length).await);
            }
        }
        println!("{}", Row::new(name, *scenario, samples).against(others));
    }
    if wanted("idle") {
        println!("\n{}", idle_memory("an idle session", &site.start(binary), &client).await);
        if let Some(other) = &arguments.against {
            println!("{}", idle_memory("an idle session of the other", &site.start(other), &client).await);
        }
    }
}

/// Memory of a fresh gateway before and after many sessions that have one subscription each and are silent.
async fn idle_memory(what: &str, server: &Server, client: &Arc<ClientConfig>) -> String {
    rlimit::increase_nofile_limit(IDLE_SESSIONS as u64 + 512).expect("enough file descriptors");
    let mut sessions = vec![Session::open(server.address, client).await];
    let before = server.anonymous_kib();
    for place in 0..IDLE_SESSIONS {
        let mut session = Session::open(server.address, client).await;
        session.ask(&format!(r#"{{"op":"sub","id":1,"sid":7,"topic":"bench.idle.{place}"}}"#)).await;
        sessions.push(session);
    }
    let grown = server.anonymous_kib() - before;
    format!(
        "{what}: {:.1} KiB (RssAnon, {IDLE_SESSIONS} sessions with one subscription each)",
        grown as f64 / IDLE_SESSIONS as f64
    )
}
