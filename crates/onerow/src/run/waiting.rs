//! Polling for what another runner holds, above all the row.

use std::{
    fs::{File, TryLockError},
    future::ready,
    io,
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};
use tokio::time::{Instant, sleep, timeout};

use super::{Run, errors};
use crate::{
    Progress, ServerSession,
    adopt::history_busy,
    backend::{self, Fault, Session},
    driver,
    error::{Error, ErrorKind},
    migration,
    table::Table,
    up::Options,
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

/// Who waits for longer than this between two looks gives the connection up meanwhile: the one that is waited for may need it.
const RELEASE: Duration = Duration::from_millis(500);

/// How long the server may take to answer a statement of onerow's own; each is a matter of milliseconds, or has a shorter limit there.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// A wait for what others have.
pub(super) struct Wait<'a> {
    options: &'a Options<'a>,
    /// What the database holds meanwhile, where it could be read.
    version: Option<i32>,
    started: Instant,
    told: Option<Instant>,
    pauses: ExponentialBackoff,
    pause: Duration,
}

impl<'a> Wait<'a> {
    fn new(options: &'a Options<'a>, version: Option<i32>) -> Self {
        let pauses = pauses(POLL);
        Self { options, version, started: Instant::now(), told: None, pauses, pause: POLL.0 }
    }

    /// Sleeps until it is time for another look; where it lasts, says who holds it.
    pub(super) async fn turn(
        &mut self,
        holder: impl Future<Output = Option<ServerSession>>,
    ) -> Result<(), Error> {
        self.tell(holder).await?;
        sleep(self.pause).await;
        Ok(())
    }

    /// The same, for who holds another tool's table.
    pub(super) async fn turn_for_table(&mut self, table: &Table) -> Result<(), Error> {
        self.turn(ready(None)).await.map_err(|error| match error.kind() {
            ErrorKind::WaitTimeout => history_busy(table, self.started.elapsed()),
            _ => error,
        })
    }

    /// The same, for a server that has no connection to give.
    async fn turn_for_connection(&mut self, refusal: Error) -> Result<(), Error> {
        let waited = self.started.elapsed();
        if self.is_over(waited) {
            return Err(refusal);
        }
        if self.is_to_be_told(waited) {
            let reason = refusal.causes().pop().unwrap_or_default();
            self.options.tell(&Progress::WaitingForConnection { reason, waited });
        }
        sleep(self.pause).await;
        Ok(())
    }

    async fn tell(&mut self, holder: impl Future<Output = Option<ServerSession>>) -> Result<(), Error> {
        let waited = self.started.elapsed();
        if self.is_over(waited) {
            return Err(errors::wait_timeout(waited, self.version, holder.await.as_ref()));
        }
        if self.is_to_be_told(waited) {
            self.options.tell(&Progress::Waiting { holder: holder.await, waited });
        }
        Ok(())
    }

    /// Whether time is up; if not, sets the next pause.
    fn is_over(&mut self, waited: Duration) -> bool {
        let left = self.options.wait_timeout.saturating_sub(waited);
        self.pause = self.pauses.next().unwrap_or(POLL.1).min(left);
        left.is_zero()
    }

    fn is_to_be_told(&mut self, waited: Duration) -> bool {
        let tells = self.told.map_or(waited >= TELL.0, |told| told.elapsed() >= TELL.1);
        if tells {
            self.told = Some(Instant::now());
        }
        tells
    }
}

/// Does what needs a connection, once the server has one to give.
pub(crate) async fn once_let_in<T, F: Future<Output = Result<T, Error>>>(
    options: &Options<'_>,
    pool: &DatabaseConnection,
    connect: impl Fn() -> F,
) -> Result<T, Error> {
    let mut wait = Wait::new(options, None);
    loop {
        match connect().await {
            Err(refusal) if refusal.kind() == ErrorKind::TooManyConnections => {
                // What this process has and does not use, another may need to get ahead.
                backend::of(pool)?.release_idle(pool).await;
                wait.turn_for_connection(refusal).await?;
            }
            done => return done,
        }
    }
}

