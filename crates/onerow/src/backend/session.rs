//! A connection of a run's own.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};
use tokio::time::timeout;

use super::{
    fault::Fault, grouping::Grouping, other_tables::OtherTables, version_row::VersionRow,
    watching::Watch,
};
use crate::error::Error;

/// How long a connection may take to come to rest before it is left to the end of the process.
pub(super) const CLOSE: Duration = Duration::from_secs(10);

/// A connection that is not the app's: a pool of one, since SeaORM takes nothing smaller.
#[async_trait]
pub(crate) trait Session: VersionRow + Grouping + Watch + OtherTables + Send + Sync {
    fn pool(&self) -> &DatabaseConnection;

    /// What an error means.
    fn fault(&self, error: &DbErr) -> Fault;

    /// Its process on the server, since it has connected last; 0 without a server.
    fn pid(&self) -> i32 {
        0
    }

    /// An error if migrations cannot be run in this session and keep what a run promises.
    async fn admit(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Makes it ready for a migration outside a transaction.
    async fn prepare_for_outside(&self) -> Result<(), DbErr> {
        Ok(())
    }

    /// Begins a transaction that writes.
    async fn begin(&self) -> Result<DatabaseTransaction, DbErr>;

    /// Gives the connection up until [`make_ready`](Self::make_ready): others may be waiting for one.
    async fn release(&self) {}

    /// Connects again, if it is not connected.
    async fn make_ready(&self) -> Result<(), Error> {
        Ok(())
    }

    /// A new session in its place, if a migration has left something in this one that the next must
    /// not find.
    async fn successor(&self, _: &DatabaseConnection) -> Result<Option<Arc<dyn Session>>, Error> {
        Ok(None)
    }

    /// Closes the connection once it is idle.
    async fn close(&self) {
        match timeout(CLOSE, self.pool().close_by_ref()).await {
            Ok(Ok(())) => (),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the connection was not closed in good order")
            }
            Err(_) => tracing::debug!("the connection did not come to rest"),
        }
    }
}
