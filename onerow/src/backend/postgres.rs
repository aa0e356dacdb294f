//! PostgreSQL.

use std::{
    fs::File,
    io,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{
    ConnAcquireErr, ConnectOptions, ConnectionTrait, DatabaseBackend, DatabaseConnection,
    DatabaseTransaction, DbErr, SqlxPostgresConnector, Statement, TransactionTrait,
    sqlx::{
        self, AssertSqlSafe, Connection, PgPool, Row,
        pool::PoolConnection,
        postgres::{PgConnectOptions, PgRow},
    },
};
use tokio::time::sleep;
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

use super::{
    Activity, Backend, Fault, Move, Parentless, Session, Settings, abandon, connect_error,
    driver::{code, error_of, query_error},
    url,
};
use crate::{
    Error, Failure, ServerSession,
    table::{Table, quoted},
    version,
};

pub(super) struct Postgres;

/// sqlx retries a refused connection in silence until the pool's timeout (30 s by default). After this long it is
/// looked into.
const PATIENCE: Duration = Duration::from_secs(1);

/// Of a run's number in the label of its sessions.
const RUN_DIGITS: usize = 8;

/// The first version with `client_connection_check_interval`
/// (<https://www.postgresql.org/docs/14/release-14.html>).
const CHECKS_CLIENT: u32 = 140_000;

#[async_trait]
impl Backend for Postgres {
    async fn connect(&self, mut options: ConnectOptions) -> Result<DatabaseConnection, Error> {
        url::postgres(options.get_url())?;
        let lazy = options.get_connect_lazy();
        options.connect_lazy(true);
        // Unheard, as its span holds the options, password and all. It connects nowhere yet.
        let pool = SqlxPostgresConnector::connect(options)
            .with_subscriber(NoSubscriber::default())
            .await
            .map_err(|error| Error::InvalidUrl { reason: super::words(&error) })?;
        let connections = pool.get_postgres_connection_pool();
        let parsed = PgConnectOptions::clone(&connections.connect_options());
        connections.set_connect_options(url::without_brackets(parsed));
        if !lazy {
            let mut first = first_connection(connections).await?;
            // One that is dropped goes back in a task of its own: whoever asks the pool next, `up` say, is faster, finds it
            // empty and opens a second connection, which takes four round trips more.
            first.return_to_pool().await;
        }
        Ok(pool)
    }

    fn fault(&self, error: &DbErr) -> Fault {
        match error {
            DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => Fault::Unreachable,
            DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => Fault::Lost,
            _ => error_of(error).map_or(Fault::Other, fault),
        }
    }

    async fn fetch_texts(&self, pool: &DatabaseConnection, sql: &str) -> Result<Vec<Option<String>>, DbErr> {
        let pool = pool.get_postgres_connection_pool();
        let rows = match ask_idle(pool, sql).await {
            Some(answer) => answer,
            None => sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await,
        };
        // The simple protocol answers in text, whatever the type.
        let texts = rows.and_then(|rows| rows.iter().map(|row| row.try_get_unchecked(0)).collect());
        texts.map_err(query_error)
    }

    async fn dedicate(
        &self,
        pool: &DatabaseConnection,
        label: &str,
        interrupt: Arc<AtomicBool>,
    ) -> Result<Session, Error> {
        let pool = pool.get_postgres_connection_pool();
        let options = PgConnectOptions::clone(&pool.connect_options())
            .application_name(label)
            // A transaction-pooling proxy hands the next statement to another session, which has not prepared it;
            // and a statement prepared before a migration may "change result type" after it.
            .statement_cache_capacity(0);
        let pool = pool.options().clone();
        let pool = pool.min_connections(0).max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.test_before_acquire(false).connect_lazy_with(options);
        let server_version = first_connection(&pool).await?.server_version_num().unwrap_or(0);
        Ok(Session { backend: &Self, pool: pool.into(), server_version, interrupt })
    }

    async fn prepare_worker(&self, worker: &Session) -> Result<(), DbErr> {
        if worker.server_version >= CHECKS_CLIENT {
            // Of the session, for lack of a transaction. A proxy may give it to another session, which it does not harm.
            let sql = "SET client_connection_check_interval = 1000";
            worker.pool.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn create_index(
        &self,
        pool: &DatabaseConnection,
        name: &str,
        table: &str,
        columns: &str,
    ) -> Result<(), DbErr> {
        // An index is in the schema of its table, whatever the search path.
        let look = format!(
            "SELECT CASE WHEN indisvalid THEN 'valid' ELSE format('%I.%I', nspname, relname) END
             FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace
             WHERE indrelid = to_regclass('{table}') AND relname = (parse_ident('{name}'))[1]"
        );
        match self.fetch_texts(pool, &look).await?.pop().flatten() {
            Some(found) if found == "valid" => return Ok(()),
            Some(invalid) => {
                pool.execute_unprepared(&format!("DROP INDEX CONCURRENTLY {invalid}")).await?;
            }
            None => (),
        }
        let create = format!("CREATE INDEX CONCURRENTLY {name} ON {table} ({columns})");
        pool.execute_unprepared(&create).await?;
        match self.fetch_texts(pool, &look).await?.pop().flatten() {
            Some(found) if found == "valid" => Ok(()),
            _ => Err(DbErr::Migration(format!("the index {name} is not valid after it was built"))),
        }
    }

    async fn columns(&self, transaction: &DatabaseTransaction, table: &Table) -> Result<Vec<String>, DbErr> {
        let sql = format!(
            "SELECT attname::text FROM pg_attribute
             WHERE attrelid = to_regclass({}) AND attnum > 0 AND NOT attisdropped",
            text(&table.sql())
        );
        let rows = transaction.query_all_raw(Statement::from_string(DatabaseBackend::Postgres, sql)).await?;
        rows.iter().map(|row| row.try_get_by_index(0)).collect()
    }

    async fn schema_of(
        &self,
        transaction: &DatabaseTransaction,
        table: &Table,
    ) -> Result<Option<String>, DbErr> {
        let schema = table.schema().map_or_else(|| "current_schema()".to_owned(), text);
        let sql = format!(
            "SELECT coalesce((SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.oid = to_regclass({})), {schema})::text",
            text(&table.sql())
        );
        let row = transaction.query_one_raw(Statement::from_string(DatabaseBackend::Postgres, sql)).await?;
        row.map_or(Ok(None), |row| row.try_get_by_index(0))
    }

    async fn begin_reading(&self, session: &Session) -> Result<DatabaseTransaction, DbErr> {
        self.begin(session).await
    }

    async fn lock_out_writers(&self, transaction: &DatabaseTransaction, table: &Table) -> Result<(), DbErr> {
        // `SHARE` would let quart-db hold its row, as it does for as long as a migration runs.
        let lock = format!("LOCK TABLE {} IN EXCLUSIVE MODE NOWAIT", table.sql());
        transaction.execute_unprepared(&lock).await.map(drop)
    }

    fn create_schema(&self, table: &Table) -> String {
        let Some(schema) = table.schema() else { return String::new() };
        // Even with `IF NOT EXISTS` it takes the right to create one.
        let (name, create) = (text(schema), format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema)));
        let block = format!(
            "BEGIN IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = {name}) THEN {create}; END IF; END"
        );
        format!("DO {}; ", text(&block))
    }

    async fn begin(&self, session: &Session) -> Result<DatabaseTransaction, DbErr> {
        let transaction = session.pool.begin().await?;
        transaction.execute_unprepared(BRIEFLY).await?;
        Ok(transaction)
    }

    async fn create_row(
        &self,
        session: &Session,
        table: &Table,
        statements: &str,
        next: Option<&Settings>,
    ) -> Result<Option<DatabaseTransaction>, DbErr> {
        let transaction = session.pool.begin().await?;
        let message =
            format!("{BRIEFLY}; {statements}; {}", commit_and_lock(session, table, version::NONE, next));
        // A row of the insertion, and one of the lock.
        if transaction.execute_unprepared(&message).await?.rows_affected() == 2 {
            return Ok(Some(transaction));
        }
        transaction.rollback().await?;
        Ok(None)
    }

    async fn begin_with_row(
        &self,
        session: &Session,
        table: &Table,
        version: i32,
        settings: &Settings,
    ) -> Result<Option<DatabaseTransaction>, DbErr> {
        let transaction = session.pool.begin().await?;
        let claim = lock_row(session, table, version, settings);
        if transaction.execute_unprepared(&claim).await?.rows_affected() == 1 {
            return Ok(Some(transaction));
        }
        transaction.rollback().await?;
        Ok(None)
    }

    async fn stage(&self, _: &DatabaseTransaction, _: &Move<'_>, _: bool) -> Result<(), Failure> {
        Ok(())
    }

    async fn undo(&self, _: &DatabaseTransaction) -> Result<(), DbErr> {
        Ok(())
    }

    /// All in one message: each would be a round trip. To SeaORM it stays the same transaction.
    async fn commit(
        &self,
        session: &Session,
        claim: DatabaseTransaction,
        moved: &Move<'_>,
        next: Option<&Settings>,
    ) -> Result<Option<DatabaseTransaction>, Failure> {
        let mark = format!("{:016x}", fastrand::u64(..));
        let then = commit_and_lock(session, moved.table, moved.to, next);
        let message = format!("{}; {}; {then}", restore_path_and_mark(&mark), move_row(moved));
        match claim.execute_unprepared(&message).await {
            // A row each of the path, of the move and of the lock.
            Ok(done) if done.rows_affected() == 3 => Ok(Some(claim)),
            // Rolled back on the connection's way to the pool, which takes no round trip of its own.
            Ok(_) => Ok(None),
            Err(error) if super::words(&error).contains(ENDED) => {
                abandon(claim).await;
                Err(Failure::EndedTransaction)
            }
            Err(error) => {
                let committed = claim.execute_unprepared(&look_for(&mark)).await;
                match committed.map(|found| found.rows_affected()) {
                    // What was refused is the lock.
                    Ok(1) => Ok(None),
                    Ok(_) => Err(Failure::Commit(error)),
                    Err(lost) => Err(Failure::Commit(lost)),
                }
            }
        }
    }

    fn gather(&self) -> Option<Duration> {
        None
    }

    fn row_excludes_writers(&self) -> bool {
        false
    }

    async fn parentless(&self, _: &DatabaseTransaction) -> Option<Parentless> {
        None
    }

    fn lock_file(&self, _: &DatabaseConnection, _: &str) -> io::Result<Option<File>> {
        Ok(None)
    }

    async fn holder(&self, session: &Session, table: &Table) -> Option<ServerSession> {
        // A row's lock is its holder's transaction id, in xmax; pg_locks tells whose that is.
        let sql = format!(
            "SELECT {SESSION} FROM {} v
             JOIN pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = v.xmax AND l.granted
             JOIN pg_stat_activity s ON s.pid = l.pid",
            table.sql()
        );
        sessions(session, sql).await.ok()?.pop()
    }

    async fn activity(&self, session: &Session, label: &str) -> Result<Activity, DbErr> {
        let blockers = format!(
            "SELECT DISTINCT {SESSION} FROM pg_stat_activity mine
             CROSS JOIN LATERAL unnest(pg_blocking_pids(mine.pid)) AS blocking(pid)
             JOIN pg_stat_activity s ON s.pid = blocking.pid
             WHERE mine.application_name = '{label}'"
        );
        let phase = format!(
            "SELECT format('%s, %s of %s blocks', p.phase, p.blocks_done, p.blocks_total)
             FROM pg_stat_progress_create_index p JOIN pg_stat_activity s ON s.pid = p.pid
             WHERE s.application_name = '{label}'"
        );
        let blockers = sessions(session, blockers).await?;
        let phase = rows(session, phase).await?.first().and_then(|row| row.try_get(0).ok());
        Ok(Activity { blockers, phase })
    }

    async fn executing(
        &self,
        session: &Session,
        prefix: &str,
        table_label: &str,
    ) -> Result<Vec<ServerSession>, DbErr> {
        let behind = prefix.len() + RUN_DIGITS + 1;
        let sql = format!(
            "SELECT {SESSION} FROM pg_stat_activity s WHERE s.datname = current_database()
             AND starts_with(s.application_name, '{prefix}') AND s.state = 'active'
             AND ltrim(substr(s.application_name, {behind})) = '{table_label}'"
        );
        sessions(session, sql).await
    }

    async fn cancel(&self, monitor: &Session, run: &str) -> Result<(), DbErr> {
        let sql = format!(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
             WHERE position('{run}' IN application_name) > 0 AND state = 'active' AND pid <> pg_backend_pid()"
        );
        rows(monitor, sql).await.map(|_| ())
    }
}

/// Asks a connection that the pool has at hand; `None` if it has none, or one that has died.
///
/// The pool itself would first ask whether the connection is alive, which is a round trip more.
async fn ask_idle(pool: &PgPool, sql: &str) -> Option<Result<Vec<PgRow>, sqlx::Error>> {
    let mut idle = pool.try_acquire()?;
    match sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *idle).await {
        Err(error) if fault(&error) == Fault::Lost => None,
        answer => Some(answer),
    }
}

