//! Migrations that were written for sea-orm-migration.

use onerow::{ErrorKind, Registry, Tool};
use onerow_testing::{TestDatabase, on_every_backend};
use sea_orm_migration::{MigrationTrait, MigratorTrait, prelude::*, sea_orm::DynIden};

use crate::support::{assert_failed, assert_rolled_back, has_table, version};

/// A migration of this SQL, with this wish.
struct Former(&'static str, &'static str, Option<bool>);

impl MigrationName for Former {
    fn name(&self) -> &str {
        self.0
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Former {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(self.1).await.map(drop)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        panic!("nothing goes down")
    }

    fn use_transaction(&self) -> Option<bool> {
        self.2
    }
}

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Former("m20240101_000001_todos", "CREATE TABLE todos (id INTEGER)", None)),
            Box::new(Former("m20240102_000001_tags", "CREATE TABLE tags (id INTEGER)", Some(true))),
            Box::new(Former("m20240103_000001_compact", "VACUUM", Some(false))),
        ]
    }

    fn migration_table_name() -> DynIden {
        "Former migrations".into_iden()
    }
}

fn broken(wish: Option<bool>) -> Registry {
    let sql = "CREATE TABLE half (id INTEGER); SELECT nothing";
    let former = Box::new(Former("m20240101_000001_broken", sql, wish));
    Registry::new(vec![Box::new(onerow::SeaOrmMigration::new(former))])
}

on_every_backend! {
    async fn they_run_unchanged_each_with_its_wish_for_a_transaction(db: TestDatabase) {
        let registry = Registry::from_migrator::<Migrator>();

        registry.up(&db).await.unwrap();

        let status = registry.status(&db).await.unwrap();
        let names: Vec<_> = status.migrations.iter().map(|one| one.description.as_str()).collect();
        assert_eq!(
            names,
            ["m20240101_000001_todos", "m20240102_000001_tags", "m20240103_000001_compact"]
        );
        assert!(has_table(&db, "tags").await);
        assert!(!has_table(&db, "Former migrations").await);
    }

    async fn one_without_a_wish_leaves_nothing_behind_when_it_fails(db: TestDatabase) {
        for wish in [None, Some(true)] {
            let error = broken(wish).up(&db).await.unwrap_err();
            assert_rolled_back(&error, 0, -1);
            assert!(!has_table(&db, "half").await);
        }
        let error = broken(Some(false)).up(&db).await.unwrap_err();
        assert_failed(&error, 0, -1);
        assert!(error.to_string().contains("outside a transaction"), "{error}");
    }

    async fn what_it_has_applied_is_found_in_the_migrators_own_table(db: TestDatabase) {
        let former = sea_orm::Database::connect(db.url()).await.unwrap();
        Migrator::up(&former, Some(2)).await.unwrap();
        let registry = Registry::from_migrator::<Migrator>();

        let error = registry.up(&db).await.unwrap_err();
        let found = (error.kind(), error.table());
        assert_eq!(found, (ErrorKind::Unadopted, Some("Former migrations")), "{error:?}");
        let adoption = registry.adopt(&db).await.unwrap();

        assert_eq!(adoption.tool, Some((Tool::SeaOrmMigration, "Former migrations".into())));
        assert_eq!(registry.up(&db).await.unwrap().applied.len(), 1);
        assert_eq!(version(&*db).await, 2);
    }
}
