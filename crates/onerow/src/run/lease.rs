//! What keeps other runs away from a migration outside a transaction.

use std::{fs::File, time::Duration};

use sea_orm::DbErr;
use tokio::time::sleep;

use crate::backend::Claim;

/// How often the session that holds the row is asked whether it still does.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// It is held while the migration runs. When it is dropped, another run may go on.
pub(super) enum Lease {
    /// The session of the claim holds the row.
    Row(Claim),
    /// A locked file stands for the row, since to hold the row would shut the migration out too.
    #[expect(dead_code, reason = "held, not read")]
    File(File),
    /// The database is in memory, where no other process comes.
    Alone,
}

impl Lease {
    /// An error if it is lost.
    pub(super) async fn check(&self) -> Result<(), DbErr> {
        match self {
            Self::Row(claim) => claim.check().await,
            Self::File(_) | Self::Alone => Ok(()),
        }
    }

    /// Returns when it is lost.
    pub(super) async fn lost(&self) -> DbErr {
        loop {
            sleep(HEARTBEAT).await;
            if let Err(error) = self.check().await {
                return error;
            }
        }
    }
}
