//! PostgreSQL.

mod connecting;
mod databases;
mod engine;
mod index;
mod other_tables;
mod reaching;
mod session;
mod trust;
mod version_row;
mod watching;

use onerow_sql::quoted_literal;
use sea_orm::{
    DatabaseConnection, DbErr,
    sqlx::{self, AssertSqlSafe, PgPool, Row, postgres::PgRow},
};

use super::fault::Fault;
use crate::driver::{code, query_error};

/// PostgreSQL as a backend.
pub(super) struct Postgres;

/// The meaning of an error, by its code
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
pub(super) fn fault(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::PoolTimedOut => Fault::Unreachable,
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolClosed => Fault::Lost,
        _ => code(error).map_or(Fault::Other, |code| match &*code {
            "42P01" => Fault::NoTable,
            "42703" => Fault::NoColumn,
            "3F000" => Fault::NoSchema,
            "23502" => Fault::NotNull,
            "23505" | "42710" | "42P04" | "42P06" | "42P07" => Fault::CreateRace,
            "55P03" | "40P01" | "40001" => Fault::Held,
            "25006" => Fault::ReadOnly,
            "42501" => Fault::Denied,
            "28000" | "28P01" => Fault::Authentication,
            "3D000" => Fault::NoDatabase,
            "53300" => Fault::Crowded,
            "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04" => Fault::Lost,
            code if code.starts_with("08") => Fault::Lost,
            _ => Fault::Other,
        }),
    }
}

/// Asks in the simple protocol. Outside a transaction, a proxy may send each message of the
/// extended protocol to another session.
async fn rows(pool: &DatabaseConnection, sql: &str) -> Result<Vec<PgRow>, DbErr> {
    let pool: &PgPool = pool.get_postgres_connection_pool();
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await.map_err(query_error)
}

/// The columns of a row as text: the simple protocol gives every type as text.
fn texts(row: &PgRow) -> Result<Vec<Option<String>>, sqlx::Error> {
    (0..row.len()).map(|column| row.try_get_unchecked(column)).collect()
}

/// The SQL that makes a setting, for the transaction alone if it is `local`.
fn set_config(name: &str, value: &str, local: bool) -> String {
    format!("pg_catalog.set_config({}, {}, {local})", quoted_literal(name), quoted_literal(value))
}
