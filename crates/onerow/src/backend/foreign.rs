//! Tables that are not onerow's, read without running what their owners put there.

use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, Statement};

use crate::table::Table;

/// SQL that is written for PostgreSQL, with each name in `pg_catalog`, as this database takes it.
///
/// An operator without its schema is looked for in `public` too, where in databases from before PostgreSQL 15 any role may have
/// put one that fits better. Written out, nobody could read the statements.
pub(crate) fn qualified(backend: DatabaseBackend, sql: &str) -> String {
    if backend != DatabaseBackend::Postgres {
        return sql.replace("pg_catalog.", "");
    }
    let qualify = |sql: String, operator| {
        sql.replace(&format!(" {operator} "), &format!(" OPERATOR(pg_catalog.{operator}) "))
    };
    ["=", "<>", "<=", ">", "+", "||"].into_iter().fold(sql.to_owned(), qualify)
}

/// Why to read this table would run what its owner says, with the rights of who reads it: the functions of a view, of a row's
/// security, of a cast from a type that is not the server's. `None` if it would not.
///
/// The table stays as it is for as long as the transaction lasts.
pub(crate) async fn danger(
    transaction: &DatabaseTransaction,
    table: &Table,
) -> Result<Option<String>, DbErr> {
    let backend = transaction.get_database_backend();
    if backend != DatabaseBackend::Postgres {
        return Ok(None);
    }
    let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", table.sql());
    transaction.execute_unprepared(&lock).await?;
    let query = Statement::from_sql_and_values(backend, qualified(backend, DANGER), [table.sql().into()]);
    let found = transaction.query_one_raw(query).await?;
    found.map_or(Ok(None), |row| row.try_get_by_index(0))
}

const DANGER: &str = "
    SELECT CASE WHEN c.relkind <> ALL ('{r,p}') THEN 'it is not an ordinary table'
        WHEN pg_catalog.row_security_active(c.oid) THEN 'row-level security hides rows of it from this user'
        WHEN EXISTS (SELECT FROM pg_catalog.pg_attribute a
            JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND t.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace)
            THEN 'a column of it is of a type that is not PostgreSQL''s own' END
    FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1)";

/// The keys that are serial columns, as `table.column`, in the schema of this table.
pub(crate) async fn serial_keys(
    transaction: &DatabaseTransaction,
    table: &Table,
) -> Result<Vec<String>, DbErr> {
    let backend = transaction.get_database_backend();
    if backend != DatabaseBackend::Postgres {
        return Ok(Vec::new());
    }
    let query = Statement::from_sql_and_values(backend, qualified(backend, SERIAL), [table.sql().into()]);
    let rows = transaction.query_all_raw(query).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// A sequence that is a column's own (`a`), whose default takes the next number of it; that of an identity is a part of it (`i`).
const SERIAL: &str = "
    SELECT c.relname || '.' || a.attname
    FROM pg_catalog.pg_class h
    JOIN pg_catalog.pg_class c ON c.relnamespace = h.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.atthasdef AND NOT a.attisdropped
    JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype = 'a'
    JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey)
    WHERE h.oid = pg_catalog.to_regclass($1) AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    ORDER BY c.relname, a.attnum";
