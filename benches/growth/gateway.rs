//! Gateways that differ in nothing but their policy.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::dialect::Dialect;
use crate::load::Door;
use crate::process::Process;
use crate::server::Site;

/// More sessions of one service than usual.
const LIMITS: &str = "max_sessions_per_service = 20000\n";

/// Certificates and configuration, for one gateway after the other.
pub struct Stage {
    site: Site,
    client: Arc<ClientConfig>,
    binary: PathBuf,
}

/// One that serves, and the way in.
pub struct Gateway {
    pub process: Process,
    pub door: Door,
}

impl Stage {
    pub fn new(binary: PathBuf) -> Self {
        let site = Site::with("", LIMITS);
        let client = Arc::new(site.client("bench"));
        Self { site, client, binary }
    }

    pub fn start(&self, policy: &str) -> Gateway {
        self.site.pki.write("policy.toml", policy);
        let configuration = self.site.pki.path("portcullis.toml");
        let arguments = ["serve", "--config", configuration.to_str().expect("UTF-8")];
        let process = Process::start(&self.binary, &arguments, "listening", "address=");
        let door = Door { address: process.address, config: self.client.clone(), dialect: Dialect::Nats };
        Gateway { process, door }
    }
}
