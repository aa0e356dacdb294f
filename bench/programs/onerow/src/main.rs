//! The smallest program with onerow.

use onerow::prelude::*;
use stopwatch::{Stopwatch, Task};

struct Migration(ddl::Migration);

#[async_trait]
impl MigrationTrait for Migration {
    fn description(&self) -> &str {
        self.0.name
    }

    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared(self.0.sql).await.map(drop)
    }
}

#[tokio::main]
async fn main() -> Result<(), onerow::Error> {
    let task = Task::read();
    let migrations = ddl::migrations(task.count).into_iter();
    let registry =
        Registry::new(migrations.map(|migration| Box::new(Migration(migration)) as _).collect());

    let stopwatch = Stopwatch::start();
    let db = Database::connect(&task.url).await?;
    let stopwatch = stopwatch.connected();
    registry.up(&db).await?;
    stopwatch.migrated();
    db.disconnect().await
}
