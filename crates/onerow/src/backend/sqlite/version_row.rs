//! The version row on SQLite. The only lock is that of the whole file.

use std::{
    fs::{File, OpenOptions},
    io,
};

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr,
    sqlx::{self, AssertSqlSafe, Row},
};

use super::{Sqlite, session::SqliteSession, stage::BEGIN, storage::LOCK_FILE};
use crate::{
    backend::{
        session::Session,
        version_row::{Claim, Move, ReadRow, Rows, Settings, VersionRow},
    },
    driver::query_error,
    error::Error,
    failure::Failure,
    table::TableName,
};

#[async_trait]
impl ReadRow for Sqlite {
    async fn read_row(
        &self,
        pool: &DatabaseConnection,
        table: &TableName,
    ) -> Result<Result<Rows, DbErr>, Error> {
        let sql = format!("SELECT version FROM {}", table.sql());
        let read =
            sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool.get_sqlite_connection_pool()).await;
        let versions =
            read.and_then(|rows| rows.iter().map(|row| row.try_get_unchecked(0)).collect());
        Ok(versions.map(|versions| Rows { versions, mistrust: None }).map_err(query_error))
    }
}

#[async_trait]
impl VersionRow for SqliteSession {
    async fn create(
        &self,
        _: &TableName,
        statements: &str,
        _: Option<&Settings>,
    ) -> Result<Option<Claim>, DbErr> {
        let transaction = self.begin().await?;
        transaction.execute_unprepared(statements).await?;
        transaction.commit().await.map(|()| None)
    }

    async fn create_and_hold(&self, _: &TableName, statements: &str) -> Result<Claim, DbErr> {
        let transaction = self.begin().await?;
        transaction.execute_unprepared(&format!("{statements}; {BEGIN}")).await?;
        Ok(Claim::new(transaction))
    }

    async fn claim(
        &self,
        table: &TableName,
        version: i32,
        settings: &Settings,
    ) -> Result<Option<Claim>, DbErr> {
        // Foreign keys go off, because otherwise rebuilding a parent table deletes its children
        // (https://sqlite.org/lang_altertable.html#otheralter). They go off before `BEGIN`, because
        // SQLite ignores that inside a transaction.
        self.pool.execute_unprepared("PRAGMA foreign_keys = OFF; PRAGMA busy_timeout = 0").await?;
        let transaction = self.begin().await?;
        // Write, do not just read: on a read-only database `BEGIN IMMEDIATE` succeeds, and only a
        // write is refused.
        let touch =
            format!("UPDATE {} SET version = version WHERE version = {version}", table.sql());
        if transaction.execute_unprepared(&touch).await?.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(None);
        }
        // From here on only the commit may have to wait: for readers.
        let milliseconds = match settings.lock_timeout_milliseconds() {
            0 => i32::MAX,
            milliseconds => milliseconds,
        };
        transaction
            .execute_unprepared(&format!("PRAGMA busy_timeout = {milliseconds}; {BEGIN}"))
            .await?;
        Ok(Some(Claim::new(transaction)))
    }

    async fn commit(
        &self,
        claim: Claim,
        _: &Move<'_>,
        _: Option<&Settings>,
    ) -> Result<Option<Claim>, Failure> {
        // SeaORM ends the second transaction, which locks nothing.
        if let Err(error) = claim.transaction().execute_unprepared("COMMIT; BEGIN").await {
            claim.give_up().await;
            return Err(Failure::Commit(error));
        }
        Ok(None)
    }

    fn excludes_writers(&self) -> bool {
        true
    }

    /// The write lock is SQLite's only lock, and the migration needs it. So the lease is a lock of
    /// a file beside the database. The system lets go of it when the process ends, however it ends.
    fn lock_file(&self, label: &str) -> io::Result<Option<File>> {
        let options = self.pool.get_sqlite_connection_pool().connect_options();
        // Use the database's real name, which is the same for every link that leads to it.
        let Ok(path) = options.get_filename().canonicalize() else {
            // The database is in memory, which no other process can reach.
            return Ok(None);
        };
        let mut path = path.into_os_string();
        path.push(LOCK_FILE);
        if !label.is_empty() {
            path.push("-");
            path.push(label);
        }
        // Do not open the database's own file: closing it would drop all of the process's locks on
        // it (<https://sqlite.org/howtocorrupt.html>, section 2.2).
        OpenOptions::new().create(true).write(true).truncate(false).open(path).map(Some)
    }
}
