//! Whole databases: a file each.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use sea_orm::{
    DbErr,
    sqlx::{self, AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions},
};

use super::{
    Sqlite,
    storage::{LOCK_FILE, Storage},
};
use crate::{
    backend::{
        databases::{Databases, IN_MEMORY, Location, Unanswered},
        url,
    },
    driver::query_error,
    error::Error,
};

/// The endings of the files that SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

#[async_trait]
impl Databases for Sqlite {
    fn locate(&self, url: &str) -> Result<Location, Error> {
        let options = url::sqlite(url)?;
        let database = match Storage::of(url) {
            Storage::File => options.get_filename().display().to_string(),
            _ => IN_MEMORY.into(),
        };
        Ok(Location { database, server: None, user: None, is_local: true })
    }

    /// There is no server to wait for.
    async fn answers(&self, url: &str) -> Result<(), Unanswered> {
        Ok(url::sqlite(url).map(|_| ())?)
    }

    async fn may_create(&self, url: &str) -> Result<bool, Error> {
        file(url).map(|_| true)
    }

    async fn create(&self, url: &str) -> Result<bool, Error> {
        let file = file(url)?;
        if file.exists() {
            return Ok(false);
        }
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(|error| folder_failed(folder, &error))?;
        }
        let failed = |error| failed("create", &file, query_error(error));
        let mut connection =
            SqliteConnection::connect_with(&url::sqlite(url)?.create_if_missing(true))
                .await
                .map_err(failed)?;
        // SQLite makes the file only when something is written.
        sqlx::raw_sql("BEGIN IMMEDIATE; PRAGMA user_version = 0; COMMIT")
            .execute(&mut connection)
            .await
            .map_err(failed)?;
        connection.close().await.map_err(failed)?;
        Ok(true)
    }

    async fn drop(&self, url: &str) -> Result<bool, Error> {
        let file = file(url)?;
        if !file.exists() {
            return Ok(false);
        }
        // If the file is a link, drop the database that it leads to.
        let file = file
            .canonicalize()
            .map_err(|error| failed("drop", &file, DbErr::Custom(error.to_string())))?;
        let connection = alone(&url::sqlite(url)?)
            .await
            .map_err(|error| failed("drop", &file, query_error(error)))?;
        remove(&file).map_err(|error| failed("drop", &file, DbErr::Custom(error.to_string())))?;
        // The file is gone, so its rollback has nothing to do.
        let _ = connection.close().await;
        Ok(true)
    }
}

/// The file of a database; an error if the database is in memory.
fn file(url: &str) -> Result<PathBuf, Error> {
    match Storage::of(url) {
        Storage::File => Ok(url::sqlite(url)?.get_filename().to_owned()),
        _ => Err(url::invalid("a database in memory is neither created nor dropped")),
    }
}

/// Locks the file, in a transaction that may write. Otherwise other programs could go on in a file
/// that nobody else sees any more.
async fn alone(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = SqliteConnection::connect_with(options).await?;
    // With a write-ahead log, readers ignore a lock. But only a connection that is alone may leave
    // that mode.
    sqlx::raw_sql("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE").execute(&mut connection).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await?;
    // SQLite refuses this if the file or the URL is read-only.
    sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA user_version = {version}")))
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

fn remove(file: &Path) -> io::Result<()> {
    let beside = BESIDE.iter().map(|suffix| with(file, suffix));
    for beside in beside.chain(lock_files(file)?) {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
    }
    fs::remove_file(file)
}

/// The lock files of all registries that have a row in this database.
fn lock_files(file: &Path) -> io::Result<Vec<PathBuf>> {
    let prefix = with(file, LOCK_FILE);
    let prefix = prefix.file_name().unwrap_or_default().as_encoded_bytes();
    let Some(dir) = file.parent() else { return Ok(Vec::new()) };
    let entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let is_lock = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(prefix);
    Ok(entries.iter().filter(|entry| is_lock(entry)).map(fs::DirEntry::path).collect())
}

fn with(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn failed(verb: &str, file: &Path, source: DbErr) -> Error {
    Error::cannot(&format!("{verb} the database {}", file.display()), None, source)
}

fn folder_failed(folder: &Path, error: &io::Error) -> Error {
    let operation = format!("make the folder {}", folder.display());
    Error::cannot(&operation, None, DbErr::Custom(error.to_string()))
}
