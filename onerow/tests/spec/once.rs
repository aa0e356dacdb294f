//! Exactly once, whoever else tries.

use std::time::Duration;

use onerow::{Applied, Progress, on_every_backend, prelude::*, testing::TestDatabase};

use crate::support::{Sql, all_succeed, has_table, logged, number, registry, runner, version};

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
                tokio::spawn(async move { registry([]).up(&handle).await.map(|report| report.version) })
            });
            for run in runs.collect::<Vec<_>>() {
                assert_eq!(run.await.unwrap().unwrap(), -1);
            }
            db.execute_unprepared("DROP TABLE schema_migration").await.unwrap();
        }
    }

    async fn a_second_runner_waits_says_so_and_then_finds_nothing_to_do(db: TestDatabase) {
        let first = db.connect().await;
        let (started, begun) = tokio::sync::oneshot::channel();
        let started = std::sync::Mutex::new(Some(started));
        let slow = tokio::spawn(async move {
            let registry = Registry::new(vec![Box::new(Slow)]);
            let tell = |step: &Progress| {
                if let (Progress::Started { .. }, Some(started)) = (step, started.lock().unwrap().take()) {
                    started.send(()).unwrap();
                }
            };
            registry.up(&first).on_progress(tell).await.unwrap().applied.len()
        });
        begun.await.unwrap();

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

    async fn who_waits_too_long_is_told_who_holds_the_row_and_changes_nothing(db: TestDatabase) {
        logged(1).up(&db).await.unwrap();
        let other = db.connect().await;
        let holder = other.begin().await.unwrap();
        holder.execute_unprepared("UPDATE schema_migration SET version = version").await.unwrap();

        let registry = logged(2);
        let error = registry.up(&db).wait_timeout(Duration::from_millis(300)).await.unwrap_err();

        let onerow::Error::WaitTimeout { waited, version: 0, holder: who } = &error else { panic!("{error:?}") };
        assert!(*waited >= Duration::from_millis(300));
        // SQLite does not tell.
        assert_eq!(who.is_some(), db.get_database_backend() == DatabaseBackend::Postgres);
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
