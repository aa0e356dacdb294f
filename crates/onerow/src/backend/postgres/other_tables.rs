//! The tables of other tools on PostgreSQL.

use async_trait::async_trait;
use onerow_sql::{qualified, quoted_literal};
use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, Statement};

use super::session::PostgresSession;
use crate::{
    backend::{other_tables::OtherTables, session::Session},
    table::TableName,
};

/// Why reading a table would run its owner's code.
const DANGER: &str = "
    SELECT CASE WHEN c.relkind <> ALL ('{r,p}') THEN 'it is not an ordinary table'
        WHEN pg_catalog.row_security_active(c.oid)
            THEN 'row-level security hides rows of it from this user'
        WHEN EXISTS (SELECT FROM pg_catalog.pg_attribute a
            JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND t.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace)
            THEN 'a column of it is of a type that is not PostgreSQL''s own' END
    FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1)";

/// The primary keys whose default takes the next number of their own sequence. Such a sequence
/// depends on its column by `a`; the sequence of an identity is a part of its column, by `i`.
const SERIAL: &str = "
    SELECT c.relname || '.' || a.attname
    FROM pg_catalog.pg_class h
    JOIN pg_catalog.pg_class c ON c.relnamespace = h.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.atthasdef AND NOT a.attisdropped
    JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype = 'a'
    JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary
        AND a.attnum = ANY (i.indkey)
    WHERE h.oid = pg_catalog.to_regclass($1)
        AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    ORDER BY c.relname, a.attnum";

#[async_trait]
impl OtherTables for PostgresSession {
    fn dialect(&self, sql: &str) -> String {
        qualified(sql)
    }

    fn hexadecimal(&self, column: &str) -> String {
        format!("pg_catalog.encode({column}, 'hex')")
    }

    async fn columns(
        &self,
        transaction: &DatabaseTransaction,
        table: &TableName,
    ) -> Result<Vec<String>, DbErr> {
        let sql = format!(
            "SELECT attname::pg_catalog.text FROM pg_catalog.pg_attribute
             WHERE attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})
             AND attnum OPERATOR(pg_catalog.>) 0 AND NOT attisdropped",
            quoted_literal(&table.sql())
        );
        let rows = transaction
            .query_all_raw(Statement::from_string(DatabaseBackend::Postgres, sql))
            .await?;
        rows.iter().map(|row| row.try_get_by_index(0)).collect()
    }

    async fn schema_of(
        &self,
        transaction: &DatabaseTransaction,
        table: &TableName,
    ) -> Result<Option<String>, DbErr> {
        let schema =
            table.schema().map_or_else(|| "pg_catalog.current_schema()".to_owned(), quoted_literal);
        let sql = format!(
            "SELECT coalesce((SELECT n.nspname FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
             WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})),
             {schema})::pg_catalog.text",
            quoted_literal(&table.sql())
        );
        let row = transaction
            .query_one_raw(Statement::from_string(DatabaseBackend::Postgres, sql))
            .await?;
        row.map_or(Ok(None), |row| row.try_get_by_index(0))
    }

    async fn begin_reading(&self) -> Result<DatabaseTransaction, DbErr> {
        self.begin().await
    }

    async fn lock_out_writers(
        &self,
        transaction: &DatabaseTransaction,
        table: &TableName,
    ) -> Result<(), DbErr> {
        // `SHARE` would let quart-db hold its row, which it does while a migration runs.
        let lock = format!("LOCK TABLE {} IN EXCLUSIVE MODE NOWAIT", table.sql());
        transaction.execute_unprepared(&lock).await.map(drop)
    }

    async fn danger(
        &self,
        transaction: &DatabaseTransaction,
        table: &TableName,
    ) -> Result<Option<String>, DbErr> {
        let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", table.sql());
        transaction.execute_unprepared(&lock).await?;
        let found = transaction.query_one_raw(about(DANGER, table)).await?;
        found.map_or(Ok(None), |row| row.try_get_by_index(0))
    }

    async fn serial_keys(
        &self,
        transaction: &DatabaseTransaction,
        table: &TableName,
    ) -> Result<Vec<String>, DbErr> {
        let rows = transaction.query_all_raw(about(SERIAL, table)).await?;
        rows.iter().map(|row| row.try_get_by_index(0)).collect()
    }
}

/// A question about a table, which is its `$1`.
fn about(sql: &str, table: &TableName) -> Statement {
    Statement::from_sql_and_values(DatabaseBackend::Postgres, qualified(sql), [table.sql().into()])
}
