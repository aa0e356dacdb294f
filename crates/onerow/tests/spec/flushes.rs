//! How often a run writes to the disk, as the server counts it.

use onerow::{Progress, prelude::*};
use onerow_testing::PostgresServer;

use crate::support::{Sql, assert_failed, logged, major, number, registry, server_with};

/// A server that counts its flushes. They are real, and the server makes none by itself.
fn server() -> Option<PostgresServer> {
    server_with(&[("fsync", "on"), ("wal_writer_delay", "10s"), ("autovacuum", "off")])
}

/// What counts the flushes of the log, if this server has it.
async fn counter(db: &Database) -> Option<&'static str> {
    match major(db).await {
        ..14 => None,
        14..18 => Some("SELECT wal_sync FROM pg_stat_wal"),
        _ => Some("SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'"),
    }
}

async fn flushes(db: &Database, counter: &str) -> i64 {
    // A session reports its counts when it ends, or when it is idle for a second. Those of a run
    // have ended.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    number(db, counter).await
}

#[tokio::test]
async fn the_log_is_flushed_no_more_often_for_a_hundred_migrations_than_for_ten() {
    let Some(server) = server() else { return };
    let db = Database::connect(server.url("postgres")).await.unwrap();
    let Some(counter) = counter(&db).await else { return };
    logged(1).up(&db).await.unwrap();

    let before = flushes(&db, counter).await;
    logged(11).up(&db).await.unwrap();
    let ten = flushes(&db, counter).await - before;
    logged(111).up(&db).await.unwrap();
    let hundred = flushes(&db, counter).await - before - ten;
    assert!(ten >= 1, "nothing was flushed, or nothing counted");
    assert!(hundred <= ten + 5, "{ten} flushes for 10 migrations, {hundred} for 100");
}

#[tokio::test]
async fn what_came_before_a_failure_or_a_migration_outside_a_transaction_is_on_disk() {
    let Some(server) = server() else { return };
    for last in [Sql::new(["SELECT nothing"]), Sql::new(["SELECT nothing"]).outside_transaction()] {
        let db = Database::connect(server.url("postgres")).await.unwrap();
        db.execute_unprepared("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.unwrap();
        let migrations = (0..5)
            .map(|number| Sql::new([]).statement(format!("CREATE TABLE t{number} (id INTEGER)")));
        let error = registry(migrations.chain([last])).up(&db).await.unwrap_err();
        assert_failed(&error, 5, 4);
        drop(db);

        // Changes that are not on disk are lost.
        server.kill_immediately().unwrap();
        server.restart().unwrap();
        let db = Database::connect(server.url("postgres")).await.unwrap();
        assert_eq!(number(&db, "SELECT version FROM schema_migration").await, 4);
    }
}

/// Kills the server when this migration is reported, and notes all that were reported as applied.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_as_applied_is_there_after_a_crash_of_the_server() {
    let Some(server) = server() else { return };
    let db = Database::connect(server.url("postgres")).await.unwrap();
    let told = std::sync::Mutex::new(Vec::new());
    let tell = |step: &Progress| match step {
        Progress::Applied(applied) => told.lock().unwrap().push(applied.version),
        Progress::Started { version: 30, .. } => server.kill_immediately().unwrap(),
        _ => (),
    };
    logged(60).up(&db).on_progress(tell).await.unwrap_err();
    drop(db);
    server.restart().unwrap();

    let db = Database::connect(server.url("postgres")).await.unwrap();
    let is_there = "SELECT count(*) FROM pg_class WHERE relname = 'schema_migration'";
    let version =
        if number(&db, is_there).await == 0 { -1 } else { crate::support::version(&db).await };
    let told = told.into_inner().unwrap();
    assert!(
        told.iter().all(|applied| i64::from(*applied) <= version),
        "{told:?}, and it is at {version}"
    );
    assert!(version < 29, "nothing was lost, so nothing is shown");
}
