//! A migration on a connection of its own, while the row is held.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use tokio::time::{sleep, timeout};

use super::{
    Outcome, Rejected, Run, errors, once_let_in,
    waiting::{RETRY, pauses},
};
use crate::{
    Applied, Database, Error, Failure,
    backend::{self, Move, Session},
    driver,
};

/// How often the connection that holds the row is asked whether it still does.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long a second connection may take to be served, if the first one is.
const SERVED: Duration = Duration::from_secs(5);

/// How long its answer may take.
const SILENCE: Duration = Duration::from_secs(10);

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
        match self.perform_apart(number, held.as_ref()).await? {
            Ok(applied) => self.move_past(number, &applied, held).await,
            Err(outcome) => Ok(outcome),
        }
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
            let moved = Move { table: &self.table, from: number - 1, to: number, durable: true };
            if let Err(failure) = self.session.backend.stage(&claim, &moved).await {
                return Ok(Outcome::Failed(Rejected::new(number, failure)));
            }
            match self.commit(claim, vec![applied.clone()]).await? {
                Outcome::Again(rejected) if tries < self.options.max_tries => {
                    self.rest(&rejected, tries, &mut rests).await;
                    tries += 1;
                }
                // Not what it is after a migration that did not get a lock: its work is done.
                Outcome::Again(rejected) => return Ok(Outcome::Failed(rejected)),
                outcome => return Ok(outcome),
            }
        }
    }

    /// Runs the migration for as long as the row is held: without it, another runner would start the same one.
    ///
    /// The order is what two runners are kept apart by, though a claim can be lost at any moment. Each first opens the session
    /// that it will work in, then asks whether the row is still its own, then looks for the sessions of others. Whoever has
    /// claimed the row since then finds this session, and waits until it has gone.
    async fn perform_apart(
        &mut self,
        number: i32,
        held: Option<&DatabaseTransaction>,
    ) -> Result<Result<Applied, Outcome>, Error> {
        let label = self.label(number);
        let open = || self.open_beside(number, &label, held);
        let mut worker = once_let_in(&self.options, self.pool, open).await?;
        self.options.listener.attach(&mut worker.pool);
        if let Err(error) = worker.backend.prepare_worker(&worker).await {
            return Err(self.refused("prepare a connection", error).await);
        }
        let db = Database::from(worker.pool.clone()).with_listener(&self.options.listener);
        // The run's, so that it is ended with it.
        let worker = self.worker.insert(worker);
        let worker = worker.clone();
        let outcome = match self.have_it_alone(number, &worker, held).await? {
            Some(lost) => Err(Outcome::Again(Rejected::new(number, Failure::ClaimLost(lost)))),
            None => self.perform_while_held(&db, number, held).await,
        };
        if let Some(worker) = self.worker.take() {
            worker.close().await;
        }
        Ok(outcome)
    }

    /// Opens the second connection. A pooler with one connection to the server accepts it, and then does not serve it.
    async fn open_beside(
        &self,
        number: i32,
        label: &str,
        held: Option<&DatabaseTransaction>,
    ) -> Result<Session, Error> {
        let opened = timeout(SERVED, Session::open(self.pool, label, &self.session.interrupt)).await;
        match (opened, held) {
            (Ok(opened), _) => opened,
            (Err(_), Some(held)) if ask(held).await.is_ok() => Err(self.unserved(number).await),
            _ => Err(Error::cannot_reach(driver::silence(SERVED))),
        }
    }

    /// Why a second connection is not served: to a server that is crowded, another try is answered, if only with a refusal.
    async fn unserved(&self, number: i32) -> Error {
        match timeout(SERVED, self.session.backend.is_answered(self.pool)).await {
            Ok(()) => {
                let source = DbErr::Custom("a second connection was not served in time".into());
                backend::crowded("the server", source)
            }
            Err(_) => errors::one_connection(number, self.version),
        }
    }

    /// Waits until no other run is at the migration; gives why the row is lost, if it is.
    async fn have_it_alone(
        &self,
        number: i32,
        worker: &Session,
        held: Option<&DatabaseTransaction>,
    ) -> Result<Option<DbErr>, Error> {
        if let Some(held) = held
            && let Err(lost) = ask(held).await
        {
            return Ok(Some(lost));
        }
        tokio::select! {
            alone = self.await_others(number, worker) => alone.map(|()| None),
            error = lost(held) => Ok(Some(error)),
        }
    }

    async fn perform_while_held(
        &self,
        db: &Database,
        number: i32,
        held: Option<&DatabaseTransaction>,
    ) -> Result<Applied, Outcome> {
        let outcome = tokio::select! {
            // No lock timeout of the run's: it would cut `CREATE INDEX CONCURRENTLY` off in its wait for older transactions.
            outcome = self.perform(db, number, None) => outcome,
            error = lost(held) => {
                self.end_statements().await;
                Err(Rejected::new(number, Failure::ClaimLost(error)))
            }
        };
        outcome.map_err(|rejected| self.classify(rejected))
    }
}

/// Done when the connection that holds the row is lost.
async fn lost(held: Option<&DatabaseTransaction>) -> DbErr {
    let Some(held) = held else {
        return std::future::pending().await;
    };
    loop {
        sleep(HEARTBEAT).await;
        if let Err(error) = ask(held).await {
            return error;
        }
    }
}

async fn ask(held: &DatabaseTransaction) -> Result<(), DbErr> {
    match timeout(SILENCE, held.execute_unprepared("SELECT 1")).await {
        Ok(answer) => answer.map(drop),
        Err(_) => Err(driver::silence(SILENCE)),
    }
}
