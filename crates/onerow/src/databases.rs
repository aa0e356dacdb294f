//! Whole databases: where a URL leads, whether a server answers there, creating and dropping.
//!
//! The commands `wait`, `create`, `drop` and `reset` are made of these. No answer holds a password.

use sea_orm::ConnectOptions;

use crate::{backend, error::Error};

pub use crate::backend::databases::{Location, Unanswered};

/// Says where a URL leads.
///
/// # Errors
/// If the URL does not parse, or if its driver is not compiled in.
pub fn locate(url: &str) -> Result<Location, Error> {
    backend::at(url)?.locate(url)
}

/// Tries once whether the server answers. If it says that it has no such database, that is an
/// answer.
///
/// # Errors
/// If it does not answer: [`Unanswered`] says why, and whether it may answer in a moment.
pub async fn answers(url: &str) -> Result<(), Unanswered> {
    backend::at(url)?.answers(url).await
}

/// Has the connections of a pool look for names in these schemas, with commas between them, instead
/// of the search path of their role. Returns false if the database has no schemas, as on SQLite.
///
/// A pooler has to pass on the startup parameter `options` for it.
///
/// # Errors
/// If the URL of the options does not parse, or if its driver is not compiled in.
pub fn set_search_path(options: &mut ConnectOptions, schemas: &str) -> Result<bool, Error> {
    Ok(backend::at(options.get_url())?.set_search_path(options, schemas))
}

/// Fails if a run would be refused on this server, whatever the database holds.
///
/// # Errors
/// As those of [`up`](crate::Registry::up) with or without
/// [`on_unverified_engine`](crate::Up::on_unverified_engine), or if the server cannot be asked.
pub async fn admit(url: &str, on_unverified_engine: bool) -> Result<(), Error> {
    backend::at(url)?.admit(url, on_unverified_engine).await
}

/// Whether this user has the right to create a database, as far as that can be told beforehand.
///
/// # Errors
/// If the server cannot be asked.
pub async fn may_create(url: &str) -> Result<bool, Error> {
    backend::at(url)?.may_create(url).await
}

/// Creates the database. Returns false if it exists already.
///
/// # Errors
/// If the server refuses, or if the database is in memory.
pub async fn create(url: &str) -> Result<bool, Error> {
    backend::at(url)?.create(url).await
}

/// Drops the database, and ends the sessions that others have on it. Returns false if there is
/// none.
///
/// # Errors
/// If the server refuses, or if the database is in memory.
pub async fn drop(url: &str) -> Result<bool, Error> {
    backend::at(url)?.drop(url).await
}
