//! The version row: read, create, claim, advance. The only file that names the table.

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr};

use crate::{
    Error,
    backend::{self, Fault, Session, Settings},
};

pub(crate) const TABLE: &str = "schema_migration";

// The seed's statements, name for name, so that its Python code can hand a database over and take it back.
const SELECT: &str = "SELECT version FROM schema_migration";
const CREATE: &str = "CREATE TABLE IF NOT EXISTS schema_migration (
    onerow_id BOOL PRIMARY KEY DEFAULT TRUE,
    version INTEGER NOT NULL,
    CONSTRAINT onerow_uni CHECK (onerow_id)
)";
const INSERT: &str = "INSERT INTO schema_migration (version) VALUES (-1) ON CONFLICT DO NOTHING";

/// Before the first migration.
pub(crate) const NONE: i32 = -1;

/// What a read of the version finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    NoTable,
    NoRow,
    Version(i32),
    /// On SQLite a writer whose changes have outgrown its cache shuts readers out until it ends.
    Held,
}

impl Found {
    /// The version, −1 where there is none yet; `None` if it could not be read.
    pub(crate) fn version(self) -> Option<i32> {
        match self {
            Self::NoTable | Self::NoRow => Some(NONE),
            Self::Version(version) => Some(version),
            Self::Held => None,
        }
    }
}

/// Reads the version in one statement, on the pool that it is given.
pub(crate) async fn read(pool: &DatabaseConnection) -> Result<Found, Error> {
    let backend = backend::of(pool)?;
    match backend.fetch_texts(pool, SELECT).await {
        Ok(rows) => parse(&rows),
        Err(source) => match backend.fault(&source) {
            Fault::NoTable => Ok(Found::NoTable),
            Fault::Held => Ok(Found::Held),
            Fault::NoColumn => Err(Error::ForeignTable { source }),
            fault => Err(explain(fault, "read the version", None, source)),
        },
    }
}

fn parse(rows: &[Option<String>]) -> Result<Found, Error> {
    let [row] = rows else {
        return if rows.is_empty() { Ok(Found::NoRow) } else { Err(Error::SeveralRows { rows: rows.len() }) };
    };
    match row.as_deref().map(str::parse) {
        Some(Ok(version)) if version >= NONE => Ok(Found::Version(version)),
        _ => Err(Error::InvalidVersion { found: row.clone().unwrap_or_else(|| "NULL".into()) }),
    }
}

/// Makes the table and its row, where they are missing.
///
/// In a transaction of its own: with the first migration in the same one, every other process that starts at the same
/// time would block on the table's name for as long as that migration takes.
pub(crate) async fn create(session: &Session, found: Found) -> Result<(), DbErr> {
    let transaction = session.begin().await?;
    if found == Found::NoTable {
        transaction.execute_unprepared(CREATE).await?;
    }
    transaction.execute_unprepared(INSERT).await?;
    transaction.commit().await
}

/// Begins a transaction that holds the row, if it is at this version; `None` if it has moved on.
///
/// Fails at once where another session holds it ([`Fault::Held`]).
pub(crate) async fn claim(
    session: &Session,
    version: i32,
    settings: &Settings,
) -> Result<Option<DatabaseTransaction>, DbErr> {
    session.backend.begin_with_row(session, TABLE, version, settings).await
}

/// Moves the version by one, in the transaction that claimed it; false if that transaction has ended meanwhile.
pub(crate) async fn advance(session: &Session, claim: &DatabaseTransaction, to: i32) -> Result<bool, DbErr> {
    session.backend.advance(claim, TABLE, to).await
}

/// The error for a statement on the version row that failed.
pub(crate) fn explain(fault: Fault, operation: &str, version: Option<i32>, source: DbErr) -> Error {
    match fault {
        Fault::ReadOnly => Error::ReadOnly { version, source },
        Fault::Denied => Error::PermissionDenied { operation: operation.into(), version, source },
        Fault::NotNull => Error::MissingRow { source },
        _ => Error::Database { operation: operation.into(), version, source },
    }
}
