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
    sqlx::{self, AssertSqlSafe, Row, sqlite::SqliteConnectOptions},
};
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

use super::{
    Activity, Backend, Fault, Move, Parentless, Session, Settings, Start, VersionRow, abandon, connect_error,
    driver::{code, error_of, query_error},
};
use crate::{Error, Failure, ServerSession, table::Table};

pub(super) struct Sqlite;

/// A transaction takes 4 fsyncs, whether of one small migration or of a hundred; one longer than this the app's own
/// writers would notice.
const GATHER: Duration = Duration::from_millis(500);

/// Behind the name of the database's file: what stands for the row of a registry.
pub(super) const LOCK_FILE: &str = "-onerow-lock";

/// After how many of its instructions SQLite looks whether it was interrupted; a `ROLLBACK` has fewer.
const INSTRUCTIONS: i32 = 10_000;

/// Where each migration begins: a savepoint to go back to, and in it one by which it is known whether the first is still there.
const BEGIN: &str = "SAVEPOINT onerow; SAVEPOINT onerow_within";
/// Fails if the migration ended the transaction, and has left nothing to go back to.
const PROVE: &str = "RELEASE onerow_within; SAVEPOINT onerow_within";

/// Fails where a row lacks the parent that a foreign key asks for: there is no absolute value of the least integer
/// (<https://sqlite.org/lang_corefunc.html#abs>).
const REFUSE_PARENTLESS: &str =
    "SELECT abs(-9223372036854775807 - EXISTS (SELECT 1 FROM pragma_foreign_key_check)); ";
/// Fails in the same way unless the statement before it changed one row.
const REFUSE_UNMOVED: &str = "SELECT abs(-9223372036854775807 - (changes() <> 1))";

#[async_trait]
impl Backend for Sqlite {
    async fn connect(&self, mut options: ConnectOptions) -> Result<DatabaseConnection, Error> {
        let parsed: Result<SqliteConnectOptions, sqlx::Error> = options.get_url().parse();
        let name = match parsed {
            Ok(parsed) => parsed.get_filename().display().to_string(),
            Err(error) => {
                return Err(Error::InvalidUrl { reason: error.to_string() });
            }
        };
        match Storage::of(options.get_url()) {
            Storage::File => (),
            // The database is gone with its last connection.
            Storage::Memory => drop(options.idle_timeout(None).max_lifetime(None)),
            Storage::Private => {
                let reason = "each connection to it would get an empty database of its own";
                return Err(Error::InvalidUrl { reason: reason.into() });
            }
        }
        // Unheard, as its span holds the options, and with them the key of an encrypted file.
        let connected = SqlxSqliteConnector::connect(options).with_subscriber(NoSubscriber::default()).await;
        connected.map_err(|error| connect_error(self.fault(&error), name, error))
    }

