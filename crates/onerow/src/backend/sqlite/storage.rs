//! The place of a database: in a file, or in memory.

use crate::{backend::url, error::Error};

/// The ending of the file that a registry locks in place of its row. It follows the name of the
/// database's file.
pub(super) const LOCK_FILE: &str = "-onerow-lock";

/// The place of a URL's database.
pub(super) enum Storage {
    File,
    Memory,
    /// In memory, under a name that connections share only if it stands in a URI.
    Unshared,
    /// In memory, a separate one for each connection.
    Private,
}

impl Storage {
    pub(super) fn of(url: &str) -> Self {
        let (path, parameters) = url.split_once('?').unwrap_or((url, ""));
        let has = |parameter: &str| parameters.split('&').any(|one| one == parameter);
        let name = path.trim_start_matches("sqlite:").trim_start_matches("//");
        let named = !matches!(name, "" | "file:");
        match name == ":memory:" || has("mode=memory") {
            true if has("cache=private") || !named => Self::Private,
            true if name == ":memory:" || name.starts_with("file:") => Self::Memory,
            true => Self::Unshared,
            false if name == "file::memory:" && !has("cache=shared") => Self::Private,
            false if !named => Self::Private,
            false => Self::File,
        }
    }
}

/// The error for a database that each connection would have to itself.
pub(super) fn private() -> Error {
    url::invalid("each connection to it would get an empty database of its own")
}
