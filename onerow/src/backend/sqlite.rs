//! SQLite.

use std::{
    fs::{File, OpenOptions},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr,
    SqliteTransactionMode, SqlxSqliteConnector, Statement, TransactionOptions, TransactionTrait,
    sqlx::{
        self, ConnectOptions as _, Row,
        sqlite::SqliteConnectOptions,
    },
};

use super::{
    Activity, Backend, Fault, Orphans, Session, Settings, connect_error,
    driver::{code, error_of, query_error},
};
use crate::{Error, ServerSession};

pub(super) struct Sqlite;

/// One transaction for a hundred small migrations takes 12 fsyncs instead of 408; more than this and the app's own
/// writers would notice.
const GATHER: Duration = Duration::from_millis(500);

/// After how many of its instructions SQLite looks whether it was interrupted; a `ROLLBACK` has fewer.
const INSTRUCTIONS: i32 = 10_000;

#[async_trait]
impl Backend for Sqlite {
    async fn connect(&self, mut options: ConnectOptions) -> Result<DatabaseConnection, Error> {
        let parsed: SqliteConnectOptions =
            options.get_url().parse().map_err(|error: sqlx::Error| Error::InvalidUrl { reason: error.to_string() })?;
        if is_private(&parsed) {
            return Err(private());
        }
        if in_memory(&parsed) {
            // The database is gone with its last connection.
            options.idle_timeout(None).max_lifetime(None);
        }
        let name = parsed.get_filename().display().to_string();
        SqlxSqliteConnector::connect(options)
            .await
            .map_err(|error| connect_error(self.fault(&error), name, error))
    }

    fn fault(&self, error: &DbErr) -> Fault {
        let Some(error) = error_of(error) else { return Fault::Other };
        let message = error.as_database_error().map_or("", |error| error.message());
        let Some(extended) = code(error).and_then(|code| code.parse::<u32>().ok()) else { return Fault::Other };
        // https://sqlite.org/rescode.html: the primary code is the low byte of the extended.
        match (extended, extended & 0xff) {
            (1299, _) => Fault::NotNull,
            (_, 1) if message.starts_with("no such table") => Fault::NoTable,
            (_, 1) if message.starts_with("no such column") => Fault::NoColumn,
            (_, 5 | 6) => Fault::Held,
            (_, 8) => Fault::ReadOnly,
            (_, 3 | 23) => Fault::Denied,
            (_, 14) => Fault::NoDatabase,
            _ => Fault::Other,
        }
    }

    async fn fetch_texts(&self, pool: &DatabaseConnection, sql: &'static str) -> Result<Vec<Option<String>>, DbErr> {
        let rows = sqlx::raw_sql(sql).fetch_all(pool.get_sqlite_connection_pool()).await;
        let texts = rows.and_then(|rows| rows.iter().map(|row| row.try_get_unchecked(0)).collect());
        texts.map_err(query_error)
    }

