//! What is wrong with a configuration, with the key it is under.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::identity::NameError;
use crate::identity::certificate::CertificateError;
use crate::identity::mapping::{RuleError, TemplateError};
use crate::policy;
use crate::renewal::{IssueError, IssuerError};
use crate::report::chain;
use crate::topic::TopicError;
use crate::trust::crl::CrlAge;
use crate::trust::pem::PemError;
use crate::trust::{IssuingChainError, TrustError, TrustSetError, VerifyError};

/// One fault.
#[derive(Debug)]
pub struct Fault {
    /// The path of the key: `trust[0].rule[1].match.cn`; empty for the file as a whole.
    pub key: String,
    pub why: Why,
}

/// What can be wrong. All of it is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    #[error("{0}")]
    Shape(String),
    #[error("this key is needed")]
    Missing,
    #[error("unknown key")]
    UnknownKey,
    #[error("at least one is needed")]
    Empty,
    #[error("must be between {least} and {most}")]
    OutOfRange { least: u64, most: u64 },
    #[error("must be shorter than `{longer}`")]
    NotShorter { longer: &'static str },
    #[error("must not be longer than `{most}`")]
    Longer { most: &'static str },
    #[error(
        "the queue must hold the largest message, {needed} bytes with headers; `max_queue_bytes` is less"
    )]
    QueueTooSmall { needed: usize },
    #[error("not an address of the form 127.0.0.1:8443 or [::1]:8443")]
    Address,
    #[error("address listed twice")]
    DuplicateAddress,
    #[error("must begin with `/` and hold no query string")]
    Path,
    #[error("`path` and `nats_path` are one; which dialect is spoken would be open")]
    DuplicatePath,
    #[error("`{0}` is no whole URL such as wss://gateway-2.internal:8443/nats")]
    Alternative(String),
    #[error("must be `deny-present` or a list of origins such as \"https://ops.internal\"")]
    Origins,
    #[error("`{0}` is no origin: a scheme, a host, and a port if it is not the usual one")]
    Origin(String),
    #[error("unknown dialect; there are `json` and `nats`")]
    Dialect,
    #[error("must be `text` or `json`")]
    LogFormat,
    #[error("must be filter directives, such as `info` or `portcullis=debug,info`")]
    LogFilter,
    #[error("`crls` and `danger_no_revocation = true` exclude each other")]
    RevocationTwice,
    #[error("a trust block needs `crls`, or `danger_no_revocation = true`")]
    NoRevocation,
    #[error("where nothing is revoked there is no list that could go stale")]
    NothingStale,
    #[error("a date and time with its offset is needed, from 1970 on, such as 2026-12-31T00:00:00Z")]
    Moment,
    #[error("unknown field of a certificate; there are cn, ou, o, dns, uri and email")]
    Field,
    #[error("not a valid name")]
    Name(#[from] NameError),
    #[error("not a valid pattern")]
    Topic(#[from] TopicError),
    #[error("not a valid pattern")]
    Pattern(#[from] policy::TemplateError),
    #[error("not a valid template")]
    Template(#[from] TemplateError),
    #[error("the rule cannot give a service")]
    Rule(#[from] RuleError),
    #[error("the file is empty; a policy that grants nothing says so in a comment")]
    EmptyPolicy,
    #[error("the file is empty; a deny list that names nobody says so in a comment")]
    EmptyDenyList,
    #[error("the deny list has {count} entries, and may have {most}; revoke certificates by their CA's list")]
    TooManyEntries { count: usize, most: usize },
    #[error("{0:?} is no fingerprint: 64 hex digits, the SHA-256 of a certificate in DER")]
    Fingerprint(String),
    #[error("{0:?} is no serial number: 1 to 20 octets in hex")]
    Serial(String),
    #[error("the grant cannot be")]
    Grant(#[from] policy::GrantFault),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: Arc<io::Error> },
    #[error("{} is larger than the {most} bytes that such a file may have", path.display())]
    TooLarge { path: PathBuf, most: u64 },
    #[error("{} is not usable", path.display())]
    Pem { path: PathBuf, source: PemError },
    #[error("{} is not UTF-8", path.display())]
    NotUtf8 { path: PathBuf },
    #[error("the trust domain cannot be used")]
    Trust(#[from] TrustError),
    #[error("the trust domains do not go together")]
    TrustSet(#[from] TrustSetError),
    #[error(
        "without revocation lists a certificate that was stolen could be renewed for ever; configure `crls`"
    )]
    RenewalUnrevocable,
    #[error("the chain cannot issue certificates here")]
    IssuingChain(#[from] IssuingChainError),
    #[error("no certificates can be issued")]
    Issuer(#[from] IssuerError),
    #[error("a certificate could not be issued")]
    Issue(#[from] IssueError),
    #[error("this gateway would not accept what this CA issues")]
    IssuedInVain(#[source] VerifyError),
    #[error("key and certificate cannot be used")]
    Tls(#[from] rustls::Error),
    #[error("the gateway's certificate cannot be used")]
    Certificate(#[from] CertificateError),
    #[error("the gateway's certificate is not valid before {not_before} (Unix seconds)")]
    NotYetValid { not_before: u64 },
    #[error("the gateway's certificate expired at {not_after} (Unix seconds); issue a new one")]
    Expired { not_after: u64 },
    #[error("the gateway's certificate is not valid for `{name}`")]
    NotForName { name: String },
    #[error("no client takes it: it states other uses than serverAuth, as a service's certificate does")]
    NotForServers,
    #[error("no mapping rule can ever give the {what} `{name}`")]
    Unknown { what: &'static str, name: String },
    #[error("the revocation list goes back from {before} to {now} (Unix seconds)")]
    CrlWentBack { before: CrlAge, now: CrlAge },
    #[error(
        "the revocation list with {before} (Unix seconds) is gone, and no other speaks for its certificates"
    )]
    CrlDropped { before: CrlAge },
    #[error(
        "the change would end {cut} of {staying} sessions that would stay otherwise, more than {most} percent: \
         {services}; see it with `--dry-run`, and take it all the same with `{verb}`"
    )]
    CutsTooMany { cut: usize, staying: usize, most: u8, services: String, verb: &'static str },
    #[error("there is no earlier set: nothing but revocation changed since the gateway started")]
    NothingBefore,
    #[error("revocation is switched off there; a rollback undoes no revocation")]
    RevocationSwitchedOff,
    #[error("listeners changed their number or address; that takes a restart")]
    ListenersChanged,
}

impl Why {
    /// Whether the same files may be good at another time.
    pub fn depends_on_time(&self) -> bool {
        match self {
            Self::NotYetValid { .. } | Self::Expired { .. } => true,
            Self::Trust(fault) => fault.depends_on_time(),
            _ => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => f.write_str(&chain(&self.why)),
            key => write!(f, "{key}: {}", chain(&self.why)),
        }
    }
}

/// All faults of one configuration: first what has the wrong shape, then what has the wrong meaning.
#[derive(Debug, Default)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub fn add(&mut self, key: impl Into<String>, why: impl Into<Why>) {
        self.0.push(Fault { key: key.into(), why: why.into() });
    }

    /// Keeps the value of a good result and the fault of a bad one.
    pub fn take<T, E: Into<Why>>(&mut self, key: impl Into<String>, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(key, error);
                None
            }
        }
    }

    /// The same for the content of another file, its faults under the key that names the file.
    pub fn take_all<T>(&mut self, file: &str, result: Result<T, Faults>) -> Option<T> {
        let under_file = |fault: Fault| {
            let key = if fault.key.is_empty() { file.into() } else { format!("{file}: {}", fault.key) };
            Fault { key, why: fault.why }
        };
        result.map_err(|found| self.0.extend(found.0.into_iter().map(under_file))).ok()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
