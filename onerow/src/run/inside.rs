//! Migrations in the transaction that holds the row, and its commit.

use std::time::Duration;

use sea_orm::{DatabaseTransaction, DbErr, TransactionTrait};
use tokio::time::{Instant, sleep};

use super::{
    Outcome, Rejected, Run,
    waiting::{POLL, pauses},
};
use crate::{
    Applied, Database, Error, Failure, Progress,
    backend::{Fault, Parentless},
    version,
};

/// How long a lost server may take to come back and say whether it committed.
const RECONNECT: Duration = Duration::from_secs(30);

/// What became of a migration that was rejected.
enum Undone {
    /// The transaction that holds the row goes on, as if the migration had not run.
    Alone(Rejected),
    /// That transaction is over, or not to be trusted.
    WithAll(Rejected),
}

impl Run<'_> {
    /// Applies the next migration, and with it those after it that the backend gathers in the same transaction.
    pub(super) async fn inside_transaction(&mut self) -> Result<Outcome, Error> {
        let first = self.version + 1;
        let durable = !self.another_follows(first);
        let Some(mut claim) = self.claim(first, durable).await? else {
            return Ok(Outcome::Moved);
        };
        let deadline = self.session.backend.gather().map(|limit| Instant::now() + limit);
        let mut parentless = self.session.backend.parentless(&claim).await;
        let mut staged = Vec::new();
        for number in first..=self.target {
            let (back, outcome) = self.attempt(claim, number, &mut parentless).await;
            claim = back;
            match outcome {
                Ok(applied) => staged.push(applied),
                Err(Undone::Alone(rejected)) if !staged.is_empty() => {
                    return self.keep(claim, staged, durable, rejected).await;
                }
                Err(Undone::Alone(rejected)) => {
                    // Where it fails the connection is lost, and the server rolls back by itself.
                    let _ = claim.rollback().await;
                    return Ok(self.classify(rejected));
                }
                Err(Undone::WithAll(rejected)) => return Ok(Outcome::Failed(rejected)),
            }
            let gathers = deadline.is_some_and(|deadline| Instant::now() < deadline);
            if !(gathers && self.another_follows(number)) {
                break;
            }
        }
        self.commit(claim, staged, durable).await
    }

    /// Commits what came before the migration that was rejected.
    async fn keep(
        &mut self,
        claim: DatabaseTransaction,
        staged: Vec<Applied>,
        durable: bool,
        rejected: Rejected,
    ) -> Result<Outcome, Error> {
        match self.commit(claim, staged, durable).await? {
            Outcome::Committed => Ok(self.classify(rejected)),
            other => Ok(other),
        }
    }

    /// Runs one migration in the claim and moves the version, or undoes it; gives the claim back.
    async fn attempt(
        &self,
        claim: DatabaseTransaction,
        number: i32,
        parentless: &mut Option<Parentless>,
    ) -> (DatabaseTransaction, Result<Applied, Undone>) {
        let (claim, outcome) = if self.session.backend.gather().is_some() {
            let outcome = self.attempt_in_savepoint(&claim, number, parentless).await;
            (claim, outcome)
        } else {
            let (claim, outcome) = self.perform_in(claim, number).await;
            (claim, outcome.map_err(Undone::Alone))
        };
        let outcome = match outcome {
            Ok(applied) => self.advance(&claim, number).await.map(|()| applied).map_err(Undone::WithAll),
            Err(undone) => Err(undone),
        };
        (claim, outcome)
    }

    /// Runs one migration so that it can be undone alone, and sees that it leaves no child without its parent.
    async fn attempt_in_savepoint(
        &self,
        claim: &DatabaseTransaction,
        number: i32,
        parentless: &mut Option<Parentless>,
    ) -> Result<Applied, Undone> {
        let with_all = |failure| Undone::WithAll(Rejected::new(number, failure));
        let savepoint = claim.begin().await.map_err(|error| with_all(Failure::Commit(error)))?;
        let (savepoint, outcome) = self.perform_in(savepoint, number).await;
        let rejected = match outcome {
            Ok(applied) => {
                let after = self.session.backend.parentless(&savepoint).await;
                match more(parentless.as_ref(), after.as_ref()) {
                    None => {
                        *parentless = after;
                        let released = savepoint.commit().await;
                        return released.map(|()| applied).map_err(|_| with_all(Failure::EndedTransaction));
                    }
                    Some(failure) => Rejected::new(number, failure),
                }
            }
            Err(rejected) => rejected,
        };
        match savepoint.rollback().await {
            Ok(()) => Err(Undone::Alone(rejected)),
            // SQLite rolls back the whole by itself where the disk is full, say.
            Err(_) => Err(Undone::WithAll(rejected)),
        }
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

    /// Moves the version in the transaction that holds the row.
    pub(super) async fn advance(&self, claim: &DatabaseTransaction, number: i32) -> Result<(), Rejected> {
        let failure = match version::advance(&self.session, &self.table, claim, number).await {
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
        let Some((first, last)) = staged.first().zip(staged.last()) else {
            return Ok(Outcome::Committed);
        };
        let (first, last) = (first.version, last.version);
        if let Err(error) = claim.commit().await {
            let in_doubt = self.session.fault(&error) == Fault::Lost;
            if !(in_doubt && self.was_committed(last, &error).await?) {
                return Ok(self.classify(Rejected::new(first, Failure::Commit(error))));
            }
        }
        self.volatile = !durable && self.session.backend.gather().is_none();
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