impl Run<'_> {
    fn wait(&self) -> Wait<'_> {
        Wait::new(&self.options, Some(self.version))
    }

    /// The same, where the database may hold no version yet.
    pub(super) fn wait_for_row(&self) -> Wait<'_> {
        Wait::new(&self.options, None)
    }

    /// Waits for the row with at most one connection, and with none if it lasts.
    pub(super) async fn stand_in_line(&self, wait: &mut Wait<'_>) -> Result<(), Error> {
        wait.tell(self.holder()).await?;
        let released = wait.pause >= RELEASE;
        if released {
            self.session.release().await;
            self.session.backend.release_idle(self.pool).await;
        }
        sleep(wait.pause).await;
        if released {
            once_let_in(&self.options, self.pool, || self.session.make_ready()).await?;
        }
        Ok(())
    }

    /// Reads the version, once nobody shuts readers out.
    pub(super) async fn read(&self) -> Result<Found, Error> {
        let mut wait = self.wait();
        loop {
            let reading =
                answered(version::read(&self.session.pool, &self.called)).await.map_err(|silence| {
                    version::explain(Fault::Lost, "read the version", None, &self.called, silence)
                })?;
            match reading?.found() {
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
            found = version::read(&self.session.pool, &self.called).await?.found();
        }
    }

    /// Whether the version row could not be made since somebody else is at it; all else is an error.
    pub(super) async fn creation_raced(&self, error: DbErr) -> Result<(), Error> {
        match self.session.fault(&error) {
            Fault::CreateRace | Fault::Held => Ok(()),
            Fault::NoSchema => Err(self.no_schema(error).await),
            fault => Err(version::explain(fault, "create the version row", None, &self.called, error)),
        }
    }

    async fn no_schema(&self, source: DbErr) -> Error {
        let shown = self.session.backend.fetch_texts(&self.session.pool, "SHOW search_path").await;
        let path = shown.ok().and_then(|mut rows| rows.pop().flatten()).unwrap_or_default();
        errors::no_schema(&path, &self.called, source)
    }

    /// Begins a transaction that holds the row at the version before this migration; `None` if it has moved on.
    pub(super) async fn claim(
        &self,
        migration: i32,
        durable: bool,
    ) -> Result<Option<DatabaseTransaction>, Error> {
        let settings = self.settings(migration, durable);
        let mut reconnected = false;
        let mut wait = self.wait();
        loop {
            let claim = answered(version::claim(&self.session, &self.table, migration - 1, &settings)).await;
            match claim.and_then(|claim| claim) {
                Ok(claim) => return Ok(claim),
                Err(error) if self.session.fault(&error) == Fault::Held => {
                    self.stand_in_line(&mut wait).await?;
                }
                // Nothing was asked yet that could be in doubt, so another connection will do.
                Err(error) if self.session.fault(&error) == Fault::Lost && !reconnected => {
                    reconnected = true;
                    once_let_in(&self.options, self.pool, || self.session.make_ready()).await?;
                }
                Err(error) => return Err(self.refused("claim the version row", error).await),
            }
        }
    }

    /// Locks the file that stands for the row, where there is one.
    pub(super) async fn lock_file(&self) -> Result<Option<File>, Error> {
        let file = match self.session.backend.lock_file(&self.session.pool, &self.called.label()) {
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

    /// Waits for the sessions in which other runs are at this migration: one that has lost the row may not have noticed yet, and
    /// the server goes on with the statement of one that was killed.
    pub(super) async fn await_others(&self, migration: i32, worker: &Session) -> Result<(), Error> {
        let name = migration::module_name(migration);
        let mut wait = self.wait();
        loop {
            let others = answered(worker.backend.others_at_work(worker, &name, &self.id, &self.table)).await;
            match others.and_then(|others| others) {
                Ok(mut others) => match others.pop() {
                    Some(other) => wait.turn(ready(Some(other))).await?,
                    None => return Ok(()),
                },
                Err(error) => return Err(self.refused("look for another runner's session", error).await),
            }
        }
    }

    pub(super) async fn holder(&self) -> Option<ServerSession> {
        // On the connection of the run, which is not in a transaction while it waits.
        self.session.backend.holder(&self.session, &self.table).await
    }
}

/// A statement of onerow's own, whose answer is not waited for longer than [`ANSWER`].
pub(super) async fn answered<T>(statement: impl Future<Output = T>) -> Result<T, DbErr> {
    timeout(ANSWER, statement).await.map_err(|_| driver::silence(ANSWER))
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
