//! What the tools leave behind, and do next, if something goes wrong.

use ::sqlx::{
    SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};
use adopt_tests::{
    MIGRATIONS, Tool,
    tools::{quart_db, sqlx},
};
use onerow_testing::{Backend, TestDatabase, on_every_backend};
use sea_orm_migration::prelude::{
    ConnectionTrait, DbErr, MigrationName, MigrationTrait, MigratorTrait, SchemaManager,
    async_trait,
};

use crate::support::migrated;

const HALF: &str = "CREATE TABLE half (id INTEGER); CREATE TABLE half (id INTEGER)";

on_every_backend! {
    /// PostgreSQL runs statements that are sent together in one transaction.
    async fn half_of_an_sqlx_migration_outside_a_transaction_stays_on_sqlite_and_no_row_tells(
        backend: Backend,
    ) {
        let db = backend.empty_database().await;
        let half =
            Migration::new(1, "half".into(), MigrationType::Simple, HALF.into_sql_str(), true);
        let error = sqlx::run(db.url(), &Migrator::with_migrations(vec![half])).await.unwrap_err();
        assert!(matches!(error, MigrateError::ExecuteMigration(_, 1)), "{error:?}");
        assert_eq!(db.schema().has_table("half").await.unwrap(), backend == Backend::Sqlite);
        assert_eq!(rows(&db, Tool::Sqlx).await, 0);
    }

    async fn sqlx_stops_at_a_row_without_success(backend: Backend) {
        let db = migrated(backend, Tool::Sqlx, 2).await;
        db.sql("UPDATE _sqlx_migrations SET success = FALSE WHERE version = 20240102000000").await;
        let error = Tool::Sqlx.try_migrate(db.url(), MIGRATIONS).await.unwrap_err();
        assert!(
            error.to_string().starts_with("migration 20240102000000 is partially applied"),
            "{error}"
        );
    }

    /// That is so unless the migration asks for a transaction.
    async fn half_of_a_sea_orm_migration_stays_on_sqlite_and_no_row_tells(db: TestDatabase) {
        let connection = sea_orm_migration::sea_orm::Database::connect(db.url()).await.unwrap();
        HalfMigrator::up(&connection, None).await.unwrap_err();
        let sqlite = db.url().starts_with("sqlite");
        assert_eq!(db.schema().has_table("half").await.unwrap(), sqlite);
        assert_eq!(rows(&db, Tool::SeaOrm).await, 0);
    }

    async fn a_migration_that_comes_late_is_applied_by_all_but_refinery(backend: Backend) {
        for tool in Tool::RUST {
            let db = backend.empty_database().await;
            tool.migrate_with_a_gap(db.url()).await;
            assert_eq!(rows(&db, tool).await, 4, "{tool:?}");
            let outcome = tool.try_migrate(db.url(), MIGRATIONS).await;
            assert_eq!(outcome.is_ok(), tool != Tool::Refinery, "{outcome:?}");
            assert_eq!(rows(&db, tool).await, if outcome.is_ok() { 5 } else { 4 }, "{tool:?}");
        }
    }

    /// 0.11 fails while it converts the table; 0.12 does not try.
    async fn quart_db_stops_at_the_table_of_0_10_from_0_11_on(backend: Backend) {
        if quart_db::is_wanted() {
            let db = migrated(backend, Tool::QuartDb("0.10.1"), 3).await;
            for version in ["0.11.1", "0.12.0"] {
                let error =
                    Tool::QuartDb(version).try_migrate(db.url(), MIGRATIONS).await.unwrap_err();
                assert!(error.to_string().contains("Error during startup"), "{error}");
                let row = "SELECT background, data_loaded, foreground FROM schema_migration";
                assert_eq!(db.rows(row).await, ["2|false|2"]);
            }
        }
    }
}

async fn rows(db: &TestDatabase, tool: Tool) -> usize {
    db.rows(&format!("SELECT 1 FROM {}", tool.table())).await.len()
}

struct Half;

impl MigrationName for Half {
    fn name(&self) -> &'static str {
        "m20240101_000001_half"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Half {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(HALF).await.map(drop)
    }
}

struct HalfMigrator;

impl MigratorTrait for HalfMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Half)]
    }
}
