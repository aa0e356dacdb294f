//! Nobody can mislead onerow's own SQL. The test reads all of it off the log of a PostgreSQL
//! server.
//!
//! PostgreSQL looks for a name without a schema in `public` too. In databases from before
//! PostgreSQL 15, any role may have put a better-fitting function or operator there, which then
//! runs with the rights of whoever migrates.
//!
//! | module | holds |
//! |---|---|
//! | `everything` | a run of everything that onerow does on PostgreSQL |
//! | `log` | the statements in the server's log |
//! | `names` | the parts of SQL that PostgreSQL looks for by the search path |

mod everything;
mod log;
mod names;

use std::{
    collections::BTreeMap,
    env,
    process::{Command, ExitCode},
};

use onerow::prelude::*;
use onerow_testing::{Backend, PostgresServer};

/// Relations that are looked for by the search path, because their place is not onerow's to say.
const BY_THE_PATH: [&str; 7] = [
    // The version's table, unless the registry names its schema.
    "schema_migration",
    // Other tools' tables. onerow looks at them before it reads them.
    "_sqlx_migrations",
    "seaql_migrations",
    "refinery_schema_history",
    "__diesel_schema_migrations",
    "history",
    // The table that `create_index` is given.
    "items",
];

/// Statements that others write and onerow sends.
const OF_OTHERS: [&str; 1] = [
    // SeaORM's, for an entity that is compared with its table. It has the types that the entity
    // names.
    "CREATE TABLE \"items\" ( \"id\" integer, \"task\" text )",
];

fn main() -> ExitCode {
    if env::var_os("OWN_SQL_COMMAND").is_some() {
        return onerow_cli::run(everything::registry());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if env::var_os("OWN_SQL_RUN").is_some() {
            everything::run().await;
        } else if Backend::Postgres.is_wanted() {
            specifications().await;
        }
    });
    ExitCode::SUCCESS
}

async fn specifications() {
    names::each_kind_of_name_is_found();
    println!("each kind of name is found ... ok");
    each_name_has_its_schema().await;
    println!("each name that onerow sends has its schema ... ok");
    nothing_of_an_intruders_runs().await;
    println!("nothing that an intruder has put in public runs ... ok");
}

async fn each_name_has_its_schema() {
    let server = log::server();
    run_everything(&server);
    let statements = log::statements(&log::messages(&server).await);
    assert!(statements.len() > 60, "little was logged: {statements:#?}");
    let found: BTreeMap<_, _> =
        statements.iter().filter_map(|sql| Some((names::shape(sql), complaint(sql)?))).collect();
    assert!(found.is_empty(), "{}", found.into_values().collect::<Vec<_>>().join("\n"));
}

fn complaint(sql: &str) -> Option<String> {
    let mut names = names::unqualified(sql, &BY_THE_PATH);
    // This is the version's table, whose columns are written for SQLite too. Only the path decides
    // about types, and it begins with pg_catalog and the session's own tables.
    names.retain(|name| name != "type bool");
    let is_ours = !OF_OTHERS.contains(&sql);
    (is_ours && !names.is_empty())
        .then(|| format!("{}\n  in {}", names.join(", "), sql.replace('\n', "\n     ")))
}

/// Starts this program once more, because the test kit takes its server from the environment.
fn run_everything(server: &PostgresServer) {
    let run = Command::new(env::current_exe().unwrap())
        .env("OWN_SQL_RUN", "1")
        .env("TEST_POSTGRES_URL", server.url("postgres"))
        .status();
    assert!(run.unwrap().success());
}

/// Objects of another role that fit a call better than the server's own. They write to the log.
const INTRUDER: &str = include_str!("intruder.sql");

async fn nothing_of_an_intruders_runs() {
    let server = log::server();
    for database in ["template1", "postgres"] {
        let db = Database::connect(server.url(database)).await.unwrap();
        db.execute_unprepared(&format!("{INTRUDER} {}", log::NOT_ONEROWS)).await.unwrap();
        let fallen_for = format!("SELECT 1::oid = 'pg_class'::regclass {}", log::NOT_ONEROWS);
        db.execute_unprepared(&fallen_for).await.unwrap();
        db.disconnect().await.unwrap();
    }
    run_everything(&server);
    let messages = log::messages(&server).await;
    let hijacked: Vec<_> =
        messages.iter().filter(|message| message.starts_with("hijacked: ")).collect();
    // These are the two from above.
    assert_eq!(hijacked, ["hijacked: =(oid,regclass)"; 2]);
}
