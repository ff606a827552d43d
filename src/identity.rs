//! Who a peer is: a [`ServiceIdentity`], which only [`mapping`] can make from a verified certificate.
//!
//! Invariant: an identity names exactly one service of exactly one trust domain, and nothing the peer says after the
//! TLS handshake changes it.

#[cfg(feature = "server")]
pub mod certificate;
#[cfg(feature = "server")]
pub(crate) mod der;
#[cfg(feature = "server")]
pub mod mapping;
#[cfg(feature = "server")]
pub mod peer;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Longest name of a service, role, trust domain or rule, in bytes.
pub const MAX_NAME_BYTES: usize = 63;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name of `[a-z0-9][a-z0-9_-]{0,62}`.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check_name(text)?;
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

name_type! {
    /// The name of a service: what a certificate was mapped to, and what stands in `from`. One topic token.
    ServiceName
}
name_type! {
    /// The name of a role that grants are given to.
    Role
}
name_type! {
    /// The name of one `[[trust]]` block: a trust domain with its own anchors, revocation lists and mapping rules.
    TrustName
}
name_type! {
    /// The name of a mapping rule or of a grant, which a verdict cites in the audit log.
    RuleName
}

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name may not be empty")]
    Empty,
    #[error("a name has at most {MAX_NAME_BYTES} bytes, this one has {bytes}")]
    TooLong { bytes: usize },
    #[error("a name begins with a-z or 0-9 and goes on with a-z, 0-9, `_` or `-`; found {found:?}")]
    Character { found: char },
}

fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    let allowed = |(place, found): &(usize, char)| match found {
        'a'..='z' | '0'..='9' => true,
        '_' | '-' => *place > 0,
        _ => false,
    };
    if let Some((_, found)) = text.char_indices().find(|entry| !allowed(entry)) {
        return Err(NameError::Character { found });
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong { bytes: text.len() });
    }
    Ok(())
}

/// Who a verified peer is: exactly one service of exactly one trust domain. Only
/// [`TrustDomains::identify`](crate::trust::TrustDomains::identify) makes one.
#[cfg(feature = "server")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceIdentity {
    service: ServiceName,
    trust: TrustName,
    roles: Box<[Role]>,
    rule: RuleName,
}

#[cfg(feature = "server")]
impl ServiceIdentity {
    fn new(peer: &peer::VerifiedPeer, mapped: mapping::Mapped) -> Self {
        let (service, roles, rule) = mapped.into_parts();
        Self { service, trust: peer.trust().clone(), roles: roles.into_iter().collect(), rule }
    }

    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The trust domain that the certificate was verified in.
    pub fn trust(&self) -> &TrustName {
        &self.trust
    }

    /// Sorted, each once.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// The mapping rule that gave the name.
    pub fn rule(&self) -> &RuleName {
        &self.rule
    }

    /// An identity that no certificate stands behind, for the tests of what demands one.
    #[cfg(test)]
    pub fn for_test(service: &str, trust: &str, roles: &[&str]) -> Self {
        let mut roles: Vec<_> = roles.iter().map(|role| Role::parse(role).expect("a role")).collect();
        roles.sort();
        Self {
            service: ServiceName::parse(service).expect("a service name"),
            trust: TrustName::parse(trust).expect("a trust name"),
            roles: roles.into(),
            rule: RuleName::parse("test").expect("a rule name"),
        }
    }
}
