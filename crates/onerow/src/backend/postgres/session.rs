//! A session of a run: what it is at its start, and what a migration's leaves behind.

use std::sync::atomic::{AtomicI32, Ordering};

use async_trait::async_trait;
use onerow_sql::quoted_name;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, TransactionTrait,
    sqlx::{self, AssertSqlSafe, PgPool, postgres::PgConnectOptions},
};
use tokio::time::timeout;

use super::{Postgres, connecting::first_connection, set_config, texts, version_row::MARK};
use crate::{
    backend::{
        connecting::{Connect, SessionOptions},
        fault::Fault,
        grouping::Grouping,
        session::{CLOSE, Session},
    },
    driver::query_error,
    error::Error,
};

/// The first version with `client_connection_check_interval`
/// (<https://www.postgresql.org/docs/14/release-14.html>).
pub(super) const CHECKS_CLIENT: u32 = 140_000;

/// The first version with `transaction_timeout`
/// (<https://www.postgresql.org/docs/17/release-17.html>).
pub(super) const LIMITS_TRANSACTIONS: u32 = 170_000;

/// A session on the server.
pub(super) struct PostgresSession {
    pub(super) pool: DatabaseConnection,
    /// `server_version_num`.
    pub(super) server_version: u32,
    /// Its process, since it has connected last.
    pid: AtomicI32,
    pub(super) start: Start,
}

/// What a session is when it has connected.
#[derive(Debug, Default)]
pub(super) struct Start {
    pid: i32,
    /// The first schema of the search path that exists, in which tables are made.
    pub(super) schema: Option<String>,
    role: Option<String>,
    pub(super) statement_timeout: String,
    /// What the pool has set since.
    settings: Vec<(String, String)>,
}

impl PostgresSession {
    pub(super) async fn open(
        pool: &DatabaseConnection,
        options: &SessionOptions<'_>,
    ) -> Result<Self, Error> {
        let pool = pool.get_postgres_connection_pool();
        let connect = PgConnectOptions::clone(&pool.connect_options())
            .application_name(options.label)
            // A transaction-pooling proxy hands the next statement to another session, which has not
            // prepared it; and one that was prepared before a migration may "change result type".
            .statement_cache_capacity(0);
        let pool = pool.options().clone();
        let pool = pool.min_connections(0).max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.test_before_acquire(false).connect_lazy_with(connect);
        let (server_version, start) = start(&pool).await?;
        let mut pool = DatabaseConnection::from(pool);
        if let Some(listener) = options.listener {
            listener.attach(&mut pool);
        }
        Ok(Self { pool, server_version, pid: AtomicI32::new(start.pid), start })
    }

    /// A migration may act for another role, and that ends with it: the version is moved by the one that locked the row.
    pub(super) fn own_role(&self) -> String {
        let role = self.start.role.as_ref().map(|role| format!("; SET ROLE {}", quoted_name(role)));
        format!("SET SESSION AUTHORIZATION DEFAULT; RESET ROLE{}", role.unwrap_or_default())
    }

    /// What a migration leaves in its session does not reach the next: it is `DISCARD ALL` but for the plans, in the parts that may
    /// stand in a message with other statements (<https://www.postgresql.org/docs/current/sql-discard.html>). What the pool has
    /// set when it connected is set again.
    pub(super) fn reset(&self, mark: &str) -> String {
        let settings =
            self.start.settings.iter().map(|(name, value)| set_config(name, value, false));
        let settings: Vec<_> = settings.chain([set_config(MARK, mark, false)]).collect();
        format!(
            "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; {}; CLOSE ALL; UNLISTEN *; DEALLOCATE ALL; DISCARD SEQUENCES; \
         DISCARD TEMP; SELECT pg_catalog.pg_advisory_unlock_all(), {}",
            self.own_role(),
            settings.join(", ")
        )
    }
}

#[async_trait]
impl Session for PostgresSession {
    fn pool(&self) -> &DatabaseConnection {
        &self.pool
    }

    fn fault(&self, error: &DbErr) -> Fault {
        Postgres.fault(error)
    }

