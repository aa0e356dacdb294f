//! Taking over what other tools have migrated, and their migrations.
//!
//! | module | holds |
//! |---|---|
//! | `tool` | [`Tool`]: which table each keeps, and how it names migrations |
//! | `history` | what a tool has applied, read from its table |
//! | `prefix` | [`HistoryProblem`]: whether that is what a registry begins with |
//! | `sea_orm_migration` | [`SeaOrmMigration`]: sea-orm-migration's migrations, unchanged |
//!
//! Setting the row is a run's: `run/adopting.rs`.

mod history;
mod prefix;
mod sea_orm_migration;
mod tool;

pub use self::{prefix::HistoryProblem, sea_orm_migration::SeaOrmMigration, tool::Tool};

use std::{fmt, pin::Pin, time::Duration};

use sea_orm::DatabaseTransaction;

use self::history::{History, Reader};
use crate::{
    Database, Error, Registry,
    backend::Session,
    migration,
    run::Run,
    table::Table,
    up::Options,
    version::{self, NONE},
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes over a database that another tool has migrated until now, when it is awaited; made by [`Registry::adopt`].
///
/// It reads the old tool's table, sees that what was applied is what the registry begins with, and sets the version to the
/// last of that: in one transaction that holds the version row, and that keeps the old tool from writing meanwhile. The old
/// table is not changed. Which migration stands for which is said by [`replaces`](crate::MigrationTrait::replaces). Nothing is
/// done where the registry is there already, and at no earlier version.
///
/// # Errors
/// [`Error::NoHistory`], [`Error::SeveralHistories`], [`Error::ForeignHistory`], [`Error::HistoryMismatch`] with all that does
/// not fit, [`Error::HistoryAhead`] where the old tool has gone on since. None of them has changed anything.
///
/// ```
/// # use onerow::{Tool, prelude::*};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), onerow::Error> {
/// # let registry = Registry::new(vec![]);
/// # let db = Database::connect("sqlite::memory:").await?;
/// # db.execute_unprepared("CREATE TABLE _sqlx_migrations (version, description, installed_on, success)").await.unwrap();
/// let adoption = registry.adopt(&db).from(Tool::Sqlx).dry_run().await?;
/// println!("it would be at version {}", adoption.version);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens until it is awaited"]
pub struct Adopt<'a> {
    registry: &'a Registry,
    db: &'a Database,
    options: Options<'a>,
    source: Source,
    dry_run: bool,
}

impl<'a> Adopt<'a> {
    pub(crate) fn new(registry: &'a Registry, db: &'a Database) -> Self {
        let source = Source::History { tool: None, table: None, accept_out_of_order: false };
        Self { registry, db, options: Options::default(), source, dry_run: false }
    }

    /// Which tool it was; by default the one whose table is there.
    pub fn from(mut self, from: Tool) -> Self {
        if let Source::History { tool, .. } = &mut self.source {
            *tool = Some(from);
        }
        self
    }

    /// The old tool's table, `name` or `schema.name`, where it is not the tool's default. It takes [`from`](Self::from).
    pub fn table(mut self, name: &str) -> Self {
        if let Source::History { table, .. } = &mut self.source {
            *table = Some(Table::parse(name));
        }
        self
    }

    /// Accepts that migrations were applied in another order than the registry's, the outcome being the same.
    pub fn out_of_order(mut self) -> Self {
        if let Source::History { accept_out_of_order, .. } = &mut self.source {
            *accept_out_of_order = true;
        }
        self
    }

    /// Looks, and changes nothing.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// How long to wait for another runner, or for the old tool to end what it is at; ten minutes by default.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.options.wait_timeout = timeout;
        self
    }
}

/// Takes over a database that no tool has migrated, when it is awaited; made by [`Registry::baseline`].
///
/// It says that the migrations up to a version are applied, and applies none: whether that is true is for who says it to know.
///
/// # Errors
/// [`Error::TargetBeyondLatest`] for a version that the registry does not have, [`Error::AlreadyVersioned`] where migrations
/// of the registry were applied, and [`Error::Unadopted`] where there is the table of another tool.
#[must_use = "nothing happens until it is awaited"]
pub struct Baseline<'a> {
    registry: &'a Registry,
    db: &'a Database,
    options: Options<'a>,
    version: i32,
    beside_other_tools: bool,
    dry_run: bool,
}

impl<'a> Baseline<'a> {
    pub(crate) fn new(registry: &'a Registry, db: &'a Database, version: i32) -> Self {
        let options = Options::default();
        Self { registry, db, options, version, beside_other_tools: false, dry_run: false }
    }

    /// Does it though another tool has migrated the database, its other tables say.
    pub fn beside_other_tools(mut self) -> Self {
        self.beside_other_tools = true;
        self
    }

    /// Looks, and changes nothing.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// How long to wait for another runner; ten minutes by default.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.options.wait_timeout = timeout;
        self
    }
}

/// What [`Adopt`] and [`Baseline`] did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adoption {
    /// The tool, and its table, where there is one.
    pub tool: Option<(Tool, String)>,
    /// The version that the database held before: −1, or more where there was nothing to do.
    pub initial: i32,
    /// The version that it holds now; after a dry run, that it would hold.
    pub version: i32,
    /// The migrations that count as applied now; none where there was nothing to do.
    pub adopted: Vec<Adopted>,
}

/// A migration that counts as applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adopted {
    /// Its version.
    pub version: i32,
    /// Its [`description`](crate::MigrationTrait::description).
    pub description: String,
    /// What it [`replaces`](crate::MigrationTrait::replaces).
    pub replaces: Vec<String>,
}

