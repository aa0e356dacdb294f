//! The smallest program with refinery.

use std::error::Error;

use refinery::{Migration, Runner};
use stopwatch::{Stopwatch, Task};
use tokio_postgres::NoTls;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let task = Task::read();
    let migrations: Result<Vec<_>, _> = ddl::migrations(task.count).iter().map(migration).collect();
    let runner = Runner::new(&migrations?).set_grouped(task.mode == "grouped");

    let stopwatch = Stopwatch::start();
    #[cfg(feature = "sqlite")]
    if let Some(path) = task.sqlite_path() {
        let mut connection = rusqlite::Connection::open(path)?;
        let stopwatch = stopwatch.connected();
        runner.run(&mut connection)?;
        stopwatch.migrated();
        return Ok(());
    }
    let (mut client, connection) = tokio_postgres::connect(&task.url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let stopwatch = stopwatch.connected();
    runner.run_async(&mut client).await?;
    stopwatch.migrated();
    drop(client);
    Ok(connection.await??)
}

fn migration(migration: &ddl::Migration) -> Result<Migration, refinery::Error> {
    // Its versions begin at 1.
    Migration::unapplied(&format!("V{}__{}", migration.number + 1, migration.name), migration.sql)
}
