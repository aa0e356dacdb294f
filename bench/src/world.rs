//! The places of databases: a server, and a directory of files.

use std::{
    fs, iter,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{
    server::{Server, connect},
    subject::Kind,
};

/// The server and the files of one section. They go with the value.
pub struct World {
    pub server: Server,
    files: TempDir,
    created: AtomicUsize,
}

/// A database.
#[derive(Debug, Clone)]
pub struct Place {
    pub kind: Kind,
    pub url: String,
    name: String,
}

impl World {
    pub async fn new() -> Result<Self> {
        Ok(Self {
            server: Server::start().await?,
            files: TempDir::new()?,
            created: AtomicUsize::new(0),
        })
    }

    /// An empty database.
    pub async fn create(&self, kind: Kind) -> Result<Place> {
        let name = format!("bench{}", self.created.fetch_add(1, Ordering::Relaxed));
        let url = match kind {
            Kind::Postgres => {
                self.server.create(&name).await?;
                self.server.url(&name)
            }
            Kind::Sqlite => sqlite_url(&self.files.path().join(&name)),
        };
        Ok(Place { kind, url, name })
    }

    /// An empty database, when everything of those before is written out.
    pub async fn create_in_peace(&self, kind: Kind) -> Result<Place> {
        let place = self.create(kind).await?;
        if kind == Kind::Postgres {
            self.server.checkpoint().await?;
        }
        Ok(place)
    }

    pub async fn remove(&self, place: Place) -> Result<()> {
        match place.kind {
            Kind::Postgres => self.server.drop(&place.name).await,
            // Files that a tool has put beside it go too.
            Kind::Sqlite => {
                for entry in fs::read_dir(self.files.path())? {
                    let path = entry?.path();
                    if belongs_to(&path, &place.name) {
                        fs::remove_file(path)?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// `bench7` itself, and `bench7-journal`.
fn belongs_to(path: &Path, name: &str) -> bool {
    let rest = path.file_name().and_then(|file| file.to_str()?.strip_prefix(name));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn sqlite_url(path: &Path) -> String {
    format!("sqlite://{}?mode=rwc", path.display())
}

impl Place {
    /// A file that its owner removes.
    pub fn file(path: &Path) -> Self {
        Self { kind: Kind::Sqlite, url: sqlite_url(path), name: String::new() }
    }

    /// The file of a database, if it is one.
    pub fn path(&self) -> Option<PathBuf> {
        self.url.strip_prefix("sqlite://")?.split('?').next().map(Into::into)
    }

    /// Sends SQL of the bench's own.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        match self.path() {
            None => connect(&self.url).await?.batch_execute(sql).await.context("PostgreSQL"),
            Some(path) => rusqlite::Connection::open(path)?.execute_batch(sql).context("SQLite"),
        }
    }

    /// Whether the tables and indexes of so many migrations exist.
    pub async fn is_complete(&self, count: u16) -> Result<bool> {
        let there = match self.path() {
            None => names_on_server(&self.url).await?,
            Some(path) => names_in_file(path)?,
        };
        let mut wanted = (0..count).flat_map(|number| [ddl::table(number), ddl::index(number)]);
        Ok(wanted.all(|name| there.contains(&name)))
    }
}

/// Only valid indexes count.
const NAMES: &str = "SELECT relname::text FROM pg_class LEFT JOIN pg_index \
                     ON indexrelid = pg_class.oid \
                     WHERE relnamespace = 'public'::regnamespace AND indisvalid IS NOT false";

async fn names_on_server(url: &str) -> Result<Vec<String>> {
    let rows = connect(url).await?.query(NAMES, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn names_in_file(path: PathBuf) -> Result<Vec<String>> {
    let connection = rusqlite::Connection::open(path)?;
    let mut names = connection.prepare("SELECT name FROM sqlite_master")?;
    let mut rows = names.query([])?;
    iter::from_fn(|| rows.next().and_then(|row| row.map(|row| row.get(0)).transpose()).transpose())
        .collect::<Result<_, _>>()
        .map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_a_database_belongs_to_it_and_another_database_does_not() {
        for (file, belongs) in
            [("bench1", true), ("bench1-journal", true), ("bench12", false), ("x", false)]
        {
            assert_eq!(belongs_to(Path::new(file), "bench1"), belongs, "{file}");
        }
    }
}
