//! Rows as text, the same on every backend.

use sea_orm::{
    DatabaseBackend, DatabaseConnection, DbErr, RuntimeErr,
    sqlx::{self, AssertSqlSafe, Column, Decode, Row, Type, TypeInfo, ValueRef},
};
use std::sync::Arc;

/// The result of a `SELECT`.
#[derive(Debug, Default)]
pub(super) struct Selected {
    /// The names of the columns; none if there is no row.
    pub(super) columns: Vec<String>,
    /// The texts of each row's columns.
    pub(super) rows: Vec<Vec<String>>,
}

pub(super) async fn select(pool: &DatabaseConnection, sql: &str) -> Result<Selected, DbErr> {
    let selected = match pool.get_database_backend() {
        #[cfg(feature = "postgres")]
        DatabaseBackend::Postgres => {
            // The simple protocol answers in text, whatever the type is.
            let rows = sqlx::raw_sql(AssertSqlSafe(sql))
                .fetch_all(pool.get_postgres_connection_pool())
                .await;
            rows.and_then(|rows| selected(&rows))
        }
        #[cfg(feature = "sqlite")]
        DatabaseBackend::Sqlite => {
            let rows = sqlx::raw_sql(AssertSqlSafe(sql))
                .fetch_all(pool.get_sqlite_connection_pool())
                .await;
            rows.and_then(|rows| selected(&rows))
        }
        other => return Err(DbErr::Custom(format!("no rows of {other:?} as text"))),
    };
    selected.map_err(|error| DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))))
}

fn selected<R: Row>(rows: &[R]) -> Result<Selected, sqlx::Error>
where
    usize: sqlx::ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
{
    let columns = rows.first().map_or(&[][..], Row::columns);
    let columns = columns.iter().map(|column| column.name().to_owned()).collect();
    let texts = |row: &R| (0..row.len()).map(|index| text(row, index)).collect();
    Ok(Selected { columns, rows: rows.iter().map(texts).collect::<Result<_, _>>()? })
}

fn text<R: Row>(row: &R, index: usize) -> Result<String, sqlx::Error>
where
    usize: sqlx::ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
{
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok("NULL".into());
    }
    // In SQLite each value has a type of its own. PostgreSQL's `bytea` comes in hexadecimal digits.
    if value.type_info().name() == "BLOB" {
        let bytes: Vec<u8> = row.try_get_unchecked(index)?;
        return Ok(bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")));
    }
    let text: String = row.try_get_unchecked(index)?;
    Ok(match (row.column(index).type_info().name(), &*text) {
        ("BOOL" | "BOOLEAN", "t" | "1") => "true".into(),
        ("BOOL" | "BOOLEAN", "f" | "0") => "false".into(),
        _ => text,
    })
}
