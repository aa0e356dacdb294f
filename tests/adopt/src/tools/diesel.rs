//! diesel_migrations 2.3.

use diesel::{Connection, PgConnection, SqliteConnection, backend::Backend};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};

use super::{GAP, Outcome, Place, path};

/// Applies migrations until the first `count` are applied.
pub async fn migrate(url: &str, count: usize) -> Outcome {
    run(url, Steps::UpTo(count)).await
}

/// Applies all but the third.
pub async fn migrate_with_a_gap(url: &str) -> Outcome {
    run(url, Steps::AllButTheThird).await
}

#[derive(Clone, Copy)]
enum Steps {
    UpTo(usize),
    AllButTheThird,
}

async fn run(url: &str, steps: Steps) -> Outcome {
    let url = url.to_owned();
    let run = move || match Place::of(&url) {
        Place::Postgres(url) => run_on(&mut PgConnection::establish(url)?, steps),
        Place::Sqlite(file) => run_on(&mut SqliteConnection::establish(file)?, steps),
    };
    tokio::task::spawn_blocking(run).await?
}

fn run_on<B: Backend>(database: &mut impl MigrationHarness<B>, steps: Steps) -> Outcome {
    let fixtures = FileBasedMigrations::from_path(path("migrations/diesel"))?;
    match steps {
        Steps::UpTo(count) => {
            for _ in database.applied_migrations()?.len()..count {
                database.run_next_migration(fixtures.clone())?;
            }
        }
        Steps::AllButTheThird => {
            let mut pending = database.pending_migrations(fixtures)?;
            pending.remove(GAP);
            for migration in pending {
                database.run_migration(&migration)?;
            }
        }
    }
    Ok(())
}
