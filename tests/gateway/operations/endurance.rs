//! What must not add up.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::verbs::post;
use super::{ADMIN, readiness};
use crate::harness::raw::Raw;
use crate::harness::{Binary, Issued, PATIENCE, POLICY, Pki, Profile, Setup, write_files};

const RELOADS: usize = 1_000;
/// After so many, whatever grows once has grown.
const WARM: usize = 200;

/// A session, greeted.
async fn connect(pki: &Pki, issued: &Issued, address: &str) -> Raw {
    let connector = TlsConnector::from(Arc::new(pki.client_config(Some(issued))));
    let tcp = TcpStream::connect(address).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = Raw::over(connector.connect(name, tcp).await.expect("a handshake"));
    assert_eq!(session.upgrade().await["op"], "hello");
    session
}

/// Descriptors, and resident memory in KiB.
fn held(id: u32) -> (usize, usize) {
    let descriptors = fs::read_dir(format!("/proc/{id}/fd")).expect("a process").count();
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    (descriptors, memory.trim().trim_end_matches(" kB").trim().parse().expect("KiB"))
}

/// Waits until one session is left.
async fn settled(socket: &Path) {
    let waiting = async {
        while readiness(socket).await.1["sessions"] != 1 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the others leave in time");
}

#[tokio::test]
async fn a_thousand_reloads_under_load_fail_no_handshake_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Arc::new(Pki::new(folder.path()));
    let more = "[log]\nformat = \"json\"\n[reload]\npoll_interval_ms = 3600000".into();
    let (config, policy) =
        write_files(folder.path(), &Setup { gateway: ADMIN.into(), more, ..Setup::default() });
    let mut gateway = Binary::spawn(&["serve", "--config", config.to_str().expect("UTF-8")]);
    let listening: Value = serde_json::from_str(&gateway.logs("listening").await).expect("JSON");
    let address: Arc<str> = listening["address"].as_str().expect("an address").into();
    let socket = folder.path().join("admin.sock");
    let issued = Arc::new(pki.issue(&Profile::service("billing", &[])));
    let _stays = connect(&pki, &issued, &address).await;

    // Nobody is notified of a write through another name: each request finds what it is to take.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other_name = elsewhere.path().join("policy");
    fs::hard_link(&policy, &other_name).expect("another name");
    let mut warm = None;
    for (from, to) in [(0, WARM), (WARM, RELOADS)] {
        let stop = CancellationToken::new();
        let (pki_of_load, issued, address, stopped) =
            (pki.clone(), issued.clone(), address.clone(), stop.clone());
        let load = tokio::spawn(async move {
            let mut opened = 0;
            while !stopped.is_cancelled() {
                drop(connect(&pki_of_load, &issued, &address).await);
                opened += 1;
            }
            opened
        });
        for turn in from..to {
            fs::write(&other_name, format!("{POLICY}# {turn}\n")).expect("written");
            if turn % 10 == 0 {
                pki.publish_crl();
            }
            let (status, outcome) = post(&socket, "/reload", "").await;
            assert_eq!(status, 200, "{outcome}");
        }
        stop.cancel();
        assert!(load.await.expect("every handshake succeeds") > 0);
        settled(&socket).await;
        let (descriptors, memory) = held(gateway.id());
        let (descriptors_before, memory_before) = *warm.get_or_insert((descriptors, memory));
        assert!(descriptors <= descriptors_before + 2, "{descriptors_before} -> {descriptors}");
        assert!(memory <= memory_before + 8 * 1024, "{memory_before} KiB -> {memory} KiB");
    }
    let generation = readiness(&socket).await.1["generation"].as_u64().expect("a number");
    assert!(generation >= RELOADS as u64, "{generation}");
    gateway.signal("TERM");
}
