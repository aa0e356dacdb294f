//! A connection of a run's own.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use sea_orm::sqlx::{Database, Pool, pool::PoolOptions};
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};
use tokio::time::timeout;

use super::{
    fault::Fault, grouping::Grouping, other_tables::OtherTables, version_row::VersionRow,
    watching::Watch,
};
use crate::error::Error;

/// How long a connection may take to close. After that it stays open until the process ends.
pub(super) const CLOSE: Duration = Duration::from_secs(10);

/// A connection that is not the app's: a pool of one, since SeaORM takes nothing smaller.
#[async_trait]
pub(crate) trait Session: VersionRow + Grouping + Watch + OtherTables + Send + Sync {
    fn pool(&self) -> &DatabaseConnection;

    /// Says what an error means.
    fn fault(&self, error: &DbErr) -> Fault;

    /// The server's process for the latest connection; 0 if there is no server.
    fn pid(&self) -> i32 {
        0
    }

    /// Fails if a run could not keep its promises in this session. An engine that onerow is not
    /// tested on passes if the caller says so.
    async fn admit(&self, on_unverified_engine: bool) -> Result<(), Error>;

    /// Makes it ready for a migration outside a transaction.
    async fn prepare_for_outside(&self) -> Result<(), DbErr> {
        Ok(())
    }

    /// Begins a transaction that writes.
    async fn begin(&self) -> Result<DatabaseTransaction, DbErr>;

    /// Gives the connection up until [`make_ready`](Self::make_ready): others may wait for one.
    async fn release(&self) {}

    /// Connects again, if it is not connected.
    async fn make_ready(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Opens a new session in its place, if a migration has left something in this one that the
    /// next must not find.
    async fn successor(&self, _: &DatabaseConnection) -> Result<Option<Arc<dyn Session>>, Error> {
        Ok(None)
    }

    /// Closes the connection once it is idle.
    async fn close(&self) {
        match timeout(CLOSE, self.pool().close_by_ref()).await {
            Ok(Ok(())) => (),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the connection did not close cleanly");
            }
            Err(_) => tracing::debug!("the connection did not close in time"),
        }
    }
}

/// The options of a pool of one like this pool. It keeps its connection, and sends no pings.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn pool_of_one<DB: Database>(pool: &Pool<DB>) -> PoolOptions<DB> {
    let options = pool.options().clone().min_connections(0).max_connections(1);
    options.idle_timeout(None).max_lifetime(None).test_before_acquire(false)
}
