//! Migrations in the transaction that holds the row, and its commit.

use std::{sync::Arc, time::Duration};

use sea_orm::DatabaseTransaction;
use tokio::time::{Instant, sleep};

use super::{
    Outcome, Rejected, Run, errors,
    waiting::{POLL, pauses},
};
use crate::{
    Applied, Database, Error, Failure, Progress,
    backend::{Doubt, Fault, Move, Settled, abandon},
};

/// For how long the commits of a row of migrations may go without one that waits for the disk: until then nobody is told of them.
const FLUSH: Duration = Duration::from_millis(500);

/// How long a lost server may take to come back and say whether it committed.
const RECONNECT: Duration = Duration::from_secs(30);

impl Run<'_> {
    /// Applies the next migration, and with it those after it that the backend gathers in the same transaction.
    pub(super) async fn inside_transaction(&mut self) -> Result<Outcome, Error> {
        let first = self.version + 1;
        let claim = match self.claim.take() {
            Some(claim) => Some(claim),
            None => self.claim(first, self.is_durable(first)).await?,
        };
        let Some(mut claim) = claim else {
            return Ok(Outcome::Moved);
        };
        let deadline = self.session.backend.gather().map(|limit| Instant::now() + limit);
        if let Err(error) = self.session.backend.survey(&self.session, &claim).await {
            return Err(self.refused("look at the session", error).await);
        }
        let mut staged = Vec::new();
        for number in first..=self.target {
            let (back, outcome) = self.perform_in(claim, number).await;
            claim = back;
            match outcome {
                Ok((applied, Settled::Apart)) => staged.push(applied),
                Ok((_, Settled::Undone)) => break,
                Err(rejected) => return self.keep(claim, staged, rejected).await,
            }
            let gathers =
                deadline.is_some_and(|deadline| Instant::now() < deadline) && !self.session.is_stale();
            if !(gathers && self.another_follows(number)) {
                break;
            }
        }
        self.commit(claim, staged).await
    }

    /// Runs one migration in a transaction, sets it apart from those that may follow, and gives the transaction back.
    async fn perform_in(
        &self,
        transaction: DatabaseTransaction,
        number: i32,
    ) -> (DatabaseTransaction, Result<(Applied, Settled), Rejected>) {
        let db = Database::from_transaction(transaction).with_listener(&self.options.listener);
        let outcome = self.perform(&db, number, Some(self.lock_timeout(number))).await;
        let doubt = db.doubt();
        let claim = db.into_transaction();
        let outcome = match outcome {
            Ok(applied) => self.settle(&claim, applied, doubt).await,
            Err(rejected) => Err(rejected),
        };
        (claim, outcome)
    }

    /// Its time counts as the migration's: that may have to be looked for rows without their parent.
    async fn settle(
        &self,
        claim: &DatabaseTransaction,
        mut applied: Applied,
        doubt: Doubt,
    ) -> Result<(Applied, Settled), Rejected> {
        let started = Instant::now();
        let number = applied.version;
        let moved = Move { table: &self.table, from: number - 1, to: number, durable: true };
        let settled = self.session.backend.settle(&self.session, claim, &moved, doubt).await;
        applied.elapsed += started.elapsed();
        settled.map(|settled| (applied, settled)).map_err(|failure| Rejected::new(number, failure))
    }

    /// Undoes the migration that was rejected, and commits what came before it.
    async fn keep(
        &mut self,
        claim: DatabaseTransaction,
        staged: Vec<Applied>,
        rejected: Rejected,
    ) -> Result<Outcome, Error> {
        self.session.ledger.spoil();
        if staged.is_empty() {
            abandon(claim).await;
            return Ok(self.classify(rejected));
        }
        // SQLite rolls back the whole by itself where the disk is full, say.
        if self.session.backend.undo(&claim).await.is_err() {
            return Ok(Outcome::Failed(rejected));
        }
        match self.commit(claim, staged).await? {
            Outcome::Committed => Ok(self.classify(rejected)),
            other => Ok(other),
        }
    }

    /// Moves the version and commits what is staged; only when that is on disk it is counted, and told, as applied.
    pub(super) async fn commit(
        &mut self,
        claim: DatabaseTransaction,
        staged: Vec<Applied>,
    ) -> Result<Outcome, Error> {
        let Some((first, last)) = staged.first().zip(staged.last()) else {
            abandon(claim).await;
            return Ok(Outcome::Committed);
        };
        let (first, last) = (first.version, last.version);
        let durable = self.is_durable(last) || self.flushed.elapsed() >= FLUSH;
        let moved = Move { table: &self.table, from: self.version, to: last, durable };
        let (next, label) = (self.next_settings(last), self.label(first));
        let committing = Arc::clone(&self.committing);
        let _committing = committing.lock().await;
        let commit = self.session.backend.commit(&self.session, claim, &moved, next.as_ref());
        // Synchronous replicas and deferred constraints may take their time; silence may not.
        let committed = tokio::select! {
            committed = commit => committed,
            silence = self.monitor.silence(&label, self.session.start.pid()) => Err(Failure::Commit(silence)),
        };
        match committed {
            Ok(claim) => self.claim = claim,
            Err(failure) if self.was_committed(last, &failure).await? => (),
            Err(failure) => return Ok(self.classify(Rejected::new(first, failure))),
        }
        self.version = last;
        self.unflushed.extend(staged);
        if durable || self.session.backend.gather().is_some() {
            self.count_as_applied();
        }
        Ok(Outcome::Committed)
    }

    /// Tells what is committed, now that it is on disk.
    pub(super) fn count_as_applied(&mut self) {
        self.flushed = Instant::now();
        for applied in std::mem::take(&mut self.unflushed) {
            self.tell(&Progress::Applied(applied.clone()));
            self.applied.push(applied);
        }
    }

    /// Whether a commit whose answer was lost took place, once the server can be asked.
    async fn was_committed(&self, last: i32, failure: &Failure) -> Result<bool, Error> {
        let Some(error) = failure.refusal().filter(|error| self.session.fault(error) == Fault::Lost) else {
            return Ok(false);
        };
        let started = Instant::now();
        for pause in pauses(POLL) {
            match self.has_reached(last).await {
                Ok(answer) => return Ok(answer),
                Err(_) if started.elapsed() < RECONNECT => sleep(pause).await,
                Err(_) => break,
            }
        }
        Err(errors::commit_in_doubt(last, error.clone()))
    }

    /// To read the row would be a guess, for the server may still be at the commit; to claim it waits for that.
    async fn has_reached(&self, last: i32) -> Result<bool, Error> {
        if let Some(claim) = self.claim(self.version + 1, true).await? {
            let _ = claim.rollback().await;
            return Ok(false);
        }
        // It has moved: on, or back where a crash of the server took earlier commits along that were not on disk.
        Ok(self.read().await?.version().is_some_and(|version| version >= last))
    }
}
