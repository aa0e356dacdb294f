//! PostgreSQL.

mod connecting;
pub(super) mod databases;
mod other_tables;
mod session;
mod version_row;
mod watching;

use onerow_sql::quoted_literal;
use sea_orm::{
    DatabaseConnection, DbErr,
    sqlx::{self, AssertSqlSafe, PgPool, Row, postgres::PgRow},
};

use super::fault::Fault;
use crate::driver::{code, query_error};

/// The database, as [`of`](super::of) finds it.
pub(super) struct Postgres;

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
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

/// The simple protocol: outside a transaction a proxy may give each message of the other to another
/// session.
async fn rows(pool: &DatabaseConnection, sql: &str) -> Result<Vec<PgRow>, DbErr> {
    let pool: &PgPool = pool.get_postgres_connection_pool();
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await.map_err(query_error)
}

/// The columns of a row as text, in which the simple protocol answers whatever the type.
fn texts(row: &PgRow) -> Result<Vec<Option<String>>, sqlx::Error> {
    (0..row.len()).map(|column| row.try_get_unchecked(column)).collect()
}

fn set_config(name: &str, value: &str, local: bool) -> String {
    format!("pg_catalog.set_config({}, {}, {local})", quoted_literal(name), quoted_literal(value))
}
