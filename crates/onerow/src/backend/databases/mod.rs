//! Databases as wholes: where a URL leads, whether a server answers there, creating and dropping.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{fmt, path::Path};

use crate::Error;

/// Where a URL leads. It prints as host, port and database, or as the file, without user and
/// password; a file that is named from here as `./name`, lest it be taken for a database of a
/// server.
#[derive(Debug, Clone)]
pub struct Location {
    /// What to type to confirm that this one is meant.
    pub database: String,
    /// Host and port of the server; `None` where the database is a file.
    pub server: Option<String>,
    /// Who connects, where there is a server.
    pub user: Option<String>,
    /// Whether it is on this machine, as far as the URL tells.
    pub is_local: bool,
}

impl Location {
    fn is_relative_file(&self) -> bool {
        let is_named = self.database == IN_MEMORY || self.database.starts_with('.');
        !is_named && Path::new(&self.database).is_relative()
    }
}

/// What a database is called that has no file.
pub(super) const IN_MEMORY: &str = "in memory";

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.server {
            Some(server) => format!("{server}/"),
            None if self.is_relative_file() => "./".into(),
            None => String::new(),
        };
        write!(f, "{place}{}", self.database)
    }
}

/// Calls the function of this name for the backend that the URL's scheme asks for.
macro_rules! of_scheme {
    ($url:expr, $backend:ident => $call:expr) => {
        match super::url::scheme($url)? {
            #[cfg(feature = "postgres")]
            super::url::Scheme::Postgres => {
                use postgres as $backend;
                $call
            }
            #[cfg(feature = "sqlite")]
            super::url::Scheme::Sqlite => {
                use sqlite as $backend;
                $call
            }
        }
    };
}

/// Where a URL leads.
pub fn locate(url: &str) -> Result<Location, Error> {
    of_scheme!(url, backend => backend::locate(url))
}

/// Tries once whether the server answers. That it does not know the database is an answer.
pub async fn answers(url: &str) -> Result<(), Unanswered> {
    of_scheme!(url, backend => backend::answers(url).await)
}

/// Whether the right to create a database is there, as far as that can be told before.
pub async fn may_create(url: &str) -> Result<bool, Error> {
    of_scheme!(url, backend => backend::may_create(url).await)
}

/// Creates the database; false if it is there already.
pub async fn create(url: &str) -> Result<bool, Error> {
    of_scheme!(url, backend => backend::create(url).await)
}

/// Drops the database, with the sessions that others have on it; false if there is none.
pub async fn drop(url: &str) -> Result<bool, Error> {
    of_scheme!(url, backend => backend::drop(url).await)
}

/// Why a server did not answer.
#[derive(Debug)]
pub enum Unanswered {
    /// It may do so in a moment.
    NotYet(Error),
    /// Waiting does not mend that.
    Never(Error),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::Never(error)
    }
}
