//! sea-orm-migration 2.0, with its schema builder.

mod m20240101_000001_create_members;
mod m20240102_000001_create_posts;
mod m20240103_000001_add_nick;
mod m20240104_000001_compact;
mod m20240105_000001_create_tags;

use sea_orm_migration::{prelude::*, sea_orm::Database};

use super::{GAP, Outcome};

/// Applies migrations until the first `count` are applied.
pub async fn migrate(url: &str, count: usize) -> Outcome {
    let db = Database::connect(url).await?;
    let applied = Migrator::get_applied_migrations(&db).await?.len();
    let steps = count.saturating_sub(applied).try_into()?;
    Migrator::up(&db, Some(steps)).await?;
    Ok(db.close().await?)
}

/// Applies all but the third.
pub async fn migrate_with_a_gap(url: &str) -> Outcome {
    let db = Database::connect(url).await?;
    AllButTheThird::up(&db, None).await?;
    Ok(db.close().await?)
}

/// The fixtures.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20240101_000001_create_members::Migration),
            Box::new(m20240102_000001_create_posts::Migration),
            Box::new(m20240103_000001_add_nick::Migration),
            Box::new(m20240104_000001_compact::Migration),
            Box::new(m20240105_000001_create_tags::Migration),
        ]
    }
}

struct AllButTheThird;

impl MigratorTrait for AllButTheThird {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let mut migrations = Migrator::migrations();
        migrations.remove(GAP);
        migrations
    }
}