/// Opens the pool's first connection, and gives up at once on what waiting does not mend.
async fn first_connection(pool: &PgPool) -> Result<PoolConnection<sqlx::Postgres>, Error> {
    let options = pool.connect_options();
    // What the server last said to a probe, such as that it is starting up: all that the pool says is that time is up.
    let mut said = None;
    let probing = async {
        loop {
            sleep(PATIENCE).await;
            match sqlx::PgConnection::connect_with(&options).await {
                Ok(connection) => drop(connection.close().await),
                Err(error @ sqlx::Error::Io(_)) => return error,
                Err(error) => said = Some(error),
            }
        }
    };
    let error = tokio::select! {
        opened = pool.acquire() => match opened {
            Ok(connection) => return Ok(connection),
            Err(error) => Err(error),
        },
        error = probing => Ok(error),
    };
    // Nothing was asked yet, so nothing is in doubt.
    let (fault, error) = match error {
        Err(sqlx::Error::PoolTimedOut) if said.is_some() => {
            (Fault::Other, said.unwrap_or(sqlx::Error::PoolTimedOut))
        }
        Ok(error) | Err(error) => match error {
            sqlx::Error::Io(_) => (Fault::Unreachable, error),
            _ => (fault(&error), error),
        },
    };
    Err(connect_error(fault, name(&options), query_error(error)))
}

