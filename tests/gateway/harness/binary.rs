//! The real binary: what it prints, and how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::PATIENCE;

/// A running `portcullis`, killed when dropped.
pub struct Binary {
    child: Child,
    out: mpsc::UnboundedReceiver<String>,
    err: mpsc::UnboundedReceiver<String>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed since it was last asked.
    pub out: String,
    pub err: String,
}

impl Binary {
    pub fn spawn(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let out = lines(child.stdout.take().expect("piped"));
        let err = lines(child.stderr.take().expect("piped"));
        Self { child, out, err }
    }

    /// Writes to its standard input and closes it.
    pub fn feed(&mut self, text: &str) {
        let mut input = self.child.stdin.take().expect("fed once");
        input.write_all(text.as_bytes()).expect("it reads");
    }

    /// The next line of its standard output.
    pub async fn prints(&mut self) -> String {
        timeout(PATIENCE, self.out.recv()).await.expect("a line in time").expect("a line before the end")
    }

    /// The next line of its standard error that has this in it.
    pub async fn logs(&mut self, wanted: &str) -> String {
        let reading = async {
            loop {
                let line = self.err.recv().await.expect("the line before the end");
                if line.contains(wanted) {
                    return line;
                }
            }
        };
        timeout(PATIENCE, reading).await.expect("the line in time")
    }

    /// Sends a signal by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill").success());
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended.
    pub async fn ended(mut self) -> Ended {
        drop(self.child.stdin.take());
        let reading = async {
            let (mut out, mut err) = (String::new(), String::new());
            while let Some(line) = self.out.recv().await {
                out += &line;
                out.push('\n');
            }
            while let Some(line) = self.err.recv().await {
                err += &line;
                err.push('\n');
            }
            (out, err)
        };
        let (out, err) = timeout(PATIENCE, reading).await.expect("an end in time");
        // Both ends are closed: it is gone, or about to be.
        let status = spawn_blocking(move || self.child.wait()).await.expect("not cancelled");
        Ended { code: status.expect("a status").code(), out, err }
    }

    /// Runs it to its end.
    pub async fn run(arguments: &[&str]) -> Ended {
        Self::spawn(arguments).ended().await
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(source: impl Read + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
