//! The program itself: what it prints, how it takes signals, how it exits.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;

use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{ADMIN, readiness};
use crate::harness::raw::Raw;
use crate::harness::{Closed, PATIENCE, Pki, Profile, Setup, write_files};

fn portcullis(arguments: &[&str], config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments).arg("--config").arg(config).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

#[test]
fn check_prints_every_fault_with_its_key_and_exits_with_5() {
    let folder = tempfile::tempdir().expect("a folder");
    Pki::new(folder.path());
    let setup = Setup {
        gateway: "nmae = \"typo\"".into(),
        listener: "origins = \"everyone\"".into(),
        limits: "max_payload_bytes = 0\nping_interval_ms = 100000".into(),
        trust: "services = [\"Not A Name\"]".into(),
        ..Setup::default()
    };
    let (config, _) = write_files(folder.path(), &setup);
    let output = portcullis(&["check"], &config).output().expect("run");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(5), "{text}");
    for key in [
        "gateway: ",
        "listener[0].origins: ",
        "limits.max_payload_bytes: ",
        "limits.ping_interval_ms: ",
        "trust[0].services[0]: ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(key)), "no {key} in:\n{text}");
    }
}

#[test]
fn check_finds_the_faults_of_every_file_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Pki::new(folder.path());
    let policy = "[[grant]]\nname = \"x\"\nservices = [\"billing\"]\npublish = [\"a..b\"]".to_owned();
    let (config, _) = write_files(folder.path(), &Setup { policy: Some(policy), ..Setup::default() });
    pki.write("anchors.pem", "-----BEGIN CERTIFICATE-----\nAAAA");
    pki.write("gateway.key", "");
    let output = portcullis(&["check"], &config).output().expect("run");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(5), "{text}");
    for key in ["trust[0].anchors[0]", "grant[0].publish[0]", "listener[0].key"] {
        assert!(text.contains(key), "no {key} in:\n{text}");
    }
    let serving = portcullis(&["serve"], &config).output().expect("run");
    assert_eq!(serving.status.code(), Some(5), "serve refuses what check refuses");
}

#[test]
fn check_is_content_with_a_good_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    Pki::new(folder.path());
    let (config, _) = write_files(folder.path(), &Setup::default());
    let output = portcullis(&["check"], &config).output().expect("run");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// A running gateway process, ended with the test.
struct Serving {
    child: Child,
    lines: mpsc::Receiver<Value>,
}

impl Serving {
    fn start(config: &Path) -> Self {
        let mut child = portcullis(&["serve"], config).stderr(Stdio::piped()).spawn().expect("spawned");
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Self { child, lines }
    }

    /// Waits for the log line with this message.
    fn line(&self, message: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("a line in time");
            if line["message"] == message {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status();
        assert!(sent.expect("a shell").success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn serve_reloads_on_sighup_and_drains_on_sigterm() {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Pki::new(folder.path());
    let more = "[log]\nformat = \"json\"\n[reload]\npoll_interval_ms = 3600000".into();
    let setup = Setup { gateway: ADMIN.into(), more, ..Setup::default() };
    let (config, _) = write_files(folder.path(), &setup);
    let mut serving = Serving::start(&config);
    let listening = serving.line("listening");
    let address = listening["address"].as_str().expect("an address").to_owned();
    let socket = folder.path().join("admin.sock");
    assert_eq!(readiness(&socket).await.0, 200);

    let issued = pki.issue(&Profile::service("billing", &[]));
    let connector = TlsConnector::from(Arc::new(pki.client_config(Some(&issued))));
    let tcp = TcpStream::connect(&address).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = Raw::over(connector.connect(name, tcp).await.expect("a handshake"));
    assert_eq!(session.upgrade().await["service"], "billing");

    serving.signal("HUP");
    let attempt = serving.line("reload asked for by SIGHUP");
    assert_eq!(attempt["attempt"], "Some(Unchanged)");

    serving.signal("TERM");
    assert_eq!(session.text().await["op"], "draining");
    assert_eq!(session.closed().await, Closed::Frame(1001, "draining retry_after_ms=1000".into()));
    drop(session);
    serving.line("stopped");
    let status = tokio::task::block_in_place(|| serving.child.wait()).expect("ended");
    assert_eq!(status.code(), Some(0));
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_sigterm_ends_the_drain_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Pki::new(folder.path());
    let more = "[log]\nformat = \"json\"\nfilter = \"info\"".into();
    let (config, _) = write_files(folder.path(), &Setup { more, ..Setup::default() });
    let patient = std::fs::read_to_string(&config).expect("read");
    let (before, after) = patient.split_once("drain_timeout_ms").expect("a limit");
    let after = after.split_once('\n').expect("a line").1;
    std::fs::write(&config, format!("{before}drain_timeout_ms = 3600000\n{after}")).expect("written");
    let mut serving = Serving::start(&config);
    let address = serving.line("listening")["address"].as_str().expect("an address").to_owned();
    let issued = pki.issue(&Profile::service("billing", &[]));
    let connector = TlsConnector::from(Arc::new(pki.client_config(Some(&issued))));
    let tcp = TcpStream::connect(&address).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = Raw::over(connector.connect(name, tcp).await.expect("a handshake"));
    session.upgrade().await;

    serving.signal("TERM");
    assert_eq!(session.text().await["op"], "draining");
    // Who comes now is refused at once, and another may have the address.
    let refused = async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused).await.expect("the address is given up");
    drop(TcpListener::bind(&address).await.expect("the address is free"));
    serving.signal("TERM");
    serving.line("told to stop a second time; what is not drained is aborted");
    let status = tokio::task::block_in_place(|| serving.child.wait()).expect("ended");
    assert_eq!(status.code(), Some(1));
}

/// The policy is a pipe that nobody writes to: who opens it waits for as long as it lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pipe_in_the_place_of_a_file_is_refused_and_holds_nothing_up() {
    let folder = tempfile::tempdir().expect("a folder");
    Pki::new(folder.path());
    let more = "[log]\nformat = \"json\"\n[reload]\npoll_interval_ms = 3600000".into();
    let (config, _) = write_files(folder.path(), &Setup { more, ..Setup::default() });
    let mut serving = Serving::start(&config);
    serving.line("listening");
    let policy = folder.path().join("policy.toml");
    std::fs::remove_file(&policy).expect("removed");
    assert!(Command::new("mkfifo").arg(&policy).status().expect("mkfifo").success());
    serving.signal("HUP");
    let refused = || serving.line("the changed files are refused; the generation before them stays");
    while !refused()["fault"].as_str().is_some_and(|fault| fault.ends_with("it is not a regular file")) {}
    serving.signal("TERM");
    serving.line("stopped");
    let status = tokio::task::block_in_place(|| serving.child.wait()).expect("ended");
    assert_eq!(status.code(), Some(0));
}
