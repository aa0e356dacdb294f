//! The migration has its own connection, and the app's pool stays as it was.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use onerow::prelude::*;
use onerow_testing::{Backend, TestDatabase, on_every_backend};
use sea_orm::ConnectOptions;

use crate::support::{Sql, has_setting, logged, number, only_on, registry, server_with, text};

/// Notes its own session's settings.
struct Look(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl MigrationTrait for Look {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        for setting in ["application_name", "lock_timeout", "client_connection_check_interval"] {
            let sql = format!("SELECT coalesce(current_setting('{setting}', true), 'none')");
            let value = text(db, &sql).await;
            self.0.lock().unwrap().push(value);
        }
        Ok(())
    }
}

#[tokio::test]
async fn the_server_shows_which_migration_runs_and_the_pool_keeps_its_own_settings() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let before = text(&*db, "SELECT current_setting('lock_timeout')").await;
    let seen = Arc::default();
    let registry = Registry::new(vec![Box::new(Look(Arc::clone(&seen)))]);
    registry.up(&db).lock_timeout(Duration::from_millis(1234)).await.unwrap();

    let seen = seen.lock().unwrap().clone();
    assert!(seen[0].starts_with("onerow m0000 "), "{seen:?}");
    let looks = has_setting(&*db, "client_connection_check_interval").await;
    assert_eq!(seen[1..], ["1234ms", if looks { "1s" } else { "none" }]);
    assert_eq!(text(&*db, "SELECT current_setting('lock_timeout')").await, before);
    assert_ne!(text(&*db, "SELECT current_setting('application_name')").await, seen[0]);
}

/// An app on this database; its sessions have this name.
async fn app(db: &TestDatabase, name: &str) -> Database {
    let separator = if db.url().contains('?') { '&' } else { '?' };
    Database::connect(format!("{}{separator}application_name={name}", db.url())).await.unwrap()
}

/// A second connection costs four round trips, and hashing the password 4,096 times.
#[tokio::test]
async fn a_start_with_nothing_to_do_opens_one_connection() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    logged(1).up(&db).await.unwrap();
    let app = app(&db, "app").await;

    logged(1).up(&app).await.unwrap();

    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name = 'app'";
    assert_eq!(number(&*db, sessions).await, 1);
}

#[tokio::test]
async fn a_connection_of_the_pool_that_has_died_is_no_failure() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    logged(1).up(&db).await.unwrap();
    let app = app(&db, "dying").await;
    let of_app = "FROM pg_stat_activity WHERE application_name = 'dying'";
    db.sql(&format!("SELECT pg_terminate_backend(pid) {of_app}")).await;
    while number(&*db, &format!("SELECT count(*) {of_app}")).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    assert_eq!(logged(1).up(&app).await.unwrap().version, 0);
}

#[tokio::test]
async fn no_session_of_a_run_is_left_on_the_server() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    logged(3).up(&db).await.unwrap();
    let left = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE 'onerow%'";
    // A server takes a moment to notice that a client has gone.
    for _ in 0..50 {
        if number(&*db, left).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a session is left");
}

on_every_backend! {
    async fn a_prepared_statement_of_the_app_survives_a_change_of_its_table(db: TestDatabase) {
        let first = [Sql::new([
            "CREATE TABLE items (id INTEGER PRIMARY KEY)",
            "INSERT INTO items VALUES (1)",
        ])];
        let second = Sql::new(["ALTER TABLE items ADD COLUMN task TEXT"]);
        registry(first.clone()).up(&db).await.unwrap();
        registry(first.into_iter().chain([second, Sql::new(["UPDATE items SET task = 'done'"])]))
            .up(&db)
            .await
            .unwrap();
        assert_eq!(text(&*db, "SELECT task FROM items").await, "done");
    }

    async fn a_migration_runs_while_the_app_holds_its_only_other_connection(db: TestDatabase) {
        let mut options = ConnectOptions::new(db.url());
        options.max_connections(2).acquire_timeout(Duration::from_secs(5));
        let app = Database::connect(options).await.unwrap();
        logged(1).up(&app).await.unwrap();
        let busy = app.begin().await.unwrap();
        assert_eq!(logged(3).up(&app).await.unwrap().version, 2);
        busy.rollback().await.unwrap();
    }

    async fn a_pool_that_sea_orm_opened_is_taken_over(db: TestDatabase) {
        let pool = sea_orm::Database::connect(db.url()).await.unwrap();
        let adopted = Database::from(pool.clone());
        assert_eq!(logged(2).up(&adopted).await.unwrap().version, 1);
        adopted.disconnect().await.unwrap();
    }

    async fn a_migration_cannot_run_the_registry_inside_itself(db: TestDatabase) {
        let registry = Registry::new(vec![Box::new(Recursive)]);
        let error = registry.up(&db).await.unwrap_err();
        assert!(error.explain().to_string().contains("not the pool"), "{}", error.explain());
    }
}

struct Recursive;

#[async_trait]
impl MigrationTrait for Recursive {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        logged(1).up(db).await.map(drop).map_err(|error| DbErr::Custom(error.to_string()))
    }
}

#[tokio::test]
async fn a_schema_search_path_of_the_pool_holds_for_the_migrations() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    db.execute_unprepared("CREATE SCHEMA apart").await.unwrap();
    let mut options = ConnectOptions::new(db.url());
    options.set_schema_search_path("apart");
    let app = Database::connect(options).await.unwrap();
    logged(1).up(&app).await.unwrap();
    let there = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'apart'";
    assert_eq!(number(&*db, there).await, 3);
    app.disconnect().await.unwrap();
}

/// A `SET` would stay with a pooler's session, and lead its next client astray.
#[tokio::test]
async fn a_search_path_is_a_startup_parameter() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let mut options = ConnectOptions::new(db.url());
    assert!(onerow::databases::set_search_path(&mut options, "app, b\"c").unwrap());
    let app = Database::connect(options).await.unwrap();
    let setting = "SELECT setting || ' of ' || source FROM pg_settings WHERE name = 'search_path'";
    assert_eq!(text(&app, setting).await, "\"app\",\"b\"\"c\" of client");
}

/// Every schema that pg_dump wrote does so.
#[tokio::test]
async fn a_migration_may_set_the_search_path() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let dump = Sql::new([
        "SELECT set_config('search_path', '', false)",
        "CREATE TABLE public.dumped (id INTEGER)",
    ]);
    let next = Sql::new(["ALTER TABLE dumped ADD COLUMN task TEXT"]);
    assert_eq!(registry([dump, next]).up(&db).await.unwrap().version, 1);
}

/// It fails on a machine without IPv6, because a test that cannot run must say so.
#[tokio::test]
async fn an_address_of_ipv6_is_one_for_the_pool_and_for_the_runs_own_connection() {
    let settings = [("listen_addresses", "127.0.0.1,::1")];
    let Some(server) = server_with(&settings) else { return };
    let app =
        Database::connect(server.url("postgres").replace("127.0.0.1", "[::1]")).await.unwrap();
    assert_eq!(logged(2).up(&app).await.unwrap().version, 1);
    assert_eq!(text(&app, "SELECT host(inet_client_addr())").await, "::1");
    app.disconnect().await.unwrap();

    let nobody = Database::connect("postgres://u@[::1]:1/x").await.unwrap_err();
    assert!(nobody.to_string().contains("[::1]:1/x"), "{nobody}");
}