/// Host, port and database, for a message.
pub(super) fn name(options: &PgConnectOptions) -> String {
    let host = options.get_socket().map_or(options.get_host().into(), |path| path.display().to_string());
    let host = if host.contains(':') && !host.starts_with('/') { format!("[{host}]") } else { host };
    format!("{host}:{}/{}", options.get_port(), options.get_database().unwrap_or(options.get_username()))
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn fault(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::PoolTimedOut => Fault::Unreachable,
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolClosed => Fault::Lost,
        _ => code(error).map_or(Fault::Other, |code| match &*code {
            "42P01" => Fault::NoTable,
            "42703" => Fault::NoColumn,
            "3F000" => Fault::NoSchema,
            "23502" => Fault::NotNull,
            "23505" | "42710" | "42P04" | "42P06" | "42P07" => Fault::CreateRace,
            "55P03" | "40P01" | "40001" => Fault::Held,
            "25006" => Fault::ReadOnly,
            "42501" => Fault::Denied,
            "28000" | "28P01" => Fault::Authentication,
            "3D000" => Fault::NoDatabase,
            "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Fault::Lost,
            code if code.starts_with("08") => Fault::Lost,
            _ => Fault::Other,
        }),
    }
}

/// A lock of a table that is not to be had soon counts as held. For the catalog too: who makes the same table may be stopped in the
/// middle of it. And what is read behind a lock is to be what is there then: under a stricter default a claim would keep its
/// snapshot besides, and a `CREATE INDEX CONCURRENTLY` beside it wait for that for ever.
const BRIEFLY: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = 1000";

