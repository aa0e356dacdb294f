//! The loop: claim the row, run a migration, move the version, commit.
//!
//! | module | holds |
//! |---|---|
//! | `waiting` | polling for what another runner holds, above all the row |
//! | `inside` | migrations in the transaction that holds the row, and its commit |
//! | `outside` | a migration on a connection of its own, while the row is held |
//! | `perform` | one migration: run, validated, watched |
//! | `adopting` | the row of a database that was migrated without onerow until now |

mod adopting;
pub(crate) mod errors;
mod inside;
mod outside;
mod perform;
mod waiting;

use std::{fs::File, sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use crate::{
    Applied, Error, Failure, MigrationTrait, Progress, Registry, Report, ServerSession,
    backend::{Fault, Session, Settings},
    driver,
    migration::{self, Mode},
    table::Table,
    up::{BoxFuture, Options},
    version::{self, Found},
    watch::Monitor,
};
pub(crate) use waiting::once_let_in;
use waiting::{POLL, RETRY, pauses};

/// How long a server may take to say where a failure leaves it.
const CANCEL: Duration = Duration::from_secs(10);

/// How long a run may take to stop when it is told to: whatever the server does, it is left alone after that.
const STOP: Duration = Duration::from_secs(10);

/// A few bytes to the log of PostgreSQL, which nobody reads; the only database whose commits may not be waited for.
const WRITE_TO_LOG: &str = "SELECT pg_catalog.pg_logical_emit_message(true, 'onerow', '')";

pub(crate) struct Run<'a> {
    registry: &'a Registry,
    options: Options<'a>,
    pool: &'a DatabaseConnection,
    /// The registry's table, as that calls it, for messages and labels.
    called: Table,
    /// The same with the schema that it is in, for statements.
    table: Table,
    session: Session,
    monitor: Monitor<'a>,
    /// The row, held since the last commit for the next migration.
    claim: Option<DatabaseTransaction>,
    /// The further connection of a migration outside a transaction.
    worker: Option<Session>,
    /// What stands for the row meanwhile, where that cannot be held.
    lock: Option<File>,
    /// At the end of the label of each of this run's sessions.
    id: String,
    target: i32,
    version: i32,
    applied: Vec<Applied>,
    /// What is committed, and may not be on disk yet.
    unflushed: Vec<Applied>,
    /// When there was nothing of that kind.
    flushed: Instant,
    /// Whether the server has said nothing for long, on a new connection too.
    is_cut_off: bool,
    /// Held in a commit, until what it applied is told.
    committing: Arc<Mutex<()>>,
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
        called: Table,
        options: Options<'a>,
        target: i32,
    ) -> Result<Self, Error> {
        let id = id(&called.label());
        let interrupt = Arc::default();
        let name = format!("onerow {id}");
        let open = || Session::open(pool, &name, &interrupt);
        let mut session = once_let_in(&options, pool, open).await?;
        let table = version::examine(&session, &called).await?;
        session.backend.admit(&session).await?;
        options.listener.attach(&mut session.pool);
        let monitor = Monitor::new(pool, format!("onerow monitor {id}"), interrupt);
        Ok(Self {
            registry,
            options,
            pool,
            called,
            table,
            session,
            monitor,
            claim: None,
            worker: None,
            lock: None,
            id,
            target,
            version: version::NONE,
            applied: Vec::new(),
            unflushed: Vec::new(),
            flushed: Instant::now(),
            is_cut_off: false,
            committing: Arc::default(),
        })
    }

    /// Goes to the target, or as far as it gets before the signal.
    pub(crate) async fn finish(&mut self, found: Found, signal: BoxFuture<'a, ()>) -> Result<Report, Error> {
        let committing = Arc::clone(&self.committing);
        // A commit that is under way comes to its end, and what it applied is told.
        let stop = async {
            signal.await;
            let _ = timeout(STOP, committing.lock()).await;
        };
        let finished = tokio::select! {
            biased;
            result = self.go(found) => Some(result),
            () = stop => None,
        };
        match finished {
            // To wait for a server that is silent would be no use.
            Some(result) if self.is_cut_off => result,
            Some(result) => {
                tokio::join!(self.monitor.close(), self.session.close());
                result
            }
            None => Err(self.cancelled().await),
        }
    }

    async fn go(&mut self, found: Found) -> Result<Report, Error> {
        // While another process has an SQLite file locked, an older connection takes a table that was made since for one that is
        // not there.
        let in_doubt = !matches!(found, Found::Version(_)) && self.session.backend.row_excludes_writers();
        let found = if in_doubt { self.read().await? } else { found };
        self.refuse_unadopted(found.version().unwrap_or(version::NONE)).await?;
        let initial = self.create_row(found).await?;
        self.moved_to(initial)?;
        let mut tries = 1;
        let mut rests = pauses(RETRY);
        while self.version < self.target {
            match self.step().await? {
                Outcome::Committed => (tries, rests) = (1, pauses(RETRY)),
                Outcome::Moved => self.look_again().await?,
                Outcome::Again(rejected) if tries < self.options.max_tries => {
                    self.rest(&rejected, tries, &mut rests).await;
                    tries += 1;
                }
                Outcome::Again(rejected) => {
                    let rejected = self.exhausted(rejected, tries);
                    return Err(self.failed(rejected).await);
                }
                Outcome::Failed(rejected) => return Err(self.failed(rejected).await),
            }
        }
        // Another runner may have gone on where this one left off.
        self.flush().await;
        Ok(Report { initial, version: self.version, applied: std::mem::take(&mut self.applied) })
    }

    async fn step(&mut self) -> Result<Outcome, Error> {
        self.renew().await?;
        if self.is_transactional(self.version + 1) {
            self.inside_transaction().await
        } else {
            self.outside_transaction().await
        }
    }

    /// Takes a new connection if a migration has left something in this one: a setting, a temporary table, an attached file.
    async fn renew(&mut self) -> Result<(), Error> {
        if self.session.backend.gather().is_none() || !self.session.is_stale() {
            return Ok(());
        }
        // First, since it may hold the file for itself.
        self.session.close().await;
        let mut session =
            Session::open(self.pool, &format!("onerow {}", self.id), &self.session.interrupt).await?;
        self.options.listener.attach(&mut session.pool);
        session.ledger.take_over(&self.session.ledger);
        self.session = session;
        Ok(())
    }

    /// Reads the version after another runner has moved it, on; or a crash of the server has, back to the last commit
    /// that was on disk.
    async fn look_again(&mut self) -> Result<(), Error> {
        match self.read().await?.version() {
            Some(version) if version != self.version => self.moved_to(version),
            // It may be read, and not be locked.
            _ if self.session.backend.hides_rows(&self.session.pool, &self.table).await => {
                Err(version::hidden(&self.table))
            }
            _ => {
                let found = format!("{}, as something else than a number", self.version);
                Err(version::not_a_version(&self.called, &found))
            }
        }
    }

    fn moved_to(&mut self, version: i32) -> Result<(), Error> {
        let latest = self.registry.latest();
        if version > latest {
            return Err(errors::ahead(version, latest));
        }
        self.applied.retain(|applied| applied.version <= version);
        self.unflushed.retain(|applied| applied.version <= version);
        self.version = version;
        Ok(())
    }

    async fn failed(&mut self, rejected: Rejected) -> Error {
        self.is_cut_off = rejected.failure.refusal().is_some_and(driver::is_silence);
        self.flush().await;
        let _ = self.renew().await;
        let Rejected { migration, failure, .. } = rejected;
        let failure = self.of_old_table(failure);
        let version = self.version_now().await;
        let rolled_back = self.is_transactional(migration) && !matches!(failure, Failure::EndedTransaction);
        errors::migration_failed(migration, version, rolled_back, failure)
    }

    /// Says whose table it is, if a script fails of the old tool's.
    fn of_old_table(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Migrate(source) if self.session.fault(&source) == Fault::NoTable => {
                match self.registry.old_table_in(&driver::words(&source)) {
                    Some((tool, table)) => Failure::OldTable { tool, table: table.to_string(), source },
                    None => Failure::Migrate(source),
                }
            }
            failure => failure,
        }
    }

    /// Ends what the dropped future left running, and says where that leaves the database; within [`STOP`] if the server is silent.
    async fn cancelled(&mut self) -> Error {
        self.claim = None;
        let stopped = async {
            self.end_statements().await;
            self.lock = None;
            self.flush().await;
            let version = self.version_now().await;
            self.monitor.close().await;
            version
        };
        let version = timeout(STOP, stopped).await.ok().flatten();
        errors::cancelled(version)
    }

    /// Has this run's statements ended, wherever they run, until its connections have come to rest.
    async fn end_statements(&self) {
        let rest = async {
            match &self.worker {
                Some(worker) => drop(tokio::join!(self.session.close(), worker.close())),
                None => self.session.close().await,
            }
        };
        tokio::pin!(rest);
        loop {
            let cancel = async {
                let monitor = self.monitor.session().await.ok()?;
                monitor.backend.cancel(&monitor, &self.id).await.ok()
            };
            tokio::select! {
                () = &mut rest => break,
                _ = timeout(POLL.1, cancel) => (),
            }
            if timeout(POLL.1, &mut rest).await.is_ok() {
                break;
            }
        }
    }

    /// Has the commits that were not waited for written to disk, by one that is, and tells those of them that are there.
    async fn flush(&mut self) {
        if self.unflushed.is_empty() || self.is_cut_off {
            return;
        }
        let flush = async {
            let monitor = self.monitor.session().await.ok()?;
            let transaction = monitor.begin().await.ok()?;
            // One that has written nothing does not wait for the disk.
            transaction.execute_unprepared(WRITE_TO_LOG).await.ok()?;
            transaction.commit().await.ok()
        };
        if timeout(CANCEL, flush).await.ok().flatten().is_none() {
            return;
        }
        // A crash of the server may have taken them along before.
        if let Some(version) = self.version_now().await {
            self.unflushed.retain(|applied| applied.version <= version);
            self.count_as_applied();
        }
    }

    /// The version that the database holds, if it says so soon; on SQLite once a rollback that is under way lets readers in.
    async fn version_now(&self) -> Option<i32> {
        if self.is_cut_off {
            return None;
        }
        let read = async {
            for pause in pauses(POLL) {
                let version = version::read(self.pool, &self.table).await.ok()?.found().version();
                if version.is_some() {
                    return version;
                }
                sleep(pause).await;
            }
            None
        };
        timeout(CANCEL, read).await.ok().flatten()
    }

    /// Whether another try may mend what rejected the migration.
    fn classify(&self, rejected: Rejected) -> Outcome {
        let committing = matches!(rejected.failure, Failure::Commit(_));
        match rejected.failure.refusal().map(|error| self.session.fault(error)) {
            Some(Fault::Held) => Outcome::Again(rejected),
            // If it was lost before, the migration may be what the server cannot stand.
            Some(Fault::Lost) if committing => Outcome::Again(rejected),
            _ => Outcome::Failed(rejected),
        }
    }

    /// Before the next try.
    async fn rest(&self, rejected: &Rejected, tries: u32, rests: &mut impl Iterator<Item = Duration>) {
        self.tell(&rejected.retrying(tries));
        // Open by the next try, to see who is in the way, however short the lock timeout.
        let _ = self.monitor.session().await;
        sleep(rests.next().unwrap_or(RETRY.1)).await;
    }

    /// After the last try.
    fn exhausted(&self, rejected: Rejected, tries: u32) -> Rejected {
        let Rejected { migration, failure, blockers } = rejected;
        // What a migration outside a transaction has done is still there, unless only its move failed.
        let tells = self.is_transactional(migration) || matches!(failure, Failure::Commit(_));
        let failure = match failure.refusal() {
            Some(error) if tells && self.session.fault(error) == Fault::Held => {
                Failure::Blocked { tries, blockers, source: error.clone() }
            }
            _ => failure,
        };
        Rejected::new(migration, failure)
    }

    fn settings(&self, migration: i32, durable: bool) -> Settings {
        Settings { label: self.label(migration), lock_timeout: self.lock_timeout(migration), durable }
    }

    /// Of the transactional migration that comes after this one, if one does.
    fn next_settings(&self, migration: i32) -> Option<Settings> {
        let next = migration + 1;
        self.another_follows(migration).then(|| self.settings(next, self.is_durable(next)))
    }

    fn lock_timeout(&self, migration: i32) -> Duration {
        let own = self.registry.get(migration).and_then(MigrationTrait::lock_timeout);
        own.unwrap_or(self.options.lock_timeout)
    }

    /// What the sessions that run this migration are called on the server.
    fn label(&self, migration: i32) -> String {
        format!("onerow {} {}", migration::module_name(migration), self.id)
    }

    fn is_transactional(&self, migration: i32) -> bool {
        self.registry.get(migration).is_none_or(|found| found.mode() == Mode::Transaction)
    }

    /// Whether the commit of this migration waits for the disk: where another comes right after it, that one's will do.
    fn is_durable(&self, migration: i32) -> bool {
        !(self.is_transactional(migration) && self.another_follows(migration))
    }

    /// Whether a transactional migration comes after this one.
    fn another_follows(&self, migration: i32) -> bool {
        migration < self.target && self.is_transactional(migration + 1)
    }

    async fn refused(&self, operation: &str, error: DbErr) -> Error {
        let fault = self.session.fault(&error);
        version::explain(fault, operation, self.version_now().await, &self.called, error)
    }

    fn tell(&self, step: &Progress) {
        self.options.tell(step);
    }
}

/// Tells the sessions of a run from those of others, and of other registries.
fn id(label: &str) -> String {
    let run = fastrand::u32(..);
    if label.is_empty() { format!("{run:08x}") } else { format!("{run:08x} {label}") }
}

impl Rejected {
    fn new(migration: i32, failure: Failure) -> Self {
        Self { migration, failure, blockers: Vec::new() }
    }

    fn retrying(&self, tries: u32) -> Progress {
        let reason = self.failure.refusal().map_or_else(|| self.failure.to_string(), driver::words);
        Progress::Retrying { version: self.migration, tries, reason, blockers: self.blockers.clone() }
    }
}
