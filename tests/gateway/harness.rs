//! A gateway to test against: a PKI of its own, a configuration in a temporary folder, and clients that see raw frames.

mod binary;
mod logs;
pub mod nats;
mod peer;
mod pki;
pub mod raw;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portcullis::gateway::Gateway;
use portcullis::reload::Attempt;
use portcullis::server::Server;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;

pub use binary::Binary;
pub use logs::Logs;
pub use peer::{Closed, Peer};
pub use pki::{Ca, Issued, Pki, Profile};

/// No single step of a test takes longer, or it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Services and rights that most tests use: whoever has the role `writer` publishes on `orders.>`, `reader` subscribes
/// there, `billing` answers on `billing.quote` and `checkout` asks; everyone has a space of its own.
pub const POLICY: &str = r#"
[[grant]]
name = "writers"
roles = ["writer"]
publish = ["orders.>"]

[[grant]]
name = "readers"
roles = ["reader"]
subscribe = ["orders.>"]
deny_subscribe = ["orders.internal.>"]
groups = ["pool"]

[[grant]]
name = "billing-answers"
services = ["billing"]
subscribe = ["billing.quote"]

[[grant]]
name = "checkout-asks"
services = ["checkout"]
publish = ["billing.quote"]

[[grant]]
name = "own-space"
services = ["*"]
publish = ["services.{service}.>"]
subscribe = ["services.{service}.>"]
"#;

/// What differs from the usual gateway.
#[derive(Default)]
pub struct Setup {
    /// Instead of [`POLICY`].
    pub policy: Option<String>,
    /// Lines of the top level.
    pub before: String,
    /// Lines of `[limits]`.
    pub limits: String,
    /// Lines of `[gateway]`.
    pub gateway: String,
    /// Lines of the `[[listener]]`; `default_dialect` is not set.
    pub listener: String,
    /// Lines of the `[[trust]]` block before its rules.
    pub trust: String,
    /// Lets the gateway renew, by a CA whose certificate ends in so many seconds.
    pub renewal: Option<Renewal>,
    /// Instead of the usual rule, whole `[[trust.rule]]` blocks.
    pub rules: Option<String>,
    /// Further whole blocks.
    pub more: String,
    /// Further files beside the configuration: name and content.
    pub files: Vec<(&'static str, String)>,
}

/// How a gateway renews.
pub struct Renewal {
    /// When the CA's certificate ends, in seconds from now.
    pub ca_seconds: i64,
    /// Lines of `[trust.renewal]`.
    pub lines: &'static str,
}

impl Default for Renewal {
    fn default() -> Self {
        Self { ca_seconds: 80_000, lines: "lifetime_ms = 3600000" }
    }
}

/// A running gateway with its files.
pub struct Harness {
    pub pki: Pki,
    pub server: Server,
    pub address: SocketAddr,
    pub config: PathBuf,
    pub policy: PathBuf,
    _folder: TempDir,
}

impl Harness {
    /// The usual gateway.
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pki = Pki::with(folder.path(), setup.renewal.as_ref().map(|renewal| renewal.ca_seconds));
        let (config, policy) = write_files(folder.path(), &setup);
        let server = Server::start(&config).await.unwrap_or_else(|error| {
            panic!("the gateway does not start: {}", portcullis::report::chain(&error))
        });
        let address = server.addresses()[0];
        Self { pki, server, address, config, policy, _folder: folder }
    }

    pub fn gateway(&self) -> &Arc<Gateway> {
        self.server.gateway()
    }

    /// Writes the policy and waits until the gateway has taken or refused it.
    pub async fn set_policy(&self, policy: &str) -> Attempt {
        replace(&self.policy, policy.as_bytes());
        self.reload().await
    }

    pub async fn reload(&self) -> Attempt {
        self.server.reload_handle().reload().await.expect("the gateway runs")
    }

    /// Waits until the current generation is at least this one: a level, not a moment.
    pub async fn generation_at_least(&self, number: u64) {
        wait_until(|| self.gateway().generation_number() >= number).await;
    }

    /// A session of a newly issued certificate, its `hello` read.
    pub async fn connect(&self, service: &str, roles: &[&str]) -> Peer {
        let issued = self.pki.issue(&Profile::service(service, roles));
        self.connect_as(&issued).await
    }

    /// A session with this certificate, its `hello` read.
    pub async fn connect_as(&self, issued: &Issued) -> Peer {
        let mut peer = self.try_connect(issued).await.expect("a session");
        peer.hello = peer.expect("hello").await;
        peer
    }

    /// A WebSocket before its `hello`, or why there is none.
    pub async fn try_connect(&self, issued: &Issued) -> Result<Peer, tokio_tungstenite::tungstenite::Error> {
        self.try_upgrade(issued, self.request()).await
    }

