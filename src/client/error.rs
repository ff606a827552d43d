//! Why something with the gateway came to nothing, one enum per stage: options, credentials, connecting, operating.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustls::AlertDescription;
use tokio_tungstenite::tungstenite;

use super::escaped::Escaped;
use super::refusal::{CloseReason, Refusal};
use super::wire::{Rejection, WireError};
use crate::identity::ServiceName;
use crate::topic::TopicError;

/// Options that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error("`{url}` is not the address of a gateway: {problem}")]
    Url { url: String, problem: &'static str },
    #[error("`{name}` is neither a DNS name nor an IP address to verify the gateway's certificate against")]
    ServerName { name: String },
    #[error("`{option}` may not be zero")]
    Zero { option: &'static str },
    #[error("`{option}` may be {most} at most")]
    TooLarge { option: &'static str, most: usize },
    #[error("the backoff begins with {min:?}, which is above its maximum of {max:?}")]
    Backoff { min: Duration, max: Duration },
}

/// Which of the three files a [`CredentialError`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialFile {
    /// Certificates that the gateway's certificate must chain to.
    Anchors,
    /// This service's certificate, leaf first, and its intermediates.
    Chain,
    /// The private key of the leaf.
    Key,
}

impl std::fmt::Display for CredentialFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anchors => "CA file",
            Self::Chain => "certificate file",
            Self::Key => "key file",
        })
    }
}

/// What is wrong with the files. They are read again on the next attempt.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("cannot read the {file} {}; check that it exists and that this user may read it", path.display())]
    Read { file: CredentialFile, path: PathBuf, source: io::Error },
    #[error("the {file} {} is larger than {most} bytes; is it the right file?", path.display())]
    TooLarge { file: CredentialFile, path: PathBuf, most: u64 },
    #[error("the {file} {} is not valid PEM; was it written completely?", path.display())]
    Pem { file: CredentialFile, path: PathBuf, source: io::Error },
    #[error(
        "the {file} {} holds nothing of the kind; expected a PEM section {}", path.display(), expected(*file)
    )]
    Empty { file: CredentialFile, path: PathBuf },
    #[error("a certificate in the CA file {} cannot be a trust anchor", path.display())]
    Anchor { path: PathBuf, source: rustls::Error },
    #[error(
        "the key in {} does not fit the certificate in {}; if they are being rotated, the next attempt reads both again",
        key.display(), chain.display()
    )]
    Pair { chain: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("the TLS settings are refused")]
    Tls(#[source] rustls::Error),
    #[error("reading the files was interrupted")]
    Interrupted,
}

fn expected(file: CredentialFile) -> &'static str {
    match file {
        CredentialFile::Anchors | CredentialFile::Chain => "CERTIFICATE",
        CredentialFile::Key => "PRIVATE KEY",
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the certificate files are not usable")]
    Credentials(#[from] CredentialError),
    #[error("cannot reach {host}:{port}")]
    Unreachable { host: String, port: u16, source: io::Error },
    #[error("no session within {after:?}")]
    TimedOut { after: Duration },
    /// This side refused the gateway.
    #[error("the gateway's certificate is not acceptable; check the CA file and the server name")]
    GatewayNotTrusted { source: rustls::Error },
    /// The gateway refused this side during the TLS handshake. In TLS 1.3 that arrives with the first read
    /// (RFC 8446, section 4.4.2.4 and 6.2).
    #[error("the gateway refused this certificate with the TLS alert {alert:?}: {}", alert_hint(*alert))]
    CertificateRefused { alert: AlertDescription },
    #[error("the TLS handshake failed")]
    Tls { source: rustls::Error },
    #[error("the connection broke before the session began")]
    Io { source: io::Error },
    /// The gateway answered in HTTP instead of upgrading.
    #[error(transparent)]
    Refused(Box<Refusal>),
    #[error("the answer to the WebSocket upgrade is not acceptable: {problem}")]
    Upgrade { problem: &'static str },
    #[error("the answer to the WebSocket upgrade is not HTTP")]
    Http { source: Box<tungstenite::Error> },
    /// Upgraded, then closed before `hello`.
    #[error("the gateway closed the session at once: {0}")]
    Closed(CloseReason),
    #[error("the WebSocket failed before the session began")]
    WebSocket { source: Box<tungstenite::Error> },
    #[error("the first message of the session is not a `hello`")]
    NoHello,
    #[error("the gateway's greeting is not understood")]
    Hello { source: WireError },
}

fn alert_hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => "it wants a client certificate",
        AlertDescription::UnknownCA => "none of its anchors issued this certificate",
        AlertDescription::CertificateUnknown => {
            "whether it is revoked is not known there: its operator's revocation list is stale or missing"
        }
        AlertDescription::CertificateExpired => "renew the certificate",
        AlertDescription::CertificateRevoked => "the certificate is revoked, a new one is needed",
        AlertDescription::AccessDenied => "the certificate is valid but not welcome",
        AlertDescription::BadCertificate | AlertDescription::UnsupportedCertificate => {
            "check its extended key usage (clientAuth), that it is no CA's own, and that the intermediates are in the file"
        }
        _ => "the gateway's log says why",
    }
}

