//! A migration outside a transaction: on a connection of its own, while the row is held.

use std::{sync::Arc, time::Duration};

use sea_orm::DbErr;
use tokio::time::timeout;

use super::{FailedTry, Outcome, Run, errors, lease::Lease};
use crate::{
    backend::{self, Answer, Claim, Move, Session},
    database::Database,
    driver,
    error::Error,
    failure::Failure,
    migration::module_name,
    progress::Applied,
    waiting::{RETRY, once_let_in, pauses},
};

/// How long it may take until a second connection is served, if the first one is.
const SERVED: Duration = Duration::from_secs(5);

/// The session of the migration, and the lease that keeps other runs away from it.
pub(super) struct Worker {
    session: Arc<dyn Session>,
    lease: Lease,
}

impl Worker {
    fn session(&self) -> &dyn Session {
        &*self.session
    }

    /// The session, and the lease unless it is the row: the connection that holds the row would
    /// never become idle.
    pub(super) fn let_go_of_row(self) -> (Arc<dyn Session>, Option<Lease>) {
        let lease = Some(self.lease).filter(|lease| !matches!(lease, Lease::Row(_)));
        (self.session, lease)
    }
}

impl Run<'_> {
    /// Holds the row while the next migration runs, and moves the version when it has succeeded.
    pub(super) async fn outside_transaction(&mut self) -> Result<Outcome, Error> {
        let number = self.version + 1;
        let Some(lease) = self.lease(number).await? else {
            return Ok(Outcome::Moved);
        };
        let worker = Arc::new(self.open_worker(number, lease).await?);
        // The run keeps it too, so that it can end it when it is told to stop.
        self.worker = Some(Arc::clone(&worker));
        let outcome = self.perform_in_worker(number, &worker).await;
        self.worker = None;
        worker.session.close().await;
        // A locked file stays locked until the version has moved.
        let (claim, _file) = match Arc::into_inner(worker).map(|worker| worker.lease) {
            Some(Lease::Row(claim)) => (Some(claim), None),
            lease => (None, lease),
        };
        match outcome? {
            Ok(applied) => self.move_past(number, &applied, claim).await,
            Err(outcome) => Ok(outcome),
        }
    }

    /// Keeps other runs away from this migration. Returns `None` if the row is at another version.
    async fn lease(&self, number: i32) -> Result<Option<Lease>, Error> {
        let by_file = self.connections.session.excludes_writers();
        let file =
            if by_file { self.connections.lock_file(Some(self.version)).await? } else { None };
        let Some(claim) = self.claim(number, true).await? else {
            return Ok(None);
        };
        if !by_file {
            return Ok(Some(Lease::Row(claim)));
        }
        let _ = claim.into_transaction().rollback().await;
        Ok(Some(file.map_or(Lease::Alone, Lease::File)))
    }

    /// Moves the version past a migration that has run, and commits that. If it fails, only the
    /// move is tried again, and not the migration.
    async fn move_past(
        &mut self,
        number: i32,
        applied: &Applied,
        mut held: Option<Claim>,
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
            let table = &self.connections.table;
            let moved = Move { table, from: number - 1, to: number, durable: true };
            if let Err(failure) = self.connections.session.stage(&claim, &moved).await {
                return Ok(Outcome::Failed(FailedTry::new(number, failure)));
            }
            match self.commit(claim, vec![applied.clone()]).await? {
                Outcome::Again(failed) if tries < self.connections.options.max_tries => {
                    self.rest(&failed, tries, rests.next()).await;
                    tries += 1;
                }
                // The migration must not be tried again, since its work is done.
                Outcome::Again(failed) => return Ok(Outcome::Failed(failed)),
                outcome => return Ok(outcome),
            }
        }
    }

    async fn open_worker(&self, number: i32, lease: Lease) -> Result<Worker, Error> {
        let label = self.label(number);
        let open = || self.open_beside(number, &label, &lease);
        let session = once_let_in(&self.connections.options, self.connections.pool, open).await?;
        if let Err(error) = session.prepare_for_outside().await {
            return Err(self.connections.cannot_now("prepare a connection", error).await);
        }
        Ok(Worker { session, lease })
    }

    /// Runs the migration for as long as the row is held. If the row is lost, another runner may
    /// start the same migration.
    ///
    /// An order keeps two runners apart, though a claim can be lost at any moment. Each first opens
    /// the session that it will work in, then asks whether it still holds the row, then looks for
    /// the sessions of others. A runner that claims the row after that finds this session, and
    /// waits until it has gone.
    async fn perform_in_worker(
        &self,
        number: i32,
        worker: &Worker,
    ) -> Result<Result<Applied, Outcome>, Error> {
        if let Some(lost) = self.have_it_alone(number, worker).await? {
            return Ok(Err(Outcome::Again(FailedTry::new(number, Failure::ClaimLost(lost)))));
        }
        let db = Database::from(worker.session.pool().clone());
        let db = db.with_listener(&self.connections.options.listener);
        let outcome = tokio::select! {
            // The lock timeout of the run does not apply: it would end `CREATE INDEX CONCURRENTLY`
            // while that waits for older transactions.
            outcome = self.perform(&db, number, worker.session.pid(), None) => outcome,
            error = worker.lease.lost() => {
                // The session of the run is left alone, since the lease still has it.
                self.connections.end_statements(&[worker.session()]).await;
                Err(FailedTry::new(number, Failure::ClaimLost(error)))
            }
        };
        Ok(outcome.map_err(|failed| self.classify(failed)))
    }

    /// Opens the second connection. A pooler with only one connection to the server accepts it, and
    /// then does not serve it.
    async fn open_beside(
        &self,
        number: i32,
        label: &str,
        lease: &Lease,
    ) -> Result<Arc<dyn Session>, Error> {
        match (timeout(SERVED, self.connections.open_another(label)).await, lease) {
            (Ok(opened), _) => opened,
            (Err(_), Lease::Row(claim)) if claim.check().await.is_ok() => {
                Err(self.unserved(number).await)
            }
            _ => Err(Error::cannot_reach(driver::silence(SERVED))),
        }
    }

    /// Why a second connection is not served. If a crowded server is the cause, it answers another
    /// try, even if only with a refusal.
    async fn unserved(&self, number: i32) -> Error {
        let pool = self.connections.pool;
        let answer = match backend::of(pool) {
            Ok(backend) => backend.knock(pool, SERVED).await,
            Err(error) => return error,
        };
        match answer {
            Answer::Served | Answer::Refused => {
                let source = DbErr::Custom("a second connection was not served in time".into());
                backend::crowded("the server", source)
            }
            Answer::Silent | Answer::LetIn => errors::one_connection(number, self.version),
        }
    }

    /// Waits until no other run performs the migration. Returns an error if the row is lost
    /// meanwhile.
    async fn have_it_alone(&self, number: i32, worker: &Worker) -> Result<Option<DbErr>, Error> {
        if let Err(lost) = worker.lease.check().await {
            return Ok(Some(lost));
        }
        let name = module_name(number);
        tokio::select! {
            alone = self.connections.await_others(&name, self.version, worker.session()) => {
                alone.map(|()| None)
            }
            error = worker.lease.lost() => Ok(Some(error)),
        }
    }
}
