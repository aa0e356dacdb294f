//! Migrations in the transaction that holds the row, and its commit.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{FailedTry, Outcome, Run, errors};
use crate::{
    backend::{Claim, Doubt, Fault, Move, Settled},
    database::Database,
    error::Error,
    failure::Failure,
    progress::Applied,
    waiting::{POLL, pauses},
};

/// How long a lost server may take to come back and tell whether it committed.
const RECONNECT: Duration = Duration::from_secs(30);

impl Run<'_> {
    /// Applies the next migration, and those after it that the backend gathers in the same
    /// transaction.
    pub(super) async fn inside_transaction(&mut self) -> Result<Outcome, Error> {
        let first = self.version + 1;
        let claim = match self.claim.take() {
            Some(claim) => Some(claim),
            None => self.claim(first, self.is_durable(first)).await?,
        };
        let Some(mut claim) = claim else {
            return Ok(Outcome::Moved);
        };
        let deadline = self.connections.session.gathers_for().map(|limit| Instant::now() + limit);
        if let Err(error) = self.connections.session.survey(&claim).await {
            return Err(self.connections.cannot_now("look at the session", error).await);
        }
        let mut staged = Vec::new();
        for number in first..=self.target {
            let (back, outcome) = self.perform_in(claim, number).await;
            claim = back;
            match outcome {
                Ok((applied, Settled::Apart)) => staged.push(applied),
                Ok((_, Settled::Undone)) => break,
                Err(failed) => return self.keep(claim, staged, failed).await,
            }
            if !(self.gathers_until(deadline) && self.another_follows(number)) {
                break;
            }
        }
        self.commit(claim, staged).await
    }

    /// Claims the row at the version before this migration. Returns `None` if the row is at another
    /// version.
    pub(super) async fn claim(
        &self,
        migration: i32,
        durable: bool,
    ) -> Result<Option<Claim>, Error> {
        self.connections.claim(migration - 1, &self.settings(migration, durable)).await
    }

    /// Whether a further migration may join this transaction.
    fn gathers_until(&self, deadline: Option<Instant>) -> bool {
        let is_time = deadline.is_some_and(|deadline| Instant::now() < deadline);
        is_time && !self.connections.session.is_stale()
    }

    /// Runs one migration in a transaction, sets it apart from those that may follow, and returns
    /// the claim.
    async fn perform_in(
        &self,
        claim: Claim,
        number: i32,
    ) -> (Claim, Result<(Applied, Settled), FailedTry>) {
        let db = Database::from_transaction(claim.into_transaction());
        let db = db.with_listener(&self.connections.options.listener);
        let pid = self.connections.session.pid();
        let outcome = self.perform(&db, number, pid, Some(self.lock_timeout(number))).await;
        let doubt = db.doubt();
        let claim = Claim::new(db.into_transaction());
        let outcome = match outcome {
            Ok(applied) => self.settle(&claim, applied, doubt).await,
            Err(failed) => Err(failed),
        };
        (claim, outcome)
    }

    /// Checks what the migration has done, and sets it apart. The time for that counts as the
    /// migration's, since it may include a check of all foreign keys.
    async fn settle(
        &self,
        claim: &Claim,
        mut applied: Applied,
        doubt: Doubt,
    ) -> Result<(Applied, Settled), FailedTry> {
        let (number, started) = (applied.version, Instant::now());
        let table = &self.connections.table;
        let moved = Move { table, from: number - 1, to: number, durable: true };
        let settled = self.connections.session.settle(claim, &moved, doubt).await;
        applied.elapsed += started.elapsed();
        settled.map(|settled| (applied, settled)).map_err(|failure| FailedTry::new(number, failure))
    }

    /// Undoes the migration that failed, and commits what came before it.
    async fn keep(
        &mut self,
        claim: Claim,
        staged: Vec<Applied>,
        failed: FailedTry,
    ) -> Result<Outcome, Error> {
        self.connections.session.spoil();
        if staged.is_empty() {
            claim.give_up().await;
            return Ok(self.classify(failed));
        }
        // SQLite may have rolled back the whole transaction by itself, as it does if the disk is
        // full.
        if self.connections.session.undo(&claim).await.is_err() {
            return Ok(Outcome::Failed(failed));
        }
        match self.commit(claim, staged).await? {
            Outcome::Committed => Ok(self.classify(failed)),
            other => Ok(other),
        }
    }

    /// Moves the version and commits what is staged.
    pub(super) async fn commit(
        &mut self,
        claim: Claim,
        staged: Vec<Applied>,
    ) -> Result<Outcome, Error> {
        let Some((first, last)) = staged.first().zip(staged.last()) else {
            claim.give_up().await;
            return Ok(Outcome::Committed);
        };
        let (first, last) = (first.version, last.version);
        let durable = self.is_durable(last) || self.record.is_due();
        let _committing = self.record.begin_commit().await;
        match self.send_commit(claim, first, last, durable).await {
            Ok(claim) => self.claim = claim,
            Err(failure) if self.was_committed(last, &failure).await? => (),
            Err(failure) => return Ok(self.classify(FailedTry::new(first, failure))),
        }
        self.version = last;
        self.record.commit(staged);
        if durable || self.connections.session.gathers_for().is_some() {
            self.record.flush(&self.connections.options);
        }
        Ok(Outcome::Committed)
    }

    /// Sends the commit. It may take long, because of synchronous replicas and deferred
    /// constraints, unless the server has gone silent.
    async fn send_commit(
        &self,
        claim: Claim,
        first: i32,
        last: i32,
        durable: bool,
    ) -> Result<Option<Claim>, Failure> {
        let moved = Move { table: &self.connections.table, from: self.version, to: last, durable };
        let (next, label) = (self.next_settings(last), self.label(first));
        let session = &self.connections.session;
        tokio::select! {
            committed = session.commit(claim, &moved, next.as_ref()) => committed,
            silence = self.connections.monitor.silence(&label, session.pid()) => {
                Err(Failure::Commit(silence))
            }
        }
    }

    /// Whether a commit whose answer was lost took place. It asks as soon as the server can be
    /// reached.
    async fn was_committed(&self, last: i32, failure: &Failure) -> Result<bool, Error> {
        let is_lost = |error: &&_| self.connections.session.fault(error) == Fault::Lost;
        let Some(error) = failure.refusal().filter(is_lost) else {
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

    /// Whether the database has reached this version. The server may still be busy with the commit,
    /// so reading the row would be a guess. Claiming the row waits for the commit.
    async fn has_reached(&self, last: i32) -> Result<bool, Error> {
        if let Some(claim) = self.claim(self.version + 1, true).await? {
            let _ = claim.into_transaction().rollback().await;
            return Ok(false);
        }
        // The row has moved: forwards, or back if a crash of the server undid commits that were not
        // on disk.
        Ok(self.connections.read().await?.version().is_some_and(|version| version >= last))
    }
}
