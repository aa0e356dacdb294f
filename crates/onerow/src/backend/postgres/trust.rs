//! Whether the version table is to be trusted: reading or writing it must run nobody else's code.

use onerow_sql::quoted_literal;
use sea_orm::{
    DatabaseConnection, DbErr,
    sqlx::{self, postgres::PgRow},
};

use super::{rows, texts};
use crate::{backend::version_row::Mistrust, driver::query_error, table::TableName};

/// Finds the schema of the table, and why the table is not to be trusted, if it is not.
pub(super) async fn examine(
    pool: &DatabaseConnection,
    table: &TableName,
) -> Result<(Option<String>, Option<Mistrust>), DbErr> {
    let found = rows(pool, &examination(table)).await?;
    found.first().map_or(Ok((None, None)), |row| examined(row).map_err(query_error))
}

/// Asks for the table's schema and owner, and for anything that runs code when the table is read or
/// written.
fn examination(table: &TableName) -> String {
    format!(
        "SELECT n.nspname, o.rolname, {}, \
         {SUPERUSER} OR pg_catalog.pg_has_role({DATABASE_OWNER}, 'MEMBER'), \
         pg_catalog.row_security_active(c.oid), \
         CASE WHEN c.relkind OPERATOR(pg_catalog.<>) 'r' THEN 'is not an ordinary table' \
         WHEN c.relhasrules THEN 'has a rule' \
         WHEN c.relhastriggers THEN \
         (SELECT 'has the trigger ' OPERATOR(pg_catalog.||) tgname::pg_catalog.text \
         FROM pg_catalog.pg_trigger \
         WHERE tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT tgisinternal LIMIT 1) END \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
         JOIN pg_catalog.pg_roles o ON o.oid OPERATOR(pg_catalog.=) c.relowner \
         WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})",
        trusted(),
        quoted_literal(&table.sql())
    )
}

/// The statements, each with a semicolon, that keep triggers and rules off a table until the
/// transaction ends, and fail unless it is a plain table of a role that is trusted.
pub(super) fn refuse_untrusted(table: &TableName) -> String {
    format!(
        "{}; SELECT coalesce((SELECT CASE WHEN {PLAIN} AND {} THEN '1' END \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_roles o ON o.oid OPERATOR(pg_catalog.=) c.relowner \
         WHERE c.oid OPERATOR(pg_catalog.=) {}::pg_catalog.regclass), \
         'onerow: the table is not to be trusted')::pg_catalog.int4; ",
        lock(table),
        trusted(),
        quoted_literal(&table.sql())
    )
}

/// The statements, each with a semicolon, that keep triggers off a table until the transaction ends,
/// and fail if one is there whose code is of a role that is not trusted. Such a role may have got
/// the right to make it by a `GRANT ALL`, and may have done so since the run looked.
pub(super) fn refuse_foreign_triggers(table: &TableName) -> String {
    format!(
        "{}; SELECT (CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_trigger t \
         JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid \
         JOIN pg_catalog.pg_roles o ON o.oid OPERATOR(pg_catalog.=) p.proowner \
         WHERE t.tgrelid OPERATOR(pg_catalog.=) {}::pg_catalog.regclass \
         AND NOT t.tgisinternal AND NOT {}) \
         THEN 'onerow: the version table has a trigger of a role that is not trusted' \
         ELSE '1' END)::pg_catalog.int4; ",
        lock(table),
        quoted_literal(&table.sql()),
        trusted()
    )
}

/// Whether writing to the table `c` runs no code.
const PLAIN: &str = "(c.relkind OPERATOR(pg_catalog.=) 'r' AND NOT c.relhasrules \
    AND (NOT c.relhastriggers OR NOT EXISTS (SELECT FROM pg_catalog.pg_trigger \
    WHERE tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT tgisinternal)))";

/// Whether the role `o` is trusted. (A superuser is a member of every role.)
fn trusted() -> String {
    format!(
        "(o.rolsuper OR o.rolname OPERATOR(pg_catalog.=) current_user \
         OR o.oid OPERATOR(pg_catalog.=) {DATABASE_OWNER} \
         OR (NOT {SUPERUSER} AND pg_catalog.pg_has_role(o.oid, 'MEMBER')))"
    )
}

/// Locks a table as a write does, so that nobody can put a trigger or a rule on it.
fn lock(table: &TableName) -> String {
    format!("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE", table.sql())
}

const DATABASE_OWNER: &str = "(SELECT datdba FROM pg_catalog.pg_database \
    WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())";

const SUPERUSER: &str = "(pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on')";

fn examined(row: &PgRow) -> Result<(Option<String>, Option<Mistrust>), sqlx::Error> {
    let [schema, owner, trusted, privileged, row_security, code] = texts(row)?
        .try_into()
        .map_err(|_| sqlx::Error::Protocol("the examination of a table has six columns".into()))?;
    let is = |text: Option<String>| text.as_deref() == Some("t");
    let (trusted, privileged, row_security) = (is(trusted), is(privileged), is(row_security));
    let mistrust = match code {
        None if trusted => None,
        None if row_security => Some(Mistrust::Hidden),
        // A user with many rights must not even believe the version of an owner with few: that
        // owner could pretend that there is nothing to do.
        has => Some(Mistrust::Foreign {
            owner: owner.unwrap_or_default(),
            has,
            even_to_read: !trusted && privileged,
        }),
    };
    Ok((schema, mistrust))
}
