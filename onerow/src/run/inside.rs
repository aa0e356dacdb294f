//! Migrations in the transaction that holds the row, and its commit.

use std::time::Duration;

use sea_orm::{DatabaseTransaction, DbErr, TransactionTrait};
use tokio::time::{Instant, sleep};

use super::{
    Outcome, Rejected, Run,
    waiting::{POLL, pauses},
};
use crate::{Applied, Database, Error, Failure, Progress, backend::Fault, version};

/// How long a lost server may take to come back and say whether it committed.
const RECONNECT: Duration = Duration::from_secs(30);

impl Run<'_> {
    /// Applies the next migration, and with it those after it that the backend gathers in the same transaction.
    pub(super) async fn inside_transaction(&mut self) -> Result<Outcome, Error> {
        let first = self.version + 1;
        let durable = !self.another_follows(first);
        let Some(mut claim) = self.claim(first, durable).await? else {
            return Ok(Outcome::Moved);
        };
        let deadline = self.session.backend.gather().map(|limit| Instant::now() + limit);
        let mut staged = Vec::new();
        for number in first..=self.target {
            let (back, outcome) = self.attempt(claim, number).await;
            claim = back;
            match outcome {
                Ok(applied) => staged.push(applied),
                Err(rejected) => return self.stop(claim, staged, durable, rejected).await,
            }
            let gathers = deadline.is_some_and(|deadline| Instant::now() < deadline);
            if !(gathers && self.another_follows(number)) {
                break;
            }
        }
        self.commit(claim, staged, durable).await
    }

    /// Keeps what came before the migration that was rejected.
    async fn stop(
        &mut self,
        claim: DatabaseTransaction,
        staged: Vec<Applied>,
        durable: bool,
        rejected: Rejected,
    ) -> Result<Outcome, Error> {
        if staged.is_empty() || matches!(rejected.failure, Failure::EndedTransaction) {
            // Where it fails the connection is lost, and the server rolls back by itself.
            let _ = claim.rollback().await;
        } else {
            match self.commit(claim, staged, durable).await? {
                Outcome::Committed => (),
                other => return Ok(other),
            }
        }
        Ok(self.classify(rejected))
    }

    /// Runs one migration in the claim and moves the version, or undoes it; gives the claim back.
    async fn attempt(
        &self,
        claim: DatabaseTransaction,
        number: i32,
    ) -> (DatabaseTransaction, Result<Applied, Rejected>) {
        let (claim, outcome) = if self.session.backend.gather().is_some() {
            let outcome = self.attempt_in_savepoint(&claim, number).await;
            (claim, outcome)
        } else {
            self.perform_in(claim, number).await
        };
        let outcome = match outcome {
            Ok(applied) => self.advance(&claim, number).await.map(|()| applied),
            Err(rejected) => Err(rejected),
        };
        (claim, outcome)
    }

    /// Runs one migration so that it can be undone alone, and sees that it leaves no child without its parent.
    async fn attempt_in_savepoint(
        &self,
        claim: &DatabaseTransaction,
        number: i32,
    ) -> Result<Applied, Rejected> {
        let reject = |error| Rejected::new(number, Failure::Commit(error));
        let backend = self.session.backend;
        let before = backend.orphans(claim).await.map_err(reject)?;
        let savepoint = claim.begin().await.map_err(reject)?;
        let (savepoint, outcome) = self.perform_in(savepoint, number).await;
        let applied = match outcome {
            Ok(applied) => applied,
            Err(rejected) => {
                // Where it fails the caller's rollback, of all, undoes it as well.
                let _ = savepoint.rollback().await;
                return Err(rejected);
            }
        };
        let after = backend.orphans(&savepoint).await.map_err(reject)?;
        if after.rows > before.rows {
            savepoint.rollback().await.map_err(reject)?;
            let failure = Failure::ForeignKeys {
                rows: after.rows - before.rows,
                table: after.table,
            };
            return Err(Rejected::new(number, failure));
        }
        match savepoint.commit().await {
            Ok(()) => Ok(applied),
            Err(_) => Err(Rejected::new(number, Failure::EndedTransaction)),
        }
    }

    /// Runs one migration in a transaction, and gives that back.
    async fn perform_in(
        &self,
        transaction: DatabaseTransaction,
        number: i32,
    ) -> (DatabaseTransaction, Result<Applied, Rejected>) {
        let db = Database::from_transaction(transaction);
        let outcome = self.perform(&db, number, Some(self.lock_timeout(number))).await;
        (db.into_transaction(), outcome)
    }

    /// Moves the version in the transaction that holds the row.
    pub(super) async fn advance(&self, claim: &DatabaseTransaction, number: i32) -> Result<(), Rejected> {
        let failure = match version::advance(&self.session, claim, number, &self.label(number)).await {
            Ok(true) => return Ok(()),
            Ok(false) => Failure::EndedTransaction,
            Err(error) => Failure::Commit(error),
        };
        Err(Rejected::new(number, failure))
    }

    /// Commits what is staged, and only then counts and tells it as applied.
    pub(super) async fn commit(
        &mut self,
        claim: DatabaseTransaction,
        staged: Vec<Applied>,
        durable: bool,
    ) -> Result<Outcome, Error> {
        let last = staged.last().map_or(self.version, |applied| applied.version);
        if let Err(error) = claim.commit().await {
            let in_doubt = self.session.fault(&error) == Fault::Lost;
            if !(in_doubt && self.was_committed(last, &error).await?) {
                return Ok(self.classify(Rejected::new(last, Failure::Commit(error))));
            }
        }
        self.volatile = !durable;
        self.version = last;
        for applied in staged {
            self.tell(&Progress::Applied(applied.clone()));
            self.applied.push(applied);
        }
        Ok(Outcome::Committed)
    }

    /// Whether a commit whose answer was lost took place, once the server can be asked.
    async fn was_committed(&self, last: i32, error: &DbErr) -> Result<bool, Error> {
        let started = Instant::now();
        for pause in pauses(POLL) {
            match self.has_reached(last).await {
                Ok(answer) => return Ok(answer),
                Err(_) if started.elapsed() < RECONNECT => sleep(pause).await,
                Err(_) => break,
            }
        }
        Err(Error::CommitInDoubt {
            migration: last,
            source: error.clone(),
        })
    }

    /// To read the row would be a guess, for the server may still be at the commit; to claim it waits for that.
    async fn has_reached(&self, last: i32) -> Result<bool, Error> {
        if let Some(claim) = self.claim(self.version + 1, true).await? {
            let _ = claim.rollback().await;
            return Ok(false);
        }
        // It has moved: on, or back where a crash of the server took earlier commits along that were not on disk.
        Ok(version::read(&self.session.pool).await?.version_or_none() >= last)
    }
}
