//! What a client is told: where the gateway is, which files prove who it is, and its bounds.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::http::uri::Authority;

use super::dial::Network;
use super::error::OptionsError;

/// TCP, TLS, upgrade and `hello` together.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request or a confirmation may take.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Below the idle limits of common load balancers (60 s), with room for a lost ping.
pub const DEFAULT_PING_INTERVAL: Duration = Duration::from_secs(20);
/// First step of the backoff.
pub const DEFAULT_BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Last step of the backoff.
pub const DEFAULT_BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Messages waiting to be written, and messages waiting in one subscription.
pub const DEFAULT_MAX_QUEUED: usize = 1024;
/// Bytes waiting to be written, and bytes waiting in one subscription: sixteen payloads of the gateway's default limit.
pub const DEFAULT_MAX_QUEUED_BYTES: usize = 8 << 20;
/// Largest WebSocket message accepted from the gateway: base64 and envelope around a large payload.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 4 << 20;

/// What a client needs to know, checked. The files are not read here but on every attempt to connect, so that
/// replacing them is all it takes to rotate a certificate.
#[derive(Debug, Clone)]
pub struct Options {
    pub(super) authority: Authority,
    pub(super) path: String,
    pub(super) port: u16,
    pub(super) server_name: ServerName<'static>,
    pub(super) anchors: PathBuf,
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
    pub(super) connect_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) ping_interval: Duration,
    pub(super) backoff_min: Duration,
    pub(super) backoff_max: Duration,
    pub(super) max_queued: usize,
    pub(super) max_queued_bytes: usize,
    pub(super) max_message_bytes: usize,
    pub(super) network: Network,
}

impl Options {
    /// Begins with the gateway's address, `wss://host:port/`, and the three PEM files without which nothing works:
    /// the anchors that the gateway's certificate must chain to, this service's certificate chain (leaf first) and
    /// its key.
    pub fn builder(
        url: impl Into<String>,
        anchors: impl Into<PathBuf>,
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> OptionsBuilder {
        OptionsBuilder {
            url: url.into(),
            anchors: anchors.into(),
            chain: chain.into(),
            key: key.into(),
            server_name: None,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
            ping_interval: DEFAULT_PING_INTERVAL,
            backoff_min: DEFAULT_BACKOFF_MIN,
            backoff_max: DEFAULT_BACKOFF_MAX,
            max_queued: DEFAULT_MAX_QUEUED,
            max_queued_bytes: DEFAULT_MAX_QUEUED_BYTES,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            network: Network::Tcp,
        }
    }

    /// The name under which the gateway's certificate is verified, and which a proof of possession binds.
    pub(super) fn dialled_name(&self) -> String {
        self.server_name.to_str().into_owned()
    }

    /// Largest operation that is sent: as large a message as may be received, or a whole queue.
    pub(super) fn max_operation_bytes(&self) -> usize {
        self.max_message_bytes.max(self.max_queued_bytes)
    }

    /// The host to connect to, without the brackets of an IPv6 literal.
    pub(super) fn host(&self) -> &str {
        bare_host(self.authority.host())
    }
}

/// Makes [`Options`]; see [`Options::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct OptionsBuilder {
    url: String,
    anchors: PathBuf,
    chain: PathBuf,
    key: PathBuf,
    server_name: Option<String>,
    connect_timeout: Duration,
    request_timeout: Duration,
    ping_interval: Duration,
    backoff_min: Duration,
    backoff_max: Duration,
    max_queued: usize,
    max_queued_bytes: usize,
    max_message_bytes: usize,
    network: Network,
}

