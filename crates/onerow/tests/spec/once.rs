//! Exactly once, whoever else tries.

use std::time::{Duration, Instant};

use onerow::{Applied, ErrorKind, Progress, prelude::*};
use onerow_testing::{TestDatabase, on_every_backend};

use crate::support::{
    Sql, all_succeed, begun, first, has_table, logged, number, registry, runner, version,
};

on_every_backend! {
    async fn a_run_says_where_it_began_what_it_applied_and_where_it_ended(db: TestDatabase) {
        let report = logged(3).up(&db).to(0).await.unwrap();
        assert_eq!((report.initial, report.version), (-1, 0));

        let report = logged(3).up(&db).await.unwrap();
        assert_eq!((report.initial, report.version), (0, 2));
        let applied: Vec<_> = report.applied.iter().map(Applied::name).collect();
        assert_eq!(applied, ["m0001", "m0002"]);
        assert!(report.applied.iter().all(|applied| applied.elapsed > Duration::ZERO));
    }

    async fn at_most_so_many_migrations_are_applied_from_where_the_run_begins(db: TestDatabase) {
        for (at_most, initial, version) in [(0, -1, -1), (2, -1, 1), (1, 1, 2), (9, 2, 3), (1, 3, 3)] {
            let report = logged(4).up(&db).at_most(at_most).await.unwrap();
            assert_eq!((report.initial, report.version), (initial, version));
        }
        let report = logged(9).up(&db).to(5).at_most(3).await.unwrap();
        assert_eq!(report.version, 5);
    }

    async fn a_second_run_finds_nothing_to_do(db: TestDatabase) {
        logged(3).up(&db).await.unwrap();
        let report = logged(3).up(&db).await.unwrap();
        assert_eq!((report.initial, report.version, report.applied.len()), (2, 2, 0));
    }

    async fn without_migrations_the_row_says_minus_one(db: TestDatabase) {
        registry([]).up(&db).await.unwrap();
        assert_eq!(version(&*db).await, -1);
    }

    async fn eight_processes_at_once_apply_each_of_a_hundred_migrations_once(db: TestDatabase) {
        all_succeed((0..8).map(|_| runner(&db, 100)).collect());
        assert_eq!(version(&*db).await, 99);
        assert_eq!(number(&*db, "SELECT count(*) FROM log").await, 100);
        assert_eq!(number(&*db, "SELECT count(DISTINCT number) FROM log").await, 100);
    }

    async fn sixteen_handles_make_the_table_at_the_same_moment_and_all_succeed(db: TestDatabase) {
        for _ in 0..3 {
            let mut handles = Vec::new();
            for _ in 0..16 {
                handles.push(db.connect().await);
            }
            let runs = handles.into_iter().map(|handle| {
                tokio::spawn(
                    async move { registry([]).up(&handle).await.map(|report| report.version) },
                )
            });
            for run in runs.collect::<Vec<_>>() {
                assert_eq!(run.await.unwrap().unwrap(), -1);
            }
            db.execute_unprepared("DROP TABLE schema_migration").await.unwrap();
        }
    }

    async fn a_second_runner_waits_says_so_and_then_finds_nothing_to_do(db: TestDatabase) {
        let other = db.connect().await;
        let (told, started) = first();
        let slow = tokio::spawn(async move {
            let registry = Registry::new(vec![Box::new(Slow)]);
            let tell = |step: &Progress| {
                if let Progress::Started { .. } = step {
                    told(());
                }
            };
            registry.up(&other).on_progress(tell).await.unwrap().applied.len()
        });
        started.await.unwrap();

        let waited = std::sync::atomic::AtomicBool::new(false);
        let registry = Registry::new(vec![Box::new(Slow)]);
        let tell = |step: &Progress| {
            if let Progress::Waiting { .. } = step {
                waited.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        };
        let second = registry.up(&db).on_progress(tell).await.unwrap();

        assert_eq!(slow.await.unwrap(), 1);
        assert_eq!((second.version, second.applied.len()), (0, 0));
        assert!(waited.into_inner());
    }

    /// On SQLite, readers are shut out when the changes have outgrown the cache.
    async fn a_second_runner_waits_for_a_migration_of_many_rows_too(db: TestDatabase) {
        let (started, begun) = tokio::sync::oneshot::channel();
        let (first, started) = (db.connect().await, std::sync::Mutex::new(Some(started)));
        let large = tokio::spawn(async move {
            let registry = Registry::new(vec![Box::new(Large(started))]);
            registry.up(&first).await.map(|report| report.version)
        });
        begun.await.unwrap();
        let same = Registry::new(vec![Box::new(Large(std::sync::Mutex::default()))]);
        assert_eq!(same.up(&db).await.unwrap().version, 0);
        assert_eq!(large.await.unwrap().unwrap(), 0);
        assert_eq!(number(&*db, "SELECT count(*) FROM large").await, 5000);
    }

    async fn who_waits_too_long_is_told_who_holds_the_row_and_changes_nothing(db: TestDatabase) {
        logged(1).up(&db).await.unwrap();
        let holder = begun(&db, "UPDATE schema_migration SET version = version").await;

        let registry = logged(2);
        let started = Instant::now();
        let error = registry.up(&db).wait_timeout(Duration::from_millis(300)).await.unwrap_err();

        assert_eq!((error.kind(), error.version()), (ErrorKind::WaitTimeout, Some(0)), "{error:?}");
        assert!(started.elapsed() >= Duration::from_millis(300));
        // SQLite does not say who.
        let names_the_holder = error.to_string().contains("pid ");
        assert_eq!(names_the_holder, db.get_database_backend() == DatabaseBackend::Postgres);
        assert!(!has_table(&db, "t1").await);

        holder.rollback().await.unwrap();
        assert_eq!(registry.up(&db).await.unwrap().version, 1);
    }
}

struct Slow;

#[async_trait]
impl MigrationTrait for Slow {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        Sql::new(["CREATE TABLE slow (id INTEGER)"]).migrate(db).await?;
        tokio::time::sleep(Duration::from_millis(700)).await;
        Ok(())
    }
}

/// Writes more than SQLite's cache holds, and takes longer than sqlx waits by itself.
struct Large(std::sync::Mutex<Option<tokio::sync::oneshot::Sender<()>>>);

#[async_trait]
impl MigrationTrait for Large {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared("CREATE TABLE large (id INTEGER, text TEXT)").await?;
        let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                      INSERT INTO large SELECT i, replace(CAST(i + 10000 AS TEXT) || ' ', ' ', '0123456789')
                          || '0123456789012345678901234567890123456789012345678901234567890123456789' FROM n";
        db.execute_unprepared(insert).await?;
        db.execute_unprepared(
            "UPDATE large SET text = text || text || text || text || text || text || text",
        )
        .await?;
        if let Some(started) = self.0.lock().unwrap().take() {
            started.send(()).unwrap();
        }
        tokio::time::sleep(Duration::from_secs(7)).await;
        Ok(())
    }
}
