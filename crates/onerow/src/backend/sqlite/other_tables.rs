//! The tables of other tools on SQLite. There are no schemas, and reading a table runs no code.

use async_trait::async_trait;
use sea_orm::{DatabaseTransaction, DbErr, TransactionTrait};

use super::{rows, session::SqliteSession};
use crate::{backend::other_tables::OtherTables, table::TableName};

#[async_trait]
impl OtherTables for SqliteSession {
    fn dialect(&self, sql: &str) -> String {
        sql.replace("pg_catalog.", "")
    }

    fn hexadecimal(&self, column: &str) -> String {
        format!("hex({column})")
    }

    async fn columns(
        &self,
        transaction: &DatabaseTransaction,
        table: &TableName,
    ) -> Result<Vec<String>, DbErr> {
        let sql = "SELECT name FROM pragma_table_info(?)";
        let rows = rows(transaction, sql, table.name()).await?;
        rows.iter().map(|row| row.try_get_by_index(0)).collect()
    }

    async fn begin_reading(&self) -> Result<DatabaseTransaction, DbErr> {
        self.pool.begin().await
    }
}