impl Adopted {
    /// The module's name: `m0007`.
    #[must_use]
    pub fn name(&self) -> String {
        migration::name(self.version)
    }
}

/// Where the version comes from.
pub(crate) enum Source {
    History { tool: Option<Tool>, table: Option<Table>, accept_out_of_order: bool },
    Baseline { version: i32, beside_other_tools: bool },
}

/// What a source comes to.
pub(crate) struct Plan {
    pub(crate) version: i32,
    pub(crate) tool: Option<(Tool, String)>,
}

impl Source {
    /// Reads the tables of other tools in this transaction.
    ///
    /// With `lock`, so that they stay as they are until it ends; `None` if the old tool is writing at this moment.
    pub(crate) async fn plan(
        &self,
        session: &Session,
        transaction: &DatabaseTransaction,
        (registry, own): (&Registry, &Table),
        lock: bool,
    ) -> Result<Option<Plan>, Error> {
        let reader = Reader { session, transaction, registry, own };
        match self {
            Self::History { tool, table, accept_out_of_order } => {
                let history = match (tool, table) {
                    (None, _) => reader.find().await?,
                    (Some(tool), Some(table)) => reader.read(*tool, table.clone()).await?,
                    (Some(tool), None) => reader.read(*tool, registry.former_table(*tool)).await?,
                };
                let Some(mut history) = history else { return Err(self.no_history(registry)) };
                if lock {
                    if !reader.lock_out_writers(&history).await? {
                        return Ok(None);
                    }
                    // Once more, now that nobody writes to it.
                    history = reader.read(history.tool, history.table.clone()).await?.unwrap_or(history);
                }
                plan(registry, &history, *accept_out_of_order).map(Some)
            }
            Self::Baseline { version, beside_other_tools } => {
                let histories = if *beside_other_tools { Vec::new() } else { reader.find_all(true).await? };
                refuse(histories.iter().find(|history| !history.entries.is_empty()))?;
                Ok(Some(Plan { version: *version, tool: None }))
            }
        }
    }

    fn no_history(&self, registry: &Registry) -> Error {
        let looked_for = match self {
            Self::History { tool: Some(_), table: Some(table), .. } => vec![table.to_string()],
            Self::History { tool: Some(tool), .. } => vec![registry.former_table(*tool).to_string()],
            _ => Tool::ALL.map(|tool| registry.former_table(tool).to_string()).into(),
        };
        Error::NoHistory { looked_for }
    }
}

fn plan(registry: &Registry, history: &History, accept_out_of_order: bool) -> Result<Plan, Error> {
    let (tool, table) = (history.tool, history.table.to_string());
    match prefix::version(registry, history, accept_out_of_order) {
        Ok(version) => Ok(Plan { version, tool: Some((tool, table)) }),
        Err(problems) => Err(Error::HistoryMismatch { tool, table, problems }),
    }
}

fn refuse(unadopted: Option<&History>) -> Result<(), Error> {
    let Some(History { tool, table, entries, .. }) = unadopted else { return Ok(()) };
    Err(Error::Unadopted { tool: *tool, table: table.to_string(), applied: entries.len() })
}

/// Refuses a database whose first migrations another tool has applied: they would be applied a second time.
pub(crate) async fn refuse_unadopted(
    session: &Session,
    transaction: &DatabaseTransaction,
    registry: &Registry,
    own: &Table,
) -> Result<(), Error> {
    let reader = Reader { session, transaction, registry, own };
    let histories = reader.find_all(true).await?;
    refuse(histories.iter().find(|history| prefix::any_applied(registry, history)))
}

/// Sets the version, or only says to which; see [`Run::adopt`].
async fn take_over(
    registry: &Registry,
    db: &Database,
    options: Options<'_>,
    source: &Source,
    dry_run: bool,
) -> Result<Adoption, Error> {
    let (pool, table) = registry.on(db)?;
    let found = version::read(pool, &table).await?;
    let mut run = Run::open(registry, pool, table, options, registry.latest()).await?;
    let (initial, plan) = run.adopt(found, source, dry_run).await?;
    let version = plan.version.max(initial);
    let adopted = if initial == NONE { adopted(registry, version) } else { Vec::new() };
    Ok(Adoption { tool: plan.tool, initial, version, adopted })
}

fn adopted(registry: &Registry, version: i32) -> Vec<Adopted> {
    let migrations = registry.migrations().take_while(|(number, _)| *number <= version);
    let adopted = migrations.map(|(version, migration)| Adopted {
        version,
        description: migration.description().to_owned(),
        replaces: migration.replaces().iter().map(ToString::to_string).collect(),
    });
    adopted.collect()
}

impl<'a> IntoFuture for Adopt<'a> {
    type Output = Result<Adoption, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { registry, db, options, source, dry_run } = self;
        Box::pin(async move { take_over(registry, db, options, &source, dry_run).await })
    }
}

impl<'a> IntoFuture for Baseline<'a> {
    type Output = Result<Adoption, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { registry, db, options, version, beside_other_tools, dry_run } = self;
        Box::pin(async move {
            let latest = registry.latest();
            if !(0..=latest).contains(&version) {
                return Err(Error::TargetBeyondLatest { target: version, latest });
            }
            let source = Source::Baseline { version, beside_other_tools };
            take_over(registry, db, options, &source, dry_run).await
        })
    }
}

impl fmt::Debug for Adopt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopt").field("dry_run", &self.dry_run).finish_non_exhaustive()
    }
}

impl fmt::Debug for Baseline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Baseline").field("version", &self.version).finish_non_exhaustive()
    }
}
