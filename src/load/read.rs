//! Reads files whole, within a bound, and remembers what it read.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use crate::config::Why;
use crate::trust::pem::PemError;

/// Largest file: a revocation list of a million entries has some 40 MB.
const MOST_BYTES: u64 = 128 * 1024 * 1024;

/// What a set of files held: equal digests mean equal bytes under equal paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

/// Reads files and digests them on the way.
pub(super) struct Reader {
    context: Context,
}

impl Default for Reader {
    fn default() -> Self {
        Self { context: Context::new(&SHA256) }
    }
}

impl Reader {
    pub(super) fn read(&mut self, path: &Path) -> Result<Vec<u8>, Why> {
        let failed = |source| Why::Read { path: PathBuf::from(path), source };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
            .map_err(failed)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Why::TooLarge { path: path.into(), most: MOST_BYTES });
        }
        for part in [path.as_os_str().as_encoded_bytes(), &bytes] {
            self.context.update(&(part.len() as u64).to_be_bytes());
            self.context.update(part);
        }
        Ok(bytes)
    }

    pub(super) fn text(&mut self, path: &Path) -> Result<String, Why> {
        String::from_utf8(self.read(path)?).map_err(|_| Why::NotUtf8 { path: path.into() })
    }

    pub(super) fn pem<T>(
        &mut self,
        path: &Path,
        parse: impl Fn(&[u8]) -> Result<T, PemError>,
    ) -> Result<T, Why> {
        parse(&self.read(path)?).map_err(|source| Why::Pem { path: path.into(), source })
    }

    pub(super) fn digest(self) -> Digest {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.context.finish().as_ref());
        Digest(digest)
    }
}
