//! Databases as wholes: where a URL leads, whether a server answers there, creating and dropping.

use std::{fmt, path::Path};

use async_trait::async_trait;

use crate::error::Error;

/// Creates and drops databases, each by its URL.
#[async_trait]
pub(crate) trait Databases: Sync {
    fn locate(&self, url: &str) -> Result<Location, Error>;

    async fn answers(&self, url: &str) -> Result<(), Unanswered>;

    async fn may_create(&self, url: &str) -> Result<bool, Error>;

    async fn create(&self, url: &str) -> Result<bool, Error>;

    async fn drop(&self, url: &str) -> Result<bool, Error>;
}

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
