//! Every way a session ends, and what each audience is told: one closed enum, one exhaustive match per audience.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client sent a close frame.
    ClientClosed,
    /// The connection broke or ended without a close frame.
    PeerGone,
    /// Nothing came within the idle timeout, not even a pong.
    KeepaliveLost,
    /// The gateway drains and the session did not leave by its deadline.
    Draining,
    /// The gateway stops now.
    Stopping,
    /// Framing that RFC 6455 forbids.
    ProtocolError,
    /// A text message or close reason that is not UTF-8.
    InvalidUtf8,
    /// A frame type that the dialect does not use.
    UnsupportedFrame,
    /// A message above the size limit.
    TooLarge,
    /// The certificate maps to another service now, or to none.
    IdentityChanged,
    /// The policy no longer lets the service connect.
    ConnectForbidden,
    /// The service sent on above its message rate.
    RateLimited,
    /// The service has more sessions than it may.
    LimitExceeded,
    /// A client of the NATS dialect gave credentials, and the operator refuses those who do.
    CredentialsRefused,
    /// Too many proofs of another certificate failed.
    ReauthFailed,
    /// Too many messages that cannot be understood, or a flood of fragments or control frames.
    ProtocolAbuse,
    /// The session reads too slowly for what is queued for it.
    SlowConsumer,
    /// The certificate, or another of its verified path, reached its notAfter.
    CredentialDeadline,
    /// The certificate, or another of its verified path, was revoked.
    Revoked,
    /// The deny list names the service, the certificate, or another of its verified path.
    Denied,
    /// No trust anchor vouches for the certificate any more.
    Untrusted,
    /// The revocation list that would tell is missing or stale.
    RevocationUnknown,
    /// The gateway failed.
    Internal,
}

impl CloseReason {
    /// All reasons, for tables and for metrics that start at zero.
    pub const ALL: [Self; 23] = [
        Self::ClientClosed,
        Self::PeerGone,
        Self::KeepaliveLost,
        Self::Draining,
        Self::Stopping,
        Self::ProtocolError,
        Self::InvalidUtf8,
        Self::UnsupportedFrame,
        Self::TooLarge,
        Self::IdentityChanged,
        Self::ConnectForbidden,
        Self::RateLimited,
        Self::LimitExceeded,
        Self::CredentialsRefused,
        Self::ReauthFailed,
        Self::ProtocolAbuse,
        Self::SlowConsumer,
        Self::CredentialDeadline,
        Self::Revoked,
        Self::Denied,
        Self::Untrusted,
        Self::RevocationUnknown,
        Self::Internal,
    ];

    /// The close frame: code and reason (RFC 6455, section 7.4), or `None` where nobody is there to read it.
    pub fn close_frame(self) -> Option<(u16, &'static str)> {
        match self {
            Self::ClientClosed => Some((1000, "")),
            Self::PeerGone | Self::KeepaliveLost => None,
            Self::Draining => Some((1001, "draining")),
            Self::Stopping => Some((1001, "stopping")),
            Self::ProtocolError => Some((1002, "")),
            Self::InvalidUtf8 => Some((1007, "")),
            Self::UnsupportedFrame => Some((1003, "")),
            Self::TooLarge => Some((1009, "")),
            Self::IdentityChanged => Some((1008, "identity_changed")),
            Self::ConnectForbidden => Some((1008, "connect_forbidden")),
            Self::RateLimited => Some((1008, "rate_limited")),
            Self::LimitExceeded => Some((1008, "limit_exceeded")),
            Self::CredentialsRefused => Some((1008, "credentials_refused")),
            Self::ReauthFailed => Some((1008, "reauth_failed")),
            Self::ProtocolAbuse => Some((1008, "protocol_abuse")),
            Self::SlowConsumer => Some((1013, "slow_consumer")),
            Self::CredentialDeadline => Some((4401, "credential_deadline")),
            Self::Revoked => Some((4403, "revoked")),
            Self::Denied => Some((4403, "denied")),
            Self::Untrusted => Some((4403, "untrusted")),
            Self::RevocationUnknown => Some((4403, "revocation_unknown")),
            Self::Internal => Some((1011, "")),
        }
    }