    async fn dedicate(&self, pool: &DatabaseConnection, _: &str) -> Result<Session, DbErr> {
        let pool = pool.get_sqlite_connection_pool();
        let options = SqliteConnectOptions::clone(&pool.connect_options());
        if is_private(&options) {
            return Err(DbErr::Custom(private().to_string()));
        }
        let pool = pool.options().clone();
        let pool = pool.min_connections(0).max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.test_before_acquire(false).connect_lazy_with(options.statement_cache_capacity(0));
        let interrupt = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&interrupt);
        let mut connection = pool.acquire().await.map_err(query_error)?;
        let mut handle = connection.lock_handle().await.map_err(query_error)?;
        handle.set_progress_handler(INSTRUCTIONS, move || !asked.load(Ordering::Relaxed));
        drop(handle);
        drop(connection);
        Ok(Session { backend: &Self, pool: pool.into(), server_version: 0, interrupt })
    }

    async fn begin(&self, session: &Session) -> Result<DatabaseTransaction, DbErr> {
        // IMMEDIATE takes the write lock now: a transaction that reads first, and writes after somebody else has
        // written, can never go on.
        let immediate = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: immediate, ..Default::default() };
        session.pool.begin_with_options(options).await
    }

    async fn begin_with_row(
        &self,
        session: &Session,
        select: &str,
        settings: &Settings,
    ) -> Result<Option<DatabaseTransaction>, DbErr> {
        // Foreign keys before `BEGIN`, since SQLite ignores it inside a transaction; and off, since rebuilding a parent
        // table deletes its children otherwise (https://sqlite.org/lang_altertable.html#otheralter).
        session.pool.execute_unprepared("PRAGMA foreign_keys = OFF; PRAGMA busy_timeout = 0").await?;
        let transaction = self.begin(session).await?;
        let statement = Statement::from_string(DatabaseBackend::Sqlite, select);
        if transaction.query_one_raw(statement).await?.is_none() {
            transaction.rollback().await?;
            return Ok(None);
        }
        // From here on it is the commit that may have to wait, for readers.
        let pragma = format!("PRAGMA busy_timeout = {}", settings.lock_timeout.as_millis());
        transaction.execute_unprepared(&pragma).await?;
        Ok(Some(transaction))
    }

    fn still_claimed(&self, _: &str) -> String {
        // To release the savepoint of a migration fails when its transaction has ended.
        String::new()
    }

    fn gather(&self) -> Option<Duration> {
        Some(GATHER)
    }

    fn row_excludes_writers(&self) -> bool {
        true
    }

    async fn orphans(&self, transaction: &DatabaseTransaction) -> Result<Orphans, DbErr> {
        let check = Statement::from_string(DatabaseBackend::Sqlite, "PRAGMA foreign_key_check");
        let rows = transaction.query_all_raw(check).await?;
        let table = rows.first().map(|row| row.try_get("", "table")).transpose()?.unwrap_or_default();
        Ok(Orphans { rows: rows.len(), table })
    }

    /// The write lock is SQLite's only one, and the migration needs it, so a file beside the database is locked: the
    /// system lets go of it when the process ends, however it ends.
    fn lock_file(&self, pool: &DatabaseConnection) -> io::Result<Option<File>> {
        let options = pool.get_sqlite_connection_pool().connect_options();
        if in_memory(&options) {
            return Ok(None);
        }
        let mut path = options.get_filename().as_os_str().to_owned();
        path.push("-onerow-lock");
        // Not the database's own file: closing it would drop SQLite's locks on it, all over the process
        // (https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
        OpenOptions::new().create(true).write(true).truncate(false).open(path).map(Some)
    }

    async fn holder(&self, _: &Session, _: &str) -> Option<ServerSession> {
        None
    }

    async fn activity(&self, _: &Session, _: &str) -> Result<Activity, DbErr> {
        Ok(Activity::default())
    }

    async fn executing(&self, _: &Session, _: &str) -> Result<Vec<ServerSession>, DbErr> {
        Ok(Vec::new())
    }

    async fn cancel(&self, session: &Session, _: &Session, _: &str) -> Result<(), DbErr> {
        session.interrupt.store(true, Ordering::Relaxed);
        Ok(())
    }
}

fn in_memory(options: &SqliteConnectOptions) -> bool {
    options.to_url_lossy().query_pairs().any(|pair| pair == ("mode".into(), "memory".into()))
}

/// Whether each connection would be to a database of its own.
fn is_private(options: &SqliteConnectOptions) -> bool {
    let url = options.to_url_lossy();
    let private_cache = url.query_pairs().any(|pair| pair == ("cache".into(), "private".into()));
    (in_memory(options) && private_cache) || (!in_memory(options) && options.get_filename().as_os_str().is_empty())
}

fn private() -> Error {
    Error::InvalidUrl { reason: "each connection to it would get an empty database of its own".into() }
}
