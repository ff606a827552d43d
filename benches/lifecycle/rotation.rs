//! Reloads of everything that rotates, under streaming sessions and new connections.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::time::sleep;

use super::admin::{Admin, Reloads};
use super::figures::{Durations, Promises, mib, ms};
use super::opening::{Opened, Opening};
use super::server::pki::{Ca, Pki, Profile};
use super::server::{Replaced, Server, Site};
use super::streams::{Account, Streams};

/// Reloads between two looks at the gateway's memory and descriptors, and between two changes from a phase with
/// reloads to one without.
const BLOCK: usize = 100;
/// Load before anything is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// Validity of revocation lists, in seconds.
const A_DAY: i64 = 86_400;

#[derive(Args)]
pub struct Arguments {
    /// Reloads in all
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    reloads: u32,
    /// Streaming sessions
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    sessions: u32,
    /// Messages a second that each of them publishes
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    messages: u32,
    /// New connections a second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
}

/// What is replaced, in turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    KeyPair,
    Anchors,
    RevocationList,
    Policy,
}

impl Turn {
    const ALL: [Self; 4] = [Self::KeyPair, Self::Anchors, Self::RevocationList, Self::Policy];

    fn name(self) -> &'static str {
        match self {
            Self::KeyPair => "the gateway's key pair",
            Self::Anchors => "CA bundle, a root more or less",
            Self::RevocationList => "revocation list, next number",
            Self::Policy => "policy, a grant more or less",
        }
    }
}

pub async fn measure(arguments: &Arguments, binary: &Path) -> Promises {
    let sessions = arguments.sessions as usize;
    rlimit::increase_nofile_limit(u64::from(arguments.sessions) + 2_048).expect("file descriptors");
    let site = Site::with("admin_socket = \"../admin.sock\"\n", "max_sessions_per_service = 100000\n");
    let server = site.start(binary);
    let mut admin = Admin::connect(&site.beside("admin.sock")).await;
    let clients = (0..sessions).map(|place| Arc::new(site.client(&format!("stream-{place}")))).collect();
    let streams = Streams::start(server.address, clients, arguments.messages);
    let visitor = Arc::new(site.client("visitor"));
    let opening = || Opening::start(server.address, visitor.clone(), arguments.connections);

    let warm_up = opening();
    sleep(WARM_UP).await;
    let mut ever = warm_up.stop();
    let mut looks = vec![Look::at(0, &server, &mut admin, sessions).await];
    let attempts_before = admin.reloads().await;

    let mut rotation = Rotation::new(&site);
    let mut reloads: Vec<(Turn, Duration)> = Vec::new();
    let (mut with, mut without) = (Opened::default(), Opened::default());
    let (mut length, mut skipped) = (Duration::ZERO, 0);
    let mut generation = admin.readiness().await.generation;
    let wanted = arguments.reloads as usize;
    while reloads.len() < wanted {
        let (began, visitors) = (Instant::now(), opening());
        for _ in 0..BLOCK.min(wanted - reloads.len()) {
            let turn = Turn::ALL[reloads.len() % Turn::ALL.len()];
            let replaced = rotation.replace(turn);
            let (took, now) = admin.installed(generation, replaced).await;
            skipped += now - generation - 1;
            generation = now;
            reloads.push((turn, took));
        }
        let block = began.elapsed();
        length += block;
        with.join(visitors.stop());

        let visitors = opening();
        sleep(block).await;
        without.join(visitors.stop());
        looks.push(Look::at(reloads.len(), &server, &mut admin, sessions).await);
        eprintln!("rotation: {} reloads", reloads.len());
    }
    let attempts = admin.reloads().await;
    let totals = Account::total(&streams.stop());

    let mut text = format!(
        "{} reloads in {:.1} s, under {sessions} streaming sessions with {} messages a second in all and {} new \
         connections a second; and as long without reloads, in turns of {BLOCK} reloads.\n\n",
        reloads.len(),
        length.as_secs_f64(),
        arguments.sessions * arguments.messages,
        arguments.connections,
    );
    text += &reload_table(&reloads);
    text += &own_reloads(attempts_before, attempts);
    let _ = writeln!(
        text,
        "\n| TCP connect to `hello` | connections | failed | p50 | p99 | most |\n|---|---:|---:|---:|---:|---:|\n{}\n{}\n",
        opening_row("with reloads", &with),
        opening_row("without", &without)
    );
    let _ = writeln!(
        text,
        "| messages sent | received | lost | duplicated | reordered | sessions closed |\n\
         |---:|---:|---:|---:|---:|---:|\n| {} | {} | {} | {} | {} | {} |\n",
        totals.sent, totals.received, totals.lost, totals.duplicated, totals.reordered, totals.closed
    );
    text += &look_table(&looks);
    println!("{text}");

    let failed: Vec<_> = with.failed.iter().chain(&without.failed).chain(&ever.failed).cloned().collect();
    ever.join(with);
    ever.join(without);
    let (first, last) = (looks[0], looks[looks.len() - 1]);
    let mut promises = Promises::default();
    promises.expect(
        failed.is_empty(),
        format_args!("no handshake fails: {} did, {:?}", failed.len(), failed.first()),
    );
    promises.expect(totals.lost == 0, format_args!("no message is lost: {} were", totals.lost));
    promises.expect(totals.duplicated == 0, format_args!("none comes twice: {} did", totals.duplicated));
    promises.expect(totals.reordered == 0, format_args!("none is overtaken: {} were", totals.reordered));
    promises
        .expect(totals.closed == 0, format_args!("no entitled session is closed: {} were", totals.closed));
    promises.expect(
        totals.unexpected.is_empty(),
        format_args!("nobody hears of a reload: {:?}", totals.unexpected.first()),
    );
    promises.expect(skipped == 0, format_args!("each change makes one generation: {skipped} more were made"));
    promises.expect(
        attempts.installed - attempts_before.installed == wanted as f64,
        format_args!("the gateway counts the same reloads: {attempts:?}"),
    );
    promises.expect(
        ever.certificates.len() <= rotation.key_pairs
            && (wanted < 2 * BLOCK || ever.certificates.len() > wanted / 8),
        format_args!(
            "new connections see the new certificates: {} of {}",
            ever.certificates.len(),
            rotation.key_pairs
        ),
    );
    promises.expect(
        last.descriptors <= first.descriptors,
        format_args!("file descriptors do not grow: {} became {}", first.descriptors, last.descriptors),
    );
    promises
}

