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
/// [`registry!`](crate::registry!) lists the modules in order. Only [`migrate`](Self::migrate) is
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
///         let members = "CREATE TABLE members (id INTEGER PRIMARY KEY, email TEXT NOT NULL)";
///         db.execute_unprepared(members).await.map(drop)
///     }
/// }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a migration",
    note = "a migration module holds `pub struct Migration;` and \
            `#[async_trait] impl MigrationTrait for Migration`"
)]
pub trait MigrationTrait: Send + Sync + 'static {
    /// Says in a few words what the migration does, for `status` and the logs. Empty by default.
    fn description(&self) -> &str {
        ""
    }

    /// Takes the database from the version before this one to this one.
    ///
    /// `db` is the transaction that also holds the version row: an error or a panic rolls back all
    /// that was done through it. In [`Mode::Outside`] it is a connection of its own instead.
    ///
    /// SQLite does not enforce foreign keys in that transaction, so that a table can be rebuilt
    /// without deleting its children. `ON DELETE` and `ON UPDATE` actions do not run. If a row is
    /// left without its parent, the migration fails
    /// (<https://sqlite.org/lang_altertable.html#otheralter>). A setting that the migration makes
    /// by a PRAGMA ends with the migration. If a `PRAGMA journal_mode`, `page_size`, `auto_vacuum`
    /// or `encoding` has no effect in the transaction, the migration fails.
    ///
    /// # Errors
    /// An error fails the migration, and the run with it.
    async fn migrate(&self, db: &Database) -> Result<(), DbErr>;

    /// Checks the outcome after [`migrate`](Self::migrate), in the same transaction. By default it
    /// checks nothing.
    ///
    /// # Errors
    /// An error rolls both back, and fails the migration.
    async fn validate(&self, db: &Database) -> Result<(), DbErr> {
        let _ = db;
        Ok(())
    }

    /// Says where the migration runs: in a transaction by default.
    fn mode(&self) -> Mode {
        if self.transactional() { Mode::Transaction } else { Mode::Outside }
    }

    /// Whether the migration runs in a transaction. Only the default of [`mode`](Self::mode) asks.
    fn transactional(&self) -> bool {
        true
    }

    /// Names the migrations of another tool that this one stands for: none by default.
    ///
    /// Give it for a migration that was carried over by hand. The migrations of
    /// [`from_migrator`](crate::Registry::from_migrator) and
    /// [`embed_migrations!`](crate::embed_migrations!) give it themselves.
    /// [`adopt`](crate::Registry::adopt) compares these names with what the old tool has applied.
    /// Write the name that sea-orm-migration has, the name of the file for sqlx and refinery, or
    /// the name of the directory for diesel. A migration that sums up several others names them
    /// all. A migration that names none is new.
    fn replaces(&self) -> Vec<&str> {
        Vec::new()
    }

    /// How long a statement of this migration may wait for a lock. `None`, the default, means the
    /// [`lock_timeout`](crate::Up::lock_timeout) of the run.
    fn lock_timeout(&self) -> Option<Duration> {
        None
    }

    /// Not an interface: the SQL of a migration that is only a script.
    #[doc(hidden)]
    fn script(&self) -> Option<&str> {
        None
    }

    /// Not an interface: see [`identity`].
    #[doc(hidden)]
    fn identity(&self) -> Option<u64> {
        // Two values of one type that has fields may do different things.
        (size_of_val(self) == 0).then(|| hash(&TypeId::of::<Self>()))
    }
}

/// Where a migration runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// In the transaction that holds the version row: all of it happens, or nothing does.
    Transaction,
    /// Outside a transaction, on a connection of its own, while another connection holds the row.
    ///
    /// Use it for statements that refuse to run in a transaction: `CREATE INDEX CONCURRENTLY`,
    /// `VACUUM`, and on PostgreSQL before 12 `ALTER TYPE … ADD VALUE`. The version moves only after
    /// `migrate` and `validate` have succeeded. If the process crashes before that, the work may be
    /// half done, and the migration **runs again** in the next run. It also runs again if it did
    /// not get a lock. So write it in such a way that it finds its own leftovers. The simplest way
    /// is one such statement in a migration.
    ///
    /// The handle is a pool of a single connection, so a transaction that is begun on it has to end
    /// before the handle is used again. Behind a transaction-pooling proxy, use
    /// `execute_unprepared`: a statement with parameters takes two messages, which may reach two
    /// sessions. Such a proxy also hides the session of another run between two of its statements.
    /// If the connection that holds the row breaks, the next run may begin up to two seconds before
    /// this one notices.
    Outside,
}

/// The name of the module that holds the migration of this version, such as `m0007`.
#[must_use]
pub fn module_name(version: i32) -> String {
    format!("m{version:04}")
}

/// A number that is the same for the same migration everywhere in the program. `None` if the
/// migration cannot be told from others.
#[doc(hidden)]
#[must_use]
pub fn identity(migration: &dyn MigrationTrait) -> Option<u64> {
    migration.identity()
}

/// A hash that is the same in each process of one build, unlike the hash in a `HashMap`.
pub(crate) fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
