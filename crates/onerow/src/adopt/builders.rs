//! [`Registry::adopt`] and [`Registry::baseline`], with their options.

use std::fmt;

use futures_util::future::BoxFuture;

use super::{Adopted, Adoption, AdoptionWarning, source::Source, taking_over::take_over_at};
use crate::{
    connections::Connections,
    database::Database,
    error::Error,
    options::{Options, shared_setters},
    registry::Registry,
    run::errors::target_beyond_latest,
    table::TableName,
    tool::Tool,
};

/// Takes over a database that another tool has migrated until now. [`Registry::adopt`] returns it:
/// set options, then await it.
///
/// It reads the old tool's table, checks that the registry begins with what was applied, and sets
/// the version to the last of that, unless the version is there already. It does so in one
/// transaction, which holds the version row and keeps the old tool from writing meanwhile. The old
/// tool's table is not changed. [`replaces`](crate::MigrationTrait::replaces) says which migration
/// stands for which.
///
/// A migration that the old tool is still running is not in its table yet, so stop the old tool
/// first. If the migration is in the table later, [`up`](Registry::up) refuses to run it again, and
/// another `adopt` counts it.
///
/// # Errors
/// None of these has changed anything:
///
/// - [`NoHistory`](crate::ErrorKind::NoHistory),
///   [`SeveralHistories`](crate::ErrorKind::SeveralHistories) and
///   [`HistoryElsewhere`](crate::ErrorKind::HistoryElsewhere) if there is not exactly one old
///   tool's table in the registry's schema
/// - [`ForeignHistory`](crate::ErrorKind::ForeignHistory) and [`NoTool`](crate::ErrorKind::NoTool)
///   if the table does not have the columns of the tool, or of any tool
/// - [`UnsafeHistory`](crate::ErrorKind::UnsafeHistory) if reading the table could run code of its
///   owner
/// - [`HistoryMismatch`](crate::ErrorKind::HistoryMismatch) if the registry does not begin with
///   what was applied; it has all [`problems`](Error::problems)
/// - [`HistoryBusy`](crate::ErrorKind::HistoryBusy) if another session has the table locked for too
///   long
///
/// ```
/// # use onerow::{Tool, prelude::*};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), onerow::Error> {
/// # let registry = Registry::new(vec![]);
/// # let db = Database::connect("sqlite::memory:").await?;
/// # let table = "CREATE TABLE _sqlx_migrations (version, description, installed_on, success)";
/// # db.execute_unprepared(table).await.unwrap();
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

    /// Names the old tool. By default it is the tool whose table the database has.
    pub fn from(mut self, tool: Tool) -> Self {
        self.tool = Some(tool);
        self
    }

    /// Names the old tool's table, `name` or `schema.name`, if that is not the default of the tool.
    pub fn from_table(mut self, table: &str) -> Self {
        self.table = Some(TableName::parse(table));
        self
    }

    /// Accepts that migrations were applied in another order than the registry's. Use it if you
    /// know that the outcome is the same.
    pub fn out_of_order(mut self) -> Self {
        self.accept_out_of_order = true;
        self
    }

    /// Does nothing if the database has no old tool's table, as a new one. Without it, that is the
    /// error [`NoHistory`](crate::ErrorKind::NoHistory).
    pub fn if_any(mut self) -> Self {
        self.if_any = true;
        self
    }

    /// Only says what it would do, and changes nothing.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    shared_setters!();
}

/// Records the current version of a database that no tool has migrated. [`Registry::baseline`]
/// returns it: set options, then await it.
///
/// It counts the migrations up to that version as applied, and applies none. It does not check
/// whether that is true.
///
/// # Errors
/// None of these has changed anything:
///
/// - [`TargetBeyondLatest`](crate::ErrorKind::TargetBeyondLatest) if the registry does not have the
///   version
/// - [`AlreadyVersioned`](crate::ErrorKind::AlreadyVersioned) if the database has another version
///   already
/// - [`BesideHistory`](crate::ErrorKind::BesideHistory) if another tool has migrated the database
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

    /// Accepts that another tool has migrated other tables of the database. Without it, that is the
    /// error [`BesideHistory`](crate::ErrorKind::BesideHistory).
    pub fn beside_other_tools(mut self) -> Self {
        self.beside_other_tools = true;
        self
    }

    /// Only says what it would do, and changes nothing.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    shared_setters!();
}

impl Registry {
    /// Takes over a database that another tool has migrated until now: sets the version to what
    /// that tool has applied.
    ///
    /// Set options on the [`Adopt`] that it returns, then await it.
    #[must_use = "nothing happens until it is awaited"]
    pub fn adopt<'a>(&'a self, db: &'a Database) -> Adopt<'a> {
        Adopt::new(self, db)
    }

    /// Records the current version of a database that no tool has migrated.
    ///
    /// Set options on the [`Baseline`] that it returns, then await it.
    #[must_use = "nothing happens until it is awaited"]
    pub fn baseline<'a>(&'a self, db: &'a Database, version: i32) -> Baseline<'a> {
        Baseline::new(self, db, version)
    }
}

/// Sets the version, or only says to which it would set it.
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

/// Whether a warning is about what was adopted just now. A deployment that adopts once more has
/// nothing new to look at.
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
