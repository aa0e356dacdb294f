//! SQLite.

mod connecting;
mod databases;
mod facts;
mod grouping;
mod index;
mod ledger;
mod orphans;
mod other_tables;
mod seen;
mod session;
mod settling;
mod stage;
mod storage;
mod version_row;

use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, QueryResult, Statement, Value,
};

/// SQLite as a backend.
pub(super) struct Sqlite;

/// The rows of a query in this transaction, with the value of its `?`.
async fn rows(
    transaction: &DatabaseTransaction,
    sql: &str,
    value: impl Into<Value>,
) -> Result<Vec<QueryResult>, DbErr> {
    let query = Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, [value.into()]);
    transaction.query_all_raw(query).await
}

/// A statement that fails if the condition holds, followed by a semicolon: the least integer has no
/// absolute value (<https://sqlite.org/lang_corefunc.html#abs>). It gives no row, since SQLite's
/// driver sends each row as a message of its own.
fn refuse_if(condition: &str) -> String {
    format!("SELECT 1 WHERE abs(-9223372036854775807 - ({condition})) IS NULL; ")
}
