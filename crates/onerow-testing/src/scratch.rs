//! The directory that the test processes of a user share, and its locks.
//!
//! A lock is the kernel's, on an open file: it goes with the process that held it, however that
//! ended.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError, symlink_metadata},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::Uid;
use tokio::time::sleep;

/// How often to try a lock that another process holds.
const POLL: Duration = Duration::from_millis(5);

/// The directory of this name in the shared one, which is made if it is missing.
pub(super) fn dir(name: &str) -> io::Result<PathBuf> {
    let shared = std::env::temp_dir().join(format!("onerow-tests-{}", Uid::effective()));
    make(&shared)?;
    let dir = shared.join(name);
    make(&dir)?;
    Ok(dir)
}

/// Others can write to the directory for temporary files, so a directory that somebody else has
/// made there is not used.
fn make(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(io::Error::new(
                error.kind(),
                format!("cannot make {}: {error}", dir.display()),
            ));
        }
        _ => (),
    }
    let found = symlink_metadata(dir)?;
    let private = found.mode().trailing_zeros() >= 6;
    let ours = found.is_dir() && found.uid() == Uid::effective().as_raw() && private;
    let reason = || format!("{} is not a directory that you alone can use", dir.display());
    if ours { Ok(()) } else { Err(io::Error::new(io::ErrorKind::PermissionDenied, reason())) }
}

/// A file to lock, which is made if it is missing.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Locks this file, and blocks the thread until it can. There must be no `await` before the lock is
/// released, because another task of this thread may hold it.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    file.lock()?;
    Ok(file)
}

/// Locks this file unless somebody else holds it.
pub(super) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Locks this file, and lets other tasks run meanwhile.
pub(super) async fn lock_when_free(path: &Path) -> io::Result<File> {
    loop {
        match try_lock(path)? {
            Some(file) => return Ok(file),
            None => sleep(POLL).await,
        }
    }
}
