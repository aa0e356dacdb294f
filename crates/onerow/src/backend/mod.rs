//! What differs between the databases, by what asks for it; each database is a folder.
//!
//! | module | holds |
//! |---|---|
//! | `connecting` | the app's pool, and the sessions of a run |
//! | `session` | a connection of a run's own |
//! | `version_row` | the version row: read, made, claimed, moved; all SQL on it |
//! | `grouping` | several migrations in one transaction |
//! | `index` | what an index is to be |
//! | `watching` | what sessions are doing, seen from another connection |
//! | `other_tables` | the tables of other tools |
//! | `databases` | databases as wholes: created, dropped, waited for |
//! | `fault` | what an error of the driver means |
//! | `url` | URLs, and the passwords in them |
//!
//! A further database is a folder beside `postgres` and `sqlite`, a line in each of `of`, `at` and
//! `url`, and its features in `Cargo.toml`.

// What one backend reads, makes or finds, another may not.
#![cfg_attr(
    not(all(feature = "postgres", feature = "sqlite")),
    allow(dead_code, unused_imports, unused_mut, clippy::unused_async)
)]

mod connecting;
pub(crate) mod databases;
mod fault;
mod grouping;
mod index;
mod other_tables;
#[cfg(feature = "postgres")]
mod postgres;
mod session;
#[cfg(feature = "sqlite")]
mod sqlite;
mod url;
mod version_row;
mod watching;

use sea_orm::{DatabaseBackend, DatabaseConnection};

use crate::error::Error;
use connecting::Backend;

pub(crate) use connecting::{Answer, SessionOptions};
pub(crate) use fault::{Fault, crowded, permission_denied};
pub(crate) use grouping::{Doubt, Settled};
pub(crate) use index::Index;
pub(crate) use session::Session;
pub(crate) use version_row::{Claim, Mistrust, Move, NONE, Settings, create_table, insert_row};
pub(crate) use watching::Activity;

/// Which database serves a pool. The only place that asks.
pub(crate) fn of(pool: &DatabaseConnection) -> Result<&'static dyn Backend, Error> {
    match pool.get_database_backend() {
        #[cfg(feature = "postgres")]
        DatabaseBackend::Postgres => Ok(&postgres::Postgres),
        #[cfg(feature = "sqlite")]
        DatabaseBackend::Sqlite => Ok(&sqlite::Sqlite),
        other => Err(url::unknown(&format!("{other:?}"))),
    }
}

/// Which database a URL asks for.
pub(crate) fn at(url: &str) -> Result<&'static dyn Backend, Error> {
    match url::scheme(url)? {
        #[cfg(feature = "postgres")]
        url::Scheme::Postgres => Ok(&postgres::Postgres),
        #[cfg(feature = "sqlite")]
        url::Scheme::Sqlite => Ok(&sqlite::Sqlite),
    }
}
