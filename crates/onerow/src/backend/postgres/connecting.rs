//! Opening pools and sessions.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sea_orm::{
    ConnAcquireErr, ConnectOptions, DatabaseConnection, DbErr, SqlxPostgresConnector,
    sqlx::{self, Connection, postgres::PgConnectOptions},
};
use tokio::time::{Instant, timeout_at};
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

use super::{Postgres, fault, reaching::first_connection, session::PostgresSession};
use crate::{
    backend::{
        connecting::{Answer, Connect, SessionOptions},
        fault::Fault,
        session::Session,
        url,
    },
    driver::{error_of, words},
    error::{Error, ErrorKind},
};

#[async_trait]
impl Connect for Postgres {
    async fn connect(&self, mut options: ConnectOptions) -> Result<DatabaseConnection, Error> {
        url::postgres(options.get_url())?;
        let lazy = options.get_connect_lazy();
        options.connect_lazy(true);
        // Nobody hears SeaORM's span: it holds the options, password and all. This opens no
        // connection yet.
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
                // The server may serve a connection later. The run decides how long to wait for
                // one.
                Err(error) if error.kind() == ErrorKind::TooManyConnections => return Ok(pool),
                Err(error) => return Err(error),
            };
            // A connection that is dropped returns to the pool in a task of its own. The next to
            // ask the pool, for instance `up`, is faster: it finds the pool empty and opens a
            // second connection, which takes four more round trips.
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
        let deadline = Instant::now() + patience;
        let connecting = sqlx::PgConnection::connect_with(&options);
        let mut connection = match timeout_at(deadline, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(_)) => return Answer::Refused,
            Err(_) => return Answer::Silent,
        };
        let asked = async {
            let _ = sqlx::raw_sql("SELECT 1").execute(&mut connection).await;
            let _ = connection.close().await;
        };
        match timeout_at(deadline, asked).await {
            Ok(()) => Answer::Served,
            Err(_) => Answer::LetIn,
        }
    }

    async fn release_idle(&self, pool: &DatabaseConnection) {
        let pool = pool.get_postgres_connection_pool();
        while let Some(idle) = pool.try_acquire() {
            let _ = idle.close().await;
        }
    }
}
