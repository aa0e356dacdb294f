//! What the tests of the migrations read back.

use onerow::prelude::sea_orm::Statement;
use onerow::prelude::*;

/// The one text column that `sql` selects.
pub async fn texts(db: &Database, sql: &str) -> Vec<String> {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let rows = db.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}
