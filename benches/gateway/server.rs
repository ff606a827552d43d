//! The gateway under measurement: the built binary as a process of its own, so that its CPU time is its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tempfile::TempDir;

use pki::{Pki, Profile};

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/gateway/harness/pki.rs"]
mod pki;

/// How long a gateway may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

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

const POLICY: &str = r#"
[[grant]]
name = "everyone"
services = ["*"]
publish = ["bench.>"]
subscribe = ["bench.>"]
"#;

/// Certificates and configuration, for any number of servers.
pub struct Site {
    folder: TempDir,
    pki: Pki,
}

impl Site {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pki = Pki::new(folder.path());
        pki.write("portcullis.toml", CONFIGURATION);
        pki.write("policy.toml", POLICY);
        Self { folder, pki }
    }

    /// What a client of this service connects with: full handshakes only.
    pub fn client(&self, service: &str) -> ClientConfig {
        self.pki.client_config(Some(&self.pki.issue(&Profile::service(service, &[]))))
    }

    /// Starts `binary` and waits until it listens.
    pub fn start(&self, binary: &Path) -> Server {
        // Not in the folder that the gateway watches: every line would wake its reload.
        let (log, path) = tempfile::NamedTempFile::new().expect("a log").into_parts();
        let child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(self.folder.path().join("portcullis.toml"))
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

    /// Memory that only this process holds, in KiB: `RssAnon` of proc_pid_status(5).
    pub fn anonymous_kib(&self) -> u64 {
        let status = self.proc_file("status");
        let value = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
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

fn replace(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("written");
}
