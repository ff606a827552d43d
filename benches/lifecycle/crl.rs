//! What a large revocation list costs: when it is loaded, at each handshake, and in memory.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rcgen::SerialNumber;
use tokio::time::sleep;

use super::admin::Admin;
use super::figures::{Durations, Promises, mib, ms};
use super::scenario::Scenario;
use super::server::pki::Profile;
use super::server::{Server, Site};
use super::session::Session;

/// Sessions that live through the reloads.
const SESSIONS: usize = 100;
/// Reloads between two looks at the gateway's memory.
const BLOCK: usize = 10;
/// From a reload to a look at the memory, so that every session has let the generation before go.
const SETTLING: Duration = Duration::from_millis(500);
/// Validity of revocation lists, in seconds.
const A_DAY: i64 = 86_400;
/// Handshakes under way at once, while their CPU time is measured.
const AT_ONCE: usize = 4;
/// What memory may grow by, in percent, in the second half of the reloads, and still be called flat.
const FLAT_PERCENT: u64 = 10;

#[derive(Args)]
pub struct Arguments {
    /// Entries of the list
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    entries: u32,
    /// Reloads of it, each with the next number
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    reloads: u32,
    /// How often handshakes are measured, without and with the list in turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of each
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

pub async fn measure(arguments: &Arguments, binary: &Path) -> Promises {
    let mut promises = Promises::default();
    let mut text = format!("A revocation list of {} entries", arguments.entries);
    text += &reloads(arguments, binary, &mut promises).await;
    text += &handshakes(arguments, binary).await;
    println!("{text}");
    promises
}

/// A site with a gateway on its first list, which is empty.
async fn start(binary: &Path) -> (Site, Server, Admin) {
    let site = Site::with("admin_socket = \"../admin.sock\"\n", "");
    let server = site.start(binary);
    let admin = Admin::connect(&site.beside("admin.sock")).await;
    (site, server, admin)
}

/// Serials as CAs choose them, of 16 octets and in no order, that no certificate of the site has.
fn revoke_many(site: &Site, entries: u32) {
    const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let mut nobody = site.pki.issue(&Profile::service("nobody", &[]));
    for entry in 1..=u128::from(entries) {
        // The first bit stays clear, as a positive number of 16 octets has it, and the second makes it that long.
        let serial = (entry.wrapping_mul(SPREAD) >> 2) | 1 << 126;
        nobody.serial = SerialNumber::from_slice(&serial.to_be_bytes());
        site.pki.ca.revoke(&nobody);
    }
}

async fn reloads(arguments: &Arguments, binary: &Path, promises: &mut Promises) -> String {
    let (site, server, mut admin) = start(binary).await;
    let client = Arc::new(site.client("crl"));
    let mut sessions = Vec::new();
    for place in 0..SESSIONS {
        let mut session = Session::open(server.address, &client).await;
        session.ask(&format!(r#"{{"op":"sub","id":1,"sid":7,"topic":"bench.idle.{place}"}}"#)).await;
        sessions.push(session);
    }
    sleep(SETTLING).await;
    let mut looks = vec![(0, server.resident_kib())];
    revoke_many(&site, arguments.entries);
    let mut generation = admin.readiness().await.generation;
    let (before, cpu) = (admin.reloads().await, server.cpu_time());
    let mut took = Vec::new();
    let mut bytes = 0;
    let reloads = arguments.reloads as usize;
    while took.len() < reloads {
        let list = site.pki.ca.crl(A_DAY);
        bytes = list.len();
        let (reload, now) = admin.installed(generation, site.replace(&[("crl.pem", &list)])).await;
        generation = now;
        took.push(reload);
        if took.len() == 1 || took.len() % BLOCK == 0 || took.len() == reloads {
            sleep(SETTLING).await;
            looks.push((took.len(), server.resident_kib()));
        }
    }
    let (after, cpu) = (admin.reloads().await, server.cpu_time().since(cpu));
    let attempts = (after.attempts - before.attempts).max(1.0);
    let attempt = Duration::from_secs_f64((after.seconds - before.seconds) / attempts);
    for session in &mut sessions {
        session.ask(r#"{"op":"sub","id":2,"sid":8,"topic":"bench.idle.again"}"#).await;
    }
    promises.expect(
        admin.readiness().await.sessions == SESSIONS,
        format_args!("all {SESSIONS} sessions live through the reloads"),
    );
    promises.expect(
        after.installed - before.installed == took.len() as f64,
        format_args!("each list makes one generation: {after:?}"),
    );
    // The first reloads fill what the allocator keeps, since two lists stand side by side while one follows the other.
    let reference = looks.iter().find(|(after, _)| after * 2 >= reloads).map_or(0, |(_, kib)| *kib);
    let last = looks.last().map_or(0, |(_, kib)| *kib);
    promises.expect(
        last * 100 <= reference * (100 + FLAT_PERCENT),
        format_args!(
            "memory is flat within {FLAT_PERCENT} % in the second half: {} became {}",
            mib(reference),
            mib(last)
        ),
    );

    let count = took.len();
    let took = Durations::new(took);
    let mut text = format!(
        " ({:.1} MiB in PEM), {count} reloads with rising numbers under {SESSIONS} live sessions.\n\n\
         | rename to installed generation, p50 | p99 | most | of it reading and checking, mean | gateway's CPU for a reload, mean |\n\
         |---:|---:|---:|---:|---:|\n| {} | {} | {} | {} | {} |\n\n\
         | after reloads | resident memory |\n|---:|---:|\n",
        bytes as f64 / 1_048_576.0,
        ms(took.median()),
        ms(took.percentile(99)),
        ms(took.most()),
        ms(attempt),
        ms(cpu.total() / u32::try_from(count).unwrap_or(u32::MAX)),
    );
    for (reloads, kib) in looks {
        let _ = writeln!(text, "| {reloads} | {} |", mib(kib));
    }
    text
}

/// The CPU time of handshakes, with an empty list and with a full one, in turns.
async fn handshakes(arguments: &Arguments, binary: &Path) -> String {
    let (empty_site, empty, _) = start(binary).await;
    let (full_site, full, mut admin) = start(binary).await;
    revoke_many(&full_site, arguments.entries);
    let generation = admin.readiness().await.generation;
    let list = full_site.pki.ca.crl(A_DAY);
    admin.installed(generation, full_site.replace(&[("crl.pem", &list)])).await;

    let length = Duration::from_secs_f64(arguments.seconds);
    let load = Scenario::Handshakes { at_once: AT_ONCE };
    let sides = [
        (&empty, Arc::new(empty_site.client("crl")), "an empty list".to_owned()),
        (&full, Arc::new(full_site.client("crl")), format!("{} entries", arguments.entries)),
    ];
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..arguments.rounds {
        for ((server, client, _), figures) in sides.iter().zip(&mut figures) {
            let sample = load.run(server, client, length).await;
            figures.push(sample.cpu.total().div_f64(sample.done as f64));
        }
    }
    let mut text = "\n| handshake to `hello` with | gateway's CPU each, median | least | most | rounds |\n\
                    |---|---:|---:|---:|---:|\n"
        .to_owned();
    for ((_, _, name), figures) in sides.iter().zip(figures) {
        let cpu = Durations::new(figures);
        let micros = |duration: Duration| format!("{:.0} µs", duration.as_secs_f64() * 1e6);
        let (median, least, most) = (micros(cpu.median()), micros(cpu.percentile(0)), micros(cpu.most()));
        let _ = writeln!(text, "| {name} | {median} | {least} | {most} | {} |", cpu.count());
    }
    text
}
