//! Pools, sessions, and the patience with a server that does not let anybody in.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use onerow_sql::quoted_literal;
use sea_orm::{
    ConnAcquireErr, ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr,
    SqlxPostgresConnector,
    sqlx::{
        self, AssertSqlSafe, Connection, PgPool,
        pool::PoolConnection,
        postgres::{PgConnectOptions, PgRow},
    },
};
use tokio::time::{sleep, timeout};
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

use super::{Postgres, fault, rows, session::PostgresSession, texts};
use crate::{
    backend::{
        connecting::{Answer, Connect, SessionOptions},
        fault::{Fault, connect_error},
        index::Index,
        session::Session,
        url,
    },
    driver::{error_of, query_error, words},
    error::{Error, ErrorKind},
};

/// sqlx retries a refused connection in silence until the pool's timeout (30 s by default). After this long it is
/// looked into.
const PATIENCE: Duration = Duration::from_secs(1);

#[async_trait]
impl Connect for Postgres {
    async fn connect(&self, mut options: ConnectOptions) -> Result<DatabaseConnection, Error> {
        url::postgres(options.get_url())?;
        let lazy = options.get_connect_lazy();
        options.connect_lazy(true);
        // Unheard, as its span holds the options, password and all. It connects nowhere yet.
        let pool = SqlxPostgresConnector::connect(options)
            .with_subscriber(NoSubscriber::default())
            .await
            .map_err(|error| url::invalid(&words(&error)))?;
        let connections = pool.get_postgres_connection_pool();
        let parsed = PgConnectOptions::clone(&connections.connect_options());
        connections.set_connect_options(url::without_brackets(parsed));
        if !lazy {
            let mut first = match first_connection(connections).await {
                Ok(first) => first,
                // It lets in whoever comes later. How long to wait for that is the run's to say.
                Err(error) if error.kind() == ErrorKind::TooManyConnections => return Ok(pool),
                Err(error) => return Err(error),
            };
            // One that is dropped goes back in a task of its own: whoever asks the pool next, `up` say, is faster, finds it
            // empty and opens a second connection, which takes four round trips more.
            first.return_to_pool().await;
        }
        Ok(pool)
    }

    async fn open(
        &self,
        pool: &DatabaseConnection,
        options: &SessionOptions<'_>,
    ) -> Result<Arc<dyn Session>, Error> {
        Ok(Arc::new(PostgresSession::open(pool, options).await?))
    }

    fn fault(&self, error: &DbErr) -> Fault {
        match error {
            DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => Fault::Unreachable,
            DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => Fault::Lost,
            _ => error_of(error).map_or(Fault::Other, fault),
        }
    }

    async fn knock(&self, pool: &DatabaseConnection, patience: Duration) -> Answer {
        let options = pool.get_postgres_connection_pool().connect_options();
        let mut connection =
            match timeout(patience, sqlx::PgConnection::connect_with(&options)).await {
                Ok(Ok(connection)) => connection,
                Ok(Err(_)) => return Answer::Refused,
                Err(_) => return Answer::Silent,
            };
        let asked = timeout(patience, sqlx::raw_sql("SELECT 1").execute(&mut connection)).await;
        if asked.is_err() {
            return Answer::LetIn;
        }
        let _ = connection.close().await;
        Answer::Served
    }

    async fn release_idle(&self, pool: &DatabaseConnection) {
        let pool = pool.get_postgres_connection_pool();
        while let Some(idle) = pool.try_acquire() {
            let _ = idle.close().await;
        }
    }

    async fn create_index(
        &self,
        pool: &DatabaseConnection,
        index: &Index<'_>,
    ) -> Result<(), DbErr> {
        let (name, table) = (index.name, index.table);
        // An index is in the schema of its table, whatever the search path.
        let valid = format!(
            "SELECT CASE WHEN i.indisvalid THEN 'valid' ELSE pg_catalog.format('%I.%I', n.nspname, c.relname) END
             FROM pg_catalog.pg_index i
             JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
             WHERE i.indrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})
             AND c.relname OPERATOR(pg_catalog.=) (pg_catalog.parse_ident({}))[1]::pg_catalog.name",
            quoted_literal(table),
            quoted_literal(name)
        );
        match look(pool, &valid).await? {
            Some(found) if found == "valid" => return Ok(()),
            Some(invalid) => {
                pool.execute_unprepared(&format!("DROP INDEX CONCURRENTLY {invalid}")).await?;
            }
            None => (),
        }
        // Its waits lock nobody out, and to cut one off leaves an invalid index.
        pool.execute_unprepared(WITHOUT_LOCK_TIMEOUT).await?;
        let definition = index.definition(true);
        let create = format!("CREATE {} CONCURRENTLY {name} ON {table} {definition}", index.kind());
        pool.execute_unprepared(&create).await?;
        match look(pool, &valid).await? {
            Some(found) if found == "valid" => Ok(()),
            _ => Err(DbErr::Migration(format!("the index {name} is not valid after it was built"))),
        }
    }
}

/// What there is of an index: that it is valid, or its name to drop it by.
async fn look(pool: &DatabaseConnection, sql: &str) -> Result<Option<String>, DbErr> {
    let found = rows(pool, sql).await?;
    let texts = found.first().map(texts).transpose().map_err(query_error)?;
    Ok(texts.and_then(|mut texts| texts.pop().flatten()))
}

/// Changes nothing if there is none.
const WITHOUT_LOCK_TIMEOUT: &str = "SELECT pg_catalog.set_config('lock_timeout', '0', false) \
    WHERE pg_catalog.current_setting('lock_timeout') OPERATOR(pg_catalog.<>) '0'";

/// Asks a connection of the pool, in the simple protocol; fails itself only if it cannot connect.
pub(super) async fn ask(
    pool: &PgPool,
    sql: &str,
) -> Result<Result<Vec<PgRow>, sqlx::Error>, Error> {
    if let Some(answer) = ask_idle(pool, sql).await {
        return Ok(answer);
    }
    let mut connection = first_connection(pool).await?;
    let answer = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *connection).await;
    connection.return_to_pool().await;
    Ok(answer)
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
pub(super) async fn first_connection(
    pool: &PgPool,
) -> Result<PoolConnection<sqlx::Postgres>, Error> {
    let options = pool.connect_options();
    // What the server last said to a probe, such as that it is starting up: all that the pool says is that time is up.
    let mut said = None;
    let probing = async {
        loop {
            sleep(PATIENCE).await;
            match sqlx::PgConnection::connect_with(&options).await {
                Ok(connection) => drop(connection.close().await),
                Err(error @ sqlx::Error::Io(_)) => return error,
                Err(error) if fault(&error) == Fault::Crowded => return error,
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
    Err(connect_error(fault, &name(&options), query_error(error)))
}

/// Host, port and database, for a message.
pub(super) fn name(options: &PgConnectOptions) -> String {
    let host =
        options.get_socket().map_or(options.get_host().into(), |path| path.display().to_string());
    let host =
        if host.contains(':') && !host.starts_with('/') { format!("[{host}]") } else { host };
    format!(
        "{host}:{}/{}",
        options.get_port(),
        options.get_database().unwrap_or(options.get_username())
    )
}