/// Locks the row at this version, and sets what the transaction needs if it is there.
///
/// What is set ends with the transaction: behind a transaction-pooling proxy a plain `SET` would stay with the server's
/// session, and pass to whoever gets it next.
fn lock_row(session: &Session, table: &Table, version: i32, settings: &Settings) -> String {
    let lock_timeout = settings.lock_timeout_milliseconds().to_string();
    let mut values = vec![
        ("application_name", text(&settings.label)),
        ("lock_timeout", text(&lock_timeout)),
        ("idle_in_transaction_session_timeout", text("0")),
        // Otherwise the row of a runner whose machine is gone stays locked for two hours.
        ("tcp_keepalives_idle", text("30")),
        ("tcp_keepalives_interval", text("10")),
        ("tcp_keepalives_count", text("3")),
        ("onerow.search_path", "current_setting('search_path')".to_owned()),
    ];
    if session.server_version >= CHECKS_CLIENT {
        // A statement in flight outlived its killed client by 11 s without this, and by 1.0 s with it.
        values.push(("client_connection_check_interval", text("1000")));
    }
    if !settings.durable {
        values.push(("synchronous_commit", text("off")));
    }
    let values = values.iter().map(|(name, value)| format!("set_config('{name}', {value}, true)"));
    let values = values.collect::<Vec<_>>().join(", ");
    let table = table.sql();
    format!("{BRIEFLY}; SELECT {values} FROM {table} WHERE version = {version} FOR UPDATE NOWAIT")
}

