//! The smallest program with diesel_migrations.

use std::{error::Error, fmt};

use diesel::{
    Connection, PgConnection,
    backend::Backend,
    connection::BoxableConnection,
    migration::{self, MigrationMetadata, MigrationName, MigrationSource, MigrationVersion},
};
use diesel_migrations::MigrationHarness;
use stopwatch::{Stopwatch, Task};

struct Migrations(Vec<ddl::Migration>);

impl<DB: Backend> MigrationSource<DB> for Migrations {
    fn migrations(&self) -> migration::Result<Vec<Box<dyn migration::Migration<DB>>>> {
        Ok(self.0.iter().map(|migration| Box::new(Migration(Name(*migration))) as _).collect())
    }
}

struct Migration(Name);

impl<DB: Backend> migration::Migration<DB> for Migration {
    fn run(&self, connection: &mut dyn BoxableConnection<DB>) -> migration::Result<()> {
        Ok(connection.batch_execute(self.0.0.sql)?)
    }

    fn revert(&self, _: &mut dyn BoxableConnection<DB>) -> migration::Result<()> {
        Err("there is no way back".into())
    }

    fn metadata(&self) -> &dyn MigrationMetadata {
        &InTransaction
    }

    fn name(&self) -> &dyn MigrationName {
        &self.0
    }
}

struct InTransaction;

impl MigrationMetadata for InTransaction {}

struct Name(ddl::Migration);

impl MigrationName for Name {
    fn version(&self) -> MigrationVersion<'_> {
        // These are the digits before the underscore, as in the name of a directory of migrations.
        self.0.name[1..6].into()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let task = Task::read();
    let migrations = Migrations(ddl::migrations(task.count));

    let stopwatch = Stopwatch::start();
    #[cfg(feature = "sqlite")]
    if let Some(path) = task.sqlite_path() {
        let mut connection = diesel::SqliteConnection::establish(path)?;
        let stopwatch = stopwatch.connected();
        connection.run_pending_migrations(migrations)?;
        stopwatch.migrated();
        return Ok(());
    }
    let mut connection = PgConnection::establish(&task.url)?;
    let stopwatch = stopwatch.connected();
    connection.run_pending_migrations(migrations)?;
    stopwatch.migrated();
    Ok(())
}
