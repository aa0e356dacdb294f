//! An index that is built beside the traffic.

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};

use crate::Database;

/// Creates an index without locking out writers, and heals what a build that was cut off has left.
///
/// Call it in a migration whose [`transactional`](crate::MigrationTrait::transactional) is false, alone. On PostgreSQL
/// it sends `CREATE INDEX CONCURRENTLY`; an `INVALID` index of that name is dropped first, a valid one is kept, and the
/// result is checked to be valid. (`IF NOT EXISTS` would accept the invalid one, which costs every write and serves no
/// query: <https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY>.) On SQLite it makes
/// a plain index, if there is none of that name.
///
/// `columns` is the list in SQL, expressions and all: `"member_id, lower(task)"`. `name`, `table` and `columns` go into the
/// statement as they are: never build them from input.
///
/// ```no_run
/// use onerow::prelude::*;
///
/// pub struct Migration;
///
/// #[async_trait]
/// impl MigrationTrait for Migration {
///     fn transactional(&self) -> bool {
///         false
///     }
///
///     async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
///         create_index(db, "todos_due", "todos", "due").await
///     }
/// }
/// ```
///
/// # Errors
/// The server's, and one if the index is not valid after all.
pub async fn create_index(db: &Database, name: &str, table: &str, columns: &str) -> Result<(), DbErr> {
    if ConnectionTrait::get_database_backend(db) != DatabaseBackend::Postgres {
        let sql = format!("CREATE INDEX IF NOT EXISTS {name} ON {table} ({columns})");
        return db.execute_unprepared(&sql).await.map(|_| ());
    }
    match is_valid(db, name).await? {
        Some(true) => return Ok(()),
        Some(false) => {
            db.execute_unprepared(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}")).await?;
        }
        None => (),
    }
    db.execute_unprepared(&format!("CREATE INDEX CONCURRENTLY {name} ON {table} ({columns})")).await?;
    match is_valid(db, name).await? {
        Some(true) => Ok(()),
        _ => Err(DbErr::Migration(format!("the index {name} is not valid after it was built"))),
    }
}

/// Whether queries use the index; `None` if there is none of that name.
async fn is_valid(db: &Database, name: &str) -> Result<Option<bool>, DbErr> {
    let sql = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{name}')");
    let row = db.query_one_raw(Statement::from_string(DatabaseBackend::Postgres, sql)).await?;
    row.map(|row| row.try_get("", "indisvalid")).transpose()
}
