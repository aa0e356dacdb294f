//! What keeps other runs away from a migration outside a transaction.

use std::{fs::File, time::Duration};

use sea_orm::DbErr;
use tokio::time::sleep;

use crate::backend::Claim;

/// How often the connection that holds the row is asked whether it still does.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Held while the migration runs; dropped, it lets others go on.
pub(super) enum Lease {
    Row(Claim),
    /// Holding the row would shut the migration out too, so a locked file stands for it.
    #[expect(dead_code, reason = "held, not read")]
    File(File),
    /// In memory, where no other process comes.
    Alone,
}

impl Lease {
    /// Asks whether it is still held.
    pub(super) async fn check(&self) -> Result<(), DbErr> {
        match self {
            Self::Row(claim) => claim.check().await,
            Self::File(_) | Self::Alone => Ok(()),
        }
    }

    /// Done when it is lost.
    pub(super) async fn lost(&self) -> DbErr {
        loop {
            sleep(HEARTBEAT).await;
            if let Err(error) = self.check().await {
                return error;
            }
        }
    }
}
