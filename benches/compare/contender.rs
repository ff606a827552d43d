//! Who is compared, and how each is set up: the same certificates, TLS 1.3, required client certificates, no
//! compression, and the same rights for everyone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::kx_group::{X25519, X25519MLKEM768};
use rustls::version::TLS13;

use super::dialect::Dialect;
use super::load::Door;
use super::process::Process;
use super::server::Site;
use super::server::pki::Profile;

/// Everyone may publish and subscribe below `bench`; inboxes need no grant.
const POLICY: &str = r#"
[[grant]]
name = "everyone"
services = ["*"]
publish = ["bench.>"]
subscribe = ["bench.>"]
"#;

/// More sessions of one service than usual.
const LIMITS: &str = "max_sessions_per_service = 20000\n";

/// One build of one server.
pub struct Contender {
    pub name: String,
    pub kind: Kind,
}

pub enum Kind {
    Portcullis { binary: PathBuf, configuration: &'static str },
    Nats { binary: PathBuf },
    Floor,
}

/// A contender that serves, and the way in.
pub struct Running {
    pub process: Process,
    pub door: Door,
}

impl Contender {
    pub fn portcullis(name: &str, binary: &Path) -> Self {
        Self::with_configuration(name, binary, "portcullis.toml")
    }

    /// Without the verified sender in each message.
    pub fn unstamped(binary: &Path) -> Self {
        Self::with_configuration("portcullis, unstamped", binary, "unstamped.toml")
    }

    fn with_configuration(name: &str, binary: &Path, configuration: &'static str) -> Self {
        Self { name: name.into(), kind: Kind::Portcullis { binary: binary.into(), configuration } }
    }

    /// Named as it names itself: `nats-server: v2.15.1`.
    pub fn nats(binary: &Path) -> Self {
        let said = Command::new(binary).arg("--version").output().expect("a nats-server");
        let said = String::from_utf8_lossy(&said.stdout).trim().replace(": v", " ");
        Self { name: said, kind: Kind::Nats { binary: binary.into() } }
    }

    pub fn floor() -> Self {
        Self { name: "floor".into(), kind: Kind::Floor }
    }

    /// Starts it; `is_json` is for Portcullis, which alone has another dialect.
    pub fn start(&self, field: &Field, is_json: bool) -> Running {
        let path = |name: &str| field.site.pki.path(name).to_str().expect("UTF-8").to_owned();
        let (process, dialect) = match &self.kind {
            Kind::Portcullis { binary, configuration } => {
                let arguments = ["serve", "--config", &path(configuration)];
                let dialect = if is_json { Dialect::Json } else { Dialect::Nats };
                (Process::start(binary, &arguments, "listening", "address="), dialect)
            }
            Kind::Nats { binary } => {
                let arguments = ["--config", &path("nats.conf")];
                (Process::start(binary, &arguments, "websocket clients", "wss://"), Dialect::Nats)
            }
            Kind::Floor => {
                let this = std::env::current_exe().expect("this program");
                let files = [path("gateway.pem"), path("gateway.key"), path("anchors.pem")];
                let arguments = ["floor", &files[0], &files[1], &files[2]];
                (Process::start(&this, &arguments, "listening", "address="), Dialect::Floor)
            }
        };
        let door = Door { address: process.address, config: field.client.clone(), dialect };
        Running { process, door }
    }
}

/// What all contenders share.
pub struct Field {
    site: Site,
    client: Arc<ClientConfig>,
}

impl Field {
    /// Certificates, and a configuration for each kind of server. nats-server 2.9 has no key exchange against quantum
    /// computers; unless it is asked for, all do the same work.
    pub fn new(is_post_quantum: bool) -> Self {
        let site = Site::with("", LIMITS);
        let usual = std::fs::read_to_string(site.pki.path("portcullis.toml")).expect("written");
        site.pki.write("unstamped.toml", &format!("{usual}\n[nats]\nstamp_sender = false\n"));
        site.pki.write("policy.toml", POLICY);
        site.pki.write("nats.conf", &nats_configuration(&site));
        let mut provider = portcullis::tls::provider();
        Arc::make_mut(&mut provider).kx_groups =
            if is_post_quantum { vec![X25519MLKEM768, X25519] } else { vec![X25519] };
        let issued = site.pki.issue(&Profile::service("bench", &[]));
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(site.pki.roots())
            .with_client_auth_cert(issued.chain, issued.key)
            .expect("a key");
        client.resumption = Resumption::disabled();
        Self { site, client: Arc::new(client) }
    }
}

/// `verify` demands a client certificate; everyone is then the one user, with the rights that `POLICY` gives.
fn nats_configuration(site: &Site) -> String {
    let path = |name: &str| site.pki.path(name).display().to_string();
    format!(
        r#"
listen: "127.0.0.1:-1"
authorization {{
  users = [{{
    user: bench, password: bench
    permissions: {{
      publish: {{ allow: ["bench.>", "_INBOX.>"] }}
      subscribe: {{ allow: ["bench.>", "_INBOX.>"] }}
    }}
  }}]
}}
websocket {{
  listen: "127.0.0.1:-1"
  no_auth_user: bench
  compression: false
  tls {{
    cert_file: "{}"
    key_file: "{}"
    ca_file: "{}"
    verify: true
  }}
}}
"#,
        path("gateway.pem"),
        path("gateway.key"),
        path("anchors.pem")
    )
}
