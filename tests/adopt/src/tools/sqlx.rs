//! sqlx 0.9.

use sqlx::{
    Connection, PgConnection, SqliteConnection,
    migrate::{MigrateError, Migrator},
};

use super::{GAP, Outcome, Place, path};

/// Applies migrations until the first `count` are applied.
pub async fn migrate(url: &str, count: usize) -> Outcome {
    let fixtures = fixtures().await?;
    let target = versions(&fixtures).take(count).last().unwrap_or(0);
    Ok(run_to(target, url, &fixtures).await?)
}

/// Applies all but the third.
pub async fn migrate_with_a_gap(url: &str) -> Outcome {
    let fixtures = fixtures().await?;
    let late = versions(&fixtures).nth(GAP);
    let others =
        fixtures.iter().filter(|migration| Some(migration.version) != late).cloned().collect();
    Ok(run(url, &Migrator::with_migrations(others)).await?)
}

/// Applies migrations that are not fixtures.
pub async fn run(url: &str, migrator: &Migrator) -> Result<(), MigrateError> {
    run_to(i64::MAX, url, migrator).await
}

async fn run_to(target: i64, url: &str, migrator: &Migrator) -> Result<(), MigrateError> {
    match Place::of(url) {
        Place::Postgres(_) => migrator.run_to(target, &mut PgConnection::connect(url).await?).await,
        Place::Sqlite(_) => {
            migrator.run_to(target, &mut SqliteConnection::connect(url).await?).await
        }
    }
}

async fn fixtures() -> Result<Migrator, MigrateError> {
    Migrator::new(path("migrations/sqlx")).await
}

/// Files that undo a migration are left out.
fn versions(migrator: &Migrator) -> impl Iterator<Item = i64> {
    let up = migrator.iter().filter(|migration| migration.migration_type.is_up_migration());
    up.map(|migration| migration.version)
}