    fn pid(&self) -> i32 {
        self.pid.load(Ordering::Relaxed)
    }

    async fn prepare_for_outside(&self) -> Result<(), DbErr> {
        if self.server_version >= CHECKS_CLIENT {
            // Of the session, for lack of a transaction. A proxy may give it to another session, which
            // it does not harm.
            let sql = "SET client_connection_check_interval = 1000";
            self.pool.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let transaction = self.pool.begin().await?;
        transaction.execute_unprepared(BRIEFLY).await?;
        Ok(transaction)
    }

    async fn release(&self) {
        let pool = self.pool.get_postgres_connection_pool();
        if pool.size() == 0 {
            return;
        }
        // It may be on its way back from a transaction that has just been given up.
        if let Ok(Ok(connection)) = timeout(CLOSE, pool.acquire()).await {
            let _ = connection.close().await;
        }
    }

    async fn make_ready(&self) -> Result<(), Error> {
        let (_, start) = start(self.pool.get_postgres_connection_pool()).await?;
        self.pid.store(start.pid, Ordering::Relaxed);
        Ok(())
    }
}

impl Grouping for PostgresSession {}

/// Waiting a second for a lock of the table counts as "held by another runner". For the catalog too: who makes the same table may
/// be stopped in the middle of it. What is read behind a lock is to be what is there then: under a stricter default a claim would
/// keep its snapshot besides, and a `CREATE INDEX CONCURRENTLY` beside it would wait for that for ever. A timeout of the role's is
/// for the migrations' statements: it would cut off a claim.
pub(super) const BRIEFLY: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; \
    SET LOCAL lock_timeout = 1000; SET LOCAL statement_timeout = 10000";

/// What a role or a database may have set to end a session, or a transaction, that waits for nobody: a migration that computes.
const ENDS_SESSIONS: [&str; 3] =
    ["idle_session_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"];

/// Connects, and reads what the session is at its start.
async fn start(pool: &PgPool) -> Result<(u32, Start), Error> {
    let mut connection = first_connection(pool).await?;
    let server_version = connection.server_version_num().unwrap_or(0);
    let start =
        start_of(&mut connection).await.map_err(|error| Error::cannot_reach(query_error(error)))?;
    connection.return_to_pool().await;
    Ok((server_version, start))
}

/// What a session is at its start, for [`PostgresSession::reset`] to come back to: `RESET` alone goes back to before the pool's `after_connect`.
///
/// Behind a proxy the session may be another one next time; so nothing is set that the operator has not.
async fn start_of(connection: &mut sqlx::PgConnection) -> Result<Start, sqlx::Error> {
    let limits = ENDS_SESSIONS.map(|name| format!("'{name}'")).join(", ");
    let sql = format!(
        "SELECT 'set', pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
         WHERE setting OPERATOR(pg_catalog.<>) '0' \
         AND name OPERATOR(pg_catalog.=) ANY (ARRAY[{limits}]::pg_catalog.text[]); \
         SELECT NULL, pg_catalog.current_schema()::pg_catalog.text, \
         (CASE WHEN pg_catalog.current_setting('role') OPERATOR(pg_catalog.<>) 'none' \
         THEN pg_catalog.current_setting('role') END), \
         pg_catalog.current_setting('statement_timeout'), pg_catalog.pg_backend_pid() \
         UNION ALL SELECT name, setting, NULL, NULL, NULL FROM pg_catalog.pg_settings \
         WHERE source OPERATOR(pg_catalog.=) 'session'"
    );
    let mut start = Start::default();
    for row in sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await? {
        match texts(&row)?.as_slice() {
            [None, schema, role, statement_timeout, pid] => {
                let pid = pid.as_deref().and_then(|pid| pid.parse().ok()).unwrap_or_default();
                start.pid = pid;
                start.schema.clone_from(schema);
                start.role.clone_from(role);
                start.statement_timeout = statement_timeout.clone().unwrap_or_default();
            }
            [Some(name), Some(value), _, _, _] => {
                start.settings.push((name.clone(), value.clone()))
            }
            _ => (),
        }
    }
    Ok(start)
}
