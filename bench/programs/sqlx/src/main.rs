//! The smallest program with the migrator of sqlx.

use std::error::Error;

use sqlx::{
    PgPool, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};
use stopwatch::{Stopwatch, Task};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let task = Task::read();
    let migrator =
        Migrator::with_migrations(ddl::migrations(task.count).into_iter().map(migration).collect());

    let stopwatch = Stopwatch::start();
    #[cfg(feature = "sqlite")]
    if task.sqlite_path().is_some() {
        let pool = sqlx::SqlitePool::connect(&task.url).await?;
        let stopwatch = stopwatch.connected();
        migrator.run(&pool).await?;
        stopwatch.migrated();
        pool.close().await;
        return Ok(());
    }
    let pool = PgPool::connect(&task.url).await?;
    let stopwatch = stopwatch.connected();
    migrator.run(&pool).await?;
    stopwatch.migrated();
    pool.close().await;
    Ok(())
}

fn migration(migration: ddl::Migration) -> Migration {
    let sql = migration.sql.into_sql_str();
    Migration::new(
        migration.number.into(),
        migration.name.into(),
        MigrationType::Simple,
        sql,
        false,
    )
}
