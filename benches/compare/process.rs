//! A server under measurement: a process of its own on a core of its own, so that its CPU time says what it costs.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The core of the server, and that of the load generator.
const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Puts this thread, which is all there is of the load generator, on its core.
pub fn pin_load() {
    let pid = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["--cpu-list", "--pid", LOAD_CORE, &pid]).output();
    let pinned = pinned.expect("taskset, of util-linux");
    assert!(pinned.status.success(), "two cores are needed: {}", String::from_utf8_lossy(&pinned.stderr));
}

/// A running server; killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// Starts it and waits until it logs a line with `sign`, in which its address follows `before`.
    pub fn start(program: &Path, arguments: &[&str], sign: &str, before: &str) -> Self {
        let (log, path) = tempfile::NamedTempFile::new().expect("a log").into_parts();
        let child = Command::new("taskset")
            .args(["--cpu-list", SERVER_CORE])
            .arg(program)
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("taskset, of util-linux");
        // Its own from here on: whatever fails below, it does not stay behind.
        let mut process = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let started = Instant::now();
        loop {
            let log = std::fs::read_to_string(&path).expect("the log is text");
            let line = log.lines().find(|line| line.contains(sign));
            let address = line.and_then(|line| line.split_once(before)?.1.trim().parse().ok());
            if let Some(address) = address {
                process.address = address;
                return process;
            }
            assert!(started.elapsed() < PATIENCE, "{} does not listen:\n{log}", program.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// CPU time of all its threads so far: the first figure of each one's schedstat, which is in nanoseconds.
    pub fn cpu(&self) -> Duration {
        let threads = std::fs::read_dir(self.proc("task")).expect("the server runs");
        let used = threads.flatten().map(|thread| {
            // A thread may end while it is looked at.
            let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            text.split_whitespace().next().and_then(|used| used.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(used.sum())
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).expect("the server runs");
        let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every Linux has it");
        value.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