/// The files as they are, and how each is replaced by one that says something else.
struct Rotation<'s> {
    site: &'s Site,
    list: String,
    second: Ca,
    second_list: String,
    has_second: bool,
    has_more_grants: bool,
    key_pairs: usize,
}

impl<'s> Rotation<'s> {
    fn new(site: &'s Site) -> Self {
        let second = Ca::root("second root");
        let second_list = second.crl(A_DAY);
        let list = std::fs::read_to_string(site.pki.path("crl.pem")).expect("the first list");
        Self { site, list, second, second_list, has_second: false, has_more_grants: false, key_pairs: 1 }
    }

    /// Where two files belong together, neither goes with the other's state before, so that no half of it is taken.
    fn replace(&mut self, turn: Turn) -> Replaced {
        let pki = &self.site.pki;
        match turn {
            Turn::KeyPair => {
                self.key_pairs += 1;
                let issued = pki.issue(&Pki::gateway_profile());
                self.site.replace(&[("gateway.key", &issued.key_pem), ("gateway.pem", &issued.pem)])
            }
            Turn::Anchors => {
                self.has_second = !self.has_second;
                let anchors = match self.has_second {
                    true => format!("{}{}", pki.ca.pem, self.second.pem),
                    false => pki.ca.pem.clone(),
                };
                self.site.replace(&[("anchors.pem", &anchors), ("crl.pem", &self.lists())])
            }
            Turn::RevocationList => {
                // A certificate that nobody uses: the list grows as lists do.
                pki.ca.revoke(&pki.issue(&Profile::service("nobody", &[])));
                self.list = pki.ca.crl(A_DAY);
                self.site.replace(&[("crl.pem", &self.lists())])
            }
            Turn::Policy => {
                self.has_more_grants = !self.has_more_grants;
                let more = if self.has_more_grants { MORE_GRANTS } else { "" };
                self.site.replace(&[("policy.toml", &format!("{}{more}", super::server::POLICY))])
            }
        }
    }

    fn lists(&self) -> String {
        match self.has_second {
            true => format!("{}{}", self.list, self.second_list),
            false => self.list.clone(),
        }
    }
}

const MORE_GRANTS: &str = r#"
[[grant]]
name = "more"
services = ["*"]
subscribe = ["more.>"]
deny_publish = ["bench.nobody.>"]
"#;

/// What the gateway holds at one moment, with the streaming sessions alone.
#[derive(Clone, Copy)]
struct Look {
    reloads: usize,
    descriptors: usize,
    resident_kib: u64,
}

impl Look {
    async fn at(reloads: usize, server: &Server, admin: &mut Admin, sessions: usize) -> Self {
        let now = admin.settled(sessions).await;
        assert_eq!(now.opening, 0, "connections do not end");
        Self { reloads, descriptors: server.descriptors(), resident_kib: server.resident_kib() }
    }
}

fn reload_table(reloads: &[(Turn, Duration)]) -> String {
    let row = |name: &str, of: Option<Turn>| {
        let took = reloads.iter().filter(|(turn, _)| of.is_none_or(|of| of == *turn));
        let took = Durations::new(took.map(|(_, took)| *took));
        let (p50, p99, most) = (ms(took.percentile(50)), ms(took.percentile(99)), ms(took.most()));
        format!("| {name} | {} | {p50} | {p99} | {most} |\n", took.count())
    };
    let mut table = "| rename to installed generation | reloads | p50 | p99 | most |\n\
                     |---|---:|---:|---:|---:|\n"
        .to_owned();
    table += &row("all", None);
    for turn in Turn::ALL {
        table += &row(turn.name(), Some(turn));
    }
    table
}

fn own_reloads(before: Reloads, after: Reloads) -> String {
    let attempts = after.attempts - before.attempts;
    let mean = Duration::from_secs_f64((after.seconds - before.seconds) / attempts.max(1.0));
    format!(
        "\nBy the gateway's own `portcullis_reload_seconds`, an attempt (reading, checking, swapping; without the \
         settling before it) took {} on average; {} were installed, {} refused.\n",
        ms(mean),
        after.installed - before.installed,
        after.refused - before.refused
    )
}

fn opening_row(name: &str, opened: &Opened) -> String {
    let took = Durations::new(opened.took.iter().copied());
    let (p50, p99, most) = (ms(took.percentile(50)), ms(took.percentile(99)), ms(took.most()));
    format!("| {name} | {} | {} | {p50} | {p99} | {most} |", took.count(), opened.failed.len())
}

fn look_table(looks: &[Look]) -> String {
    let mut table = "| after reloads | file descriptors | resident memory |\n|---:|---:|---:|\n".to_owned();
    for look in looks {
        let _ = writeln!(table, "| {} | {} | {} |", look.reloads, look.descriptors, mib(look.resident_kib));
    }
    table
}
