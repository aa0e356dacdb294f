//! A file of a test's own, gone when it is dropped.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    sync::LazyLock,
};

use tempfile::TempDir;

use super::scratch;

/// A file in a directory of its own. Dropping the value removes both.
pub(super) struct TestFile {
    // It is unlocked last, because another process may remove what is not locked.
    dir: TempDir,
    _lock: File,
}

impl TestFile {
    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("test.sqlite")
    }

    pub(super) fn create() -> io::Result<Self> {
        static LEFTOVERS: LazyLock<()> = LazyLock::new(remove_leftovers);
        let parent = scratch::dir("sqlite")?;
        let _alone = scratch::lock(&parent.join("lock"))?;
        LazyLock::force(&LEFTOVERS);
        let dir = tempfile::Builder::new().prefix("test.").tempdir_in(parent)?;
        let lock = scratch::lock(&dir.path().join("lock"))?;
        Ok(Self { dir, _lock: lock })
    }
}

/// Removes the files of killed processes. Files that are being made are locked, so they stay.
fn remove_leftovers() {
    let Ok(dirs) = scratch::dir("sqlite").and_then(fs::read_dir) else { return };
    for dir in dirs.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        if matches!(scratch::try_lock(&dir.join("lock")), Ok(Some(_))) {
            let _ = fs::remove_dir_all(dir);
        }
    }
}