/// Commits, and begins anew in any case, since to SeaORM it is the same transaction.
fn commit_and_lock(session: &Session, table: &Table, version: i32, settings: Option<&Settings>) -> String {
    let lock = settings.map(|settings| format!("; {}", lock_row(session, table, version, settings)));
    format!("COMMIT; BEGIN{}", lock.unwrap_or_default())
}

/// Moves the version, and fails unless it moves in the transaction that locked the row.
fn move_row(moved: &Move<'_>) -> String {
    let (table, from, to) = (moved.table.sql(), moved.from, moved.to);
    // A row's lock is in its xmax, until the transaction ends.
    format!(
        "WITH moved AS (UPDATE {table} SET version = {to} WHERE version = {from} \
         AND xmax::text = (txid_current() % 4294967296)::text RETURNING 1) \
         SELECT (CASE count(*) WHEN 1 THEN '1' ELSE '{ENDED}' END)::int FROM moved"
    )
}

/// What the server is made to take for a number, and to refuse.
const ENDED: &str = "onerow: the migration ended its transaction, or changed the version row";

/// A migration may set another search path, as what pg_dump writes does: the version row, and the next migration, are found
/// by the path that this one began with, which [`lock_row`] kept. The mark stays with the session if the transaction is
/// committed, and only then.
fn restore_path_and_mark(mark: &str) -> String {
    format!(
        "SELECT CASE WHEN current_setting('search_path') <> nullif(current_setting('onerow.search_path', true), '') \
         THEN set_config('search_path', current_setting('onerow.search_path'), false) END, \
         set_config('onerow.committed', '{mark}', false)"
    )
}

/// Ends the transaction that was refused, and gives a row if the one before it was committed. In one message, so that a proxy
/// cannot give its parts to different sessions; and where the commit itself was refused any session will do.
fn look_for(mark: &str) -> String {
    format!("ROLLBACK; BEGIN; SELECT WHERE current_setting('onerow.committed', true) = '{mark}'")
}

/// A literal, whatever is in it and whatever `standard_conforming_strings` says.
fn text(value: &str) -> String {
    format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// What [`sessions`] reads of a row of `pg_stat_activity s`.
const SESSION: &str = "s.pid, coalesce(s.application_name, ''),
    coalesce(extract(epoch FROM clock_timestamp() - s.xact_start), 0)::float8";

async fn sessions(session: &Session, sql: String) -> Result<Vec<ServerSession>, DbErr> {
    let read = |row: PgRow| {
        let seconds: f64 = row.try_get(2)?;
        let since = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Ok(ServerSession { pid: row.try_get(0)?, application_name: row.try_get(1)?, since })
    };
    rows(session, sql).await?.into_iter().map(read).collect::<Result<_, _>>().map_err(query_error)
}

/// The simple protocol again: outside a transaction a proxy may give each message of the other to another session.
async fn rows(session: &Session, sql: String) -> Result<Vec<PgRow>, DbErr> {
    let pool = session.pool.get_postgres_connection_pool();
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await.map_err(query_error)
}