    /// A WebSocket by a request of the test's own making.
    pub async fn try_upgrade(
        &self,
        issued: &Issued,
        request: Request,
    ) -> Result<Peer, tokio_tungstenite::tungstenite::Error> {
        let stream = self.tls(issued).await.map_err(tokio_tungstenite::tungstenite::Error::Io)?;
        let upgrading = tokio_tungstenite::client_async(request, stream);
        let (socket, response) =
            tokio::time::timeout(PATIENCE, upgrading).await.expect("an answer in time")?;
        Ok(Peer::new(socket, response))
    }

    /// An ordinary upgrade request.
    pub fn request(&self) -> Request {
        let mut request = format!("wss://localhost:{}/", self.address.port()).into_client_request().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", HeaderValue::from_static("portcullis.json.v1"));
        request
    }

    /// A TLS stream before any HTTP. In TLS 1.3 a refused certificate shows at the first read.
    pub async fn tls(&self, issued: &Issued) -> std::io::Result<TlsStream<TcpStream>> {
        self.tls_with(self.pki.client_config(Some(issued)), "localhost").await
    }

    pub async fn tls_with(
        &self,
        config: ClientConfig,
        server_name: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.tls_over(TcpStream::connect(self.address).await?, config, server_name).await
    }

    pub async fn tls_over(
        &self,
        socket: TcpStream,
        config: ClientConfig,
        server_name: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(server_name.to_owned()).expect("a server name");
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, socket);
        tokio::time::timeout(PATIENCE, connecting).await.expect("a handshake in time")
    }

    /// The value of one series in the metrics, without its prefix; zero if it is not there yet.
    pub fn metric(&self, series: &str) -> u64 {
        let text = self.gateway().metrics.render(self.gateway());
        let wanted = format!("portcullis_{series} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&wanted));
        value.map_or(0, |value| value.parse().expect("a count"))
    }

    /// Waits until this many connections are through their TLS handshake. The generation that judges them is taken before it.
    pub async fn handshakes(&self, count: u64) {
        wait_until(|| self.metric("handshake_seconds_count") == count).await;
    }

    /// Waits until this many sessions live.
    pub async fn sessions(&self, count: usize) {
        wait_until(|| self.gateway().registry.len() == count).await;
    }
}

/// Replaces a file in one step, as careful writers do.
pub fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes).expect("written beside");
    std::fs::rename(&beside, path).expect("renamed");
}

/// Waits for a level. Fails after [`PATIENCE`].
pub async fn wait_until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the level is reached in time");
}

/// Writes the configuration and the policy, and tells where they are.
pub fn write_files(folder: &Path, setup: &Setup) -> (PathBuf, PathBuf) {
    let (config, policy) = (folder.join("portcullis.toml"), folder.join("policy.toml"));
    std::fs::write(&policy, setup.policy.as_deref().unwrap_or(POLICY)).expect("policy written");
    std::fs::write(&config, configuration(setup)).expect("configuration written");
    for (name, content) in &setup.files {
        std::fs::write(folder.join(name), content).expect("file written");
    }
    (config, policy)
}

/// Further blocks of which `[reload]` lets a change end every session, unless a test says otherwise.
fn unguarded(more: &str) -> String {
    const OFF: &str = "[reload]\nmax_cut_percent = 100";
    match (more.contains("max_cut_percent"), more.contains("[reload]")) {
        (true, _) => more.into(),
        (false, true) => more.replacen("[reload]", OFF, 1),
        (false, false) => format!("{more}\n{OFF}"),
    }
}

fn configuration(setup: &Setup) -> String {
    let usual = r#"
        [[trust.rule]]
        name = "usual"
        match = { cn = "{service}", uri = "spiffe://test.internal/service/{service}" }
        roles_from = "ou"
        role_values = ["writer", "reader"]
    "#;
    format!(
        r#"
        policy = "policy.toml"
        {before}
        [gateway]
        name = "test"
        {gateway}
        [[listener]]
        address = "127.0.0.1:0"
        certificate = "gateway.pem"
        key = "gateway.key"
        names = ["localhost"]
        {listener}
        [[trust]]
        name = "internal"
        anchors = ["anchors.pem"]
        crls = ["crl.pem"]
        {trust}
        {renewal}
        {rules}
        [limits]
        drain_timeout_ms = 300
        {limits}
        {more}
        "#,
        before = setup.before,
        gateway = setup.gateway,
        listener = setup.listener,
        trust = setup.trust,
        renewal = setup.renewal.as_ref().map(renewal_block).unwrap_or_default(),
        rules = setup.rules.as_deref().unwrap_or(usual),
        limits = setup.limits,
        more = unguarded(&setup.more),
    )
}

fn renewal_block(renewal: &Renewal) -> String {
    format!(
        r#"
        intermediates = ["renewal.pem"]
        [trust.renewal]
        certificate = "renewal.pem"
        key = "renewal.key"
        {}
        "#,
        renewal.lines
    )
}
