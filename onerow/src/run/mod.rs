//! The loop: claim the row, run a migration, move the version, commit.
//!
//! | module | holds |
//! |---|---|
//! | `waiting` | polling for what another runner holds, above all the row |
//! | `inside` | migrations in the transaction that holds the row, and its commit |
//! | `outside` | a migration on a connection of its own, while the row is held |
//! | `perform` | one migration: run, validated, watched |

mod inside;
mod outside;
mod perform;
mod waiting;

use std::{pin::Pin, time::Duration};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::time::{sleep, timeout};

use crate::{
    Applied, Error, Failure, MigrationTrait, Progress, Registry, Report, ServerSession,
    backend::{self, Fault, Session, Settings},
    migration,
    up::Options,
    version::{self, Found},
    watch::Monitor,
};
use waiting::{POLL, RETRY, pauses};

/// How long a cancelled statement may take to end, and a server to say where that leaves it.
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
        Ok(Self {
            registry,
            options,
            pool,
            session,
            monitor,
            id,
            target,
            version,
            applied,
            volatile,
        })
    }

    /// Goes to the target, or as far as it gets before the signal.
    pub(crate) async fn finish(
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
        let _ = timeout(CANCEL, async {
            tokio::join!(self.monitor.close(), self.session.close())
        })
        .await;
        result
    }

    async fn go(&mut self, found: Found) -> Result<Report, Error> {
        let initial = self.create_row(found).await?;
        self.version = initial;
        let mut tries = 1;
        let mut rests = pauses(RETRY);
        while self.version < self.target {
            match self.step().await? {
                Outcome::Committed => (tries, rests) = (1, pauses(RETRY)),
                Outcome::Moved => self.look_again().await?,
                Outcome::Again(rejected) if tries < self.options.max_tries => {
                    self.tell(&rejected.retrying(tries));
                    sleep(rests.next().unwrap_or(RETRY.1)).await;
                    tries += 1;
                }
                Outcome::Again(rejected) => return Err(self.failed(rejected.blocked(tries)).await),
                Outcome::Failed(rejected) => return Err(self.failed(rejected).await),
            }
        }
        Ok(Report {
            initial,
            version: self.version,
            applied: std::mem::take(&mut self.applied),
        })
    }

    async fn step(&mut self) -> Result<Outcome, Error> {
        if self.is_transactional(self.version + 1) {
            self.inside_transaction().await
        } else {
            self.outside_transaction().await
        }
    }

    /// Reads the version after another runner has moved it, on; or a crash of the server has, back to the last commit
    /// that was on disk.
    async fn look_again(&mut self) -> Result<(), Error> {
        let latest = self.registry.latest();
        match version::read(&self.session.pool).await? {
            Found::Version(version) if version > latest => Err(Error::Ahead { version, latest }),
            Found::Version(version) if version != self.version => {
                self.applied.retain(|applied| applied.version <= version);
                self.version = version;
                Ok(())
            }
            other => Err(Error::InvalidVersion {
                found: format!("{other:?}, which no claim finds"),
            }),
        }
    }

    async fn failed(&mut self, rejected: Rejected) -> Error {
        self.flush().await;
        let Rejected {
            migration, failure, ..
        } = rejected;
        let version = self.version_now().await.unwrap_or(self.version);
        let rolled_back = self.is_transactional(migration);
        Error::MigrationFailed {
            migration,
            version,
            rolled_back,
            failure,
        }
    }

    /// Ends what the dropped future left running on the server, and says where that leaves the database.
    async fn cancelled(&mut self) -> Error {
        let ended = async {
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
        let _ = timeout(CANCEL, ended).await;
        self.flush().await;
        Error::Cancelled {
            version: self.version_now().await,
        }
    }

    /// Has the commits that were not waited for written to disk, by one that is.
    async fn flush(&mut self) {
        if !std::mem::take(&mut self.volatile) {
            return;
        }
        let Ok(monitor) = self.monitor.session().await else {
            return;
        };
        if let Ok(Some(claim)) =
            version::claim(monitor, self.version, &self.settings(self.version, true)).await
        {
            let _ = claim.commit().await;
        }
    }

    async fn version_now(&self) -> Option<i32> {
        let found = timeout(CANCEL, version::read(self.pool)).await.ok()?.ok()?;
        Some(found.version_or_none())
    }

    /// Whether another try may mend what rejected the migration.
    fn classify(&self, rejected: Rejected) -> Outcome {
        let (Failure::Migrate(error) | Failure::Validate(error) | Failure::Commit(error)) = &rejected.failure
        else {
            return Outcome::Failed(rejected);
        };
        let committing = matches!(rejected.failure, Failure::Commit(_));
        match self.session.fault(error) {
            Fault::Held => Outcome::Again(rejected),
            // Was it lost before, then the migration may be what the server cannot stand.
            Fault::Lost if committing => Outcome::Again(rejected),
            _ => Outcome::Failed(rejected),
        }
    }

    fn settings(&self, migration: i32, durable: bool) -> Settings {
        Settings {
            label: self.label(migration),
            lock_timeout: self.lock_timeout(migration),
            durable,
        }
    }

    fn lock_timeout(&self, migration: i32) -> Duration {
        let own = self
            .registry
            .get(migration)
            .and_then(MigrationTrait::lock_timeout);
        own.unwrap_or(self.options.lock_timeout)
    }

    /// What the sessions that run this migration are called on the server.
    fn label(&self, migration: i32) -> String {
        format!("onerow {} {}", migration::name(migration), self.id)
    }

    fn is_transactional(&self, migration: i32) -> bool {
        self.registry
            .get(migration)
            .is_none_or(MigrationTrait::transactional)
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
        Self {
            migration,
            failure,
            blockers: Vec::new(),
        }
    }

    fn retrying(&self, tries: u32) -> Progress {
        let reason = match &self.failure {
            Failure::Migrate(error) | Failure::Validate(error) | Failure::Commit(error) => {
                backend::words(error)
            }
            other => other.to_string(),
        };
        Progress::Retrying {
            version: self.migration,
            tries,
            reason,
            blockers: self.blockers.clone(),
        }
    }

    /// After the last try.
    fn blocked(self, tries: u32) -> Self {
        let Self {
            migration,
            failure,
            blockers,
        } = self;
        let failure = match failure {
            Failure::Migrate(source) | Failure::Validate(source) | Failure::Commit(source) => {
                Failure::Blocked {
                    tries,
                    blockers,
                    source,
                }
            }
            other => other,
        };
        Self::new(migration, failure)
    }
}
