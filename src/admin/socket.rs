//! The socket's file: made so that at no moment others may open it, and taken away by nobody but who made it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::random::random;

/// A socket that listens, and where.
pub struct AdminSocket {
    pub(super) listener: UnixListener,
    pub(super) place: Place,
}

/// The file of a socket, by what no other file has.
pub(super) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: path.into(), device: found.dev(), inode: found.ino() })
    }

    /// Takes the file away, unless a newer process put its own socket there.
    pub(super) fn remove(&self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if is_ours {
            // It may go at this very moment.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("another process answers on the admin socket {}", path.display())]
    InUse { path: PathBuf },
    #[error("{} is something else than a socket; choose another path for the admin socket", path.display())]
    Occupied { path: PathBuf },
    #[error("cannot make the admin socket {}", path.display())]
    Bind { path: PathBuf, source: io::Error },
}

/// Makes the socket in a fresh directory beside `path` that nobody else may enter, and moves it into its place once its
/// own mode is 0600: at no moment may others open it. Takes the place of a socket that nobody answers on, and of nothing
/// else: a path that names a key by mistake must not cost the key.
pub async fn bind(path: &Path) -> Result<AdminSocket, AdminError> {
    if std::fs::symlink_metadata(path).is_ok_and(|there| !there.file_type().is_socket()) {
        return Err(AdminError::Occupied { path: path.into() });
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(AdminError::InUse { path: path.into() });
    }
    let made = bind_in_private(path).and_then(|listener| Ok((listener, Place::of(path)?)));
    let (listener, place) = made.map_err(|source| AdminError::Bind { path: path.into(), source })?;
    Ok(AdminSocket { listener, place })
}

fn bind_in_private(path: &Path) -> io::Result<UnixListener> {
    // A name that a crash left behind is never met again. Short, because the path of a socket has some 100 bytes.
    let name = format!(".{:016x}", u64::from_ne_bytes(random()));
    let folder = path.parent().unwrap_or(Path::new("")).join(name);
    DirBuilder::new().mode(0o700).create(&folder)?;
    let inside = folder.join("s");
    let made = UnixListener::bind(&inside).and_then(|listener| {
        std::fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        std::fs::rename(&inside, path)?;
        Ok(listener)
    });
    // Empty unless making it failed halfway.
    let _ = std::fs::remove_dir_all(&folder);
    made
}
