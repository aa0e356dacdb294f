//! What a migration is.

use std::{
    any::TypeId,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::DbErr;

use crate::database::Database;

/// One forward step of the schema, and of the data with it.
///
/// A migration is the unit struct `Migration` of a module named `m0000`, `m0001`, …;
/// [`registry!`](crate::registry!) puts the modules in order. Only [`migrate`](Self::migrate) is
/// required.
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
pub trait MigrationTrait: Send + Sync + 'static {
    /// What the migration does, in a few words, for `status` and the logs. Empty by default.
    fn description(&self) -> &str {
        ""
    }

    /// Takes the database from the version before to this one.
    ///
    /// `db` is the transaction that also holds the version row: an error, or a panic, rolls back all
    /// that was done through it. In [`Mode::Outside`] it is a connection of its own instead.
    ///
    /// On SQLite foreign keys are not enforced in that transaction, so that a table can be rebuilt
    /// without deleting its children. `ON DELETE` and `ON UPDATE` actions do not run, and a row that
    /// is left without its parent fails the migration
    /// (<https://sqlite.org/lang_altertable.html#otheralter>). What the migration sets by a PRAGMA
    /// holds for itself alone. A `PRAGMA journal_mode` that has no effect in a transaction fails it, as
    /// do `page_size`, `auto_vacuum` and `encoding`.
    async fn migrate(&self, db: &Database) -> Result<(), DbErr>;

    /// Checks the outcome, in the same transaction, after [`migrate`](Self::migrate): an error rolls
    /// both back.
    async fn validate(&self, db: &Database) -> Result<(), DbErr> {
        let _ = db;
        Ok(())
    }

    /// Whether the migration runs in a transaction, as it does by default.
    fn mode(&self) -> Mode {
        if self.transactional() { Mode::Transaction } else { Mode::Outside }
    }

    /// The same as a truth value, for [`mode`](Self::mode) to go by if that is not given.
    fn transactional(&self) -> bool {
        true
    }

    /// What another tool calls the migrations that this one stands for: none by default.
    ///
    /// It is for a migration that was carried over by hand. Those of
    /// [`from_migrator`](crate::Registry::from_migrator) and
    /// [`embed_migrations!`](crate::embed_migrations!) say it by themselves.
    /// [`adopt`](crate::Registry::adopt) finds by it what was applied: the name of sea-orm-migration,
    /// the file's of sqlx and refinery, the directory's of diesel. A migration that sums up several of
    /// them names them all. One without a name is new.
    fn replaces(&self) -> Vec<&str> {
        Vec::new()
    }

    /// How long a statement of this migration may wait for a lock, instead of the run's
    /// [`lock_timeout`](crate::Up::lock_timeout). `None`, the default, keeps the run's.
    fn lock_timeout(&self) -> Option<Duration> {
        None
    }

    /// Not an interface: the script of a migration that is nothing else.
    #[doc(hidden)]
    fn script(&self) -> Option<&str> {
        None
    }

    /// Not an interface: see [`identity`].
    #[doc(hidden)]
    fn identity(&self) -> Option<u64> {
        // With fields, two of one type may do different things.
        (size_of_val(self) == 0).then(|| hash(&TypeId::of::<Self>()))
    }
}

/// Where a migration runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// In the transaction that holds the version row: all of it happens, or nothing.
    Transaction,
    /// On a connection of its own, while another holds the row.
    ///
    /// It is for statements that refuse a transaction: `CREATE INDEX CONCURRENTLY`, `VACUUM`, and on
    /// PostgreSQL before 12 `ALTER TYPE … ADD VALUE`. The version moves only after `migrate` and
    /// `validate` have succeeded. A crash in between leaves the version before with the work half
    /// done, and the migration **runs again**, as it does if it did not get a lock: write it so that it
    /// finds its own leftovers. One such statement in a migration is the simplest way.
    ///
    /// The handle is a pool of a single connection, so a transaction that is begun on it has to end
    /// before the handle is used again. Behind a transaction-pooling proxy use `execute_unprepared`: a
    /// statement with parameters takes two messages, which may reach two sessions. Such a proxy also
    /// hides the session of another run between two of its statements: if the connection that holds
    /// the row breaks, the next run may begin up to two seconds before this one notices.
    Outside,
}

/// The name of a version's module: `m0007`.
#[must_use]
pub fn module_name(version: i32) -> String {
    format!("m{version:04}")
}

/// The same number for the same migration, all over the program; `None` if it cannot be told from
/// another.
#[doc(hidden)]
#[must_use]
pub fn identity(migration: &dyn MigrationTrait) -> Option<u64> {
    migration.identity()
}

/// The same in each process of one build, unlike that of a `HashMap`.
pub(crate) fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
