//! The loop: claim the row, run a migration, move the version, commit.
//!
//! | module | holds |
//! |---|---|
//! | `up` | [`Up`]: the options of a run, and a run with nothing to do |
//! | `inside` | migrations in the transaction that holds the row, and its commit |
//! | `outside` | a migration on a connection of its own, while the row is held |
//! | `lease` | what keeps other runs away from such a migration |
//! | `perform` | one migration: run, validated, watched |
//! | `record` | what was applied, and how much of it is on disk |
//! | `errors` | what a run ends with if it does not get to its target |

pub(crate) mod errors;
mod inside;
mod lease;
mod outside;
mod perform;
mod record;
mod up;

use std::{sync::Arc, time::Duration};

use sea_orm::ConnectionTrait;
use tokio::time::{sleep, timeout};

pub use up::{Report, Up};

use crate::{
    adopt::refuse_unadopted,
    backend::{Claim, Fault, NONE, Settings},
    connections::{CANCEL, Connections},
    driver,
    error::Error,
    failure::Failure,
    migration::{Mode, module_name},
    options::BoxFuture,
    progress::{Progress, ServerSession},
    registry::Registry,
    version::{self, Found},
    waiting::{RETRY, pauses},
};
use outside::Worker;
use record::Record;

/// How long a run may take to stop when it is told to. It leaves the server alone after that.
const STOP: Duration = Duration::from_secs(10);

/// A few bytes to the log of PostgreSQL, which nobody reads. No other database has commits that are not
/// waited for.
const WRITE_TO_LOG: &str = "SELECT pg_catalog.pg_logical_emit_message(true, 'onerow', '')";

struct Run<'a> {
    registry: &'a Registry,
    connections: Connections<'a>,
    target: i32,
    /// The version that the database holds.
    version: i32,
    /// The row, held since the last commit for the next migration.
    claim: Option<Claim>,
    /// The session of a migration outside a transaction, to be ended with the run.
    worker: Option<Arc<Worker>>,
    record: Record,
    /// Whether the server has said nothing for long, on a new connection too.
    is_cut_off: bool,
}

/// How a step of the run ended, if the database can be asked.
enum Outcome {
    Committed,
    /// Another runner was faster.
    Moved,
    /// All is as it was, and another try may succeed.
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
    fn new(registry: &'a Registry, connections: Connections<'a>, target: i32) -> Self {
        Self {
            registry,
            connections,
            target,
            version: NONE,
            claim: None,
            worker: None,
            record: Record::new(),
            is_cut_off: false,
        }
    }

    /// Goes to the target, or as far as it gets before the signal.
    async fn finish(mut self, found: Found, signal: BoxFuture<'a, ()>) -> Result<Report, Error> {
        let committing = self.record.committing();
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
            // Waiting for a server that is silent would be of no use.
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
        // Another runner may have gone on where this one left off.
        self.flush().await;
        Ok(Report { initial, version: self.version, applied: self.record.take() })
    }

