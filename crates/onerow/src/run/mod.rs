//! The loop: claim the row, run a migration, move the version, commit.
//!
//! | module | holds |
//! |---|---|
//! | `up` | [`Up`]: the options of a run, and a run with nothing to do |
//! | `inside` | migrations in the transaction that holds the row, and its commit |
//! | `outside` | a migration outside a transaction |
//! | `lease` | what keeps other runs away from such a migration |
//! | `perform` | running, validating and watching one migration |
//! | `record` | what was applied, and how much of it is on disk |
//! | `errors` | the errors of a run that does not get to its target |

pub(crate) mod errors;
mod inside;
mod lease;
mod outside;
mod perform;
mod record;
mod up;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sea_orm::ConnectionTrait;
use tokio::time::{sleep, timeout};

use self::{outside::Worker, record::Record};
use crate::{
    adopt::check_adopted,
    backend::{Claim, Fault, NONE, ServerSession, Settings},
    connections::{CANCEL, Connections},
    driver,
    error::Error,
    failure::Failure,
    migration::{MigrationTrait, Mode, module_name},
    progress::Progress,
    registry::Registry,
    version::{self, Found},
    waiting::{RETRY, pauses},
};

pub use self::up::{Report, Up};

/// How long a run may take to stop when it is told to. After that it ends without asking the server
/// any more.
const STOP: Duration = Duration::from_secs(10);

/// Writes a few bytes, which nobody reads, to PostgreSQL's log. Only PostgreSQL has commits that do
/// not wait for the disk.
const WRITE_TO_LOG: &str = "SELECT pg_catalog.pg_logical_emit_message(true, 'onerow', '')";

struct Run<'a> {
    registry: &'a Registry,
    connections: Connections<'a>,
    target: i32,
    at_most: Option<u32>,
    /// The version that the database holds.
    version: i32,
    /// The claim for the next migration, if the last commit made one.
    claim: Option<Claim>,
    /// The worker of a migration outside a transaction, which has to end with the run.
    worker: Option<Arc<Worker>>,
    record: Record,
    /// Whether the server has long been silent, even on a new connection.
    is_cut_off: bool,
}

/// How a step of the run ended.
enum Outcome {
    Committed,
    /// Another runner moved the row first.
    Moved,
    /// Nothing has changed, and another try may succeed.
    Again(FailedTry),
    Failed(FailedTry),
}

/// A migration that was not committed.
struct FailedTry {
    migration: i32,
    failure: Failure,
    blockers: Vec<ServerSession>,
}

impl<'a> Run<'a> {
    fn new(
        registry: &'a Registry,
        connections: Connections<'a>,
        target: i32,
        at_most: Option<u32>,
    ) -> Self {
        Self {
            registry,
            connections,
            target,
            at_most,
            version: NONE,
            claim: None,
            worker: None,
            record: Record::new(),
            is_cut_off: false,
        }
    }

