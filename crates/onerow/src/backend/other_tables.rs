//! Tables that are not onerow's, read without running what their owners put there.

use async_trait::async_trait;
use sea_orm::{DatabaseTransaction, DbErr};

use crate::table::TableName;

/// Reads the tables of other tools. By default there are no schemas, and no code in tables.
#[async_trait]
pub(crate) trait OtherTables: Send + Sync {
    /// SQL that is written for PostgreSQL, with each name in `pg_catalog`, as this database takes it.
    fn dialect(&self, sql: &str) -> String;

    /// A column of bytes as hexadecimal digits.
    fn hexadecimal(&self, column: &str) -> String;

    /// The columns of a table; none if there is no such table.
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

    /// Begins a transaction that reads, and waits for no lock for long.
    async fn begin_reading(&self) -> Result<DatabaseTransaction, DbErr>;

    /// Keeps others from writing to a table, and from holding rows of it, without waiting, for as long as
    /// the transaction lasts. By default a transaction that writes does that by itself.
    async fn lock_out_writers(&self, _: &DatabaseTransaction, _: &TableName) -> Result<(), DbErr> {
        Ok(())
    }

    /// Why reading this table would run what its owner says, with the rights of the reader: the
    /// functions of a view, of row-level security, of a cast from a type that is not the server's.
    /// `None` if it would not. The table stays as it is for as long as the transaction lasts.
    async fn danger(
        &self,
        _: &DatabaseTransaction,
        _: &TableName,
    ) -> Result<Option<String>, DbErr> {
        Ok(None)
    }

    /// The keys that are serial columns, as `table.column`, in the schema of this table.
    async fn serial_keys(
        &self,
        _: &DatabaseTransaction,
        _: &TableName,
    ) -> Result<Vec<String>, DbErr> {
        Ok(Vec::new())
    }
}
