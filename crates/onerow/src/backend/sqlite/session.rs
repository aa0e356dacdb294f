//! A session of a run: a connection of its own to the file.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
    sqlx::{
        self, AssertSqlSafe, Connection, Executor, SqliteConnection, SqlitePool,
        sqlite::SqliteConnectOptions,
    },
};

use super::{Sqlite, ledger::Ledger, storage::private};
use crate::{
    backend::{
        connecting::{Connect, SessionOptions},
        fault::Fault,
        grouping::Grouping,
        session::{Session, pool_of_one},
        watching::Watch,
    },
    database::listener::Listener,
    driver::query_error,
    error::{Error, ErrorKind},
};

const NO_JOURNAL: &str = "journal_mode is OFF for this connection, so SQLite could not roll back a \
    migration that fails; nothing was changed";

/// After how many of its instructions SQLite looks for an interruption. A `ROLLBACK` has fewer.
const INSTRUCTIONS: i32 = 10_000;

/// A connection to the file.
pub(super) struct SqliteSession {
    pub(super) pool: DatabaseConnection,
    interrupt: Arc<AtomicBool>,
    listener: Option<Listener>,
    /// The changes of its migrations.
    pub(super) ledger: Arc<Ledger>,
}

impl SqliteSession {
    pub(super) async fn open(
        pool: &DatabaseConnection,
        options: &SessionOptions<'_>,
    ) -> Result<Self, Error> {
        let pool = pool.get_sqlite_connection_pool();
        let connect = SqliteConnectOptions::clone(&pool.connect_options());
        let pool = pool_of_one(pool).connect_lazy_with(connect.statement_cache_capacity(0));
        let (asked, ledger) = (Arc::clone(options.interrupt), Arc::<Ledger>::default());
        let heard = Arc::clone(&ledger);
        let mut connection = pool.acquire().await.map_err(failed)?;
        let mut handle = connection.lock_handle().await.map_err(failed)?;
        handle.set_progress_handler(INSTRUCTIONS, move || !asked.load(Ordering::Relaxed));
        handle.set_update_hook(move |row| heard.write(row.database, row.table));
        drop(handle);
        drop(connection);
        let mut pool = DatabaseConnection::from(pool);
        if let Some(listener) = options.listener {
            listener.attach(&mut pool);
        }
        let interrupt = Arc::clone(options.interrupt);
        Ok(Self { pool, interrupt, listener: options.listener.cloned(), ledger })
    }
}

#[async_trait]
impl Session for SqliteSession {
    fn pool(&self) -> &DatabaseConnection {
        &self.pool
    }

    fn fault(&self, error: &DbErr) -> Fault {
        Sqlite.fault(error)
    }

    async fn admit(&self, _: bool) -> Result<(), Error> {
        let pool = self.pool.get_sqlite_connection_pool();
        let look = "SELECT journal_mode, file FROM pragma_journal_mode, pragma_database_list \
                    WHERE name = 'main'";
        let (journal, file): (String, Option<String>) =
            sqlx::query_as(look).fetch_one(pool).await.map_err(failed)?;
        if journal == "off" {
            return Err(Error::new(ErrorKind::NoJournal, NO_JOURNAL));
        }
        if file.is_some_and(|file| !file.is_empty()) || is_shared(pool).await.map_err(failed)? {
            return Ok(());
        }
        Err(private())
    }

    async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        // IMMEDIATE takes the write lock now. A transaction that reads first can never go on to
        // write once somebody else has written.
        let immediate = Some(SqliteTransactionMode::Immediate);
        let options =
            TransactionOptions { sqlite_transaction_mode: immediate, ..Default::default() };
        self.pool.begin_with_options(options).await
    }

    async fn successor(
        &self,
        pool: &DatabaseConnection,
    ) -> Result<Option<Arc<dyn Session>>, Error> {
        if !self.is_stale() {
            return Ok(None);
        }
        // Close this one first: it may hold the file for itself.
        self.close().await;
        let (interrupt, listener) = (&self.interrupt, self.listener.as_ref());
        let session = Self::open(pool, &SessionOptions { label: "", interrupt, listener }).await?;
        session.ledger.take_over(&self.ledger);
        Ok(Some(Arc::new(session)))
    }
}

#[async_trait]
impl Watch for SqliteSession {
    async fn cancel(&self, _: &str) -> Result<(), DbErr> {
        self.interrupt.store(true, Ordering::Relaxed);
        Ok(())
    }
}

fn failed(error: sqlx::Error) -> Error {
    Error::cannot_reach(query_error(error))
}

/// Whether another connection with the same options sees the same database: whether it sees a
/// change that is not committed.
async fn is_shared(pool: &SqlitePool) -> Result<bool, sqlx::Error> {
    let options = SqliteConnectOptions::clone(&pool.connect_options());
    let mut other =
        SqliteConnection::connect_with(&options.pragma("read_uncommitted", "ON")).await?;
    let version = "SELECT user_version FROM pragma_user_version";
    let before: i32 = sqlx::query_scalar(version).fetch_one(&mut other).await?;
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let change = format!("PRAGMA user_version = {}", before.wrapping_add(1));
    transaction.execute(AssertSqlSafe(change)).await?;
    let after: i32 = sqlx::query_scalar(version).fetch_one(&mut other).await?;
    transaction.rollback().await?;
    other.close().await?;
    Ok(after != before)
}
