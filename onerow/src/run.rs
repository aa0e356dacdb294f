//! The loop: claim the row, run a migration, move the version, commit.

use std::{any::Any, fs::File, panic::AssertUnwindSafe, pin::Pin, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::FutureExt;
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr, TransactionTrait};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Applied, Database, Error, Failure, MigrationTrait, Progress, Registry, Report, ServerSession,
    backend::{Fault, Session, Settings},
    migration,
    up::Options,
    version::{self, Found, TABLE},
    watch::{Monitor, Watched},
};

/// Who waits looks again after this long, then after twice as long, each time with up to as much again by chance.
/// It never blocks: a blocked waiter holds a snapshot, and a `CREATE INDEX CONCURRENTLY` of the runner that it waits for
/// would wait for that snapshot for ever.
const POLL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The pauses before a migration that did not get a lock is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// How long a lost server may take to come back and say whether it committed.
const RECONNECT: Duration = Duration::from_secs(30);

/// How long a cancelled statement may take to end.
const CANCEL: Duration = Duration::from_secs(10);

pub(crate) struct Run<'a> {
    registry: &'a Registry,
    options: Options<'a>,
    pool: &'a DatabaseConnection,
    session: Session,
    monitor: Monitor<'a>,
    /// In the label of each of this run's sessions.
    id: String,
    target: i32,
    version: i32,
    applied: Vec<Applied>,
    /// Whether the last commit may not be on disk yet.
    volatile: bool,
}

/// How a step of the run ended, where the database can be asked.
enum Outcome {
    Committed,
    /// Another runner was faster.
    Moved,
    /// All is as it was, and another try may succeed.
    Again(Rejected),
    Failed(Rejected),
}

/// A migration that was not committed.
struct Rejected {
    migration: i32,
    failure: Failure,
    blockers: Vec<ServerSession>,
}

impl<'a> Run<'a> {
    pub(crate) async fn open(
        registry: &'a Registry,
        pool: &'a DatabaseConnection,
        options: Options<'a>,
        target: i32,
    ) -> Result<Self, Error> {
        let id = format!("{:08x}", fastrand::u32(..));
        let session = Session::open(pool, &format!("onerow {id}")).await?;
        let monitor = Monitor::new(pool, format!("onerow monitor {id}"));
        let (version, applied, volatile) = (version::NONE, Vec::new(), false);
        Ok(Self { registry, options, pool, session, monitor, id, target, version, applied, volatile })
    }

    /// Goes to the target, or as far as it gets before the signal.
    pub(crate) async fn to_the_end(
        &mut self,
        found: Found,
        signal: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
    ) -> Result<Report, Error> {
        let signal = signal.unwrap_or_else(|| Box::pin(std::future::pending()));
        let finished = tokio::select! {
            result = self.go(found) => Some(result),
            () = signal => None,
        };
        let result = match finished {
            Some(result) => result,
            None => Err(self.cancelled().await),
        };
        self.monitor.close().await;
        self.session.close().await;
        result
    }

    async fn go(&mut self, found: Found) -> Result<Report, Error> {
        let initial = self.create_row(found).await?;
        self.version = initial;
        let mut tries = 1;
        let mut pauses = pauses(RETRY);
        while self.version < self.target {
            match self.step().await? {
                Outcome::Committed => (tries, pauses) = (1, self::pauses(RETRY)),
                Outcome::Moved => self.look_again().await?,
                Outcome::Again(rejected) if tries < self.options.max_tries => {
                    self.tell(&rejected.retrying(tries));
                    sleep(pauses.next().unwrap_or(RETRY.1)).await;
                    tries += 1;
                }
                Outcome::Again(rejected) => return Err(self.failed(rejected.blocked(tries)).await),
                Outcome::Failed(rejected) => return Err(self.failed(rejected).await),
            }
        }
        Ok(Report { initial, version: self.version, applied: std::mem::take(&mut self.applied) })
    }

    /// Makes the table and the row where they are missing; the version that is there then.
    async fn create_row(&self, mut found: Found) -> Result<i32, Error> {
        let started = Instant::now();
        let mut pauses = pauses(POLL);
        loop {
            if let Found::Version(version) = found {
                return Ok(version);
            }
            if let Err(error) = version::create(&self.session, found).await {
                let fault = self.session.fault(&error);
                let transient = matches!(fault, Fault::CreateRace | Fault::Held);
                if !transient || started.elapsed() >= self.options.wait_timeout {
                    return Err(version::explain(fault, "create the version row", None, error));
                }
                sleep(pauses.next().unwrap_or(POLL.1)).await;
            }
            found = version::read(&self.session.pool).await?;
        }
    }

