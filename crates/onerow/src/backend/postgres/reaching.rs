//! Reaching the server over a pool, and naming what keeps the pool from a connection.

use std::time::Duration;

use sea_orm::sqlx::{
    self, AssertSqlSafe, Connection, PgPool,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgRow},
};
use tokio::time::sleep;

use super::fault;
use crate::{
    backend::fault::{Fault, connect_error},
    driver::query_error,
    error::Error,
};

/// After this long a probe finds out why the pool has no connection yet. sqlx retries a refused
/// connection in silence until the pool's timeout, which is 30 s by default.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks a connection of the pool, in the simple protocol. The outer error is that of a connection
/// that could not be opened.
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

/// Asks an idle connection of the pool; `None` if the pool has none, or one that has died.
///
/// The pool itself would first ask whether the connection is alive, which is one more round trip.
async fn ask_idle(pool: &PgPool, sql: &str) -> Option<Result<Vec<PgRow>, sqlx::Error>> {
    let mut idle = pool.try_acquire()?;
    match sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *idle).await {
        Err(error) if fault(&error) == Fault::Lost => None,
        answer => Some(answer),
    }
}

/// Opens the pool's first connection, and gives up at once if waiting does not help.
pub(super) async fn first_connection(
    pool: &PgPool,
) -> Result<PoolConnection<sqlx::Postgres>, Error> {
    let options = pool.connect_options();
    // The server's last answer to a probe, for instance that it is starting up. The pool only says
    // that time is up.
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
    let (fault, error) = match error {
        Err(sqlx::Error::PoolTimedOut) if said.is_some() => {
            (Fault::Other, said.unwrap_or(sqlx::Error::PoolTimedOut))
        }
        // No statement was sent yet, so no statement is in doubt.
        Ok(error) | Err(error) => match error {
            sqlx::Error::Io(_) => (Fault::Unreachable, error),
            _ => (fault(&error), error),
        },
    };
    Err(connect_error(fault, &address(&options), query_error(error)))
}

/// Host, port and database, for a message.
pub(super) fn address(options: &PgConnectOptions) -> String {
    let host =
        options.get_socket().map_or(options.get_host().into(), |path| path.display().to_string());
    let host =
        if host.contains(':') && !host.starts_with('/') { format!("[{host}]") } else { host };
    format!("{host}:{}/{}", options.get_port(), database(options))
}

/// The database. A server takes the user's name if none is named.
pub(super) fn database(options: &PgConnectOptions) -> &str {
    options.get_database().unwrap_or(options.get_username())
}
