//! A run and its options.

use std::{fmt, time::Duration};

use tokio::time::timeout;

use super::{Run, errors};
use crate::{
    backend::NONE,
    connections::Connections,
    database::{Database, listener::Listener},
    error::Error,
    options::{BoxFuture, Options, shared_setters},
    progress::Applied,
    registry::Registry,
    version::{self, Found},
    waiting::once_let_in,
};

/// How long a run that is told to stop before it has begun looks for the version.
const SOON: Duration = Duration::from_secs(5);

/// A run of the pending migrations, made by [`Registry::up`]: set options, then await it.
///
/// With work to do it opens a connection of its own from the pool's options, and up to two more: to look at a migration that
/// lasts, and for one outside a transaction. What else the pool's options or the database set holds for migrations too, a
/// `statement_timeout` above all.
///
/// ```
/// # use onerow::prelude::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), onerow::Error> {
/// # let (registry, db) = (Registry::new(vec![]), Database::connect("sqlite::memory:").await?);
/// let report = registry.up(&db).lock_timeout(std::time::Duration::from_secs(2)).await?;
/// println!("from version {} to {}", report.initial, report.version);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing runs until it is awaited"]
pub struct Up<'a> {
    registry: &'a Registry,
    db: &'a Database,
    options: Options<'a>,
    target: Option<i32>,
    cancel: Option<BoxFuture<'a, ()>>,
}

impl Registry {
    /// Applies what is pending, each migration once, whoever else tries at the same time.
    ///
    /// The [`Up`] that it returns takes options, and is awaited.
    #[must_use = "nothing runs until it is awaited"]
    pub fn up<'a>(&'a self, db: &'a Database) -> Up<'a> {
        Up::new(self, db)
    }
}

impl<'a> Up<'a> {
    fn new(registry: &'a Registry, db: &'a Database) -> Self {
        Self { registry, db, options: Options::default(), target: None, cancel: None }
    }

    /// Stops at this version instead of the last.
    ///
    /// # Errors
    /// The run gives [`ErrorKind::TargetBeyondLatest`](crate::ErrorKind::TargetBeyondLatest) or [`ErrorKind::TargetBelowVersion`](crate::ErrorKind::TargetBelowVersion), having changed nothing.
    pub fn to(mut self, version: i32) -> Self {
        self.target = Some(version);
        self
    }

    shared_setters!();

    /// How long a statement of a transactional migration may wait for a lock before the migration is rolled back and
    /// tried again; five seconds by default, in whole milliseconds, and 0 for as long as it takes.
    ///
    /// While it waits, each later query on that table waits behind it
    /// (<https://www.postgresql.org/docs/current/explicit-locking.html>).
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.options.lock_timeout = timeout;
        self
    }

    /// How often a migration that does not get a lock is tried in all; ten times by default.
    pub fn max_tries(mut self, tries: u32) -> Self {
        self.options.max_tries = tries;
        self
    }

    /// Calls back with the SQL of each statement of a migration that the database refuses, its values filled in.
    ///
    /// For tests and for debugging: the SQL may hold what must not be logged, which is why no error
    /// repeats it; only of a script, a line is shown. What a migration runs by `execute_unprepared` on
    /// anything but the [`Database`] that it is handed is not heard of.
    pub fn on_failed_statement(mut self, callback: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.options.listener = Listener::new(callback);
        self
    }

    /// Stops when this future is done: the statement in flight is cancelled on the server, the migration rolled back.
    ///
    /// # Errors
    /// The run then gives [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) with the version that the database holds.
    pub fn cancel_on(mut self, signal: impl Future<Output = ()> + Send + 'a) -> Self {
        self.cancel = Some(Box::pin(signal));
        self
    }

    async fn run(mut self) -> Result<Report, Error> {
        let (registry, db) = (self.registry, self.db);
        let mut signal = self.cancel.take().unwrap_or_else(|| Box::pin(std::future::pending()));
        let begun = tokio::select! {
            begun = self.begin() => begun?,
            () = &mut signal => return Err(errors::cancelled(version_soon(registry, db).await)),
        };
        match begun {
            Begun::Done(report) => Ok(report),
            Begun::Pending(run, found) => run.finish(found, signal).await,
        }
    }

    async fn begin(self) -> Result<Begun<'a>, Error> {
        let (pool, table) = self.registry.on(self.db)?;
        let latest = self.registry.latest();
        let target = self.target.unwrap_or(latest);
        if target > latest {
            return Err(errors::target_beyond_latest(target, latest));
        }
        // The whole cost of a run with nothing to do.
        let read = || version::read(pool, &table);
        let found = once_let_in(&self.options, pool, read).await?.believed()?;
        match found {
            Found::Version(version) if version > latest => {
                return Err(errors::ahead(version, latest));
            }
            Found::Version(version) if version > target => {
                return Err(errors::target_below_version(target, version));
            }
            Found::Version(version) if version == target => {
                return Ok(Begun::Done(Report { initial: version, version, applied: Vec::new() }));
            }
            Found::NoTable | Found::NoRow if target < NONE => {
                return Err(errors::target_below_version(target, NONE));
            }
            _ => (),
        }
        let connections = Connections::open(pool, table, self.options).await?;
        Ok(Begun::Pending(Box::new(Run::new(self.registry, connections, target)), found))
    }
}

/// The version that the database holds, if it says so soon.
async fn version_soon(registry: &Registry, db: &Database) -> Option<i32> {
    let read = async {
        let (pool, table) = registry.on(db).ok()?;
        version::read(pool, &table).await.ok()?.found().version()
    };
    timeout(SOON, read).await.ok().flatten()
}

enum Begun<'a> {
    Done(Report),
    Pending(Box<Run<'a>>, Found),
}

impl fmt::Debug for Up<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Up").field("target", &self.target).finish_non_exhaustive()
    }
}

impl<'a> IntoFuture for Up<'a> {
    type Output = Result<Report, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// What a run did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The version that the database held when the run began; −1 where nothing was applied yet.
    pub initial: i32,
    /// The version that it holds now.
    pub version: i32,
    /// What this run applied, in order. One whose commit was in doubt may have been applied by another runner since.
    pub applied: Vec<Applied>,
}
