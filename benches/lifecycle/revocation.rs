//! From the rename of a new revocation list to the close frames of those it names, among thousands of live sessions.

mod crowd;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use tokio::time::sleep;

use super::admin::Admin;
use super::figures::{Durations, Promises, ms};
use super::server::pki::{Issued, Profile};
use super::server::{CpuTime, Replaced, Server, Site};
use super::streams::{Account, Streams};
use crowd::{Closed, Crowd};

/// What is promised: that a revoked session's close frame is out within this.
const PROMISED: Duration = Duration::from_secs(1);
/// How long close frames may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Silence after which the gateway has done with a list, for its CPU time.
const QUIET: Duration = Duration::from_millis(500);
/// Validity of revocation lists, in seconds.
const A_DAY: i64 = 86_400;
/// Messages a second of one streaming session.
const MESSAGES: u32 = 20;
/// The close code of a revoked session.
const REVOKED: u16 = 4403;

/// All sessions come from one address, belong to a few services, and are silent for as long as it takes.
const LIMITS: &str = "max_sessions = 19000\nmax_sessions_per_service = 19000\nidle_timeout_ms = 3600000\n\
                      ping_interval_ms = 3000000\n";

#[derive(Args)]
pub struct Arguments {
    /// Live sessions, each with a certificate of its own; both ends of each need a file descriptor
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=18_000))]
    sessions: u32,
    /// How many of them stream
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=50))]
    streaming: u32,
    /// Times that everything is done, each with a fresh gateway and fresh sessions
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Single revocations in each round, before all the rest are revoked
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=40))]
    singles: u32,
}

/// What one list brought about.
struct Sample {
    /// From the rename to each close frame.
    closes: Vec<Duration>,
    /// From the rename to the installed generation, by the gateway's clock in whole milliseconds.
    installed: Duration,
    cpu: CpuTime,
}

pub async fn measure(arguments: &Arguments, binary: &Path) -> Promises {
    rlimit::increase_nofile_limit(u64::from(arguments.sessions) + 1_024).expect("file descriptors");
    let mut promises = Promises::default();
    let (mut singles, mut alls) = (Vec::new(), Vec::new());
    for round in 1..=arguments.rounds {
        let mut round_of = Round::begin(arguments, binary).await;
        for _ in 0..arguments.singles {
            singles.push(round_of.revoke_one(&mut promises).await);
        }
        alls.push(round_of.revoke_all(&mut promises).await);
        eprintln!("revocation: round {round} of {}", arguments.rounds);
    }
    let slowest = |samples: &[Sample]| samples.iter().flat_map(|sample| sample.closes.iter()).max().copied();
    for (what, samples) in [("the one", &singles), ("the last of all", &alls)] {
        let most = slowest(samples).unwrap_or(Duration::MAX);
        promises
            .expect(most < PROMISED, format_args!("{what} is closed within {PROMISED:?}: took {}", ms(most)));
    }
    println!("{}", report(arguments, &singles, &alls));
    promises
}

/// A gateway and its sessions.
struct Round {
    site: Site,
    server: Server,
    admin: Admin,
    crowd: Crowd,
    /// Those of the crowd, in its order.
    idle: Vec<Issued>,
    streaming: Vec<Issued>,
    streams: Option<Streams>,
    /// So many of the crowd, from the first.
    revoked: usize,
}

impl Round {
    async fn begin(arguments: &Arguments, binary: &Path) -> Self {
        let site = Site::with("admin_socket = \"../admin.sock\"\n", LIMITS);
        let issue = |place: u32| site.pki.issue(&Profile::service(&format!("crowd-{}", place % 100), &[]));
        let streaming: Vec<_> = (0..arguments.streaming).map(issue).collect();
        let idle: Vec<_> = (arguments.streaming..arguments.sessions).map(issue).collect();
        let server = site.start(binary);
        let admin = Admin::connect(&site.beside("admin.sock")).await;
        let crowd = Crowd::open(&site, server.address, &idle).await;
        let mut round = Self { site, server, admin, crowd, idle, streaming, streams: None, revoked: 0 };
        round.streams = Some(round.stream());
        let expected = round.idle.len() + round.streaming.len() + 1;
        let now = round.admin.settled(expected).await;
        assert_eq!(now.sessions, expected, "all sessions live");
        round
    }

    fn stream(&self) -> Streams {
        let clients = self.streaming.iter().map(|issued| Arc::new(self.site.client_of(issued))).collect();
        Streams::start(self.server.address, clients, MESSAGES)
    }

