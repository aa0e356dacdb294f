//! A migration on a connection of its own, while the row is held.

use super::{Outcome, Rejected, Run};
use crate::{Applied, Database, Error, backend::Session};

impl Run<'_> {
    /// Holds the row while the next migration runs; moves the version when it has succeeded.
    pub(super) async fn outside_transaction(&mut self) -> Result<Outcome, Error> {
        let number = self.version + 1;
        // Where to hold the row would shut the migration out too, a locked file stands for it.
        let by_file = self.session.backend.row_excludes_writers();
        let _lock = if by_file { self.lock_file().await? } else { None };
        let Some(claim) = self.claim(number, true).await? else {
            return Ok(Outcome::Moved);
        };
        let held = if by_file {
            let _ = claim.rollback().await;
            None
        } else {
            Some(claim)
        };
        self.await_orphans(number).await?;

        let applied = match self.perform_apart(number).await? {
            Ok(applied) => applied,
            Err(rejected) => return Ok(Outcome::Failed(rejected)),
        };
        let claim = match held {
            Some(claim) => Some(claim),
            None => self.claim(number, true).await?,
        };
        let Some(claim) = claim else {
            return Ok(Outcome::Moved);
        };
        match self.advance(&claim, number).await {
            Ok(()) => self.commit(claim, vec![applied], true).await,
            Err(rejected) => Ok(Outcome::Failed(rejected)),
        }
    }

    async fn perform_apart(&self, number: i32) -> Result<Result<Applied, Rejected>, Error> {
        let worker = Session::open(self.pool, &self.label(number)).await?;
        let prepared = worker.backend.prepare_worker(&worker).await;
        prepared.map_err(|source| self.refused("prepare a connection", source))?;
        // No lock timeout: it would cut `CREATE INDEX CONCURRENTLY` off in its wait for older transactions.
        let outcome = self
            .perform(&Database::from(worker.pool.clone()), number, None)
            .await;
        worker.close().await;
        Ok(outcome)
    }
}
