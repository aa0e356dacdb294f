//! The same statements on a bare connection: the least that any migrator needs.
//!
//! `nothing` reads one row, which is enough to see that there is nothing to do. `each` makes every
//! migration by itself, `one` makes all at once. On PostgreSQL these are a message for each, and
//! one message; on SQLite a transaction for each, and one transaction.

use std::error::Error;

use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use stopwatch::{Stopwatch, Task};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let task = Task::read();
    let texts: Vec<_> = ddl::migrations(task.count).iter().map(|migration| migration.sql).collect();
    let one = texts.join(";");
    let messages = match task.mode.as_str() {
        "nothing" => vec![ddl::VERSION],
        "each" => texts,
        "one" => vec![one.as_str()],
        mode => return Err(format!("there is no mode {mode}").into()),
    };

    let stopwatch = Stopwatch::start();
    #[cfg(feature = "sqlite")]
    if task.sqlite_path().is_some() {
        let mut connection = sqlx::SqliteConnection::connect(&task.url).await?;
        let stopwatch = stopwatch.connected();
        for message in messages {
            // PostgreSQL does this with each message by itself.
            let transaction = format!("BEGIN; {message}; COMMIT");
            let text = if task.mode == "nothing" { message.to_owned() } else { transaction };
            raw_sql(AssertSqlSafe(text)).execute(&mut connection).await?;
        }
        stopwatch.migrated();
        return Ok(connection.close().await?);
    }
    let mut connection = PgConnection::connect(&task.url).await?;
    let stopwatch = stopwatch.connected();
    for message in messages {
        raw_sql(AssertSqlSafe(message)).execute(&mut connection).await?;
    }
    stopwatch.migrated();
    Ok(connection.close().await?)
}
