//! Changes of files while the gateway runs: what is taken, what is refused, and what live sessions notice.
//!
//! Polling is all but off, so that the system's notification alone shows the changes, unless a test says otherwise.

mod anchors;
mod deny;
mod files;
mod guard;
mod preview;
mod rollback;
mod sessions;
mod stale;
mod trust;

use portcullis::reload::{Ask, Report};
use rustls::pki_types::CertificateDer;

use crate::harness::{Ca, Harness, Issued, Profile, Setup, wait_until};

const NO_POLLING: &str = "[reload]\npoll_interval_ms = 3600000";

async fn start() -> Harness {
    with(Setup::default()).await
}

async fn with(setup: Setup) -> Harness {
    Harness::with(Setup { more: NO_POLLING.into(), ..setup }).await
}

/// A gateway that refuses changes which end more than a fifth of the sessions.
async fn guarded() -> Harness {
    let more = format!("{NO_POLLING}\nmax_cut_percent = 20");
    Harness::with(Setup { more, ..Setup::default() }).await
}

async fn dry_run(harness: &Harness) -> Report {
    harness
        .server
        .reload_handle()
        .try_files(Ask { dry_run: true, force: false })
        .await
        .expect("the gateway runs")
}

async fn force(harness: &Harness) -> Report {
    harness
        .server
        .reload_handle()
        .try_files(Ask { dry_run: false, force: true })
        .await
        .expect("the gateway runs")
}

async fn roll_back(harness: &Harness) -> Report {
    harness.server.reload_handle().roll_back(Ask::default()).await.expect("the gateway runs")
}

pub fn faults(harness: &Harness) -> Vec<String> {
    harness.server.reload_handle().status().faults
}

/// Waits until the present files are refused, and tells why.
async fn refused(harness: &Harness) -> String {
    wait_until(|| !faults(harness).is_empty()).await;
    faults(harness).join("\n")
}

/// Waits for a generation that is installed whole.
pub async fn taken(harness: &Harness, generation: u64) {
    harness.generation_at_least(generation).await;
    wait_until(|| faults(harness).is_empty()).await;
    assert_eq!(harness.gateway().generation_number(), generation);
}

/// Waits until every change so far was tried.
pub async fn tried(harness: &Harness) {
    harness.reload().await;
}

/// The certificate that the gateway shows to `client`.
pub async fn shown(harness: &Harness, client: &Issued) -> CertificateDer<'static> {
    let stream = harness.tls(client).await.expect("a handshake");
    let (_, connection) = stream.get_ref();
    connection.peer_certificates().expect("a certificate")[0].clone()
}

fn new_pair(harness: &Harness) -> Issued {
    harness.pki.issue(&crate::harness::Pki::gateway_profile())
}

async fn may_connect(harness: &Harness, issued: &Issued) -> bool {
    let Ok(mut peer) = harness.try_connect(issued).await else { return false };
    peer.expect("hello").await;
    true
}

/// Edits the configuration in one step.
pub fn reconfigure(harness: &Harness, from: &str, to: &str) {
    let text = std::fs::read_to_string(&harness.config).expect("a configuration");
    assert!(text.contains(from), "{text}");
    crate::harness::replace(&harness.config, text.replace(from, to).as_bytes());
}

/// Lets the gateway trust these roots, each with its newest list.
pub fn trust(harness: &Harness, roots: &[&Ca]) {
    let all = |each: fn(&Ca) -> String| roots.iter().map(|root| each(root)).collect::<String>();
    harness.pki.write("crl.pem", &all(|root| root.crl(86_400)));
    harness.pki.write("anchors.pem", &all(|root| root.pem.clone()));
}

fn service(harness: &Harness, name: &str, roles: &[&str]) -> Issued {
    harness.pki.issue(&Profile::service(name, roles))
}
