//! Reads files whole, within a bound, and remembers what it read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use crate::config::Why;
use crate::trust::pem::PemError;

/// Largest file: a revocation list of a million entries has some 40 MB.
const MOST_BYTES: u64 = 128 * 1024 * 1024;

/// What a set of files held: equal digests mean equal bytes under equal paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Of revocation lists and deny list.
    revocations: [u8; 32],
    /// Of everything else, the configuration among it.
    rest: [u8; 32],
}

impl Digest {
    /// Whether the files are the same but for revocation lists and deny list.
    pub fn is_but_for_revocations(&self, other: &Self) -> bool {
        self.rest == other.rest
    }
}

/// Reads each file once, and digests it on the way.
pub(super) struct Reader {
    revocations: Context,
    rest: Context,
    files: HashMap<PathBuf, Result<Vec<u8>, Unread>>,
}

enum Unread {
    Failed(Arc<io::Error>),
    TooLarge,
}

impl Default for Reader {
    fn default() -> Self {
        let empty = || Context::new(&SHA256);
        Self { revocations: empty(), rest: empty(), files: HashMap::new() }
    }
}

impl Reader {
    pub(super) fn read(&mut self, path: &Path) -> Result<&[u8], Why> {
        read_into(&mut self.rest, &mut self.files, path)
    }

    /// Reads a file of revocation lists, or the deny list.
    pub(super) fn read_revocations(&mut self, path: &Path) -> Result<&[u8], Why> {
        read_into(&mut self.revocations, &mut self.files, path)
    }

    pub(super) fn text(&mut self, path: &Path) -> Result<&str, Why> {
        std::str::from_utf8(self.read(path)?).map_err(|_| Why::NotUtf8 { path: path.into() })
    }

    pub(super) fn pem<T>(
        &mut self,
        path: &Path,
        parse: impl Fn(&[u8]) -> Result<T, PemError>,
    ) -> Result<T, Why> {
        parse(self.read(path)?).map_err(|source| Why::Pem { path: path.into(), source })
    }

    /// What was read so far.
    pub(super) fn digest(&self) -> Digest {
        Digest { revocations: finished(&self.revocations), rest: finished(&self.rest) }
    }
}

fn finished(context: &Context) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(context.clone().finish().as_ref());
    digest
}

/// What is known of a file; if nothing is, it is read and digested into `context`.
fn read_into<'f>(
    context: &mut Context,
    files: &'f mut HashMap<PathBuf, Result<Vec<u8>, Unread>>,
    path: &Path,
) -> Result<&'f [u8], Why> {
    let file = match files.entry(path.into()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(vacant) => {
            let read = read_bounded(path);
            let (kind, content) = match &read {
                Ok(bytes) => (0, bytes.as_slice()),
                Err(Unread::Failed(_)) => (1, &[][..]),
                Err(Unread::TooLarge) => (2, &[][..]),
            };
            context.update(&[kind]);
            for part in [path.as_os_str().as_encoded_bytes(), content] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
            vacant.insert(read)
        }
    };
    match file {
        Ok(bytes) => Ok(bytes),
        Err(Unread::Failed(source)) => Err(Why::Read { path: path.into(), source: source.clone() }),
        Err(Unread::TooLarge) => Err(Why::TooLarge { path: path.into(), most: MOST_BYTES }),
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    open_regular(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| Unread::Failed(Arc::new(error)))?;
    if bytes.len() as u64 > MOST_BYTES { Err(Unread::TooLarge) } else { Ok(bytes) }
}

/// A pipe or a device in the place of a file would keep its reader waiting, and with it every later reload. What was opened
/// is looked at, not the path, which may be another file by then; and what looks like a file and waits all the same, as
/// some of /proc do, fails.
fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// On a thread of its own, so that a reader that waits fails the test and does not hold it up.
    fn read_in_time(path: PathBuf) -> Result<Vec<u8>, Unread> {
        let (sender, read) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(read_bounded(&path)));
        read.recv_timeout(Duration::from_secs(10)).expect("an answer")
    }

    #[test]
    fn what_is_no_regular_file_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe, folder.path().into(), "/dev/zero".into()] {
            assert!(matches!(read_in_time(path.clone()), Err(Unread::Failed(_))), "{}", path.display());
        }
    }
}
