//! A session of a run: its state at the start, and how it gets back to that after a migration.

use std::sync::atomic::{AtomicI32, Ordering};

use async_trait::async_trait;
use onerow_sql::quoted_name;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, TransactionTrait,
    sqlx::{self, AssertSqlSafe, PgPool, postgres::PgConnectOptions},
};
use tokio::time::timeout;

use super::{
    Postgres,
    engine::{self, VERSION},
    reaching::first_connection,
    set_config, texts,
};
use crate::{
    backend::{
        connecting::{Connect, SessionOptions},
        fault::Fault,
        grouping::Grouping,
        session::{CLOSE, Session, pool_of_one},
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

/// Keeps a transaction from waiting long.
///
/// Waiting a second for a lock of the table counts as "held by another runner". That goes for the
/// catalog's locks too: a runner that makes the same table may be stopped in the middle of it.
///
/// What is read behind a lock has to be what is there by then. Besides, under a stricter isolation
/// level a claim would keep its snapshot, and a `CREATE INDEX CONCURRENTLY` beside it would wait
/// for that for ever.
///
/// The role's own `statement_timeout` is for the statements of migrations. It would cut off a
/// claim.
pub(super) const BRIEFLY: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; \
    SET LOCAL lock_timeout = 1000; SET LOCAL statement_timeout = 10000";

/// A setting of the session that tells whether a commit took place.
pub(super) const MARK: &str = "onerow.committed";

/// Settings of a role or a database that end a session or a transaction, although it keeps nobody
/// waiting: its migration is computing.
const ENDS_SESSIONS: [&str; 3] =
    ["idle_session_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"];

/// A session on the server.
pub(super) struct PostgresSession {
    pub(super) pool: DatabaseConnection,
    /// `server_version_num`.
    pub(super) server_version: u32,
    /// The server's process for the latest connection.
    pid: AtomicI32,
    /// The state to return to after each migration.
    pub(super) start: Start,
}

/// The state of a session that has just connected.
#[derive(Debug, Default)]
pub(super) struct Start {
    pid: i32,
    /// `version()`.
    version: String,
    /// The first schema of the search path that exists. New tables go there.
    pub(super) schema: Option<String>,
    role: Option<String>,
    pub(super) statement_timeout: String,
    /// The settings that the pool has made.
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
            // A transaction-pooling proxy may send the next statement to a session that has not
            // prepared it. And the result type of a prepared statement may change in a migration.
            .statement_cache_capacity(0);
        let pool = pool_of_one(pool).connect_lazy_with(connect);
        let (server_version, start) = start(&pool).await?;
        let mut pool = DatabaseConnection::from(pool);
        if let Some(listener) = options.listener {
            listener.attach(&mut pool);
        }
        Ok(Self { pool, server_version, pid: AtomicI32::new(start.pid), start })
    }

    /// The statements that return to the role of the claim. A migration may have taken another
    /// role, and the role that locked the row is the one that moves the version.
    pub(super) fn own_role(&self) -> String {
        let role = self.start.role.as_ref().map(|role| format!("; SET ROLE {}", quoted_name(role)));
        format!("SET SESSION AUTHORIZATION DEFAULT; RESET ROLE{}", role.unwrap_or_default())
    }

    /// The statements that keep a migration's leftovers in the session from the next migration.
    ///
    /// `DISCARD ALL` may not stand in a message with other statements, so these are its parts,
    /// except the plans (<https://www.postgresql.org/docs/current/sql-discard.html>). Behind them
    /// come the settings that the pool made when it connected.
    pub(super) fn reset(&self, mark: &str) -> String {
        let settings =
            self.start.settings.iter().map(|(name, value)| set_config(name, value, false));
        let settings: Vec<_> = settings.chain([set_config(MARK, mark, false)]).collect();
        format!(
            "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; {}; CLOSE ALL; UNLISTEN *; \
             DEALLOCATE ALL; DISCARD SEQUENCES; DISCARD TEMP; \
             SELECT pg_catalog.pg_advisory_unlock_all(), {}",
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

    async fn admit(&self, on_unverified_engine: bool) -> Result<(), Error> {
        engine::admit(&self.start.version, on_unverified_engine)
    }

    async fn prepare_for_outside(&self) -> Result<(), DbErr> {
        if self.server_version >= CHECKS_CLIENT {
            // Without a transaction it is a setting of the session. A proxy may hand that session
            // to somebody else, whom the setting does not harm.
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
        // The connection may be on its way back from a transaction that was just given up.
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

/// Connects, and reads the server's version and the state of the session.
async fn start(pool: &PgPool) -> Result<(u32, Start), Error> {
    let mut connection = first_connection(pool).await?;
    let server_version = connection.server_version_num().unwrap_or(0);
    let start = match start_of(&mut connection).await {
        Ok(start) => start,
        Err(refusal) => {
            let refusal = engine::blamed(&mut *connection, query_error(refusal)).await?;
            return Err(Error::cannot_reach(refusal));
        }
    };
    connection.return_to_pool().await;
    Ok((server_version, start))
}

/// Reads the state of a session, for [`PostgresSession::reset`] to return to. `RESET` alone would
/// undo the pool's `after_connect`.
///
/// It switches off [`ENDS_SESSIONS`] only if the operator has set them: behind a proxy, the next
/// statement may meet another session.
async fn start_of(connection: &mut sqlx::PgConnection) -> Result<Start, sqlx::Error> {
    let limits = ENDS_SESSIONS.map(|name| format!("'{name}'")).join(", ");
    let sql = format!(
        "SELECT 'set', pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
         WHERE setting OPERATOR(pg_catalog.<>) '0' \
         AND name OPERATOR(pg_catalog.=) ANY (ARRAY[{limits}]::pg_catalog.text[]); \
         SELECT NULL, pg_catalog.current_schema()::pg_catalog.text, \
         (CASE WHEN pg_catalog.current_setting('role') OPERATOR(pg_catalog.<>) 'none' \
         THEN pg_catalog.current_setting('role') END), \
         pg_catalog.current_setting('statement_timeout'), pg_catalog.pg_backend_pid(), {VERSION} \
         UNION ALL SELECT name, setting, NULL, NULL, NULL, NULL FROM pg_catalog.pg_settings \
         WHERE source OPERATOR(pg_catalog.=) 'session'"
    );
    let mut start = Start::default();
    for row in sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await? {
        match texts(&row)?.as_slice() {
            [None, schema, role, statement_timeout, pid, version] => {
                let pid = pid.as_deref().and_then(|pid| pid.parse().ok()).unwrap_or_default();
                start.pid = pid;
                start.version = version.clone().unwrap_or_default();
                start.schema.clone_from(schema);
                start.role.clone_from(role);
                start.statement_timeout = statement_timeout.clone().unwrap_or_default();
            }
            [Some(name), Some(value), ..] => {
                start.settings.push((name.clone(), value.clone()));
            }
            _ => (),
        }
    }
    Ok(start)
}
