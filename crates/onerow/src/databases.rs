//! Databases as wholes: where a URL leads, whether a server answers there, creating and dropping.
//!
//! It is what the commands `wait`, `create`, `drop` and `reset` do. No part of an answer holds a password.

use crate::{backend, error::Error};

pub use crate::backend::databases::{Location, Unanswered};

/// Where a URL leads.
///
/// # Errors
/// For a URL that does not parse, and for one whose driver is not compiled in.
pub fn locate(url: &str) -> Result<Location, Error> {
    backend::at(url)?.locate(url)
}

/// Tries once whether the server answers. That it does not know the database is an answer.
///
/// # Errors
/// Why it did not answer, and whether it may do so in a moment.
pub async fn answers(url: &str) -> Result<(), Unanswered> {
    backend::at(url)?.answers(url).await
}

/// Whether the right to create a database is there, as far as that can be told before.
///
/// # Errors
/// If the server cannot be asked.
pub async fn may_create(url: &str) -> Result<bool, Error> {
    backend::at(url)?.may_create(url).await
}

/// Creates the database; false if it is there already.
///
/// # Errors
/// If the server refuses, or for a database in memory.
pub async fn create(url: &str) -> Result<bool, Error> {
    backend::at(url)?.create(url).await
}

/// Drops the database, with the sessions that others have on it; false if there is none.
///
/// # Errors
/// If the server refuses, or for a database in memory.
pub async fn drop(url: &str) -> Result<bool, Error> {
    backend::at(url)?.drop(url).await
}
