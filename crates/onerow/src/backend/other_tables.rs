//! The tables of other tools, read without running their owners' code.

use async_trait::async_trait;
use sea_orm::{DatabaseTransaction, DbErr};

use crate::table::TableName;

/// Reads the tables of other tools. By default there are no schemas, and tables hold no code.
#[async_trait]
pub(crate) trait OtherTables: Send + Sync {
    /// Translates SQL that is written for PostgreSQL, with each name in `pg_catalog`.
    fn dialect(&self, sql: &str) -> String;

    /// The SQL that gives a column of bytes as hexadecimal digits.
    fn hexadecimal(&self, column: &str) -> String;

    /// The columns of a table; empty if there is no such table.
    async fn columns(
        &self,
        transaction: &DatabaseTransaction,
        table: &TableName,
    ) -> Result<Vec<String>, DbErr>;

    /// The schema that a table is in, or would be made in, if there are schemas.
    async fn schema_of(
        &self,
        _: &DatabaseTransaction,
        _: &TableName,
    ) -> Result<Option<String>, DbErr> {
        Ok(None)
    }

    /// Begins a transaction that reads, and does not wait long for a lock.
    async fn begin_reading(&self) -> Result<DatabaseTransaction, DbErr>;

    /// Keeps others from writing to a table and from holding its rows, while the transaction lasts.
    /// It does not wait for them. By default a transaction that writes does that by itself.
    async fn lock_out_writers(&self, _: &DatabaseTransaction, _: &TableName) -> Result<(), DbErr> {
        Ok(())
    }

    /// Why reading this table is dangerous: it would run its owner's code with the reader's rights.
    /// The code may be in a view, in row-level security, or in a cast from a type that is not the
    /// server's own. `None` if reading is safe; the table stays so while the transaction lasts.
    async fn danger(
        &self,
        _: &DatabaseTransaction,
        _: &TableName,
    ) -> Result<Option<String>, DbErr> {
        Ok(None)
    }

    /// The primary keys that are serial columns, in the schema of this table, as `table.column`.
    async fn serial_keys(
        &self,
        _: &DatabaseTransaction,
        _: &TableName,
    ) -> Result<Vec<String>, DbErr> {
        Ok(Vec::new())
    }
}
