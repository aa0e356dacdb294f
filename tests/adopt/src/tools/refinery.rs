//! refinery 0.10, on the drivers rusqlite and tokio-postgres.

use refinery::{Error, Migration, Runner, Target, load_sql_migrations};
use rusqlite::Connection;
use tokio_postgres::NoTls;

use super::{GAP, Outcome, Place, path};

/// Applies migrations until the first `count` are applied.
pub async fn migrate(url: &str, count: usize) -> Outcome {
    let target = Target::Version(count.try_into()?);
    run(url, &Runner::new(&fixtures()?).set_target(target)).await
}

/// Applies all but the third.
pub async fn migrate_with_a_gap(url: &str) -> Outcome {
    let mut fixtures = fixtures()?;
    fixtures.remove(GAP);
    run(url, &Runner::new(&fixtures)).await
}

async fn run(url: &str, runner: &Runner) -> Outcome {
    match Place::of(url) {
        Place::Postgres(url) => {
            let (mut client, connection) = tokio_postgres::connect(url, NoTls).await?;
            tokio::spawn(connection);
            runner.run_async(&mut client).await?;
        }
        Place::Sqlite(file) => drop(runner.run(&mut Connection::open(file)?)?),
    }
    Ok(())
}

fn fixtures() -> Result<Vec<Migration>, Error> {
    load_sql_migrations(path("migrations/refinery"))
}
