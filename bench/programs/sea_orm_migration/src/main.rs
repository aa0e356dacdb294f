//! The smallest program with sea-orm-migration.

use std::sync::OnceLock;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{Database, TransactionTrait},
};
use stopwatch::{Stopwatch, Task};

/// The migrator is a type without a value, and lists its migrations several times in a run.
static MIGRATIONS: OnceLock<Vec<ddl::Migration>> = OnceLock::new();

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let migrations = MIGRATIONS.get().into_iter().flatten();
        migrations.map(|migration| Box::new(Migration(*migration)) as _).collect()
    }
}

struct Migration(ddl::Migration);

impl MigrationName for Migration {
    fn name(&self) -> &str {
        self.0.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(self.0.sql).await.map(drop)
    }
}

#[tokio::main]
async fn main() -> Result<(), DbErr> {
    let task = Task::read();
    MIGRATIONS.get_or_init(|| ddl::migrations(task.count));

    let stopwatch = Stopwatch::start();
    let db = Database::connect(&task.url).await?;
    let stopwatch = stopwatch.connected();
    if task.mode == "grouped" {
        let transaction = db.begin().await?;
        Migrator::up(&transaction, None).await?;
        transaction.commit().await?;
    } else {
        Migrator::up(&db, None).await?;
    }
    stopwatch.migrated();
    db.close().await
}
