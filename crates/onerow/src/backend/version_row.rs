//! The version row: how it is read, made, claimed and moved. All SQL on it is here, and in the file
//! of the same name in each backend's folder.

use std::{fs::File, io, time::Duration};

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr};
use tokio::time::timeout;

use crate::{driver, error::Error, failure::Failure, table::TableName};

/// The version before the first migration.
pub(crate) const NONE: i32 = -1;

/// How long the server may take to say that a claim is still held.
const SILENCE: Duration = Duration::from_secs(10);

/// How long a claim may take to roll back. Closing its connection may take twice as long.
const ROLL_BACK: Duration = Duration::from_secs(5);

/// Reads the row on the app's own pool.
#[async_trait]
pub(crate) trait ReadRow: Sync {
    /// Reads the version row, in one statement and, over a network, in one round trip. The outer
    /// error is that of a connection that could not be opened, or of a server that is none of ours.
    async fn read_row(
        &self,
        pool: &DatabaseConnection,
        table: &TableName,
    ) -> Result<Result<Rows, DbErr>, Error>;

    /// Whether row-level security applies to this user at the table.
    async fn hides_rows(&self, _: &DatabaseConnection, _: &TableName) -> bool {
        false
    }
}

/// Makes, claims and moves the row, in a session of a run.
#[async_trait]
pub(crate) trait VersionRow: Send + Sync {
    /// Finds the schema of the table, if it exists and there are schemas; and why the table is not
    /// to be trusted, if it is not.
    async fn examine(&self, _: &TableName) -> Result<(Option<String>, Option<Mistrust>), DbErr> {
        Ok((None, None))
    }

    /// The statements, each with a semicolon, that keep others from changing the table until the
    /// transaction ends, and fail unless it is to be trusted.
    fn refuse_untrusted(&self, _: &TableName) -> String {
        String::new()
    }

    /// The search path, for a message; empty if there are no schemas.
    async fn search_path(&self) -> String {
        String::new()
    }

    /// The schema in which a table is made if it names none; `None` if there are no schemas.
    fn default_schema(&self) -> Option<&str> {
        None
    }

    /// The statement that makes the table's schema if it is missing, with a semicolon. Empty if
    /// there is nothing to make.
    fn create_schema(&self, _: &TableName) -> String {
        String::new()
    }

    /// Makes the row by these statements, and commits. With settings for the first migration it may
    /// go on to claim the row, if it made that row itself.
    async fn create(
        &self,
        table: &TableName,
        statements: &str,
        next: Option<&Settings>,
    ) -> Result<Option<Claim>, DbErr>;

    /// Makes the row by these statements and claims it, in a transaction that is not committed.
    async fn create_and_hold(&self, table: &TableName, statements: &str) -> Result<Claim, DbErr>;

    /// Claims the row at this version, without waiting; `None` if the version has moved on. If
    /// another session holds the row, the error is a [`Fault::Held`](super::fault::Fault::Held).
    async fn claim(
        &self,
        table: &TableName,
        version: i32,
        settings: &Settings,
    ) -> Result<Option<Claim>, DbErr>;

    /// Moves the version, unless the stages of a group have moved it, and commits. With settings
    /// for the next migration it may claim the row again, at the new version.
    ///
    /// It sends its own `COMMIT`. A migration may leave SeaORM's count of nested transactions
    /// wrong, and SeaORM's commit would then only release a savepoint. After a
    /// [`Fault::Lost`](super::fault::Fault::Lost) nobody knows whether it has committed.
    async fn commit(
        &self,
        claim: Claim,
        moved: &Move<'_>,
        next: Option<&Settings>,
    ) -> Result<Option<Claim>, Failure>;

    /// Whether a claim locks out every other writer. If so, a migration outside a transaction needs
    /// a lease that is not the row.
    fn excludes_writers(&self) -> bool {
        false
    }

