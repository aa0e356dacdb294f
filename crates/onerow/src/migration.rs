//! What a migration is.

use std::{any::Any, time::Duration};

use sea_orm_migration::prelude::async_trait::async_trait;

use crate::Database;
use sea_orm::DbErr;

/// One forward step of the schema, and of the data with it.
///
/// A migration is the unit struct `Migration` of a module named `m0000`, `m0001`, …; [`registry!`](crate::registry!)
/// puts the modules in order. Only [`migrate`](Self::migrate) is required.
///
/// ```
/// use onerow::prelude::*;
///
/// pub struct Migration;
///
/// #[async_trait]
/// impl MigrationTrait for Migration {
///     fn description(&self) -> &str {
///         "members"
///     }
///
///     async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
///         db.execute_unprepared("CREATE TABLE members (id INTEGER PRIMARY KEY, email TEXT NOT NULL)")
///             .await?;
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a migration",
    note = "a migration module holds `pub struct Migration;` and `#[async_trait] impl MigrationTrait for Migration`"
)]
pub trait MigrationTrait: Any + Send + Sync {
    /// What the migration does, in a few words, for `status` and the logs. Empty by default.
    fn description(&self) -> &str {
        ""
    }

    /// Takes the database from the version before to this one.
    ///
    /// `db` is the transaction that also holds the version row: an error, or a panic, rolls back all that was done
    /// through it. With [`transactional`](Self::transactional) false it is a connection of its own instead.
    ///
    /// On SQLite foreign keys are not enforced in that transaction, so that a table can be rebuilt without deleting its
    /// children; `ON DELETE` and `ON UPDATE` actions do not run, and a row that is left without its parent fails
    /// the migration (<https://sqlite.org/lang_altertable.html#otheralter>). Whatever it sets by a PRAGMA holds for itself alone; a
    /// `PRAGMA journal_mode` that has no effect in a transaction fails it, as do `page_size`, `auto_vacuum` and `encoding`.
    async fn migrate(&self, db: &Database) -> Result<(), DbErr>;

    /// Checks the outcome, in the same transaction, after [`migrate`](Self::migrate): an error rolls both back.
    async fn validate(&self, db: &Database) -> Result<(), DbErr> {
        let _ = db;
        Ok(())
    }

    /// Whether the migration runs in a transaction, true by default.
    ///
    /// False is for statements that refuse one: `CREATE INDEX CONCURRENTLY`, `VACUUM`, and on PostgreSQL before 12
    /// `ALTER TYPE … ADD VALUE`. The version row stays held meanwhile, and moves only after `migrate` and `validate` have
    /// succeeded. A crash in between leaves the version before with the work half done, and the migration **runs
    /// again**, as it does when a lock was not to be had: write it so that it finds its own leftovers. One such statement for
    /// each migration is the simplest way.
    ///
    /// `db` is then a pool of a single connection: a transaction that is begun on it has to end before `db` is used again.
    /// Behind a transaction-pooling proxy use `execute_unprepared`, as a statement with parameters takes two messages, which
    /// may reach two sessions. Such a proxy also hides the session of another run between two of its statements: if the
    /// connection that holds the row breaks, the next run may begin up to two seconds before this one has noticed.
    fn transactional(&self) -> bool {
        true
    }

    /// What the tool that migrated the database before onerow calls the migrations that this one stands for: none by default.
    ///
    /// For a migration that was carried over by hand; those of [`from_migrator`](crate::Registry::from_migrator) and
    /// [`embed_migrations!`](crate::embed_migrations!) say it by themselves. [`adopt`](crate::Registry::adopt) finds by it what was
    /// applied: the name of sea-orm-migration, the file's of sqlx and refinery, the directory's of diesel. Several names
    /// are for one migration that sums up all of them. One without a name is new.
    fn replaces(&self) -> Vec<&str> {
        Vec::new()
    }

    /// How long a statement of this migration may wait for a lock, instead of the run's
    /// [`lock_timeout`](crate::Up::lock_timeout). `None`, the default, keeps the run's.
    fn lock_timeout(&self) -> Option<Duration> {
        None
    }
}

/// The name of a version's module: `m0007`.
#[must_use]
pub fn module_name(version: i32) -> String {
    format!("m{version:04}")
}
