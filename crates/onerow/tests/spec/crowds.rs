//! More processes than the server has connections for: they wait, and all succeed.

use std::time::Duration;

use onerow::{ErrorKind, Progress, prelude::*};
use onerow_testing::{Backend, PostgresServer};

use crate::support::{Sql, all_succeed, logged, number, only_on, registry, runner_at, server_with};

/// Three of the connections are for superusers, and the runners here are superusers.
fn server(connections: &str) -> Option<PostgresServer> {
    let settings = [
        ("max_connections", connections),
        ("superuser_reserved_connections", "0"),
        ("max_wal_senders", "0"),
    ];
    server_with(&settings)
}

#[test]
fn twenty_processes_at_once_share_eight_connections_and_a_migration_outside_a_transaction_runs_once()
 {
    let Some(server) = server("8") else { return };
    let url = server.url("postgres");
    let sql = "CREATE TABLE once AS SELECT 1 AS id, pg_sleep(2)::text";
    all_succeed(
        (0..20)
            .map(|_| runner_at(&url, &[("RUNNER_SQL", sql), ("RUNNER_OUTSIDE", "yes")]))
            .collect(),
    );
}

#[test]
fn thirty_processes_at_once_share_eight_connections_and_ten_migrations() {
    let Some(server) = server("8") else { return };
    let url = server.url("postgres");
    all_succeed((0..30).map(|_| runner_at(&url, &[("RUNNER_COUNT", "10")])).collect());
}

#[tokio::test]
async fn a_server_without_a_connection_to_give_is_waited_for_and_that_is_told() {
    let Some(server) = server("3") else { return };
    let url = server.url("postgres");
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(Database::connect(&url).await.unwrap());
    }
    let db = Database::connect(&url).await.unwrap();
    let registry = logged(1);
    let error = registry.up(&db).wait_timeout(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyConnections, "{error:?}");

    let (told, waits) = tokio::sync::mpsc::unbounded_channel();
    let tell = move |step: &Progress| {
        if let Progress::WaitingForConnection { reason, .. } = step {
            told.send(reason.clone()).unwrap();
        }
    };
    let mut waits = waits;
    let make_room = async {
        let reason = waits.recv().await.unwrap();
        assert!(reason.contains("too many clients"), "{reason}");
        for db in taken {
            db.disconnect().await.unwrap();
        }
    };
    let (run, ()) = tokio::join!(registry.up(&db).on_progress(tell).into_future(), make_room);
    assert_eq!(run.unwrap().version, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_long_has_no_connection_meanwhile() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    registry([Sql::new(["SELECT 1"])]).up(&db).await.unwrap();
    let holder = db.begin().await.unwrap();
    holder.execute_unprepared("SELECT version FROM schema_migration FOR UPDATE").await.unwrap();
    let waiter = db.connect().await;
    let run =
        tokio::spawn(async move { logged_behind().up(&waiter).await.map(|report| report.version) });
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                  AND application_name LIKE 'onerow%' AND pid <> pg_backend_pid()";
    let mut seen = Vec::new();
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        seen.push(number(&*db, others).await);
    }
    assert!(seen.iter().all(|sessions| *sessions <= 1), "{seen:?}");
    let without = seen.iter().filter(|sessions| **sessions == 0).count();
    assert!(without > seen.len() / 3, "{seen:?}");
    holder.rollback().await.unwrap();
    assert_eq!(run.await.unwrap().unwrap(), 1);
}

fn logged_behind() -> Registry {
    registry([Sql::new(["SELECT 1"]), Sql::new(["SELECT 2"])])
}
