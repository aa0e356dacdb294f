//! SQLite.

mod connecting;
pub(super) mod databases;
mod grouping;
mod ledger;
mod other_tables;
mod session;
mod storage;
mod version_row;

/// The database, as [`of`](super::of) finds it.
pub(super) struct Sqlite;
