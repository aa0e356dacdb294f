//! Polling for what another runner holds, above all the row.

use std::{
    fs::{File, TryLockError},
    future::ready,
    io,
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use sea_orm::{DatabaseTransaction, DbErr};
use tokio::time::{Instant, sleep};

use super::Run;
use crate::{
    Error, Progress, ServerSession,
    backend::Fault,
    migration,
    table::Table,
    version::{self, Found},
};

/// Who waits looks again after this long, then after twice as long, each time with up to as much again by chance.
/// It never blocks: a blocked waiter holds a snapshot, and a `CREATE INDEX CONCURRENTLY` of the runner that it waits for
/// would wait for that snapshot for ever.
pub(super) const POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// The pauses before a migration that did not get a lock is tried again.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// How long a wait is before it is told, and how often it is told again. A shorter one is over before anybody could read of it,
/// and to find out who holds the row takes a connection.
const TELL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A wait for what another runner holds.
pub(super) struct Wait<'a> {
    run: &'a Run<'a>,
    /// What the database holds meanwhile, where it could be read.
    version: Option<i32>,
    started: Instant,
    told: Option<Instant>,
    pauses: ExponentialBackoff,
}

impl Wait<'_> {
    /// Sleeps until it is time for another look; where it lasts, says who holds it.
    pub(super) async fn turn(
        &mut self,
        holder: impl Future<Output = Option<ServerSession>>,
    ) -> Result<(), Error> {
        let waited = self.started.elapsed();
        let left = self.run.options.wait_timeout.saturating_sub(waited);
        if left.is_zero() {
            return Err(Error::WaitTimeout { waited, version: self.version, holder: holder.await });
        }
        if self.told.map_or(waited >= TELL.0, |told| told.elapsed() >= TELL.1) {
            self.run.tell(&Progress::Waiting { holder: holder.await, waited });
            self.told = Some(Instant::now());
        }
        sleep(self.pauses.next().unwrap_or(POLL.1).min(left)).await;
        Ok(())
    }

    /// The same, for who holds another tool's table.
    pub(super) async fn turn_for_table(&mut self, table: &Table) -> Result<(), Error> {
        self.turn(ready(None)).await.map_err(|error| match error {
            Error::WaitTimeout { waited, .. } => Error::HistoryBusy { table: table.to_string(), waited },
            error => error,
        })
    }
}

impl Run<'_> {
    fn wait(&self) -> Wait<'_> {
        let version = Some(self.version);
        Wait { run: self, version, started: Instant::now(), told: None, pauses: pauses(POLL) }
    }

    /// The same, where the database may hold no version yet.
    pub(super) fn wait_for_row(&self) -> Wait<'_> {
        Wait { version: None, ..self.wait() }
    }

    /// Reads the version, once nobody shuts readers out.
    pub(super) async fn read(&self) -> Result<Found, Error> {
        let mut wait = self.wait();
        loop {
            match version::read(&self.session.pool, &self.table).await? {
                Found::Held => wait.turn(ready(None)).await?,
                found => return Ok(found),
            }
        }
    }

    /// Makes the table and the row where they are missing; the version that is there then.
    pub(super) async fn create_row(&mut self, mut found: Found) -> Result<i32, Error> {
        let next = self.next_settings(version::NONE);
        let mut wait = self.wait_for_row();
        loop {
            match found {
                Found::Version(version) => return Ok(version),
                Found::Held => wait.turn(ready(None)).await?,
                Found::NoTable | Found::NoRow => {
                    match version::create(&self.session, &self.table, found, next.as_ref()).await {
                        Ok(None) => (),
                        Ok(claim) => {
                            self.claim = claim;
                            return Ok(version::NONE);
                        }
                        Err(error) => {
                            self.creation_raced(error).await?;
                            wait.turn(ready(None)).await?;
                        }
                    }
                }
            }
            found = version::read(&self.session.pool, &self.table).await?;
        }
    }

    /// Whether the version row could not be made since somebody else is at it; all else is an error.
    pub(super) async fn creation_raced(&self, error: DbErr) -> Result<(), Error> {
        match self.session.fault(&error) {
            Fault::CreateRace | Fault::Held => Ok(()),
            Fault::NoSchema => Err(self.no_schema(error).await),
            fault => Err(version::explain(fault, "create the version row", None, &self.table, error)),
        }
    }

    async fn no_schema(&self, source: DbErr) -> Error {
        let shown = self.session.backend.fetch_texts(&self.session.pool, "SHOW search_path").await;
        let path = shown.ok().and_then(|mut rows| rows.pop().flatten()).unwrap_or_default();
        Error::NoSchema { path, table: self.table.to_string(), source }
    }

    /// Begins a transaction that holds the row at the version before this migration; `None` if it has moved on.
    pub(super) async fn claim(
        &self,
        migration: i32,
        durable: bool,
    ) -> Result<Option<DatabaseTransaction>, Error> {
        let settings = self.settings(migration, durable);
        let mut wait = self.wait();
        loop {
            match version::claim(&self.session, &self.table, migration - 1, &settings).await {
                Ok(claim) => return Ok(claim),
                Err(error) if self.session.fault(&error) == Fault::Held => {
                    wait.turn(self.holder()).await?;
                }
                Err(error) => return Err(self.refused("claim the version row", error).await),
            }
        }
    }

    /// Locks the file that stands for the row, where there is one.
    pub(super) async fn lock_file(&self) -> Result<Option<File>, Error> {
        let file = match self.session.backend.lock_file(&self.session.pool, &self.table.label()) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(error) => return Err(self.refused("open the lock file", custom(&error)).await),
        };
        let mut wait = self.wait();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) => wait.turn(ready(None)).await?,
                Err(TryLockError::Error(error)) => {
                    return Err(self.refused("lock the lock file", custom(&error)).await);
                }
            }
        }
    }

    /// Waits for the statement of a runner that was killed: the server goes on with it.
    pub(super) async fn await_orphans(&self, migration: i32) -> Result<(), Error> {
        let prefix = format!("onerow {} ", migration::name(migration));
        let label = self.table.label();
        let monitor = self.monitor.session().await?;
        let mut wait = self.wait();
        loop {
            match monitor.backend.executing(monitor, &prefix, &label).await {
                Ok(mut orphans) => match orphans.pop() {
                    Some(orphan) => wait.turn(ready(Some(orphan))).await?,
                    None => return Ok(()),
                },
                Err(error) => return Err(self.refused("look for a killed runner's statement", error).await),
            }
        }
    }

    pub(super) async fn holder(&self) -> Option<ServerSession> {
        let monitor = self.monitor.session().await.ok()?;
        monitor.backend.holder(monitor, &self.table).await
    }
}

fn custom(error: &io::Error) -> DbErr {
    DbErr::Custom(error.to_string())
}

pub(super) fn pauses((shortest, longest): (Duration, Duration)) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(shortest)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}
