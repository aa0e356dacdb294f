//! A migration's session settings do not reach the next one: one run of three migrations ends like
//! three runs of one.

use onerow::prelude::*;
use onerow_testing::{Backend, PostgresServer, TestDatabase};
use sea_orm::ConnectOptions;

use crate::support::{Sql, has_table, number, registry, text, version};

async fn postgres() -> Option<TestDatabase> {
    if !Backend::Postgres.is_wanted() {
        return None;
    }
    Some(Backend::Postgres.empty_database().await)
}

fn before() -> Sql {
    Sql::new([
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        "CREATE TABLE child (parent INTEGER REFERENCES parent)",
        "CREATE SEQUENCE numbers",
    ])
}

/// Each leaves something behind that the second statement would find, or stumble over.
const LEFT_BEHIND: &[(&str, &str)] = &[
    (
        "SET session_replication_role = replica",
        "current_setting('session_replication_role') = 'origin'",
    ),
    ("SET work_mem = '64kB'", "current_setting('work_mem') <> '64kB'"),
    (
        "SELECT set_config('app.tenant', '7', false)",
        "coalesce(current_setting('app.tenant', true), '') = ''",
    ),
    ("SET search_path = pg_catalog", "current_schema() = 'public'"),
    ("SET ROLE pg_monitor", "current_user = session_user"),
    ("SET SESSION AUTHORIZATION pg_monitor", "session_user <> 'pg_monitor'"),
    ("CREATE TEMP TABLE scratch (id INTEGER)", "to_regclass('pg_temp.scratch') IS NULL"),
    (
        "PREPARE kept AS SELECT 1",
        "NOT EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'kept')",
    ),
    (
        "DECLARE kept CURSOR WITH HOLD FOR SELECT 1",
        "NOT EXISTS (SELECT FROM pg_cursors WHERE name = 'kept')",
    ),
    ("LISTEN news", "NOT EXISTS (SELECT FROM pg_listening_channels())"),
    (
        "SELECT pg_advisory_lock(7)",
        "NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
    ),
];

#[tokio::test]
async fn nothing_that_a_migration_leaves_in_its_session_reaches_the_next() {
    for (leave, gone) in LEFT_BEHIND {
        let Some(db) = postgres().await else { return };
        let look = format!("DO $$ BEGIN IF NOT ({gone}) THEN RAISE 'it is there'; END IF; END $$");
        // In the same migration it is there; otherwise the check would see nothing. A session
        // listens once it has committed.
        if !leave.starts_with("LISTEN") {
            let beside = Sql::new([leave]).statement(look.clone());
            registry([before(), beside]).up(&db).await.expect_err(leave);
        }

        let run = registry([before(), Sql::new([leave]), Sql::default().statement(look)]);
        run.up(&db).await.unwrap_or_else(|error| panic!("{leave}: {}", error.explain()));
        assert_eq!(version(&*db).await, 2, "{leave}");
    }
}

#[tokio::test]
async fn the_last_value_of_a_sequence_is_not_known_to_the_next_migration() {
    let Some(db) = postgres().await else { return };
    let run = registry([
        before(),
        Sql::new(["SELECT nextval('numbers')"]),
        Sql::new(["SELECT lastval()"]),
    ]);
    let error = run.up(&db).await.unwrap_err();
    assert!(error.explain().to_string().contains("lastval"), "{error:?}");
}

#[tokio::test]
async fn a_child_without_its_parent_is_refused_though_the_migration_before_had_switched_the_check_off()
 {
    let Some(db) = postgres().await else { return };
    let unchecked = Sql::new([
        "SET session_replication_role = replica",
        "INSERT INTO parent VALUES (1)",
        "INSERT INTO child VALUES (1)",
    ]);
    let run = registry([before(), unchecked, Sql::new(["INSERT INTO child VALUES (999)"])]);
    let error = run.up(&db).await.unwrap_err();
    assert!(error.explain().to_string().contains("foreign key"), "{error:?}");
    assert_eq!(error.version(), Some(1));
    assert_eq!(number(&*db, "SELECT count(*) FROM child").await, 1);
}

#[tokio::test]
async fn what_the_pool_sets_when_it_connects_holds_for_each_migration() {
    let Some(db) = postgres().await else { return };
    db.execute_unprepared("CREATE SCHEMA app").await.unwrap();
    let mut options = ConnectOptions::new(db.url());
    options.set_schema_search_path("app");
    let pool = Database::connect(options).await.unwrap();

    let elsewhere = Sql::new(["CREATE TABLE first (id INTEGER)", "SET search_path = public"]);
    registry([elsewhere, Sql::new(["CREATE TABLE second (id INTEGER)"])]).up(&pool).await.unwrap();

    let here = "SELECT count(*) FROM pg_tables WHERE schemaname = 'app'";
    assert_eq!(number(&*db, here).await, 3);
    pool.disconnect().await.unwrap();
}

#[tokio::test]
async fn a_role_that_a_migration_takes_ends_with_it() {
    let Some(_) = postgres().await else { return };
    let server = PostgresServer::start().unwrap();
    let admin = Database::connect(server.url("postgres")).await.unwrap();
    for statement in [
        "CREATE ROLE owner NOLOGIN",
        "CREATE ROLE migrator LOGIN PASSWORD 'm' IN ROLE owner",
        "GRANT CREATE ON SCHEMA public TO owner, migrator",
    ] {
        admin.execute_unprepared(statement).await.unwrap();
    }
    let url = format!("postgres://migrator:m@127.0.0.1:{}/postgres", server.port());
    let db = Database::connect(url).await.unwrap();
    let as_owner = Sql::new(["SET ROLE owner", "CREATE TABLE owned (id INTEGER)"]);
    let as_oneself = Sql::new(["CREATE TABLE own (id INTEGER)"]);
    let report = registry([as_owner.clone(), as_oneself, as_owner_again()]).up(&db).await;
    assert_eq!(report.map_err(|error| error.explain().to_string()).unwrap().version, 2);

    let owner =
        |table| format!("SELECT tableowner::text FROM pg_tables WHERE tablename = '{table}'");
    assert_eq!(text(&admin, &owner("owned")).await, "owner");
    assert_eq!(text(&admin, &owner("own")).await, "migrator");
    assert!(has_table(&admin, "last").await);
}

fn as_owner_again() -> Sql {
    Sql::new(["SET ROLE owner", "CREATE TABLE last (id INTEGER)"])
}
