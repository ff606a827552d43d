//! The operators' socket, to see what the gateway itself says of a change.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::sleep;

use super::server::Replaced;

/// Between two looks at the generation: what a measured reload may seem longer than it was.
const LOOK: Duration = Duration::from_millis(1);
/// How long a reload, or the end of sessions, may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that is kept.
pub struct Admin {
    stream: BufReader<UnixStream>,
}

/// What `/readyz` tells.
#[derive(Debug, Deserialize)]
pub struct Readiness {
    pub generation: u64,
    pub generation_since_unix_ms: u64,
    pub sessions: usize,
    pub opening: usize,
    pub reload_faults: Vec<String>,
}

/// What `/metrics` tells of reloads so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reloads {
    pub attempts: f64,
    pub seconds: f64,
    pub installed: f64,
    pub refused: f64,
}

impl Admin {
    pub async fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).await.expect("the admin socket");
        Self { stream: BufReader::new(stream) }
    }

    pub async fn readiness(&mut self) -> Readiness {
        let page = self.get("/readyz").await;
        serde_json::from_str(&page).expect("readiness as JSON")
    }

    pub async fn reloads(&mut self) -> Reloads {
        let page = self.get("/metrics").await;
        let value = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
        };
        Reloads {
            attempts: value("portcullis_reload_seconds_count "),
            seconds: value("portcullis_reload_seconds_sum "),
            installed: value(r#"portcullis_reloads_total{reason="installed"} "#),
            refused: value(r#"portcullis_reloads_total{reason="refused"} "#),
        }
    }

    /// Waits until a generation after `before` stands, and tells how long that took since the files were replaced, and
    /// which one it is.
    pub async fn installed(&mut self, before: u64, replaced: Replaced) -> (Duration, u64) {
        loop {
            let now = self.readiness().await;
            let took = replaced.at.elapsed();
            if now.generation != before {
                return (took, now.generation);
            }
            assert!(took < PATIENCE, "the files are not taken: {:?}", now.reload_faults);
            sleep(LOOK).await;
        }
    }

    /// Waits until exactly so many sessions live and no connection is opening. What it is after its patience.
    pub async fn settled(&mut self, sessions: usize) -> Readiness {
        let began = Instant::now();
        loop {
            let now = self.readiness().await;
            if (now.sessions == sessions && now.opening == 0) || began.elapsed() > PATIENCE {
                return now;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn get(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.expect("the admin socket takes a request");
        let mut length = None;
        loop {
            let mut line = String::new();
            let read = self.stream.read_line(&mut line).await.expect("the admin socket answers");
            assert_ne!(read, 0, "the admin socket was closed");
            if line == "\r\n" {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
        }
        let mut page = vec![0; length.expect("a page has its length")];
        self.stream.read_exact(&mut page).await.expect("a whole page");
        String::from_utf8(page).expect("a page is text")
    }
}