    /// Revokes one idle session. Every other one must stay, and be as alive as before.
    async fn revoke_one(&mut self, promises: &mut Promises) -> Sample {
        self.site.pki.ca.revoke(&self.idle[self.revoked]);
        self.revoked += 1;
        let (sample, _) = self.publish_list(self.revoked).await;
        let closed = self.crowd.closed();
        let is_right = |close: &&Closed| close.code == REVOKED && close.place < self.revoked;
        let right = closed.iter().filter(is_right).count();
        promises.expect(
            closed.len() == self.revoked && right == self.revoked,
            format_args!("the revoked session alone is closed, with {REVOKED}: {closed:?}"),
        );
        let left = self.idle.len() - self.revoked;
        let reached = self.crowd.announce(left).await;
        promises.expect(reached == left, format_args!("all {left} others go on: {reached} do"));
        sample
    }

    /// Revokes all that are left, and the streaming ones.
    async fn revoke_all(&mut self, promises: &mut Promises) -> Sample {
        let totals = Account::total(&self.streams.take().expect("they stream").stop());
        let faults = totals.lost + totals.duplicated + totals.reordered + totals.closed as u64;
        promises.expect(
            faults == 0 && totals.unexpected.is_empty(),
            format_args!(
                "the streams of others notice nothing: {faults} faults, {:?}",
                totals.unexpected.first()
            ),
        );
        self.admin.settled(self.idle.len() - self.revoked + 1).await;
        let streams = self.stream();
        let live = self.idle.len() - self.revoked + self.streaming.len() + 1;
        let now = self.admin.settled(live).await;
        promises.expect(now.sessions == live, format_args!("{live} sessions live: {} do", now.sessions));

        self.idle.iter().skip(self.revoked).for_each(|issued| self.site.pki.ca.revoke(issued));
        self.streaming.iter().for_each(|issued| self.site.pki.ca.revoke(issued));
        let known = self.crowd.closed().len();
        let (mut sample, replaced) = self.publish_list(self.idle.len()).await;
        let accounts = streams.stop();
        let ends = accounts.iter().filter_map(|account| account.ended);
        sample.closes.extend(ends.clone().map(|(at, _)| at.saturating_duration_since(replaced.at)));
        let right = self.crowd.closed().iter().skip(known).filter(|close| close.code == REVOKED).count()
            + ends.filter(|(_, code)| *code == REVOKED).count();
        let all = live - 1;
        promises.expect(right == all, format_args!("all {all} are closed with {REVOKED}: {right} were"));
        promises.expect(
            self.crowd.announcer_lives().await,
            "a session whose certificate is not in the list stays, and is answered",
        );
        sample
    }

    /// Publishes a list, and waits until so many of the crowd are closed in all.
    async fn publish_list(&mut self, closed_in_all: usize) -> (Sample, Replaced) {
        let list = self.site.pki.ca.crl(A_DAY);
        let (known, cpu) = (self.crowd.closed().len(), self.server.cpu_time());
        let replaced = self.site.replace(&[("crl.pem", &list)]);
        self.crowd.wait_for(closed_in_all, PATIENCE).await;
        sleep(QUIET).await;
        let cpu = self.server.cpu_time().since(cpu);
        let closed = self.crowd.closed();
        let new = closed.iter().skip(known);
        let closes = new.map(|close| close.at.saturating_duration_since(replaced.at)).collect();
        let since = self.admin.readiness().await.generation_since_unix_ms;
        let installed = UNIX_EPOCH + Duration::from_millis(since);
        let installed = installed.duration_since(replaced.unix).unwrap_or_default();
        (Sample { closes, installed, cpu }, replaced)
    }
}

fn report(arguments: &Arguments, singles: &[Sample], alls: &[Sample]) -> String {
    let row = |what: &str, samples: &[Sample]| {
        let closes = Durations::new(samples.iter().flat_map(|sample| sample.closes.iter().copied()));
        let ends = Durations::new(samples.iter().filter_map(|sample| sample.closes.iter().max().copied()));
        let installed = Durations::new(samples.iter().map(|sample| sample.installed));
        let cpu = Durations::new(samples.iter().map(|sample| sample.cpu.total()));
        let kernel = Durations::new(samples.iter().map(|sample| sample.cpu.kernel));
        format!(
            "| {what} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            samples.len(),
            ms(installed.median()),
            ms(closes.median()),
            ms(closes.percentile(99)),
            ms(ends.median()),
            ms(ends.most()),
            closes.count(),
            ms(cpu.median()),
            ms(kernel.median()),
        )
    };
    let mut text = format!(
        "{} live sessions with a certificate each, {} of them streaming; {} rounds with fresh sessions. From the rename \
         of the list to the close frame `{REVOKED}` in the client's hands; the promise is {} at most.\n\n",
        arguments.sessions,
        arguments.streaming,
        arguments.rounds,
        ms(PROMISED)
    );
    text += "| revoked | lists | generation installed | close p50 | close p99 | last close, median | last close, most | \
             closes | gateway's CPU | in the kernel |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    text += &row("one session", singles);
    text += &row("all sessions", alls);
    let _ = write!(
        text,
        "\nCPU is the median for one list, until {} after its last close; settling takes 25 to 100 ms of the time.",
        ms(QUIET)
    );
    text
}