    /// Reads the version after another runner has moved it.
    async fn look_again(&mut self) -> Result<(), Error> {
        let latest = self.registry.latest();
        match version::read(&self.session.pool).await? {
            Found::Version(version) if version > latest => Err(Error::Ahead { version, latest }),
            Found::Version(version) if version != self.version => {
                self.version = version;
                Ok(())
            }
            other => Err(Error::InvalidVersion { found: format!("{other:?}, which no claim finds") }),
        }
    }

    async fn step(&mut self) -> Result<Outcome, Error> {
        if self.is_transactional(self.version + 1) {
            self.in_transaction().await
        } else {
            self.outside_transaction().await
        }
    }

    /// Applies the next migration, and with it those after it that the backend gathers in the same transaction.
    async fn in_transaction(&mut self) -> Result<Outcome, Error> {
        let first = self.version + 1;
        let durable = !self.another_follows(first);
        let Some(mut claim) = self.claim(first, durable).await? else { return Ok(Outcome::Moved) };
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
        if staged.is_empty() {
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

    /// Holds the row while the next migration runs on a connection of its own.
    async fn outside_transaction(&mut self) -> Result<Outcome, Error> {
        let number = self.version + 1;
        let excludes = self.session.backend.row_excludes_writers();
        let _lock = if excludes { self.lock_file().await? } else { None };
        let Some(held) = self.claim(number, true).await? else { return Ok(Outcome::Moved) };
        let held = if excludes { held.rollback().await.map(|()| None) } else { Ok(Some(held)) };
        let held = held.map_err(|source| self.refused("hold the version row", source))?;
        self.await_orphans(number).await?;

        let applied = match self.perform_apart(number).await? {
            Ok(applied) => applied,
            Err(rejected) => return Ok(Outcome::Failed(rejected)),
        };
        let held = match held {
            Some(held) => Some(held),
            None => self.claim(number, true).await?,
        };
        let Some(held) = held else { return Ok(Outcome::Moved) };
        match self.advance(&held, number).await {
            Ok(()) => self.commit(held, vec![applied], true).await,
            Err(failure) => Ok(Outcome::Failed(Rejected::new(number, failure))),
        }
    }

    /// Begins a transaction that holds the row at the version before this migration; `None` if it has moved on.
    async fn claim(&self, migration: i32, durable: bool) -> Result<Option<DatabaseTransaction>, Error> {
        let settings = self.settings(migration, durable);
        let started = Instant::now();
        let mut pauses = pauses(POLL);
        let mut told: Option<Instant> = None;
        loop {
            let error = match version::claim(&self.session, migration - 1, &settings).await {
                Ok(claim) => return Ok(claim),
                Err(error) => error,
            };
            if self.session.fault(&error) != Fault::Held {
                return Err(self.refused("claim the version row", error));
            }
            let waited = started.elapsed();
            let holder = self.holder().await;
            if waited >= self.options.wait_timeout {
                return Err(Error::WaitTimeout { waited, version: migration - 1, holder });
            }
            if told.is_none_or(|told| told.elapsed() >= Duration::from_secs(10)) {
                self.tell(&Progress::Waiting { holder, waited });
                told = Some(Instant::now());
            }
            sleep(pauses.next().unwrap_or(POLL.1)).await;
        }
    }

    /// Locks the file that stands for the row, where there is one.
    async fn lock_file(&self) -> Result<Option<File>, Error> {
        let failed = |error: std::io::Error| self.refused("open the lock file", DbErr::Custom(error.to_string()));
        let Some(file) = self.session.backend.lock_file(&self.session.pool).map_err(failed)? else { return Ok(None) };
        let started = Instant::now();
        for pause in pauses(POLL) {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
                Err(std::fs::TryLockError::WouldBlock) => (),
            }
            let waited = started.elapsed();
            if waited >= self.options.wait_timeout {
                return Err(Error::WaitTimeout { waited, version: self.version, holder: None });
            }
            self.tell(&Progress::Waiting { holder: None, waited });
            sleep(pause).await;
        }
        Ok(None)
    }

    /// Waits for the statement of a runner that was killed: the server goes on with it.
    async fn await_orphans(&self, migration: i32) -> Result<(), Error> {
        let started = Instant::now();
        let prefix = format!("onerow {} ", migration::name(migration));
        let monitor = self.monitor.session().await?;
        for pause in pauses(POLL) {
            let executing = monitor.backend.executing(monitor, &prefix).await;
            let holder = executing.map_err(|source| self.refused("look for orphans", source))?.pop();
            let Some(holder) = holder else { break };
            let waited = started.elapsed();
            if waited >= self.options.wait_timeout {
                return Err(Error::WaitTimeout { waited, version: self.version, holder: Some(holder) });
            }
            self.tell(&Progress::Waiting { holder: Some(holder), waited });
            sleep(pause).await;
        }
        Ok(())
    }

    /// Runs one migration in the claim and moves the version, or undoes it; gives the claim back.
    async fn attempt(
        &self,
        claim: DatabaseTransaction,
        number: i32,
    ) -> (DatabaseTransaction, Result<Applied, Rejected>) {
        let (claim, outcome) = if self.session.backend.gather().is_some() {
            let outcome = self.in_savepoint(&claim, number).await;
            (claim, outcome)
        } else {
            self.perform(claim, number).await
        };
        let outcome = match outcome {
            Ok(applied) => match self.advance(&claim, number).await {
                Ok(()) => Ok(applied),
                Err(failure) => Err(Rejected::new(number, failure)),
            },
            Err(rejected) => Err(rejected),
        };
        (claim, outcome)
    }

    async fn in_savepoint(&self, claim: &DatabaseTransaction, number: i32) -> Result<Applied, Rejected> {
        let reject = |error| Rejected::new(number, Failure::Commit(error));
        let before = self.session.backend.orphans(claim).await.map_err(reject)?;
        let savepoint = claim.begin().await.map_err(reject)?;
        let (savepoint, outcome) = self.perform(savepoint, number).await;
        let after = self.session.backend.orphans(&savepoint).await.map_err(reject)?;
        let outcome = outcome.and_then(|applied| {
            let Some(rows) = after.rows.checked_sub(before.rows).filter(|rows| *rows > 0) else { return Ok(applied) };
            Err(Rejected::new(number, Failure::ForeignKeys { rows, table: after.table }))
        });
        let closed = if outcome.is_ok() { savepoint.commit().await } else { savepoint.rollback().await };
        match closed {
            Ok(()) => outcome,
            Err(_) if outcome.is_ok() => Err(Rejected::new(number, Failure::EndedTransaction)),
            Err(_) => outcome,
        }
    }

    /// Runs one migration in a transaction, and gives that back.
    async fn perform(
        &self,
        transaction: DatabaseTransaction,
        number: i32,
    ) -> (DatabaseTransaction, Result<Applied, Rejected>) {
        let db = Database::from_transaction(transaction);
        let lock_timeout = self.lock_timeout(number);
        let outcome = self.watched(&db, number, Some(lock_timeout)).await;
        (db.into_transaction(), outcome)
    }

    /// Runs one migration on a connection of its own.
    async fn perform_apart(&self, number: i32) -> Result<Result<Applied, Rejected>, Error> {
        let worker = Session::open(self.pool, &self.label(number)).await?;
        let outcome = self.watched(&Database::from(worker.pool.clone()), number, None).await;
        worker.close().await;
        Ok(outcome)
    }

    async fn watched(
        &self,
        db: &Database,
        number: i32,
        lock_timeout: Option<Duration>,
    ) -> Result<Applied, Rejected> {
        let Some(migration) = self.registry.get(number) else {
            unreachable!("the target is within the registry");
        };
        let description = migration.description().to_owned();
        self.tell(&Progress::Started { version: number, description: description.clone(), target: self.target });
        let started = Instant::now();
        let label = self.label(number);
        let what = Watched { version: number, label: &label, lock_timeout };
        let (outcome, blockers) = self.monitor.watch(perform(migration, db), &what, |step| self.tell(step)).await;
        match outcome {
            Ok(()) => Ok(Applied { version: number, description, elapsed: started.elapsed() }),
            Err(failure) => Err(Rejected { migration: number, failure, blockers }),
        }
    }

    async fn advance(&self, claim: &DatabaseTransaction, number: i32) -> Result<(), Failure> {
        match version::advance(&self.session, claim, number, &self.label(number)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::EndedTransaction),
            Err(error) => Err(Failure::Commit(error)),
        }
    }