/// Why an operation came to nothing. Nothing is ever sent twice: after `Disconnected` it is unknown whether the
/// gateway saw the operation.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// Nothing was sent: there is no session at the moment.
    #[error("not connected to the gateway")]
    NotConnected,
    /// The session ended between the operation and its answer.
    #[error("the connection was lost before the answer came")]
    Disconnected,
    #[error("no answer within {after:?}")]
    Timeout { after: Duration },
    #[error("nobody answers requests on this topic")]
    NoResponders,
    /// `service` is who this client was to the gateway, if there still is a session.
    #[error("{}", forbidden(service.as_ref(), rejection))]
    Forbidden { service: Option<ServiceName>, rejection: Box<Rejection> },
    #[error("the payload has {bytes} bytes, the gateway takes {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("the whole operation has {bytes} bytes, this client sends {limit}; see `max_message_bytes`")]
    OverLimit { bytes: usize, limit: usize },
    #[error("the gateway refused: {0}")]
    Rejected(Box<Rejection>),
    #[error("the topic or pattern is not well-formed")]
    Topic(#[from] TopicError),
    #[error("the message carries no `reply`, its sender waits for no answer")]
    NoReplyWanted,
    #[error("the operation cannot be encoded")]
    Encode { source: serde_json::Error },
    #[error("the gateway's answer is not understood")]
    Answer { source: WireError },
}

fn forbidden(service: Option<&ServiceName>, rejection: &Rejection) -> String {
    let Some(topic) = &rejection.topic else {
        return format!("the policy does not allow it: {}", Escaped(&rejection.reason));
    };
    let who = service.map_or_else(|| "this service".to_owned(), |service| format!("`{service}`"));
    let act = match rejection.operation.as_deref() {
        Some("pub") => "publish on",
        Some("req") => "send requests on",
        Some("sub") => "subscribe to",
        _ => "use",
    };
    format!("{who} may not {act} `{}`; `portcullis whoami` lists its grants", Escaped(topic))
}

#[cfg(test)]
mod tests {
    use super::super::wire::ErrorCode;
    use super::*;

    #[test]
    fn a_denial_says_who_may_not_do_what() {
        let told = |service: Option<&str>, operation: &str, topic: Option<&str>| {
            let rejection = Rejection {
                code: ErrorCode::Forbidden,
                reason: "forbidden".into(),
                operation: Some(operation.into()),
                topic: topic.map(Into::into),
                retry_after: None,
            };
            let service = service.map(|name| ServiceName::parse(name).unwrap());
            OperationError::Forbidden { service, rejection: rejection.into() }.to_string()
        };
        assert_eq!(
            told(Some("checkout"), "pub", Some("forbidden.x")),
            "`checkout` may not publish on `forbidden.x`; `portcullis whoami` lists its grants"
        );
        assert_eq!(
            told(None, "sub", Some("a.>")),
            "this service may not subscribe to `a.>`; `portcullis whoami` lists its grants"
        );
        assert!(!told(None, "req", Some("\u{1b}[2J")).contains('\u{1b}'));
        assert_eq!(told(None, "pub", None), "the policy does not allow it: forbidden");
    }
}
