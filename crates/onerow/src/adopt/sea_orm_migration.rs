//! The migrations of sea-orm-migration, unchanged.

use std::{any::TypeId, fmt};

use async_trait::async_trait;
use sea_orm::DbErr;
use sea_orm_migration::{
    MigrationTrait as Former, MigratorTrait,
    prelude::{PostgresQueryBuilder, Table},
    schema::pk_auto,
};

use crate::{
    database::Database,
    migration::{MigrationTrait, hash},
    registry::Registry,
};

/// A migration that was written for sea-orm-migration. onerow runs its `up`, and never its `down`.
///
/// Its [`description`](MigrationTrait::description) is its name there. It runs outside a
/// transaction if its `use_transaction` is `Some(false)`, and in a transaction otherwise. On
/// SQLite, sea-orm-migration uses no transaction unless it is told to. Here a migration that fails
/// half way leaves nothing behind; and as in every migration on SQLite, foreign keys are not
/// enforced meanwhile.
pub struct SeaOrmMigration {
    former: Box<dyn Former>,
    /// The type of the migrator that it comes from, and its place in that.
    origin: Option<(TypeId, usize)>,
}

impl SeaOrmMigration {
    /// Takes one migration. [`Registry::from_migrator`] takes all those of a migrator.
    #[must_use]
    pub fn new(former: Box<dyn Former>) -> Self {
        Self { former, origin: None }
    }
}

impl fmt::Debug for SeaOrmMigration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SeaOrmMigration").field(&self.former.name()).finish()
    }
}

// Otherwise the compiler names this type as an example if a migration lacks the trait.
#[diagnostic::do_not_recommend]
#[async_trait]
impl MigrationTrait for SeaOrmMigration {
    fn description(&self) -> &str {
        self.former.name()
    }

    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        self.former.up(&db.schema()).await
    }

    fn transactional(&self) -> bool {
        self.former.use_transaction() != Some(false)
    }

    fn replaces(&self) -> Vec<&str> {
        vec![self.former.name()]
    }

    fn identity(&self) -> Option<u64> {
        self.origin.as_ref().map(hash)
    }
}

/// Whether this build makes identity columns of keys, of which version 1 made serial columns. A
/// feature of SeaORM decides.
pub(super) fn makes_identities() -> bool {
    let table = Table::create().table("any").col(pk_auto("id")).take();
    table.to_string(PostgresQueryBuilder).contains("IDENTITY")
}

impl Registry {
    /// Makes a registry of migrations that were written for sea-orm-migration, in the order of
    /// their migrator. Each becomes a [`SeaOrmMigration`](crate::SeaOrmMigration).
    ///
    /// New migrations follow: `registry![..Registry::from_migrator::<Migrator>(), m0012]`.
    /// [`adopt`](Self::adopt) takes over a database that sea-orm-migration has migrated. It looks
    /// for the migrator's `migration_table_name`.
    ///
    /// ```
    /// use onerow::prelude::*;
    /// use sea_orm_migration::{MigrationTrait, MigratorTrait};
    ///
    /// struct Migrator;
    ///
    /// impl MigratorTrait for Migrator {
    ///     fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    ///         vec![/* Box::new(m20220101_000001_create_table::Migration) */]
    ///     }
    /// }
    ///
    /// let registry = Registry::from_migrator::<Migrator>();
    /// # assert_eq!(registry.latest(), -1);
    /// ```
    #[must_use]
    pub fn from_migrator<M: MigratorTrait + 'static>() -> Self {
        let migrator = TypeId::of::<M>();
        let migrations = M::migrations().into_iter().enumerate().map(|(place, former)| {
            let migration = SeaOrmMigration { former, origin: Some((migrator, place)) };
            Box::new(migration) as Box<dyn MigrationTrait>
        });
        Self::new(migrations.collect())
            .kept_by_sea_orm_migration(M::migration_table_name().to_string())
    }
}
