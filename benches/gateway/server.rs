//! The gateway under measurement: the built binary as a process of its own, so that its CPU time is its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustls::ClientConfig;
use tempfile::TempDir;

use pki::{Issued, Pki, Profile};

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/gateway/harness/pki.rs"]
pub mod pki;

/// The folder of the configuration, and another on the same file system.
const WATCHED: &str = "site";
const STAGE: &str = "stage";

/// How long a gateway may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What every configuration has; `[limits]` stands last, so that more of them can follow.
const CONFIGURATION: &str = r#"
policy = "policy.toml"
[[listener]]
address = "127.0.0.1:0"
certificate = "gateway.pem"
key = "gateway.key"
names = ["localhost"]
[[trust]]
name = "bench"
anchors = ["anchors.pem"]
crls = ["crl.pem"]
[[trust.rule]]
name = "usual"
match = { cn = "{service}", uri = "spiffe://test.internal/service/{service}" }
[limits]
max_connections_per_address = 100000
"#;

/// Everyone may publish and subscribe below `bench`.
pub const POLICY: &str = r#"
[[grant]]
name = "everyone"
services = ["*"]
publish = ["bench.>"]
subscribe = ["bench.>"]
"#;

/// Certificates and configuration, for any number of servers.
pub struct Site {
    folder: TempDir,
    pub pki: Pki,
}

impl Site {
    pub fn new() -> Self {
        Self::with("", "")
    }

    /// With a `[gateway]` table and further limits, as lines of the configuration. Its paths start beside `STAGE`.
    pub fn with(gateway: &str, limits: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in [WATCHED, STAGE] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let pki = Pki::new(&folder.path().join(WATCHED));
        pki.write("portcullis.toml", &format!("{CONFIGURATION}{limits}\n[gateway]\n{gateway}"));
        pki.write("policy.toml", POLICY);
        Self { folder, pki }
    }

    /// The path of something that the gateway does not watch.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces files of the gateway by renames, one right after the other, and tells when and how the first began:
    /// everything is written beforehand, and elsewhere.
    pub fn replace(&self, files: &[(&str, &str)]) -> Replaced {
        let staged: Vec<_> = files
            .iter()
            .map(|(name, text)| {
                let staged = self.beside(STAGE).join(name);
                std::fs::write(&staged, text).expect("written");
                (staged, self.pki.path(name))
            })
            .collect();
        let replaced = Replaced { at: Instant::now(), unix: SystemTime::now() };
        for (staged, path) in staged {
            std::fs::rename(staged, path).expect("renamed");
        }
        replaced
    }

    /// What a client of this service connects with: full handshakes only.
    pub fn client(&self, service: &str) -> ClientConfig {
        self.client_of(&self.pki.issue(&Profile::service(service, &[])))
    }

    /// What the holder of this certificate connects with.
    pub fn client_of(&self, issued: &Issued) -> ClientConfig {
        self.pki.client_config(Some(issued))
    }

    /// Starts `binary` and waits until it listens.
    pub fn start(&self, binary: &Path) -> Server {
        // Not in the folder that the gateway watches: every line would wake its reload.
        let (log, path) = tempfile::NamedTempFile::new().expect("a log").into_parts();
        let child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(self.pki.path("portcullis.toml"))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the gateway is spawned");
        // Its own from here on: whatever fails below, it does not stay behind.
        let mut server = Server { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let started = Instant::now();
        loop {
            let log = std::fs::read_to_string(&path).expect("the log is text");
            if let Some(address) = listening_address(&log) {
                server.address = address;
                return server;
            }
            assert!(started.elapsed() < PATIENCE, "the gateway does not listen:\n{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn listening_address(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("listening"))?;
    line.split_once("address=")?.1.trim().parse().ok()
}

/// When files were replaced, by both clocks.
#[derive(Clone, Copy)]
pub struct Replaced {
    pub at: Instant,
    pub unix: SystemTime,
}

/// A running gateway; killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

/// CPU time used so far.
#[derive(Clone, Copy, Default)]
pub struct CpuTime {
    pub user: Duration,
    pub kernel: Duration,
}

impl CpuTime {
    pub fn total(self) -> Duration {
        self.user + self.kernel
    }

    pub fn since(self, before: Self) -> Self {
        Self { user: self.user - before.user, kernel: self.kernel.saturating_sub(before.kernel) }
    }
}

impl Server {
    /// `utime` and `stime` of proc_pid_stat(5), whose unit has been 10 ms on every Linux.
    pub fn cpu_time(&self) -> CpuTime {
        let stat = self.proc_file("stat");
        let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
        let ticks = |place| -> u64 {
            fields.split_whitespace().nth(place).and_then(|field| field.parse().ok()).expect("a number")
        };
        let time = |place| Duration::from_millis(10 * ticks(place));
        CpuTime { user: time(11), kernel: time(12) }
    }

    /// Memory that only this process holds, in KiB.
    pub fn anonymous_kib(&self) -> u64 {
        self.status_kib("RssAnon:")
    }

    /// Memory that is resident, in KiB: the program's own pages are among it.
    pub fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// Open file descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the gateway runs").count()
    }

    /// A line of proc_pid_status(5).
    fn status_kib(&self, key: &str) -> u64 {
        let status = self.proc_file("status");
        let value = status.lines().find_map(|line| line.strip_prefix(key)).expect("every Linux has it");
        value.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn proc_file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("the gateway runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// For what is written before a gateway watches.
fn replace(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("written");
}