    /// The file to lock for that lease, if a claim [excludes writers](Self::excludes_writers) and
    /// other processes can reach the database.
    fn lock_file(&self, _: &str) -> io::Result<Option<File>> {
        Ok(None)
    }
}

/// The settings of a claim's transaction.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The session's name in the server's list of sessions.
    pub(crate) label: String,
    pub(crate) lock_timeout: Duration,
    /// Whether the commit must be on disk before the server answers it.
    pub(crate) durable: bool,
}

impl Settings {
    /// The lock timeout in the whole milliseconds that the databases take, and within their range.
    /// Only 0 becomes 0, which means no limit.
    pub(super) fn lock_timeout_milliseconds(&self) -> i32 {
        let milliseconds = i32::try_from(self.lock_timeout.as_millis()).unwrap_or(i32::MAX);
        if self.lock_timeout.is_zero() { 0 } else { milliseconds.max(1) }
    }
}

/// A move of the version, from one to the next.
pub(crate) struct Move<'a> {
    pub(crate) table: &'a TableName,
    pub(crate) from: i32,
    pub(crate) to: i32,
    /// Whether its commit must be on disk before the server answers it, even if the claim did not
    /// ask for that.
    pub(crate) durable: bool,
}

impl Move<'_> {
    /// The only statement that moves the version. `equals` is the operator `=`, with its schema if
    /// the backend needs one.
    pub(super) fn update(&self, equals: &str) -> String {
        let (table, from, to) = (self.table.sql(), self.from, self.to);
        format!("UPDATE {table} SET version = {to} WHERE version {equals} {from}")
    }
}

/// The contents of the version table, and whether it is to be trusted.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// The version in each of its rows.
    pub(crate) versions: Vec<Option<String>>,
    pub(crate) mistrust: Option<Mistrust>,
}

/// Why a version table is not to be trusted.
#[derive(Debug, Clone)]
pub(crate) enum Mistrust {
    /// Row-level security hides its row.
    Hidden,
    /// It could run its owner's code.
    Foreign {
        owner: String,
        /// The part of the table that could run it; `None` if only the owner is not trusted.
        has: Option<String>,
        /// Whether it must not even be read.
        even_to_read: bool,
    },
}

/// The statement that makes the version table. The columns are the seed's, name for name, so that
/// its Python code can hand a database over and take it back.
pub(crate) fn create_table(table: &TableName) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (
    onerow_id BOOL PRIMARY KEY DEFAULT TRUE,
    version INTEGER NOT NULL,
    CONSTRAINT onerow_uni CHECK (onerow_id)
)",
        table.sql()
    )
}

/// The statement that makes the version row.
pub(crate) fn insert_row(table: &TableName) -> String {
    format!("INSERT INTO {} (version) VALUES ({NONE}) ON CONFLICT DO NOTHING", table.sql())
}

/// The version row, held by a transaction: nobody else moves the version meanwhile. Dropping the
/// claim lets go of the row.
pub(crate) struct Claim(DatabaseTransaction);

impl Claim {
    pub(crate) fn new(transaction: DatabaseTransaction) -> Self {
        Self(transaction)
    }

    pub(crate) fn transaction(&self) -> &DatabaseTransaction {
        &self.0
    }

    pub(crate) fn into_transaction(self) -> DatabaseTransaction {
        self.0
    }

    /// Fails if the connection has lost the claim.
    pub(crate) async fn check(&self) -> Result<(), DbErr> {
        match timeout(SILENCE, self.0.execute_unprepared("SELECT 1")).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(driver::silence(SILENCE)),
        }
    }

    /// Rolls back the whole transaction, even if SeaORM counts nested ones. If that fails, the
    /// connection is lost and the server rolls back by itself.
    pub(crate) async fn give_up(self) {
        let end = async {
            let _ = self.0.execute_unprepared("ROLLBACK; BEGIN").await;
            let _ = self.0.rollback().await;
        };
        let _ = timeout(ROLL_BACK, end).await;
    }
}
