//! A migration on a connection of its own, while the row is held.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use tokio::time::sleep;

use super::{
    Outcome, Rejected, Run,
    waiting::{RETRY, pauses},
};
use crate::{
    Applied, Database, Error, Failure,
    backend::{Move, Session},
};

/// How often the connection that holds the row is asked whether it still does.
const HEARTBEAT: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Holds the row while the next migration runs; moves the version when it has succeeded.
    pub(super) async fn outside_transaction(&mut self) -> Result<Outcome, Error> {
        let outcome = self.holding_the_row(self.version + 1).await;
        self.lock = None;
        outcome
    }

    async fn holding_the_row(&mut self, number: i32) -> Result<Outcome, Error> {
        // Where to hold the row would shut the migration out too, a locked file stands for it.
        let by_file = self.session.backend.row_excludes_writers();
        if by_file {
            self.lock = self.lock_file().await?;
        }
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

        let applied = match self.perform_apart(number, held.as_ref()).await? {
            Ok(applied) => applied,
            // It finds its own leftovers, as after a crash.
            Err(rejected) => return Ok(self.classify(rejected)),
        };
        self.move_past(number, &applied, held).await
    }

    /// Moves the version past a migration that has run, and commits that; what is tried again is this alone.
    async fn move_past(
        &mut self,
        number: i32,
        applied: &Applied,
        mut held: Option<DatabaseTransaction>,
    ) -> Result<Outcome, Error> {
        let mut tries = 1;
        let mut rests = pauses(RETRY);
        loop {
            let claim = match held.take() {
                Some(claim) => Some(claim),
                None => self.claim(number, true).await?,
            };
            let Some(claim) = claim else {
                return Ok(Outcome::Moved);
            };
            let moved = Move { table: &self.table, from: number - 1, to: number };
            if let Err(failure) = self.session.backend.stage(&claim, &moved).await {
                return Ok(Outcome::Failed(Rejected::new(number, failure)));
            }
            match self.commit(claim, vec![applied.clone()]).await? {
                Outcome::Again(rejected) if tries < self.options.max_tries => {
                    self.rest(&rejected, tries, &mut rests).await;
                    tries += 1;
                }
                Outcome::Again(rejected) => return Ok(Outcome::Failed(self.exhausted(rejected, tries))),
                outcome => return Ok(outcome),
            }
        }
    }

    /// Runs the migration for as long as the row is held: without it, another runner would start the same one.
    async fn perform_apart(
        &mut self,
        number: i32,
        held: Option<&DatabaseTransaction>,
    ) -> Result<Result<Applied, Rejected>, Error> {
        let mut worker = Session::open(self.pool, &self.label(number), &self.session.interrupt).await?;
        self.options.listener.attach(&mut worker.pool);
        if let Err(error) = worker.backend.prepare_worker(&worker).await {
            return Err(self.refused("prepare a connection", error).await);
        }
        let db = Database::from(worker.pool.clone()).with_listener(&self.options.listener);
        // The run's, so that it is ended with it.
        self.worker = Some(worker);
        let outcome = tokio::select! {
            // No lock timeout: it would cut `CREATE INDEX CONCURRENTLY` off in its wait for older transactions.
            outcome = self.perform(&db, number, None) => outcome,
            error = lost(held) => Err(Rejected::new(number, Failure::ClaimLost(error))),
        };
        if matches!(&outcome, Err(Rejected { failure: Failure::ClaimLost(_), .. })) {
            self.end_statements().await;
        }
        if let Some(worker) = self.worker.take() {
            worker.close().await;
        }
        Ok(outcome)
    }
}

/// Done when the connection that holds the row is lost.
async fn lost(held: Option<&DatabaseTransaction>) -> DbErr {
    let Some(held) = held else {
        return std::future::pending().await;
    };
    loop {
        sleep(HEARTBEAT).await;
        if let Err(error) = held.execute_unprepared("SELECT 1").await {
            return error;
        }
    }
}