    async fn commit(
        &mut self,
        claim: DatabaseTransaction,
        staged: Vec<Applied>,
        durable: bool,
    ) -> Result<Outcome, Error> {
        let last = staged.last().map_or(self.version, |applied| applied.version);
        if let Err(error) = claim.commit().await {
            let lost = self.session.fault(&error) == Fault::Lost;
            if !(lost && self.was_committed(last, &error).await?) {
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

    /// Whether a commit whose answer was lost took place. The answer is the row's: to read it would be to guess, for
    /// the server may still be at it, so it is claimed, which waits for that.
    async fn was_committed(&self, last: i32, error: &DbErr) -> Result<bool, Error> {
        let started = Instant::now();
        for pause in pauses(POLL) {
            match self.claim(self.version + 1, true).await {
                Ok(None) => return Ok(true),
                Ok(Some(claim)) => {
                    let _ = claim.rollback().await;
                    return Ok(false);
                }
                Err(_) if started.elapsed() < RECONNECT => sleep(pause).await,
                Err(_) => break,
            }
        }
        Err(Error::CommitInDoubt { migration: last, source: error.clone() })
    }

    fn classify(&self, rejected: Rejected) -> Outcome {
        let (Failure::Migrate(error) | Failure::Validate(error) | Failure::Commit(error)) = &rejected.failure else {
            return Outcome::Failed(rejected);
        };
        let commit = matches!(rejected.failure, Failure::Commit(_));
        match self.session.fault(error) {
            Fault::Held => Outcome::Again(rejected),
            Fault::Lost if commit => Outcome::Again(rejected),
            _ => Outcome::Failed(rejected),
        }
    }

    async fn failed(&mut self, rejected: Rejected) -> Error {
        self.flush().await;
        let Rejected { migration, failure, .. } = rejected;
        let version = self.version_now().await.unwrap_or(self.version);
        let rolled_back = self.is_transactional(migration);
        Error::MigrationFailed { migration, version, rolled_back, failure }
    }

    /// Ends what the dropped future left running on the server, and says where that leaves the database.
    async fn cancelled(&mut self) -> Error {
        let closed = async {
            let close = self.session.close();
            tokio::pin!(close);
            loop {
                if let Ok(monitor) = self.monitor.session().await {
                    let _ = monitor.backend.cancel(&self.session, monitor, &self.id).await;
                }
                if timeout(POLL.1, &mut close).await.is_ok() {
                    break;
                }
            }
        };
        let _ = timeout(CANCEL, closed).await;
        self.flush().await;
        Error::Cancelled { version: self.version_now().await }
    }

    /// Has the commits that were not waited for written to disk, by one that is.
    async fn flush(&mut self) {
        let Ok(monitor) = self.monitor.session().await else { return };
        if !std::mem::take(&mut self.volatile) {
            return;
        }
        if let Ok(Some(claim)) = version::claim(monitor, self.version, &self.settings(self.version, true)).await {
            let _ = claim.commit().await;
        }
    }

    async fn version_now(&self) -> Option<i32> {
        let found = timeout(CANCEL, version::read(self.pool)).await.ok()?.ok()?;
        Some(found.version_or_none())
    }

    async fn holder(&self) -> Option<ServerSession> {
        let monitor = self.monitor.session().await.ok()?;
        monitor.backend.holder(monitor, TABLE).await
    }

    fn settings(&self, migration: i32, durable: bool) -> Settings {
        Settings { label: self.label(migration), lock_timeout: self.lock_timeout(migration), durable }
    }

    fn lock_timeout(&self, migration: i32) -> Duration {
        let own = self.registry.get(migration).and_then(MigrationTrait::lock_timeout);
        own.unwrap_or(self.options.lock_timeout)
    }

    fn label(&self, migration: i32) -> String {
        format!("onerow {} {}", migration::name(migration), self.id)
    }

    fn is_transactional(&self, migration: i32) -> bool {
        self.registry.get(migration).is_none_or(MigrationTrait::transactional)
    }

    /// Whether a transactional migration comes after this one.
    fn another_follows(&self, migration: i32) -> bool {
        migration < self.target && self.is_transactional(migration + 1)
    }

    fn refused(&self, operation: &str, error: DbErr) -> Error {
        version::explain(self.session.fault(&error), operation, Some(self.version), error)
    }

    fn tell(&self, step: &Progress) {
        step.trace();
        (self.options.progress)(step);
    }
}

impl Rejected {
    fn new(migration: i32, failure: Failure) -> Self {
        Self { migration, failure, blockers: Vec::new() }
    }

    fn retrying(&self, tries: u32) -> Progress {
        let reason = innermost(&self.failure);
        Progress::Retrying { version: self.migration, tries, reason, blockers: self.blockers.clone() }
    }

    /// After the last try.
    fn blocked(self, tries: u32) -> Self {
        let Self { migration, failure, blockers } = self;
        let (Failure::Migrate(source) | Failure::Validate(source) | Failure::Commit(source)) = failure else {
            return Self { migration, failure, blockers };
        };
        let failure = Failure::Blocked { tries, blockers, source };
        Self::new(migration, failure)
    }
}

/// Runs a migration and its validation; a panic becomes a failure, so that the caller rolls back as after any other.
async fn perform(migration: &dyn MigrationTrait, db: &Database) -> Result<(), Failure> {
    let steps = async {
        migration.migrate(db).await.map_err(Failure::Migrate)?;
        migration.validate(db).await.map_err(Failure::Validate)
    };
    match AssertUnwindSafe(steps).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(Failure::Panicked(message(&*panic))),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}

/// The last text in the chain of sources.
fn innermost(error: &dyn std::error::Error) -> String {
    let last = std::iter::successors(Some(error), |error| error.source()).last();
    last.map(ToString::to_string).unwrap_or_default()
}

fn pauses((shortest, longest): (Duration, Duration)) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(shortest)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}
