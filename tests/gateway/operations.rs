//! Running it: what the operator sees, and its orderly end.

mod endurance;
mod process;
mod verbs;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis::admin::AdminError;
use portcullis::reload::Attempt;
use portcullis::report::chain;
use portcullis::server::{Server, StartError};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::harness::{
    Closed, Harness, Logs, PATIENCE, POLICY, Pki, Profile, Setup, replace, wait_until, write_files,
};

const ADMIN: &str = r#"admin_socket = "admin.sock""#;

fn administered() -> Setup {
    Setup { gateway: ADMIN.into(), ..Setup::default() }
}

fn admin_socket(harness: &Harness) -> PathBuf {
    harness.pki.path("admin.sock")
}

/// The status and body of one page.
async fn page(socket: &Path, path: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).await.expect("an admin socket");
    let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
}

async fn readiness(socket: &Path) -> (u16, Value) {
    let (status, body) = page(socket, "/readyz").await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

#[tokio::test]
async fn the_admin_socket_is_its_owners_alone_and_tells_how_the_gateway_is() {
    let harness = Harness::with(administered()).await;
    let socket = admin_socket(&harness);
    let mode = std::fs::metadata(&socket).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let _session = harness.connect("billing", &[]).await;
    assert_eq!(page(&socket, "/livez").await, (200, "ok\n".into()));
    let (status, page_now) = readiness(&socket).await;
    assert_eq!((status, &page_now["ready"], &page_now["phase"]), (200, &true.into(), &"running".into()));
    assert_eq!((&page_now["sessions"], &page_now["generation"]), (&1.into(), &1.into()));
    assert_eq!(page_now["reload_faults"], serde_json::json!([]));
    let end = page_now["authority_ends_unix"].as_u64().expect("a time");
    let (_, metrics) = page(&socket, "/metrics").await;
    assert!(metrics.contains(&format!("portcullis_authority_end {end}\n")), "{metrics}");
    assert_eq!(page(&socket, "/elsewhere").await.0, 404);
}

#[tokio::test]
async fn a_list_that_runs_out_is_alarmed_about_before_and_after() {
    let logs = Logs::capture();
    for (trust, status_then) in [("", 503), ("danger_accept_stale_crl = true", 200)] {
        let harness = Harness::with(Setup {
            trust: trust.into(),
            more: "[reload]\npoll_interval_ms = 100".into(),
            ..administered()
        })
        .await;
        let socket = admin_socket(&harness);
        let (status, calm) = readiness(&socket).await;
        assert_eq!((status, &calm["revocation_alarms"]), (200, &serde_json::json!([])));
        assert_eq!(harness.metric("revocation_alarm"), 0);

        harness.pki.write("crl.pem", &harness.pki.ca.crl(3));
        harness.reload().await;
        let (status, alarmed) = readiness(&socket).await;
        let end = alarmed["revocation_list_stale_unix"].as_u64().expect("a time").to_string();
        let alarm = alarmed["revocation_alarms"][0].as_str().expect("an alarm");
        assert!(status == 200 && alarm.contains("goes stale at") && alarm.contains(&end), "{status} {alarm}");
        assert_eq!(harness.metric("revocation_alarm"), 1);
        logs.line(&["ERROR", "CN=test root", "goes stale at", &end]).await;

        let stale = logs.line(&["ERROR", "is stale since", &end]).await;
        assert_eq!(stale.contains("sessions are being closed from now on"), status_then == 503, "{stale}");
        let (status, page_then) = readiness(&socket).await;
        assert_eq!((status, &page_then["ready"]), (status_then, &(status_then == 200).into()));
        assert!(page_then["revocation_alarms"].to_string().contains("is stale since"), "{page_then}");
        harness.server.stop().await;
    }
}

#[tokio::test]
async fn readiness_tells_the_faults_of_a_reload_until_they_are_mended() {
    let harness = Harness::with(administered()).await;
    let socket = admin_socket(&harness);
    let broken =
        format!("{POLICY}\n[[grant]]\nname = \"x\"\nservices = [\"billing\"]\npublish = [\"a..b\"]\nodd = 1");
    assert!(matches!(harness.set_policy(&broken).await, Attempt::Refused { .. }));
    let (status, page_now) = readiness(&socket).await;
    assert_eq!((status, &page_now["generation"]), (200, &1.into()), "the generation before it goes on");
    let faults = page_now["reload_faults"].to_string();
    assert!(faults.contains("grant[5]"), "{faults}");
    assert!(page(&socket, "/metrics").await.1.contains("portcullis_files_broken 1"));
    harness.set_policy(POLICY).await;
    let (_, page_now) = readiness(&socket).await;
    assert_eq!(page_now["reload_faults"], serde_json::json!([]));
    assert!(page(&socket, "/metrics").await.1.contains("portcullis_files_broken 0"));
}

#[tokio::test]
async fn the_metrics_count_connections_refusals_sessions_and_denials_and_name_nobody() {
    let harness = Harness::with(administered()).await;
    let mut session = harness.connect("billing", &[]).await;
    session.ok(r#"{"op":"sub","id":1,"sid":"a","topic":"services.billing.secret-topic"}"#).await;
    assert_eq!(session.refused(r#"{"op":"pub","id":2,"topic":"orders.new","data":1}"#).await, "forbidden");
    harness.connect("checkout", &[]).await.close().await;
    let nobody = harness.pki.issue(&Profile { uris: Vec::new(), ..Profile::service("nobody", &[]) });
    assert!(harness.try_connect(&nobody).await.is_err());
    harness.sessions(1).await;
    wait_until(|| harness.metric("connections_refused_total{reason=\"identity\"}") == 1).await;
    wait_until(|| harness.metric("sessions_closed_total{reason=\"client_closed\"}") == 1).await;
    let (status, text) = page(&admin_socket(&harness), "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "portcullis_connections_accepted_total 3",
        "portcullis_connections_refused_total{reason=\"identity\"} 1",
        "portcullis_sessions 1",
        "portcullis_subscriptions 1",
        "portcullis_operations_denied_total 1",
        "portcullis_sessions_closed_total{reason=\"client_closed\"} 1",
        "portcullis_sessions_closed_total{reason=\"slow_consumer\"} 0",
        "portcullis_generation 1",
        "portcullis_handshake_seconds_count 3",
        "portcullis_open_seconds_count 2",
        "# EOF",
    ] {
        assert!(text.lines().any(|known| known == line), "no {line} in:\n{text}");
    }
    for name in ["billing", "checkout", "secret-topic", "orders"] {
        assert!(!text.contains(name), "{name} is in the metrics");
    }
}

#[tokio::test]
async fn a_stopping_gateway_tells_its_sessions_and_ends_them_by_the_deadline() {
    let harness = Harness::with(administered()).await;
    let socket = admin_socket(&harness);
    let (mut stays, mut leaves) =
        (harness.connect("billing", &[]).await, harness.connect("checkout", &[]).await);
    let (address, gateway) = (harness.address, harness.gateway().clone());
    let stopping = tokio::spawn(harness.server.stop());
    let draining = stays.expect("draining").await;
    assert!(draining["deadline"].as_u64().is_some_and(|deadline| deadline > 1_700_000_000_000), "{draining}");
    let (status, page_now) = readiness(&socket).await;
    assert_eq!((status, &page_now["phase"], &page_now["ready"]), (503, &"draining".into(), &false.into()));
    // A session may go on until the deadline, and may leave before it.
    stays.ok(r#"{"op":"pub","id":1,"topic":"services.billing.x","data":1}"#).await;
    leaves.expect("draining").await;
    leaves.close().await;
    assert_eq!(stays.closed().await, Closed::Frame(1001, "draining retry_after_ms=1000".into()));
    drop((stays, leaves));
    timeout(PATIENCE, stopping).await.expect("stopped in time").expect("stopped");
    assert!(gateway.registry.is_empty());
    assert!(!socket.exists(), "the admin socket is taken away");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_gateway_without_sessions_stops_at_once() {
    let harness = Harness::with(administered()).await;
    let started = std::time::Instant::now();
    timeout(PATIENCE, harness.server.stop()).await.expect("stopped in time");
    assert!(started.elapsed() < Duration::from_secs(3));
}

/// Another gateway's files, with these lines in `[gateway]` and at the start of the `[[listener]]`.
fn another(gateway: String) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    Pki::new(folder.path());
    let (config, _) = write_files(folder.path(), &Setup { gateway, ..Setup::default() });
    (folder, config)
}

#[tokio::test]
async fn a_second_gateway_on_the_same_admin_socket_is_told_so_and_the_first_goes_on() {
    let harness = Harness::with(administered()).await;
    let socket = admin_socket(&harness);
    let (_folder, config) = another(format!("admin_socket = {socket:?}"));
    match Server::start(&config).await.err() {
        Some(StartError::Admin(error @ AdminError::InUse { .. })) => {
            assert!(chain(&error).contains("another process answers on the admin socket"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(page(&socket, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_second_gateway_on_the_same_address_is_told_so() {
    let harness = Harness::start().await;
    let (_folder, config) = another(String::new());
    let text = std::fs::read_to_string(&config).expect("the configuration");
    replace(&config, text.replace("127.0.0.1:0", &harness.address.to_string()).as_bytes());
    match Server::start(&config).await.err() {
        Some(StartError::Accept(error)) => {
            assert_eq!(error.address, harness.address);
            assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
            assert!(error.to_string().starts_with("listener[0].address: "), "{error}");
            assert!(chain(&error).contains(&harness.address.to_string()));
        }
        other => panic!("{other:?}"),
    }
    harness.connect("billing", &[]).await;
}

#[tokio::test]
async fn an_admin_socket_that_a_killed_gateway_left_is_taken_over() {
    let (folder, config) = another(ADMIN.into());
    let socket = folder.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("bound"));
    assert!(socket.exists());
    // What the process of this number left when it died while it made its socket; in a container it is always 1.
    std::fs::write(folder.path().join(format!("admin.sock.{}", std::process::id())), "").expect("written");
    let server = Server::start(&config).await.expect("a gateway");
    let hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    let mut entries = std::fs::read_dir(folder.path()).expect("a folder").flatten();
    assert!(!entries.any(|entry| hidden(&entry.file_name())), "nothing is left beside the socket");
    assert_eq!(page(&socket, "/livez").await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_never_replaced_by_the_admin_socket() {
    let (folder, config) = another(r#"admin_socket = "gateway.key""#.into());
    let key = std::fs::read(folder.path().join("gateway.key")).expect("a key");
    let error = Server::start(&config).await.err();
    assert!(matches!(error, Some(StartError::Admin(AdminError::Occupied { .. }))), "{error:?}");
    assert_eq!(std::fs::read(folder.path().join("gateway.key")).expect("a key"), key);
}