    /// The text of the `-ERR` that a client of the NATS dialect reads before the close frame, in the words of nats-server where it
    /// has some. None where the client is to come back: official clients take nearly every `-ERR` for a reason not to.
    pub fn nats_error(self) -> Option<&'static str> {
        match self {
            Self::ClientClosed
            | Self::PeerGone
            | Self::KeepaliveLost
            | Self::Draining
            | Self::Stopping
            | Self::RateLimited
            | Self::LimitExceeded
            | Self::SlowConsumer
            | Self::CredentialDeadline
            | Self::RevocationUnknown
            | Self::Internal => None,
            Self::ProtocolError | Self::InvalidUtf8 | Self::UnsupportedFrame => {
                Some("Unknown Protocol Operation")
            }
            Self::TooLarge => Some("Maximum Payload Violation"),
            Self::ProtocolAbuse => Some("Protocol Abuse"),
            Self::IdentityChanged
            | Self::ConnectForbidden
            | Self::CredentialsRefused
            | Self::ReauthFailed => Some("Authorization Violation"),
            Self::Revoked | Self::Denied | Self::Untrusted => Some("User Authentication Revoked"),
        }
    }

    /// How long the client should wait before it comes back, where coming back makes sense.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Draining | Self::Stopping | Self::SlowConsumer => Some(Duration::from_secs(1)),
            Self::RateLimited | Self::LimitExceeded | Self::RevocationUnknown => {
                Some(Duration::from_secs(10))
            }
            Self::ClientClosed
            | Self::PeerGone
            | Self::KeepaliveLost
            | Self::ProtocolError
            | Self::InvalidUtf8
            | Self::UnsupportedFrame
            | Self::TooLarge
            | Self::IdentityChanged
            | Self::ConnectForbidden
            | Self::CredentialsRefused
            | Self::ReauthFailed
            | Self::ProtocolAbuse
            | Self::CredentialDeadline
            | Self::Revoked
            | Self::Denied
            | Self::Untrusted
            | Self::Internal => None,
        }
    }

    /// The label of the metric and the `end` of the connection record.
    pub fn label(self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::PeerGone => "peer_gone",
            Self::KeepaliveLost => "keepalive_lost",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::ProtocolError => "protocol_error",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::UnsupportedFrame => "unsupported_frame",
            Self::TooLarge => "too_large",
            Self::IdentityChanged => "identity_changed",
            Self::ConnectForbidden => "connect_forbidden",
            Self::RateLimited => "rate_limited",
            Self::LimitExceeded => "limit_exceeded",
            Self::CredentialsRefused => "credentials_refused",
            Self::ReauthFailed => "reauth_failed",
            Self::ProtocolAbuse => "protocol_abuse",
            Self::SlowConsumer => "slow_consumer",
            Self::CredentialDeadline => "credential_deadline",
            Self::Revoked => "revoked",
            Self::Denied => "denied",
            Self::Untrusted => "untrusted",
            Self::RevocationUnknown => "revocation_unknown",
            Self::Internal => "internal",
        }
    }

    /// Whether a revocation list or the deny list ended the session: such an end is never held back, paced or previewed
    /// first.
    pub fn is_revocation(self) -> bool {
        matches!(self, Self::Revoked | Self::Denied)
    }

    /// Whether the close frames of many such ends are spread over time. The sessions are mute at once; those whose
    /// certificate was revoked do not even stay connected.
    pub fn is_paced(self) -> bool {
        match self {
            Self::IdentityChanged | Self::ConnectForbidden | Self::Untrusted => true,
            Self::ClientClosed
            | Self::PeerGone
            | Self::KeepaliveLost
            | Self::Draining
            | Self::Stopping
            | Self::ProtocolError
            | Self::InvalidUtf8
            | Self::UnsupportedFrame
            | Self::TooLarge
            | Self::RateLimited
            | Self::LimitExceeded
            | Self::CredentialsRefused
            | Self::ReauthFailed
            | Self::ProtocolAbuse
            | Self::SlowConsumer
            | Self::CredentialDeadline
            | Self::Revoked
            | Self::Denied
            | Self::RevocationUnknown
            | Self::Internal => false,
        }
    }
}

impl Serialize for CloseReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

impl<'de> Deserialize<'de> for CloseReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let label = String::deserialize(deserializer)?;
        let known = Self::ALL.into_iter().find(|reason| reason.label() == label);
        known.ok_or_else(|| D::Error::custom(format!("no reason is called {label:?}")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn labels_are_unique_and_reasons_fit_a_close_frame() {
        let labels: HashSet<_> = CloseReason::ALL.iter().map(|reason| reason.label()).collect();
        assert_eq!(labels.len(), CloseReason::ALL.len());
        for (code, text) in CloseReason::ALL.iter().filter_map(|reason| reason.close_frame()) {
            assert!(text.len() + " retry_after_ms=4294967295".len() <= 123, "{code} {text}");
        }
    }

    #[test]
    fn a_verdict_always_reaches_the_peer() {
        let verdicts = [
            CloseReason::IdentityChanged,
            CloseReason::ConnectForbidden,
            CloseReason::CredentialDeadline,
            CloseReason::Revoked,
            CloseReason::Denied,
            CloseReason::Untrusted,
            CloseReason::RevocationUnknown,
        ];
        for reason in verdicts {
            assert!(reason.close_frame().is_some(), "{reason:?}");
        }
    }
}
