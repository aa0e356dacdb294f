//! Names and literals in SQL, whatever characters they contain.

/// Puts an identifier in double quotes.
#[must_use]
pub fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Makes a string literal of the SQL standard, which SQLite takes.
#[must_use]
pub fn standard_literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// Makes a string literal of PostgreSQL, which does not depend on `standard_conforming_strings`.
#[must_use]
pub fn quoted_literal(value: &str) -> String {
    format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// Names the schema `pg_catalog` for each operator in SQL for PostgreSQL. Written like that in the
/// first place, nobody could read it.
///
/// PostgreSQL looks for an operator without a schema in `public` too. In databases that come from
/// PostgreSQL 14 or before, any role may have put one there that fits better.
#[must_use]
pub fn qualified(sql: &str) -> String {
    let qualify = |sql: String, operator| {
        sql.replace(&format!(" {operator} "), &format!(" OPERATOR(pg_catalog.{operator}) "))
    };
    ["=", "<>", "<=", ">", "+", "||"].into_iter().fold(sql.to_owned(), qualify)
}
