//! SQLite files.

use std::{fs, io, path::PathBuf};

use sea_orm::{
    DbErr,
    sqlx::{self, Connection, SqliteConnection, sqlite::SqliteConnectOptions},
};

use super::{Location, Unanswered};
use crate::{Error, backend::driver::query_error, backend::sqlite::Storage};

/// What SQLite and onerow keep beside a file of this name.
const BESIDE: [&str; 4] = ["-wal", "-shm", "-journal", "-onerow-lock"];

fn options(url: &str) -> Result<SqliteConnectOptions, Error> {
    url.parse().map_err(|error: sqlx::Error| Error::InvalidUrl { reason: error.to_string() })
}

/// The file; an error for a database in memory.
fn file(url: &str) -> Result<PathBuf, Error> {
    match Storage::of(url) {
        Storage::File => Ok(options(url)?.get_filename().to_owned()),
        _ => Err(Error::InvalidUrl { reason: "a database in memory is neither created nor dropped".into() }),
    }
}

pub(super) fn locate(url: &str) -> Result<Location, Error> {
    let database = options(url)?.get_filename().display().to_string();
    Ok(Location { database, server: None, is_local: true })
}

/// There is no server to wait for.
#[allow(clippy::unused_async)] // As the other backend's.
pub(super) async fn answers(url: &str) -> Result<(), Unanswered> {
    Ok(options(url).map(|_| ())?)
}

pub(super) async fn create(url: &str) -> Result<bool, Error> {
    let file = file(url)?;
    if file.exists() {
        return Ok(false);
    }
    let failed = |error| failed("create", &file, query_error(error));
    let mut connection =
        SqliteConnection::connect_with(&options(url)?.create_if_missing(true)).await.map_err(failed)?;
    // A file without a page is made by the first write only.
    sqlx::raw_sql("BEGIN IMMEDIATE; PRAGMA user_version = 0; COMMIT")
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(true)
}

pub(super) async fn drop(url: &str) -> Result<bool, Error> {
    let file = file(url)?;
    if !file.exists() {
        return Ok(false);
    }
    let failed_sql = |error| failed("drop", &file, query_error(error));
    // Who uses the file would go on in one that nobody else sees.
    let mut connection = SqliteConnection::connect_with(&options(url)?).await.map_err(failed_sql)?;
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut connection).await.map_err(failed_sql)?;
    remove(&file).map_err(|error| failed("drop", &file, DbErr::Custom(error.to_string())))?;
    // Its rollback finds nothing to do in a file that is gone.
    let _ = connection.close().await;
    Ok(true)
}

fn remove(file: &PathBuf) -> io::Result<()> {
    for suffix in BESIDE {
        let mut beside = file.clone().into_os_string();
        beside.push(suffix);
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
    }
    fs::remove_file(file)
}

fn failed(verb: &str, file: &std::path::Path, source: DbErr) -> Error {
    Error::Database { operation: format!("{verb} the database {}", file.display()), version: None, source }
}
