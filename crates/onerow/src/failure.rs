//! How a migration failed.

use sea_orm::DbErr;

use crate::{backend::watching::ServerSession, driver, error::Error, tool::Tool};

/// How a migration failed: the source of an [`Error`](crate::Error) of the kind
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
    /// The code panicked.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// SQLite's check before the commit found rows without their parent.
    #[error(
        "it leaves {rows} more row(s) without the parent that a foreign key of table {table} asks for"
    )]
    ForeignKeys {
        /// How many rows more than before the migration.
        rows: usize,
        /// The table of the first.
        table: String,
    },
    /// The migration itself sent `COMMIT` or `ROLLBACK`, or changed the version row.
    #[error(
        "it ended the transaction that it was handed, or changed the version row, and what it did \
         may have been committed"
    )]
    EndedTransaction,
    /// The connection that held the version row was lost while the migration ran on its own.
    #[error("the connection that held the version row was lost")]
    ClaimLost(#[source] DbErr),
    /// Locks of other sessions stood in the way at each try.
    #[error("a lock was not to be had in {tries} tries{}", held_by(.blockers))]
    Blocked {
        /// How often the migration was tried.
        tries: u32,
        /// Who held the locks, if the server tells.
        blockers: Vec<ServerSession>,
        /// The server's words at the last try.
        #[source]
        source: DbErr,
    },
    /// It names the table of the tool that ran it before. Only a database that the tool has migrated
    /// has that table.
    #[error(
        "it needs the table {table} of {tool}, which only a database has that {tool} has migrated"
    )]
    OldTable {
        /// The tool.
        tool: Tool,
        /// Its table.
        table: String,
        /// The server's words.
        #[source]
        source: DbErr,
    },
    /// The version could not be moved, or the commit was refused.
    #[error("its commit was refused")]
    Commit(#[source] DbErr),
}

impl Failure {
    /// The database's refusal, if that is what failed.
    pub(crate) fn refusal(&self) -> Option<&DbErr> {
        match self {
            Self::Migrate(error) | Self::Validate(error) | Self::Commit(error) => Some(error),
            Self::OldTable { source, .. } => Some(source),
            _ => None,
        }
    }

    /// The causes as an error tells them. The error of `migrate` stands for the whole failure.
    pub(crate) fn causes(&self) -> Vec<String> {
        match self {
            Self::Migrate(error) => driver::causes(error),
            failure => driver::causes(failure),
        }
    }
}

impl Error {
    /// How the migration failed, for [`ErrorKind::MigrationFailed`](crate::ErrorKind::MigrationFailed).
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        std::error::Error::source(self)?.downcast_ref()
    }
}

fn held_by(blockers: &[ServerSession]) -> String {
    if blockers.is_empty() {
        return String::new();
    }
    let names: Vec<_> = blockers.iter().map(ToString::to_string).collect();
    format!("; held by {}", names.join(" and "))
}
