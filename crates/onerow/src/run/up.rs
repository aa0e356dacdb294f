//! The options of a run, and a run with nothing to do.

use std::{fmt, future::pending, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::{Run, errors};
use crate::{
    backend::NONE,
    connections::Connections,
    database::{Database, listener::Listener},
    error::Error,
    options::{Options, shared_setters},
    progress::Applied,
    registry::Registry,
    version::{self, Found},
    waiting::once_let_in,
};

/// How long a run may look for the version if it is told to stop before it has begun.
const SOON: Duration = Duration::from_secs(5);

/// A run of the pending migrations. [`Registry::up`] returns it: set options, then await it.
///
/// If there is work to do, it opens a connection of its own with the options of the pool. It opens
/// up to two more: to look at a migration that takes long, and for a migration outside a
/// transaction. Settings of the pool or of the database hold for migrations too, such as a
/// `statement_timeout`.
///
/// # Errors
/// An [`Error`], whose [`kind`](Error::kind) says what happened. What was applied before it stays.
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
    at_most: Option<u32>,
    cancel: Option<BoxFuture<'a, ()>>,
}

impl Registry {
    /// Applies each pending migration once, even if other processes try at the same time.
    ///
    /// Set options on the [`Up`] that it returns, then await it.
    #[must_use = "nothing runs until it is awaited"]
    pub fn up<'a>(&'a self, db: &'a Database) -> Up<'a> {
        Up::new(self, db)
    }
}

impl<'a> Up<'a> {
    fn new(registry: &'a Registry, db: &'a Database) -> Self {
        Self {
            registry,
            db,
            options: Options::default(),
            target: None,
            at_most: None,
            cancel: None,
        }
    }

    /// Stops at this version instead of the last.
    ///
    /// # Errors
    /// The run returns [`TargetBeyondLatest`](crate::ErrorKind::TargetBeyondLatest) if the registry
    /// does not have the version, and [`TargetBelowVersion`](crate::ErrorKind::TargetBelowVersion)
    /// if the database is beyond it. Neither changes anything.
    pub fn to(mut self, version: i32) -> Self {
        self.target = Some(version);
        self
    }

    /// Applies at most so many migrations, counted from the version that the run finds. With
    /// [`to`](Self::to) as well, the nearer of the two ends counts.
    pub fn at_most(mut self, migrations: u32) -> Self {
        self.at_most = Some(migrations);
        self
    }

    shared_setters!();

    /// How long a statement of a migration in a transaction may wait for a lock. After that the
    /// migration is rolled back and tried again. It counts in whole milliseconds; the default is
    /// five seconds, and 0 means no limit.
    ///
    /// While the statement waits, each later query on that table waits behind it
    /// (<https://www.postgresql.org/docs/current/explicit-locking.html>).
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.options.lock_timeout = timeout;
        self
    }

    /// How often in all a migration is tried that does not get a lock. The default is ten times.
    pub fn max_tries(mut self, tries: u32) -> Self {
        self.options.max_tries = tries;
        self
    }

    /// Calls this function with the SQL of each statement of a migration that fails, values
    /// included.
    ///
    /// It is for tests and for debugging. The SQL may hold what must not be logged, so no error
    /// repeats it, except for a line of a script. The function does not hear of a statement that a
    /// migration sends by `execute_unprepared` on anything but the [`Database`] that it is handed.
    pub fn on_failed_statement(mut self, callback: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.options.listener = Listener::new(callback);
        self
    }

    /// Stops when this future is done. The statement in flight is cancelled on the server, and the
    /// migration is rolled back.
    ///
    /// # Errors
    /// The run then returns [`Cancelled`](crate::ErrorKind::Cancelled), with the version that the
    /// database holds.
    pub fn cancel_on(mut self, signal: impl Future<Output = ()> + Send + 'a) -> Self {
        self.cancel = Some(Box::pin(signal));
        self
    }

    async fn run(mut self) -> Result<Report, Error> {
        let (registry, db) = (self.registry, self.db);
        let mut signal = self.cancel.take().unwrap_or_else(|| Box::pin(pending()));
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
        // This one statement is all that a run with nothing to do sends.
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
        let target = found.version().map_or(target, |version| up_to(target, version, self.at_most));
        if self.at_most.is_some() && found.version() == Some(target) {
            return Ok(Begun::Done(Report {
                initial: target,
                version: target,
                applied: Vec::new(),
            }));
        }
        let connections = Connections::open(pool, table, self.options).await?;
        Ok(Begun::Pending(
            Box::new(Run::new(self.registry, connections, target, self.at_most)),
            found,
        ))
    }
}

/// The target, or the version that is so many migrations further if that comes before it.
pub(super) fn up_to(target: i32, version: i32, at_most: Option<u32>) -> i32 {
    at_most.map_or(target, |migrations| target.min(version.saturating_add_unsigned(migrations)))
}

/// The version that the database holds, if it answers soon.
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
    /// The version that the database held when the run began. It is −1 if nothing was applied yet.
    pub initial: i32,
    /// The version that the database holds now.
    pub version: i32,
    /// The migrations that this run applied, in order. If the answer to a commit was lost, another
    /// runner may have applied that migration since.
    pub applied: Vec<Applied>,
}