    fn fault(&self, error: &DbErr) -> Fault {
        let Some(error) = error_of(error) else {
            return Fault::Other;
        };
        let message = error.as_database_error().map_or("", |error| error.message());
        let Some(extended) = code(error).and_then(|code| code.parse::<u32>().ok()) else {
            return Fault::Other;
        };
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

    async fn fetch_texts(&self, pool: &DatabaseConnection, sql: &str) -> Result<Vec<Option<String>>, DbErr> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool.get_sqlite_connection_pool()).await;
        let texts = rows.and_then(|rows| rows.iter().map(|row| row.try_get_unchecked(0)).collect());
        texts.map_err(query_error)
    }

    async fn read_row(
        &self,
        pool: &DatabaseConnection,
        table: &Table,
    ) -> Result<Result<VersionRow, DbErr>, Error> {
        let read = self.fetch_texts(pool, &format!("SELECT version FROM {}", table.sql())).await;
        Ok(read.map(|rows| VersionRow { rows, ..VersionRow::default() }))
    }

    async fn release_idle(&self, _: &DatabaseConnection) {}

    async fn release(&self, _: &Session) {}

    async fn make_ready(&self, _: &Session) -> Result<(), Error> {
        Ok(())
    }

    async fn dedicate(
        &self,
        pool: &DatabaseConnection,
        _: &str,
        interrupt: Arc<AtomicBool>,
    ) -> Result<Session, Error> {
        let failed = |error| Error::database(query_error(error));
        let pool = pool.get_sqlite_connection_pool();
        let options = SqliteConnectOptions::clone(&pool.connect_options());
        let pool = pool.options().clone();
        let pool = pool.min_connections(0).max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.test_before_acquire(false).connect_lazy_with(options.statement_cache_capacity(0));
        let asked = Arc::clone(&interrupt);
        let mut connection = pool.acquire().await.map_err(failed)?;
        let mut handle = connection.lock_handle().await.map_err(failed)?;
        handle.set_progress_handler(INSTRUCTIONS, move || !asked.load(Ordering::Relaxed));
        drop(handle);
        drop(connection);
        Ok(Session {
            backend: &Self,
            pool: pool.into(),
            server_version: 0,
            start: Start::default(),
            interrupt,
        })
    }

    async fn prepare_worker(&self, _: &Session) -> Result<(), DbErr> {
        Ok(())
    }

    async fn create_index(
        &self,
        pool: &DatabaseConnection,
        name: &str,
        table: &str,
        columns: &str,
    ) -> Result<(), DbErr> {
        let create = format!("CREATE INDEX IF NOT EXISTS {name} ON {table} ({columns})");
        pool.execute_unprepared(&create).await.map(drop)
    }

    async fn columns(&self, transaction: &DatabaseTransaction, table: &Table) -> Result<Vec<String>, DbErr> {
        let sql = "SELECT name FROM pragma_table_info(?)";
        let look = Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, [table.name().into()]);
        let rows = transaction.query_all_raw(look).await?;
        rows.iter().map(|row| row.try_get_by_index(0)).collect()
    }

    async fn schema_of(&self, _: &DatabaseTransaction, _: &Table) -> Result<Option<String>, DbErr> {
        Ok(None)
    }

    async fn begin_reading(&self, session: &Session) -> Result<DatabaseTransaction, DbErr> {
        session.pool.begin().await
    }

    /// The transaction does that by itself.
    async fn lock_out_writers(&self, _: &DatabaseTransaction, _: &Table) -> Result<(), DbErr> {
        Ok(())
    }

    fn create_schema(&self, _: &Table) -> String {
        String::new()
    }

    async fn begin(&self, session: &Session) -> Result<DatabaseTransaction, DbErr> {
        // IMMEDIATE takes the write lock now: a transaction that reads first, and writes after somebody else has
        // written, can never go on.
        let immediate = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: immediate, ..Default::default() };
        session.pool.begin_with_options(options).await
    }

    async fn create_row(
        &self,
        session: &Session,
        _: &Table,
        statements: &str,
        _: Option<&Settings>,
    ) -> Result<Option<DatabaseTransaction>, DbErr> {
        let transaction = self.begin(session).await?;
        transaction.execute_unprepared(statements).await?;
        transaction.commit().await.map(|()| None)
    }

    async fn begin_with_row(
        &self,
        session: &Session,
        table: &Table,
        version: i32,
        settings: &Settings,
    ) -> Result<Option<DatabaseTransaction>, DbErr> {
        // Foreign keys before `BEGIN`, since SQLite ignores it inside a transaction; and off, since rebuilding a parent
        // table deletes its children otherwise (https://sqlite.org/lang_altertable.html#otheralter).
        session.pool.execute_unprepared("PRAGMA foreign_keys = OFF; PRAGMA busy_timeout = 0").await?;
        let transaction = self.begin(session).await?;
        // Not a SELECT: on a read-only database `BEGIN IMMEDIATE` succeeds, and only a write is refused.
        let touch = format!("UPDATE {} SET version = version WHERE version = {version}", table.sql());
        if transaction.execute_unprepared(&touch).await?.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(None);
        }
        // From here on it is the commit that may have to wait, for readers.
        let milliseconds = match settings.lock_timeout_milliseconds() {
            0 => i32::MAX,
            milliseconds => milliseconds,
        };
        transaction.execute_unprepared(&format!("PRAGMA busy_timeout = {milliseconds}; {BEGIN}")).await?;
        Ok(Some(transaction))
    }

    async fn stage(
        &self,
        claim: &DatabaseTransaction,
        moved: &Move<'_>,
        strictly: bool,
    ) -> Result<(), Failure> {
        let Move { table, from, to } = moved;
        let check = if strictly { REFUSE_PARENTLESS } else { "" };
        // All in one message to the thread of the connection. The version with each migration, for one that commits on its own
        // commits those before it too.
        let message = format!(
            "{check}{PROVE}; UPDATE {} SET version = {to} WHERE version = {from}; {REFUSE_UNMOVED}; RELEASE onerow; {BEGIN}",
            table.sql()
        );
        claim.execute_unprepared(&message).await.map(drop).map_err(|error| {
            let words = super::words(&error);
            let ended = words.starts_with("no such savepoint") || words.starts_with("integer overflow");
            if ended { Failure::EndedTransaction } else { Failure::Commit(error) }
        })
    }

    async fn undo(&self, claim: &DatabaseTransaction) -> Result<(), DbErr> {
        claim.execute_unprepared("ROLLBACK TO onerow").await.map(drop)
    }

    async fn commit(
        &self,
        _: &Session,
        claim: DatabaseTransaction,
        _: &Move<'_>,
        _: Option<&Settings>,
    ) -> Result<Option<DatabaseTransaction>, Failure> {
        // `BEGIN`, which locks nothing, for SeaORM to end.
        if let Err(error) = claim.execute_unprepared("COMMIT; BEGIN").await {
            abandon(claim).await;
            return Err(Failure::Commit(error));
        }
        Ok(None)
    }

    fn gather(&self) -> Option<Duration> {
        Some(GATHER)
    }

    fn row_excludes_writers(&self) -> bool {
        true
    }

    async fn parentless(&self, transaction: &DatabaseTransaction) -> Option<Parentless> {
        let check = Statement::from_string(DatabaseBackend::Sqlite, "PRAGMA foreign_key_check");
        // It fails where a foreign key refers to what is not unique; the migration at hand may be the one that mends that.
        let mut parentless = Parentless::new();
        for row in transaction.query_all_raw(check).await.ok()? {
            let key = (row.try_get("", "table").ok()?, row.try_get("", "parent").ok()?);
            *parentless.entry(key).or_default() += 1;
        }
        Some(parentless)
    }

    /// The write lock is SQLite's only one, and the migration needs it, so a file beside the database is locked: the
    /// system lets go of it when the process ends, however it ends.
    fn lock_file(&self, pool: &DatabaseConnection, label: &str) -> io::Result<Option<File>> {
        let options = pool.get_sqlite_connection_pool().connect_options();
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

    async fn holder(&self, _: &Session, _: &Table) -> Option<ServerSession> {
        None
    }

    async fn activity(&self, _: &Session, _: &str, _: i32) -> Result<Activity, DbErr> {
        Ok(Activity { sessions: 1, ..Activity::default() })
    }

    async fn others_at_work(
        &self,
        _: &Session,
        _: &str,
        _: &str,
        _: &Table,
    ) -> Result<Vec<ServerSession>, DbErr> {
        Ok(Vec::new())
    }

    async fn cancel(&self, monitor: &Session, _: &str) -> Result<(), DbErr> {
        monitor.interrupt.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Where the database of a URL is.
pub(super) enum Storage {
    File,
    Memory,
    /// In each connection.
    Private,
}

impl Storage {
    pub(super) fn of(url: &str) -> Self {
        let (path, parameters) = url.split_once('?').unwrap_or((url, ""));
        let has = |parameter: &str| parameters.split('&').any(|one| one == parameter);
        let name = path.trim_start_matches("sqlite:").trim_start_matches("//");
        let memory = name == ":memory:" || has("mode=memory");
        match memory {
            true if has("cache=private") => Self::Private,
            true => Self::Memory,
            false if name.is_empty() => Self::Private,
            false => Self::File,
        }
    }
}
