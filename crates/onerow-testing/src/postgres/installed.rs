//! Finding PostgreSQL's server programs.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::ServerError;

/// The directory of PostgreSQL's programs, if the kit does not find them.
pub const BIN_DIR_VARIABLE: &str = "POSTGRES_BIN_DIR";

/// The directory that holds `initdb`, `postgres` and the rest.
///
/// If the variable is set, its directory is used or refused, never passed over. Otherwise it is the
/// first of `PATH`, Debian's directories from the newest version down, and the answer of
/// `pg_config`.
pub(super) fn bin_dir() -> Result<PathBuf, ServerError> {
    if let Some(named) = env::var_os(BIN_DIR_VARIABLE) {
        let named = PathBuf::from(named);
        return server_dir(&named).ok_or(ServerError::NotInstalledIn(named));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(debian_dirs())
        .chain(pg_config_dir())
        .find_map(|dir| server_dir(&dir))
        .ok_or(ServerError::NotInstalled)
}

/// The directory itself, or the one that its links lead to: a directory may hold a link to `initdb`
/// and none to `psql`.
fn server_dir(dir: &Path) -> Option<PathBuf> {
    let complete = ["initdb", "postgres"].iter().all(|program| dir.join(program).is_file());
    let initdb = complete.then(|| dir.join("initdb").canonicalize().ok())??;
    Some(initdb.parent()?.to_owned())
}

/// A client program: the one beside the server's programs, or that in `PATH`, because a package may
/// hold the server alone.
pub(super) fn client(bin_dir: &Path, name: &str) -> PathBuf {
    let beside = bin_dir.join(name);
    if beside.is_file() { beside } else { name.into() }
}

/// Debian keeps the server out of `PATH`, in a directory for each major version.
fn debian_dirs() -> Vec<PathBuf> {
    let mut versions: Vec<u32> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable();
    versions
        .iter()
        .rev()
        .map(|version| format!("/usr/lib/postgresql/{version}/bin").into())
        .collect()
}

fn pg_config_dir() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().into())
}
