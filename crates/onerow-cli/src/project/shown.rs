//! Paths as a user would type them.

use std::{
    env, io,
    path::{Path, PathBuf},
};

pub(super) fn canonical_current_dir() -> io::Result<PathBuf> {
    env::current_dir()?.canonicalize()
}

/// A path as a user would type it in the current directory.
pub(super) fn shown(path: &Path) -> String {
    let current = canonical_current_dir().unwrap_or_default();
    let path = path.strip_prefix(current).unwrap_or(path);
    if path.as_os_str().is_empty() { ".".to_owned() } else { path.display().to_string() }
}
