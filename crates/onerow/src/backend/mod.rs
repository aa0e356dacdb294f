//! Everything that differs between the databases: a trait for each caller, a folder for each
//! backend.
//!
//! | module | role |
//! |---|---|
//! | `connecting` | opens the app's pool, and the sessions of a run |
//! | `session` | a connection of a run's own |
//! | `version_row` | reads, makes, claims and moves the version row; all SQL on it |
//! | `grouping` | runs several migrations in one transaction |
//! | `index` | makes an index |
//! | `watching` | sees from another connection what sessions are doing, and ends it |
//! | `other_tables` | reads the tables of other tools |
//! | `databases` | creates, drops and waits for whole databases |
//! | `fault` | says what an error of the driver means |
//! | `url` | parses URLs, and keeps their passwords to itself |
//!
//! Another database is a folder beside `postgres` and `sqlite`, a line in each of `of`, `at` and
//! `url`, and its features in `Cargo.toml`.

// With one backend, or with none, some of this is not used.
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
pub(crate) mod watching;

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
pub use watching::ServerSession;

/// The backend that serves a pool. No other place asks which one it is.
pub(crate) fn of(pool: &DatabaseConnection) -> Result<&'static dyn Backend, Error> {
    match pool.get_database_backend() {
        #[cfg(feature = "postgres")]
        DatabaseBackend::Postgres => Ok(&postgres::Postgres),
        #[cfg(feature = "sqlite")]
        DatabaseBackend::Sqlite => Ok(&sqlite::Sqlite),
        other => Err(url::unknown(&format!("{other:?}"))),
    }
}

/// The backend that a URL asks for.
pub(crate) fn at(url: &str) -> Result<&'static dyn Backend, Error> {
    match url::scheme(url)? {
        #[cfg(feature = "postgres")]
        url::Scheme::Postgres => Ok(&postgres::Postgres),
        #[cfg(feature = "sqlite")]
        url::Scheme::Sqlite => Ok(&sqlite::Sqlite),
    }
}
