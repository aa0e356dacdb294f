//! The migrations of sea-orm-migration, unchanged.

use std::any::TypeId;

use async_trait::async_trait;
use sea_orm::DbErr;
use sea_orm_migration::{
    MigrationTrait as Former, MigratorTrait,
    prelude::{PostgresQueryBuilder, Table},
    schema::pk_auto,
};

use crate::{
    Database, MigrationTrait, Registry,
    migration::{Mode, hash},
};

/// A migration that was written for sea-orm-migration: its `up` is run, its `down` never.
///
/// Its [`description`](MigrationTrait::description) is its name there. It runs outside a transaction where its
/// `use_transaction` is `Some(false)`, and in one otherwise. sea-orm-migration itself uses none on SQLite unless
/// told to; here a migration that fails half way leaves nothing behind, and, as for every migration, foreign keys are not
/// enforced there meanwhile.
pub struct SeaOrmMigration {
    former: Box<dyn Former>,
    /// The migrator that it comes from, and its place there.
    origin: Option<(TypeId, usize)>,
}

impl SeaOrmMigration {
    /// Takes one migration; [`Registry::from_migrator`] takes all of a migrator.
    #[must_use]
    pub fn new(former: Box<dyn Former>) -> Self {
        Self { former, origin: None }
    }
}

#[async_trait]
// What somebody's own type lacks is not this.
#[diagnostic::do_not_recommend]
impl MigrationTrait for SeaOrmMigration {
    fn description(&self) -> &str {
        self.former.name()
    }

    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        self.former.up(&db.schema()).await
    }

    fn mode(&self) -> Mode {
        if self.former.use_transaction() == Some(false) { Mode::Outside } else { Mode::Transaction }
    }

    fn replaces(&self) -> Vec<&str> {
        vec![self.former.name()]
    }

    fn identity(&self) -> Option<u64> {
        self.origin.as_ref().map(hash)
    }
}

/// Whether this build makes identity columns of keys, of which version 1 made serial ones: a feature of SeaORM decides.
pub(super) fn makes_identities() -> bool {
    let table = Table::create().table("any").col(pk_auto("id")).take();
    table.to_string(PostgresQueryBuilder).contains("IDENTITY")
}

impl Registry {
    /// The migrations that were written for sea-orm-migration, as [`SeaOrmMigration`]s, in the migrator's order.
    ///
    /// New migrations go on behind them: `registry![..Registry::from_migrator::<Migrator>(), m0012]`. A database that
    /// sea-orm-migration has migrated is taken over by [`adopt`](Self::adopt), which knows the migrator's
    /// `migration_table_name`.
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
