//! [`Registry::adopt`] and [`Registry::baseline`], with their options.

use std::fmt;

use super::{Adopted, Adoption, AdoptionWarning, source::Source, taking_over::take_over_at};
use crate::{
    connections::Connections,
    database::Database,
    error::Error,
    options::{BoxFuture, Options, shared_setters},
    registry::Registry,
    run::errors::target_beyond_latest,
    table::TableName,
    tool::Tool,
};

/// Takes over a database that another tool has migrated until now, when it is awaited; made by [`Registry::adopt`].
///
/// It reads the old tool's table, sees that what was applied is what the registry begins with, and sets the version to the
/// last of that, where it is not there yet: in one transaction that holds the version row, and that keeps the old tool from
/// writing meanwhile. The old table is not changed. Which migration stands for which is said by
/// [`replaces`](crate::MigrationTrait::replaces).
///
/// A migration that the old tool is still running is not in its table yet: stop what runs it first. If it is there later,
/// [`up`](Registry::up) refuses to run it again, and another `adopt` counts it.
///
/// # Errors
/// [`ErrorKind::NoHistory`](crate::ErrorKind::NoHistory), [`ErrorKind::SeveralHistories`](crate::ErrorKind::SeveralHistories), [`ErrorKind::ForeignHistory`](crate::ErrorKind::ForeignHistory), [`ErrorKind::HistoryElsewhere`](crate::ErrorKind::HistoryElsewhere), [`ErrorKind::NoTool`](crate::ErrorKind::NoTool),
/// [`ErrorKind::HistoryMismatch`](crate::ErrorKind::HistoryMismatch) with all that does not fit, and [`ErrorKind::HistoryBusy`](crate::ErrorKind::HistoryBusy). None of them has changed anything.
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
    tool: Option<Tool>,
    table: Option<TableName>,
    accept_out_of_order: bool,
    if_any: bool,
    dry_run: bool,
}

impl<'a> Adopt<'a> {
    fn new(registry: &'a Registry, db: &'a Database) -> Self {
        Self {
            registry,
            db,
            options: Options::default(),
            tool: None,
            table: None,
            accept_out_of_order: false,
            if_any: false,
            dry_run: false,
        }
    }

    /// Which tool it was; by default the one whose table is there.
    pub fn from(mut self, tool: Tool) -> Self {
        self.tool = Some(tool);
        self
    }

    /// The old tool's table, `name` or `schema.name`, where that is not the tool's default.
    pub fn from_table(mut self, table: &str) -> Self {
        self.table = Some(TableName::parse(table));
        self
    }

    /// Accepts that migrations were applied in another order than the registry's, the outcome being the same.
    pub fn out_of_order(mut self) -> Self {
        self.accept_out_of_order = true;
        self
    }

    /// Does nothing where there is no history, as in a new database, instead of [`ErrorKind::NoHistory`](crate::ErrorKind::NoHistory).
    pub fn if_any(mut self) -> Self {
        self.if_any = true;
        self
    }

    /// Looks, and changes nothing.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    shared_setters!();
}

/// Takes over a database that no tool has migrated, when it is awaited; made by [`Registry::baseline`].
///
/// It says that the migrations up to a version are applied, and applies none: whether that is true is for who says it to know.
///
/// # Errors
/// [`ErrorKind::TargetBeyondLatest`](crate::ErrorKind::TargetBeyondLatest) for a version that the registry does not have, [`ErrorKind::AlreadyVersioned`](crate::ErrorKind::AlreadyVersioned) where migrations
/// of the registry were applied, and [`ErrorKind::BesideHistory`](crate::ErrorKind::BesideHistory) where there is the table of another tool.
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
    fn new(registry: &'a Registry, db: &'a Database, version: i32) -> Self {
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

    shared_setters!();
}

impl Registry {
    /// Takes over a database that another tool has migrated until now: sets the version to what that has
    /// applied.
    ///
    /// The [`Adopt`] that it returns takes options, and is awaited.
    #[must_use = "nothing happens until it is awaited"]
    pub fn adopt<'a>(&'a self, db: &'a Database) -> Adopt<'a> {
        Adopt::new(self, db)
    }

    /// Takes over a database that was not migrated by any tool: says that it is at this version.
    ///
    /// The [`Baseline`] that it returns takes options, and is awaited.
    #[must_use = "nothing happens until it is awaited"]
    pub fn baseline<'a>(&'a self, db: &'a Database, version: i32) -> Baseline<'a> {
        Baseline::new(self, db, version)
    }
}

/// Sets the version, or only says to which.
async fn take_over(
    registry: &Registry,
    db: &Database,
    options: Options<'_>,
    source: &Source,
    dry_run: bool,
) -> Result<Adoption, Error> {
    let (pool, table) = registry.on(db)?;
    let connections = Connections::open(pool, table, options).await?;
    let (initial, plan) = take_over_at(registry, &connections, source, dry_run).await?;
    let version = plan.version.max(initial);
    let adopted = adopted(registry, initial, version);
    let mut warnings = plan.warnings;
    warnings.retain(|warning| is_of(warning, &adopted));
    Ok(Adoption { tool: plan.tool, initial, version, adopted, warnings })
}

/// Whether it is of what counts as applied now: a deployment that does it once more has nothing new to look at.
fn is_of(warning: &AdoptionWarning, adopted: &[Adopted]) -> bool {
    match warning {
        AdoptionWarning::Edited { migration, .. } => {
            adopted.iter().any(|one| one.version == *migration)
        }
        AdoptionWarning::SerialKeys { .. } => !adopted.is_empty(),
    }
}

fn adopted(registry: &Registry, initial: i32, version: i32) -> Vec<Adopted> {
    let migrations =
        registry.migrations().filter(|(number, _)| (initial + 1..=version).contains(number));
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
        let Self { registry, db, options, tool, table, accept_out_of_order, if_any, dry_run } =
            self;
        let source = Source::History { tool, table, accept_out_of_order, if_any };
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
                return Err(target_beyond_latest(version, latest));
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
