//! The client library against the real gateway: what it promises over reconnects, rotation and revocation.

use std::path::PathBuf;
use std::time::Duration;

use portcullis::client::{Body, Client, ConnectError, Ending, Event, Events, OperationError, Options, RequestOptions};
use portcullis::server::Server;
use serde_json::json;
use tokio::time::timeout;

use crate::harness::{Ca, Harness, Issued, PATIENCE, Profile, Setup, wait_until};

/// The files of one client.
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Files {
    fn write(harness: &Harness, name: &str, issued: &Issued) -> Self {
        let files = Self {
            chain: harness.pki.path(&format!("{name}.client.pem")),
            key: harness.pki.path(&format!("{name}.client.key")),
        };
        files.replace(issued);
        files
    }

    /// Puts another certificate in their place.
    fn replace(&self, issued: &Issued) {
        crate::harness::replace(&self.key, issued.key_pem.as_bytes());
        crate::harness::replace(&self.chain, issued.pem.as_bytes());
    }

    fn options(&self, harness: &Harness) -> Options {
        let url = format!("wss://localhost:{}/", harness.address.port());
        let roots = harness.pki.path("gateway-anchors.pem");
        std::fs::write(&roots, &harness.pki.ca.pem).expect("written");
        let builder = Options::builder(url, roots, &self.chain, &self.key)
            .backoff_min(Duration::from_millis(10))
            .backoff_max(Duration::from_millis(200));
        builder.build().expect("options")
    }
}

async fn connect(harness: &Harness, service: &str, roles: &[&str]) -> Client {
    let files = Files::write(harness, service, &harness.pki.issue(&Profile::service(service, roles)));
    Client::connect(files.options(harness)).await.expect("a session")
}

/// Reads events until one is wanted.
async fn event<T>(events: &mut Events, wanted: impl Fn(&Event) -> Option<T>) -> T {
    let reading = async {
        loop {
            let event = events.next().await.expect("an event before the end");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("the event in time")
}

async fn connected(events: &mut Events) {
    event(events, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
}

/// Stops the gateway, keeping its port for the next one.
async fn stop(harness: Harness) -> Stopped {
    let Harness { server, address, config, .. } = harness;
    server.stop().await;
    let text = std::fs::read_to_string(&config).expect("a configuration");
    std::fs::write(&config, text.replace("127.0.0.1:0", &address.to_string())).expect("written");
    Stopped { config }
}

struct Stopped {
    config: PathBuf,
}