    /// Runs to the target, or until the signal.
    async fn finish(mut self, found: Found, signal: BoxFuture<'a, ()>) -> Result<Report, Error> {
        let committing = self.record.committing();
        // A commit that is under way is completed, and what it applied is told.
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
            // Closing the connections would only wait for a server that is silent.
            Some(result) if self.is_cut_off => result,
            Some(result) => {
                self.connections.close().await;
                result
            }
            None => Err(self.cancelled().await),
        }
    }

    async fn go(&mut self, found: Found) -> Result<Report, Error> {
        let initial = self.begin(found).await?;
        self.target = up::up_to(self.target, initial, self.at_most);
        let mut tries = 1;
        let mut rests = pauses(RETRY);
        while self.version < self.target {
            match self.step().await? {
                Outcome::Committed => (tries, rests) = (1, pauses(RETRY)),
                Outcome::Moved => self.look_again().await?,
                Outcome::Again(failed) if tries < self.connections.options.max_tries => {
                    self.rest(&failed, tries, rests.next()).await;
                    tries += 1;
                }
                Outcome::Again(failed) => {
                    let failed = self.exhausted(failed, tries);
                    return Err(self.failed(failed).await);
                }
                Outcome::Failed(failed) => return Err(self.failed(failed).await),
            }
        }
        // If another runner took over, this one's last commits may not be on disk yet.
        self.flush().await;
        Ok(Report { initial, version: self.version, applied: self.record.take() })
    }

    /// Checks that no other tool has applied what is pending, makes the row if it is missing, and
    /// returns the version.
    async fn begin(&mut self, found: Found) -> Result<i32, Error> {
        // While another process has an SQLite file locked, an older connection does not see a table
        // that was made since.
        let in_doubt =
            !matches!(found, Found::Version(_)) && self.connections.session.excludes_writers();
        let found = if in_doubt { self.connections.read().await? } else { found };
        let version = found.version().unwrap_or(NONE);
        check_adopted(self.registry, &self.connections, version, self.target).await?;
        let next = self.next_settings(NONE);
        let (initial, claim) = self.connections.create_row(found, next.as_ref()).await?;
        self.claim = claim;
        self.moved_to(initial)?;
        Ok(initial)
    }

    async fn step(&mut self) -> Result<Outcome, Error> {
        self.connections.renew().await?;
        match self.mode(self.version + 1) {
            Mode::Transaction => self.inside_transaction().await,
            Mode::Outside => self.outside_transaction().await,
        }
    }

    /// Reads the version again, after another runner has moved it forwards, or a crash of the
    /// server has moved it back to the last commit that was on disk.
    async fn look_again(&mut self) -> Result<(), Error> {
        match self.connections.read().await?.version() {
            Some(version) if version != self.version => self.moved_to(version),
            _ => {
                let Connections { session, table, .. } = &self.connections;
                Err(version::unmovable(session.pool(), table, self.version).await)
            }
        }
    }

    /// Takes note of the version that the database holds. It is an error if this build does not
    /// know that version.
    fn moved_to(&mut self, version: i32) -> Result<(), Error> {
        let latest = self.registry.latest();
        if version > latest {
            return Err(errors::ahead(version, latest));
        }
        self.record.keep_up_to(version);
        self.version = version;
        Ok(())
    }

    /// The error of a migration that failed for good.
    async fn failed(&mut self, failed: FailedTry) -> Error {
        self.is_cut_off = failed.failure.refusal().is_some_and(driver::is_silence);
        self.flush().await;
        let _ = self.connections.renew().await;
        let FailedTry { migration, failure, .. } = failed;
        let failure = self.of_old_table(failure);
        let version = self.version_now().await;
        let in_transaction = self.mode(migration) == Mode::Transaction;
        let rolled_back = in_transaction && !matches!(failure, Failure::EndedTransaction);
        errors::migration_failed(migration, version, rolled_back, failure)
    }

    /// Turns an error about a missing table into one that names the old tool, if the table is its.
    fn of_old_table(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Migrate(source)
                if self.connections.session.fault(&source) == Fault::NoTable =>
            {
                match self.registry.old_table_in(&driver::words(&source)) {
                    Some((tool, table)) => {
                        Failure::OldTable { tool, table: table.to_string(), source }
                    }
                    None => Failure::Migrate(source),
                }
            }
            failure => failure,
        }
    }

    /// Ends what the dropped future left running. The error has the version that the database holds
    /// then. It takes no longer than [`STOP`], even if the server is silent.
    async fn cancelled(&mut self) -> Error {
        self.claim = None;
        let stopped = async {
            let worker = self.worker.take().and_then(Arc::into_inner).map(Worker::let_go_of_row);
            let mut sessions = vec![&*self.connections.session];
            sessions.extend(worker.as_ref().map(|(session, _)| &**session));
            self.connections.end_statements(&sessions).await;
            // A locked file stays locked until nothing runs any more.
            drop(worker);
            self.flush().await;
            let version = self.version_now().await;
            self.connections.monitor.close().await;
            version
        };
        errors::cancelled(timeout(STOP, stopped).await.ok().flatten())
    }

    /// Has the commits that did not wait for the disk written to it, by a commit that does wait,
    /// and tells those that are there.
    async fn flush(&mut self) {
        if !self.record.has_unflushed() || self.is_cut_off {
            return;
        }
        let flush = async {
            let monitor = self.connections.monitor.session().await.ok()?;
            let transaction = monitor.begin().await.ok()?;
            // A transaction that has written nothing does not wait for the disk.
            transaction.execute_unprepared(WRITE_TO_LOG).await.ok()?;
            transaction.commit().await.ok()
        };
        if timeout(CANCEL, flush).await.ok().flatten().is_none() {
            return;
        }
        // A crash of the server may have undone some of them before.
        if let Some(version) = self.version_now().await {
            self.record.keep_unflushed_up_to(version);
            self.record.flush(&self.connections.options);
        }
    }

    async fn version_now(&self) -> Option<i32> {
        if self.is_cut_off { None } else { self.connections.version_now().await }
    }

    /// Decides whether another try may succeed.
    fn classify(&self, failed: FailedTry) -> Outcome {
        let committing = matches!(failed.failure, Failure::Commit(_));
        let refusal = failed.failure.refusal();
        match refusal.map(|error| self.connections.session.fault(error)) {
            Some(Fault::Held) => Outcome::Again(failed),
            // If the connection broke before the commit, the migration itself may crash the server,
            // so it is not tried again.
            Some(Fault::Lost) if committing => Outcome::Again(failed),
            _ => Outcome::Failed(failed),
        }
    }

    /// Tells of a try that failed, and sleeps before the next.
    async fn rest(&self, failed: &FailedTry, tries: u32, pause: Option<Duration>) {
        self.connections.options.tell(&failed.retrying(tries));
        // Opened now, the monitor can see who is in the way of the next try, however short the lock
        // timeout is.
        let _ = self.connections.monitor.session().await;
        sleep(pause.unwrap_or(RETRY.1)).await;
    }

    /// The failure after the last try: a migration in a transaction was blocked, if it did not get
    /// a lock.
    fn exhausted(&self, failed: FailedTry, tries: u32) -> FailedTry {
        let FailedTry { migration, failure, blockers } = failed;
        let is_held = |error: &&_| self.connections.session.fault(error) == Fault::Held;
        let failure = match failure.refusal().filter(is_held) {
            Some(error) if self.mode(migration) == Mode::Transaction => {
                Failure::Blocked { tries, blockers, source: error.clone() }
            }
            _ => failure,
        };
        FailedTry::new(migration, failure)
    }

    fn settings(&self, migration: i32, durable: bool) -> Settings {
        Settings {
            label: self.label(migration),
            lock_timeout: self.lock_timeout(migration),
            durable,
        }
    }

    /// The settings for the migration after this one, if there is one that runs in a transaction.
    fn next_settings(&self, migration: i32) -> Option<Settings> {
        let next = migration + 1;
        self.another_follows(migration).then(|| self.settings(next, self.is_durable(next)))
    }

    fn lock_timeout(&self, migration: i32) -> Duration {
        let own = self.registry.get(migration).and_then(MigrationTrait::lock_timeout);
        own.unwrap_or(self.connections.options.lock_timeout)
    }

    /// The label that a session has on the server while it runs this migration.
    fn label(&self, migration: i32) -> String {
        self.connections.label(&module_name(migration))
    }

    fn mode(&self, migration: i32) -> Mode {
        self.registry.get(migration).map_or(Mode::Transaction, MigrationTrait::mode)
    }

    /// Whether the commit of this migration has to wait for the disk. It need not if another
    /// follows in a transaction, whose commit will wait.
    fn is_durable(&self, migration: i32) -> bool {
        self.mode(migration) != Mode::Transaction || !self.another_follows(migration)
    }

    /// Whether another migration in a transaction follows this one.
    fn another_follows(&self, migration: i32) -> bool {
        migration < self.target && self.mode(migration + 1) == Mode::Transaction
    }
}

impl FailedTry {
    fn new(migration: i32, failure: Failure) -> Self {
        Self { migration, failure, blockers: Vec::new() }
    }

    fn retrying(&self, tries: u32) -> Progress {
        let refusal = self.failure.refusal();
        let reason = refusal.map_or_else(|| self.failure.to_string(), driver::words);
        let blockers = self.blockers.clone();
        Progress::Retrying { version: self.migration, tries, reason, blockers }
    }
}
