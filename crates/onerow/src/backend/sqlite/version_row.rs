//! The version row on SQLite, whose only lock is that of the whole file.

use std::{
    fs::{File, OpenOptions},
    io,
};

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr,
    sqlx::{self, AssertSqlSafe, Row},
};

use super::{Sqlite, grouping::BEGIN, session::SqliteSession, storage::LOCK_FILE};
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
        // Foreign keys before `BEGIN`, since SQLite ignores it inside a transaction; and off, since rebuilding a parent
        // table deletes its children otherwise (https://sqlite.org/lang_altertable.html#otheralter).
        self.pool.execute_unprepared("PRAGMA foreign_keys = OFF; PRAGMA busy_timeout = 0").await?;
        let transaction = self.begin().await?;
        // Not a SELECT: on a read-only database `BEGIN IMMEDIATE` succeeds, and only a write is refused.
        let touch =
            format!("UPDATE {} SET version = version WHERE version = {version}", table.sql());
        if transaction.execute_unprepared(&touch).await?.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(None);
        }
        // From here on it is the commit that may have to wait, for readers.
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
        // `BEGIN`, which locks nothing, for SeaORM to end.
        if let Err(error) = claim.transaction().execute_unprepared("COMMIT; BEGIN").await {
            claim.give_up().await;
            return Err(Failure::Commit(error));
        }
        Ok(None)
    }

    fn excludes_writers(&self) -> bool {
        true
    }

    /// The write lock is SQLite's only one, and the migration needs it, so a file beside the database is locked: the
    /// system lets go of it when the process ends, however it ends.
    fn lock_file(&self, label: &str) -> io::Result<Option<File>> {
        let options = self.pool.get_sqlite_connection_pool().connect_options();
        // By its real name, which is the same whatever link leads to it.
        let Ok(path) = options.get_filename().canonicalize() else {
            // In memory, where no other process comes.
            return Ok(None);
        };
        let mut path = path.into_os_string();
        path.push(LOCK_FILE);
        if !label.is_empty() {
            path.push("-");
            path.push(label);
        }
        // Not the database's own file: closing it would drop SQLite's locks on it, all over the process
        // (https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
        OpenOptions::new().create(true).write(true).truncate(false).open(path).map(Some)
    }
}
