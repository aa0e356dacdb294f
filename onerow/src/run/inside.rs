//! Migrations in the transaction that holds the row, and its commit.

use std::{sync::Arc, time::Duration};

use sea_orm::DatabaseTransaction;
use tokio::time::{Instant, sleep};

use super::{
    Outcome, Rejected, Run,
    waiting::{POLL, pauses},
};
use crate::{
    Applied, Database, Error, Failure, Progress,
    backend::{Fault, Move, Parentless, abandon},
};

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
        let mut parentless = self.session.backend.parentless(&claim).await;
        let mut staged = Vec::new();
        for number in first..=self.target {
            let (back, outcome) = self.perform_in(claim, number).await;
            claim = back;
            let outcome = match outcome {
                Ok(applied) => self.stage(&claim, number, &mut parentless).await.map(|()| applied),
                rejected => rejected,
            };
            match outcome {
                Ok(applied) => staged.push(applied),
                Err(rejected) => return self.keep(claim, staged, rejected).await,
            }
            let gathers = deadline.is_some_and(|deadline| Instant::now() < deadline);
            if !(gathers && self.another_follows(number)) {
                break;
            }
        }
        self.commit(claim, staged).await
    }

    /// Runs one migration in a transaction, and gives that back.
    async fn perform_in(
        &self,
        transaction: DatabaseTransaction,
        number: i32,
    ) -> (DatabaseTransaction, Result<Applied, Rejected>) {
        let db = Database::from_transaction(transaction).with_listener(&self.options.listener);
        let outcome = self.perform(&db, number, Some(self.lock_timeout(number))).await;
        (db.into_transaction(), outcome)
    }

    /// Sets a migration that has run apart from those that may follow in the same transaction, and sees that it leaves no child
    /// without its parent.
    async fn stage(
        &self,
        claim: &DatabaseTransaction,
        number: i32,
        parentless: &mut Option<Parentless>,
    ) -> Result<(), Rejected> {
        let backend = self.session.backend;
        let moved = Move { table: &self.table, from: number - 1, to: number };
        // Where no row lacked its parent, which is the rule, that is seen without a look at the rows.
        if parentless.as_ref().is_some_and(Parentless::is_empty)
            && backend.stage(claim, &moved, true).await.is_ok()
        {
            return Ok(());
        }
        let after = backend.parentless(claim).await;
        if let Some(failure) = more(parentless.as_ref(), after.as_ref()) {
            return Err(Rejected::new(number, failure));
        }
        *parentless = after;
        backend.stage(claim, &moved, false).await.map_err(|failure| Rejected::new(number, failure))
    }

    /// Undoes the migration that was rejected, and commits what came before it.
    async fn keep(
        &mut self,
        claim: DatabaseTransaction,
        staged: Vec<Applied>,
        rejected: Rejected,
    ) -> Result<Outcome, Error> {
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

    /// Moves the version and commits what is staged, and only then counts and tells it as applied.
    pub(super) async fn commit(
        &mut self,
        claim: DatabaseTransaction,
        staged: Vec<Applied>,
    ) -> Result<Outcome, Error> {
        let Some((first, last)) = staged.first().zip(staged.last()) else {
            return Ok(Outcome::Committed);
        };
        let (first, last) = (first.version, last.version);
        let moved = Move { table: &self.table, from: self.version, to: last };
        let next = self.next_settings(last);
        let committing = Arc::clone(&self.committing);
        let _committing = committing.lock().await;
        let commit = self.session.backend.commit(&self.session, claim, &moved, next.as_ref());
        // Synchronous replicas and deferred constraints may take their time; silence may not.
        let committed = tokio::select! {
            committed = commit => committed,
            silence = self.monitor.silence() => Err(Failure::Commit(silence)),
        };
        match committed {
            Ok(claim) => self.claim = claim,
            Err(failure) if self.was_committed(last, &failure).await? => (),
            Err(failure) => return Ok(self.classify(Rejected::new(first, failure))),
        }
        self.volatile = !self.is_durable(first) && self.session.backend.gather().is_none();
        self.version = last;
        for applied in staged {
            self.tell(&Progress::Applied(applied.clone()));
            self.applied.push(applied);
        }
        Ok(Outcome::Committed)
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
        Err(Error::CommitInDoubt { migration: last, source: error.clone() })
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

/// The failure of a migration that leaves more rows without their parent than there were.
///
/// Rows that lacked theirs before do not count: Python's sqlite3 does not enforce foreign keys, so a database that is taken
/// over may hold some.
fn more(before: Option<&Parentless>, after: Option<&Parentless>) -> Option<Failure> {
    let (before, after) = (before?, after?);
    after.iter().find_map(|(key, rows)| {
        let rows = rows.checked_sub(before.get(key).copied().unwrap_or(0)).filter(|rows| *rows > 0)?;
        Some(Failure::ForeignKeys { rows, table: key.0.clone() })
    })
}