    /// Sees that the row is there and that nothing pending was applied by another tool; gives the version.
    async fn begin(&mut self, found: Found) -> Result<i32, Error> {
        // While another process has an SQLite file locked, an older connection takes a table that was made
        // since for one that is not there.
        let in_doubt =
            !matches!(found, Found::Version(_)) && self.connections.session.excludes_writers();
        let found = if in_doubt { self.connections.read().await? } else { found };
        let version = found.version().unwrap_or(NONE);
        refuse_unadopted(self.registry, &self.connections, version, self.target).await?;
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

    /// Reads the version after another runner has moved it, on; or a crash of the server has, back to the
    /// last commit that was on disk.
    async fn look_again(&mut self) -> Result<(), Error> {
        match self.connections.read().await?.version() {
            Some(version) if version != self.version => self.moved_to(version),
            _ => {
                let Connections { session, called, .. } = &self.connections;
                Err(version::unmovable(session.pool(), called, self.version).await)
            }
        }
    }

    fn moved_to(&mut self, version: i32) -> Result<(), Error> {
        let latest = self.registry.latest();
        if version > latest {
            return Err(errors::ahead(version, latest));
        }
        self.record.keep_up_to(version);
        self.version = version;
        Ok(())
    }

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

    /// Says whose table it is, if a script needs one of the old tool's.
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

    /// Ends what the dropped future left running, and says where that leaves the database; within
    /// [`STOP`] if the server is silent.
    async fn cancelled(&mut self) -> Error {
        self.claim = None;
        let stopped = async {
            let worker = self.worker.take().and_then(Arc::into_inner).map(Worker::let_go_of_row);
            let session = worker.as_ref().map(|(session, _)| &**session);
            self.connections.end_statements(session).await;
            // What stands for the row is held until nothing runs any more.
            drop(worker);
            self.flush().await;
            let version = self.version_now().await;
            self.connections.monitor.close().await;
            version
        };
        errors::cancelled(timeout(STOP, stopped).await.ok().flatten())
    }

    /// Has the commits that were not waited for written to disk, by one that is, and tells those of them
    /// that are there.
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
        // A crash of the server may have taken them along before.
        if let Some(version) = self.version_now().await {
            self.record.keep_unflushed_up_to(version);
            self.record.flush(&self.connections.options);
        }
    }

    async fn version_now(&self) -> Option<i32> {
        if self.is_cut_off { None } else { self.connections.version_now().await }
    }

    /// Whether another try may mend what failed.
    fn classify(&self, failed: FailedTry) -> Outcome {
        let committing = matches!(failed.failure, Failure::Commit(_));
        let refusal = failed.failure.refusal();
        match refusal.map(|error| self.connections.session.fault(error)) {
            Some(Fault::Held) => Outcome::Again(failed),
            // If the connection broke before the commit, the migration itself may crash the server.
            Some(Fault::Lost) if committing => Outcome::Again(failed),
            _ => Outcome::Failed(failed),
        }
    }

    /// Before the next try.
    async fn rest(&self, failed: &FailedTry, tries: u32, pause: Option<Duration>) {
        self.connections.options.tell(&failed.retrying(tries));
        // Open by the next try, to see who is in the way, however short the lock timeout.
        let _ = self.connections.monitor.session().await;
        sleep(pause.unwrap_or(RETRY.1)).await;
    }

    /// After the last try.
    fn exhausted(&self, failed: FailedTry, tries: u32) -> FailedTry {
        let FailedTry { migration, failure, blockers } = failed;
        // What a migration outside a transaction has done is still there, unless only its move failed.
        let tells =
            self.mode(migration) == Mode::Transaction || matches!(failure, Failure::Commit(_));
        let failure = match failure.refusal() {
            Some(error) if tells && self.connections.session.fault(error) == Fault::Held => {
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

    /// Of the transactional migration that comes after this one, if one does.
    fn next_settings(&self, migration: i32) -> Option<Settings> {
        let next = migration + 1;
        self.another_follows(migration).then(|| self.settings(next, self.is_durable(next)))
    }

    fn lock_timeout(&self, migration: i32) -> Duration {
        let own = self.registry.get(migration).and_then(|found| found.lock_timeout());
        own.unwrap_or(self.connections.options.lock_timeout)
    }

    /// What the sessions that run this migration are called on the server.
    fn label(&self, migration: i32) -> String {
        self.connections.label(&module_name(migration))
    }

    fn mode(&self, migration: i32) -> Mode {
        self.registry.get(migration).map_or(Mode::Transaction, |found| found.mode())
    }

    /// Whether the commit of this migration waits for the disk: if another comes right after it, that
    /// one's will do.
    fn is_durable(&self, migration: i32) -> bool {
        self.mode(migration) != Mode::Transaction || !self.another_follows(migration)
    }

    /// Whether a transactional migration comes after this one.
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
