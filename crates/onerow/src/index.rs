//! An index that is built beside the traffic.

use sea_orm::DbErr;

use crate::{Database, Error, backend};

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
    let outside =
        |error: Error| DbErr::Migration(format!("an index is created outside a transaction: {error}"));
    let pool = db.connection().map_err(outside)?;
    backend::of(pool).map_err(outside)?.create_index(pool, name, table, columns).await
}
