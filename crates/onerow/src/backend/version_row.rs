//! The version row: read, made, claimed and moved. All SQL on it is here, and in the file of the same
//! name in the folder of each database.

use std::{fs::File, io, time::Duration};

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr};
use tokio::time::timeout;

use super::session::CLOSE;
use crate::{driver, error::Error, failure::Failure, table::TableName};

/// The version before the first migration.
pub(crate) const NONE: i32 = -1;

/// Reads the row on the app's own pool.
#[async_trait]
pub(crate) trait ReadRow: Sync {
    /// Reads the version row, in one statement and, over a network, in one round trip. Fails itself only
    /// if it cannot connect.
    async fn read_row(
        &self,
        pool: &DatabaseConnection,
        table: &TableName,
    ) -> Result<Result<Rows, DbErr>, Error>;

    /// Whether row-level security holds for this user at the table.
    async fn hides_rows(&self, _: &DatabaseConnection, _: &TableName) -> bool {
        false
    }
}

/// Makes, claims and moves the row, in a session of a run.
#[async_trait]
pub(crate) trait VersionRow: Send + Sync {
    /// The schema of the table, if it is there and there are schemas; and why it is not to be trusted,
    /// if it is not.
    async fn examine(&self, _: &TableName) -> Result<(Option<String>, Option<Mistrust>), DbErr> {
        Ok((None, None))
    }

    /// The schema in which a table without one is made, if there are schemas.
    fn default_schema(&self) -> Option<&str> {
        None
    }

    /// The statement that makes the schema of a table, unless it is there, with a semicolon; empty if
    /// there is nothing to make.
    fn create_schema(&self, _: &TableName) -> String {
        String::new()
    }

    /// Makes the row by these statements, and commits that. With settings for the first migration it may
    /// hold the row, if it is the one that it made.
    async fn create(
        &self,
        table: &TableName,
        statements: &str,
        next: Option<&Settings>,
    ) -> Result<Option<Claim>, DbErr>;

    /// Makes the row by these statements, and holds it, in a transaction that is not committed.
    async fn create_and_hold(&self, table: &TableName, statements: &str) -> Result<Claim, DbErr>;

    /// Holds the row at this version, without waiting; `None` if it has moved on. Another session that
    /// holds it is a [`Fault::Held`](super::fault::Fault::Held).
    async fn claim(
        &self,
        table: &TableName,
        version: i32,
        settings: &Settings,
    ) -> Result<Option<Claim>, DbErr>;

    /// Moves the version, unless the stages of a group have, and commits. With settings for the next
    /// migration it may hold the row again, at the new version.
    ///
    /// It does not go by SeaORM's count of nested transactions, which a migration may leave wrong: to
    /// commit would be to release a savepoint. A [`Fault::Lost`](super::fault::Fault::Lost) leaves open
    /// what became of it.
    async fn commit(
        &self,
        claim: Claim,
        moved: &Move<'_>,
        next: Option<&Settings>,
    ) -> Result<Option<Claim>, Failure>;

    /// Whether holding the row locks out every other writer, so that something else has to stand for it
    /// while a migration runs outside a transaction.
    fn excludes_writers(&self) -> bool {
        false
    }

    /// The file to lock if holding the row [excludes writers](Self::excludes_writers), and other
    /// processes can come.
    fn lock_file(&self, _: &str) -> io::Result<Option<File>> {
        Ok(None)
    }
}

/// What a claim asks of its transaction.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// What the session calls itself, for those who look at the server's sessions.
    pub(crate) label: String,
    pub(crate) lock_timeout: Duration,
    /// Whether the commit is to be on disk before it is answered.
    pub(crate) durable: bool,
}

impl Settings {
    /// In the whole milliseconds that the databases take, and within their range; 0 only for 0, which
    /// means no limit.
    pub(super) fn lock_timeout_milliseconds(&self) -> i32 {
        let milliseconds = i32::try_from(self.lock_timeout.as_millis()).unwrap_or(i32::MAX);
        if self.lock_timeout.is_zero() { 0 } else { milliseconds.max(1) }
    }
}

/// From which version to which, and in which table.
pub(crate) struct Move<'a> {
    pub(crate) table: &'a TableName,
    pub(crate) from: i32,
    pub(crate) to: i32,
    /// Whether its commit is to be on disk before it is answered, whatever the claim has asked for.
    pub(crate) durable: bool,
}

impl Move<'_> {
    /// The one statement that moves the version. `equals` is the operator, with its schema if it needs
    /// one.
    pub(super) fn update(&self, equals: &str) -> String {
        let (table, from, to) = (self.table.sql(), self.from, self.to);
        format!("UPDATE {table} SET version = {to} WHERE version {equals} {from}")
    }
}

/// What the version table holds, and what the table is.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// The version of each of its rows.
    pub(crate) versions: Vec<Option<String>>,
    pub(crate) mistrust: Option<Mistrust>,
}

/// Why a version table is not to be trusted.
#[derive(Debug, Clone)]
pub(crate) enum Mistrust {
    /// Row-level security hides its row.
    Hidden,
    /// It could run somebody else's code.
    Foreign {
        owner: String,
        /// What of, if its owner is one to be trusted.
        has: Option<String>,
        /// Whether it is not even to be read.
        even_to_read: bool,
    },
}

// The seed's columns, name for name, so that its Python code can hand a database over and take it back.
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

pub(crate) fn insert_row(table: &TableName) -> String {
    format!("INSERT INTO {} (version) VALUES ({NONE}) ON CONFLICT DO NOTHING", table.sql())
}

/// How long the server may take to say that a claim is still held.
const SILENCE: Duration = Duration::from_secs(10);

/// The version row, held by a transaction: nobody else moves the version meanwhile. A claim that is
/// dropped lets go of it.
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

    /// Asks whether the connection still has it.
    pub(crate) async fn check(&self) -> Result<(), DbErr> {
        match timeout(SILENCE, self.0.execute_unprepared("SELECT 1")).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(driver::silence(SILENCE)),
        }
    }

    /// Rolls back, whatever SeaORM takes for the number of nested transactions. If that fails the
    /// connection is lost, and the server rolls back by itself.
    pub(crate) async fn give_up(self) {
        let end = async {
            let _ = self.0.execute_unprepared("ROLLBACK; BEGIN").await;
            let _ = self.0.rollback().await;
        };
        let _ = timeout(CLOSE / 2, end).await;
    }
}
