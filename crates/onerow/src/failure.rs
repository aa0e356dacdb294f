//! How a migration failed.

use std::error::Error as StdError;

use sea_orm::DbErr;

use crate::{backend::watching::ServerSession, driver, error::Error, tool::Tool};

/// How a migration failed. It is the source of an [`Error`] of the kind
/// [`MigrationFailed`](crate::ErrorKind::MigrationFailed).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// [`migrate`](crate::MigrationTrait::migrate) returned an error.
    #[error(transparent)]
    Migrate(DbErr),
    /// [`validate`](crate::MigrationTrait::validate) returned an error.
    #[error("its validation failed")]
    Validate(#[source] DbErr),
    /// The code of the migration panicked.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// The check of SQLite's foreign keys, before the commit, found rows without their parent.
    #[error(
        "it leaves {rows} more row(s) without the parent that a foreign key of table {table} asks \
         for"
    )]
    ForeignKeys {
        /// How many more rows lack their parent than before the migration.
        rows: usize,
        /// The table of the first such row.
        table: String,
    },
    /// The migration itself sent `COMMIT` or `ROLLBACK`, or changed the version row.
    #[error(
        "it ended the transaction that it was handed, or changed the version row, and what it did \
         may have been committed"
    )]
    EndedTransaction,
    /// The connection that held the version row was lost while the migration ran outside a
    /// transaction.
    #[error("the connection that held the version row was lost")]
    ClaimLost(#[source] DbErr),
    /// Other sessions held a lock that it needs, at each try.
    #[error("it did not get a lock in {tries} tries{}", held_by(.blockers))]
    Blocked {
        /// How often the migration was tried.
        tries: u32,
        /// The sessions that held the locks, if the server tells.
        blockers: Vec<ServerSession>,
        /// The error of the last try.
        #[source]
        source: DbErr,
    },
    /// Its SQL names the old tool's table, which a database that the tool has not migrated lacks.
    #[error(
        "it needs the table {table} of {tool}, which exists only in a database that {tool} has \
         migrated"
    )]
    OldTable {
        /// The old tool.
        tool: Tool,
        /// The old tool's table.
        table: String,
        /// The error of the statement.
        #[source]
        source: DbErr,
    },
    /// The database refused to move the version, or to commit.
    #[error("its commit was refused")]
    Commit(#[source] DbErr),
}

impl Failure {
    /// The database's error, if there is one.
    pub(crate) fn refusal(&self) -> Option<&DbErr> {
        match self {
            Self::Migrate(error) | Self::Validate(error) | Self::Commit(error) => Some(error),
            Self::OldTable { source, .. } => Some(source),
            _ => None,
        }
    }

    /// The causes as they are shown. An error of `migrate` says all that there is to say.
    pub(crate) fn causes(&self) -> Vec<String> {
        match self {
            Self::Migrate(error) => driver::causes(error),
            failure => driver::causes(failure),
        }
    }
}

impl Error {
    /// How the migration failed, for an error of the kind
    /// [`MigrationFailed`](crate::ErrorKind::MigrationFailed).
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        StdError::source(self)?.downcast_ref()
    }
}

fn held_by(blockers: &[ServerSession]) -> String {
    if blockers.is_empty() {
        return String::new();
    }
    let names: Vec<_> = blockers.iter().map(ToString::to_string).collect();
    format!("; held by {}", names.join(" and "))
}