macro_rules! setter {
    ($(#[$doc:meta])* $name:ident: $kind:ty) => {
        $(#[$doc])*
        pub fn $name(mut self, $name: $kind) -> Self {
            self.$name = $name;
            self
        }
    };
}

impl OptionsBuilder {
    /// The name to verify in the gateway's certificate, if it is not the host of the URL.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    setter! {
        /// Bound on TCP, TLS, upgrade and `hello` together.
        connect_timeout: Duration
    }
    setter! {
        /// Bound on a request, a confirmation, and one write to the socket.
        request_timeout: Duration
    }
    setter! {
        /// How often to ping; nothing heard for twice as long is a dead connection.
        ping_interval: Duration
    }
    setter! {
        /// First step of the backoff between attempts.
        backoff_min: Duration
    }
    setter! {
        /// Last step of the backoff, and the pace after the gateway refused this certificate or service.
        backoff_max: Duration
    }
    setter! {
        /// Most messages waiting to be written, and most waiting in one subscription.
        max_queued: usize
    }
    setter! {
        /// Most bytes waiting to be written, and most waiting in one subscription.
        max_queued_bytes: usize
    }
    setter! {
        /// Largest WebSocket message accepted from the gateway, in bytes.
        max_message_bytes: usize
    }

    /// Where connections go instead of TCP.
    #[cfg(test)]
    pub(super) fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Checks the address and the bounds.
    pub fn build(self) -> Result<Options, OptionsError> {
        let url = self.parse_url()?;
        let host = bare_host(url.authority.host());
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let server_name =
            ServerName::try_from(name.clone()).map_err(|_| OptionsError::ServerName { name })?;
        self.check_bounds()?;
        Ok(Options {
            port: url.authority.port_u16().unwrap_or(443),
            authority: url.authority,
            path: url.path,
            server_name,
            anchors: self.anchors,
            chain: self.chain,
            key: self.key,
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            ping_interval: self.ping_interval,
            backoff_min: self.backoff_min,
            backoff_max: self.backoff_max,
            max_queued: self.max_queued,
            max_queued_bytes: self.max_queued_bytes,
            max_message_bytes: self.max_message_bytes,
            network: self.network,
        })
    }

    fn parse_url(&self) -> Result<Address, OptionsError> {
        let fault = |problem| OptionsError::Url { url: self.url.clone(), problem };
        let uri: Uri = self.url.parse().map_err(|_| fault("it is not a URL"))?;
        if uri.scheme_str() != Some("wss") {
            return Err(fault("it must begin with wss://, because a certificate is needed on both sides"));
        }
        if uri.query().is_some() {
            return Err(fault("it has a query string, which the gateway refuses"));
        }
        let authority = uri.authority().cloned().ok_or_else(|| fault("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(fault("it carries a user name; the certificate is the only proof"));
        }
        Ok(Address { path: uri.path().to_owned(), authority })
    }

    fn check_bounds(&self) -> Result<(), OptionsError> {
        let durations = [
            ("connect_timeout", self.connect_timeout),
            ("request_timeout", self.request_timeout),
            ("ping_interval", self.ping_interval),
            ("backoff_min", self.backoff_min),
        ];
        let sizes = [
            ("max_queued", self.max_queued),
            ("max_queued_bytes", self.max_queued_bytes),
            ("max_message_bytes", self.max_message_bytes),
        ];
        let zeros = durations.into_iter().filter(|(_, value)| value.is_zero()).map(|(option, _)| option);
        let empties = sizes.into_iter().filter(|(_, value)| *value == 0).map(|(option, _)| option);
        if let Some(option) = zeros.chain(empties).next() {
            return Err(OptionsError::Zero { option });
        }
        let too_large = sizes.into_iter().find(|(_, value)| *value > MAX_BOUND);
        if let Some((option, _)) = too_large {
            return Err(OptionsError::TooLarge { option, most: MAX_BOUND });
        }
        if self.backoff_min > self.backoff_max {
            return Err(OptionsError::Backoff { min: self.backoff_min, max: self.backoff_max });
        }
        Ok(())
    }
}

/// Far above anything useful, and below what a semaphore can count.
const MAX_BOUND: usize = 1 << 28;

struct Address {
    authority: Authority,
    path: String,
}

fn bare_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(url: &str) -> Result<Options, OptionsError> {
        Options::builder(url, "ca.pem", "cert.pem", "key.pem").build()
    }

    #[test]
    fn an_address_gives_host_port_and_name() {
        let options = build("wss://gateway.internal:8443/").unwrap();
        assert_eq!((options.host(), options.port), ("gateway.internal", 8443));
        assert_eq!(options.dialled_name(), "gateway.internal");
        assert_eq!(build("wss://[::1]:8443").unwrap().host(), "::1");
        assert_eq!(build("wss://gateway.internal").unwrap().port, 443);
    }

    #[test]
    fn addresses_that_cannot_work_are_refused() {
        for url in [
            "ws://gateway/",
            "https://gateway/",
            "gateway:8443",
            "wss://",
            "wss://a/?token=x",
            "wss://u:p@a/",
        ] {
            assert!(matches!(build(url), Err(OptionsError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn bounds_must_make_sense() {
        let builder = || Options::builder("wss://gateway/", "ca.pem", "cert.pem", "key.pem");
        assert!(matches!(builder().max_queued(0).build(), Err(OptionsError::Zero { option: "max_queued" })));
        assert!(matches!(
            builder().backoff_min(Duration::from_secs(60)).build(),
            Err(OptionsError::Backoff { .. })
        ));
        assert!(matches!(builder().max_queued_bytes(usize::MAX).build(), Err(OptionsError::TooLarge { .. })));
    }
}
