//! Whole databases: where a URL leads, whether a server answers there, creating and dropping.

use std::{fmt, path::Path};

use async_trait::async_trait;
use sea_orm::ConnectOptions;

use crate::error::Error;

/// The name of a database that has no file.
pub(super) const IN_MEMORY: &str = "in memory";

/// Creates and drops databases, each by its URL. [`crate::databases`] describes the methods.
#[async_trait]
pub(crate) trait Databases: Sync {
    fn locate(&self, url: &str) -> Result<Location, Error>;

    async fn answers(&self, url: &str) -> Result<(), Unanswered>;

    fn set_search_path(&self, _: &mut ConnectOptions, _: &str) -> bool {
        false
    }

    async fn admit(&self, _url: &str, _on_unverified_engine: bool) -> Result<(), Error> {
        Ok(())
    }

    async fn may_create(&self, url: &str) -> Result<bool, Error>;

    async fn create(&self, url: &str) -> Result<bool, Error>;

    async fn drop(&self, url: &str) -> Result<bool, Error>;
}

/// The place that a URL leads to.
///
/// It prints as host, port and database, or as the file, and never shows user or password. A
/// relative file prints as `./name`, so that nobody takes it for a database of a server.
#[derive(Debug, Clone)]
pub struct Location {
    /// The name to type to confirm that this database is meant.
    pub database: String,
    /// Host and port of the server; `None` if the database is a file.
    pub server: Option<String>,
    /// The user that connects, if there is a server.
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
    /// It may answer in a moment.
    NotYet(Error),
    /// Waiting does not help.
    Never(Error),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::Never(error)
    }
}
