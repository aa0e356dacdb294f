//! A server that is not a PostgreSQL which onerow is tested on. The stand-in for each is a
//! PostgreSQL whose `version()` says something else.

use onerow::{Error, ErrorKind, prelude::*};
use onerow_cli::next_step;
use onerow_testing::{Backend, TestDatabase};

use crate::support::{has_table, logged, only_on};

const COCKROACHDB: &str =
    "CockroachDB CCL v26.2.5 (x86_64-pc-linux-gnu, built 2026/07/28 18:56:00, go1.25.5)";
const YUGABYTEDB: &str = "PostgreSQL 15.12-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu, compiled by \
    clang version 17.0.6, 64-bit";
const AURORA_DSQL: &str = "PostgreSQL 16";
const POSTGRES_12: &str = "PostgreSQL 12.22 (Debian 12.22-1.pgdg120+1) on x86_64-pc-linux-gnu, \
    compiled by gcc (Debian 12.2.0-14) 12.2.0, 64-bit";

async fn stand_in(version: &str) -> Option<(TestDatabase, Database)> {
    let test = only_on(Backend::Postgres).await?;
    let db = test.connect().await;
    pretend(&db, version).await;
    Some((test, db))
}

async fn pretend(db: &Database, version: &str) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql \
         AS $$ SELECT '{version}'::text $$"
    );
    db.execute_unprepared(&sql).await.unwrap();
}

/// Makes the stand-in refuse the statement that reads the version, as an engine would that does not
/// know its syntax.
async fn refuse_to_read(db: &Database) {
    let sql = "ALTER FUNCTION pg_catalog.system(internal) RENAME TO unknown";
    db.execute_unprepared(sql).await.unwrap();
}

/// Checks the kind, and that nothing was changed.
async fn refuses(db: &Database, error: &Error, kind: ErrorKind) -> String {
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().ends_with("; nothing was changed"), "{error}");
    assert!(!has_table(db, "schema_migration").await);
    assert!(!has_table(db, "t0").await);
    error.to_string()
}

#[tokio::test]
async fn a_run_with_work_to_do_is_refused_and_names_the_engine_and_the_promise() {
    for (version, name, promise) in [
        (COCKROACHDB, "the server is CockroachDB, ", "may stay half done"),
        (YUGABYTEDB, "the server is YugabyteDB, ", "holds the version row"),
        (
            AURORA_DSQL,
            "the server is not quite PostgreSQL (it calls itself \"PostgreSQL 16\"), ",
            "may not commit a migration together",
        ),
        (
            "Database 1.0",
            "the server is not quite PostgreSQL (it calls itself \"Database 1.0\"), ",
            "may not commit a migration together",
        ),
    ] {
        let Some((_test, db)) = stand_in(version).await else { return };
        let registry = logged(1);
        assert_eq!(registry.up(&db).at_most(0).await.unwrap().version, -1);
        for error in [
            registry.up(&db).await.unwrap_err(),
            registry.adopt(&db).if_any().await.unwrap_err(),
            registry.baseline(&db, 0).await.unwrap_err(),
        ] {
            let text = refuses(&db, &error, ErrorKind::UnverifiedEngine).await;
            assert!(text.starts_with(name) && text.contains(promise), "{text}");
            assert!(next_step(&error).contains("--on-unverified-engine"));
        }
    }
}

#[tokio::test]
async fn a_run_goes_on_there_if_its_caller_says_so() {
    let Some((_test, db)) = stand_in(COCKROACHDB).await else { return };
    let registry = logged(2);
    registry.adopt(&db).if_any().on_unverified_engine().await.unwrap();
    registry.baseline(&db, 0).on_unverified_engine().dry_run().await.unwrap();
    assert_eq!(registry.up(&db).on_unverified_engine().await.unwrap().version, 1);
}

#[tokio::test]
async fn a_run_with_nothing_to_do_does_not_ask() {
    let Some(test) = only_on(Backend::Postgres).await else { return };
    let db = test.connect().await;
    logged(1).up(&db).await.unwrap();
    let fail = "CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql \
        AS $$ SELECT (1 / 0)::text $$";
    db.execute_unprepared(fail).await.unwrap();
    assert_eq!(logged(1).up(&db).await.unwrap().version, 0);
    assert_eq!(logged(2).status(&db).await.unwrap().version, 0);
    let error = logged(2).up(&db).await.unwrap_err();
    assert_eq!(error.causes(), ["division by zero"], "{error:?}");
}

#[tokio::test]
async fn an_engine_that_does_not_understand_a_statement_is_named_beside_its_words() {
    let Some((_test, db)) = stand_in(COCKROACHDB).await else { return };
    db.execute_unprepared("CREATE TABLE schema_migration (version INTEGER)").await.unwrap();
    refuse_to_read(&db).await;
    let registry = logged(1);
    for error in [registry.status(&db).await.unwrap_err(), registry.up(&db).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::UnverifiedEngine, "{error:?}");
        assert!(error.to_string().starts_with("the server is CockroachDB, "), "{error}");
        assert_eq!(error.causes(), ["tablesample method pg_catalog.system does not exist"]);
        assert_eq!(next_step(&error), "use PostgreSQL");
    }
}

#[tokio::test]
async fn postgres_itself_is_not_blamed_for_a_statement_that_it_refuses() {
    let Some(test) = only_on(Backend::Postgres).await else { return };
    let db = test.connect().await;
    db.execute_unprepared("CREATE TABLE schema_migration (version INTEGER)").await.unwrap();
    refuse_to_read(&db).await;
    let error = logged(1).up(&db).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database, "{error:?}");
    assert_eq!(error.causes(), ["tablesample method pg_catalog.system does not exist"]);
}

#[tokio::test]
async fn a_postgres_before_13_is_refused_whatever_its_caller_says() {
    let Some((_test, db)) = stand_in(POSTGRES_12).await else { return };
    let error = logged(1).up(&db).on_unverified_engine().await.unwrap_err();
    let text = refuses(&db, &error, ErrorKind::ServerTooOld).await;
    assert!(text.starts_with("the server is PostgreSQL 12, "), "{text}");
    assert!(next_step(&error).starts_with("upgrade the server"));
}
