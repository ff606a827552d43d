//! The certificate and key as the files hold them, looked at again and again.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;

use super::error::CredentialError;
use super::options::Options;
use super::tls;

/// Looks in a row that must fail before it is worth telling: key and certificate are rarely replaced in one step.
const TELLING: u32 = 2;

/// The newest pair that fitted together, and what the files looked like then.
#[derive(Debug, Default)]
pub(super) struct Files {
    key: Option<Arc<CertifiedKey>>,
    seen: Option<[Stamp; 2]>,
    failures: u32,
}

/// What tells that a file was replaced or written to.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// A file put in place by a rename may have the age and the length of the one before.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
}

impl Files {
    /// Reads the files if they changed since they were last read well. Fails once for each time that they are found broken
    /// and stay so.
    pub(super) async fn look(&mut self, options: &Options) -> Result<(), CredentialError> {
        let (chain, key) = (options.chain.clone(), options.key.clone());
        // Before the files: what changes in between is seen at the next look.
        let now = tls::off_the_runtime(move || Ok(stamp(&chain).zip(stamp(&key)))).await;
        let now = now.ok().flatten().map(|(chain, key)| [chain, key]);
        if now.is_some() && now == self.seen {
            return Ok(());
        }
        match tls::load_key(options).await {
            Ok(key) => {
                (self.key, self.seen, self.failures) = (Some(key), now, 0);
                Ok(())
            }
            Err(error) => {
                self.seen = None;
                self.failures = self.failures.saturating_add(1);
                if self.failures == TELLING { Err(error) } else { Ok(()) }
            }
        }
    }

    pub(super) fn key(&self) -> Option<&Arc<CertifiedKey>> {
        self.key.as_ref()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        bytes: metadata.len(),
        #[cfg(unix)]
        inode: inode(&metadata),
    })
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> (u64, u64, i64, i64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}
