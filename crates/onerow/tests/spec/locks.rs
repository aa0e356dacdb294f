//! Locks of others: the migration lets go, says who holds them, and tries again.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use onerow::{Failure, Progress, prelude::*};
use onerow_testing::{Backend, TestDatabase, on_every_backend};

use crate::support::{Sql, assert_rolled_back, has_table, only_on, registry, version};

const SHORT: Duration = Duration::from_millis(200);

fn items() -> Sql {
    Sql::new(["CREATE TABLE items (id INTEGER PRIMARY KEY)"])
}

/// Needs the table to itself.
fn change() -> Sql {
    Sql::new([
        "CREATE TABLE before_the_lock (id INTEGER)",
        "ALTER TABLE items ADD COLUMN task TEXT",
    ])
}

/// Blocks [`change`]: on PostgreSQL by a lock of the table, on SQLite by reading.
async fn hold(db: &Database) -> sea_orm::DatabaseTransaction {
    let transaction = db.begin().await.unwrap();
    transaction.execute_unprepared("SELECT count(*) FROM items").await.unwrap();
    transaction
}

on_every_backend! {
    async fn a_migration_that_does_not_get_a_lock_is_tried_again_until_it_does(db: TestDatabase) {
        registry([items()]).up(&db).await.unwrap();
        let holder = hold(&db).await;
        let (url, retried) = (db.url().to_owned(), Arc::new(tokio::sync::Notify::new()));
        let (told, blockers) = (Arc::clone(&retried), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&blockers);
        let run = tokio::spawn(async move {
            let other = Database::connect(url).await.unwrap();
            let tell = move |step: &Progress| {
                if let Progress::Retrying { version: 1, blockers, .. } = step {
                    seen.lock().unwrap().extend(blockers.clone());
                    told.notify_one();
                }
            };
            registry([items(), change()]).up(&other).lock_timeout(SHORT).on_progress(tell).await
        });
        retried.notified().await;
        // Between two tries nothing is held, so others are served.
        assert!(!has_table(&db.connect().await, "before_the_lock").await);
        holder.rollback().await.unwrap();

        assert_eq!(run.await.unwrap().unwrap().version, 1);
        // SQLite does not say who.
        let named = !blockers.lock().unwrap().is_empty();
        assert_eq!(named, db.get_database_backend() == DatabaseBackend::Postgres);
    }

    async fn after_the_last_try_the_error_names_who_holds_the_lock_and_nothing_is_changed(
        db: TestDatabase,
    ) {
        registry([items()]).up(&db).await.unwrap();
        let holder = hold(&db).await;
        let other = db.connect().await;
        let registry = registry([items(), change()]);
        let error = registry.up(&other).lock_timeout(SHORT).max_tries(2).await.unwrap_err();

        assert_rolled_back(&error, 1, 0);
        let Some(Failure::Blocked { tries: 2, blockers, .. }) = error.failure() else {
            panic!("{error:?}")
        };
        if db.get_database_backend() == DatabaseBackend::Postgres {
            assert!(
                error.explain().to_string().contains(&format!("pid {}", blockers[0].pid)),
                "{}",
                error.explain()
            );
        }
        holder.rollback().await.unwrap();
        assert!(!has_table(&db, "before_the_lock").await);
        assert_eq!(version(&*db).await, 0);
    }
}

struct Patient;

#[async_trait]
impl MigrationTrait for Patient {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        change().migrate(db).await
    }

    fn lock_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(30))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_may_wait_longer_for_a_lock_than_the_run_does() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    registry([items()]).up(&db).await.unwrap();
    let holder = hold(&db).await;
    let (other, retries) = (db.connect().await, Mutex::new(0));
    let migrations: Vec<Box<dyn MigrationTrait>> = vec![Box::new(items()), Box::new(Patient)];
    let registry = Registry::new(migrations);
    let tell = |step: &Progress| {
        if let Progress::Retrying { .. } = step {
            *retries.lock().unwrap() += 1;
        }
    };
    let run = registry.up(&other).lock_timeout(SHORT).on_progress(tell).into_future();
    let release = async {
        tokio::time::sleep(SHORT * 5).await;
        holder.rollback().await.unwrap();
    };
    let (run, ()) = tokio::join!(run, release);
    assert_eq!(run.unwrap().version, 1);
    assert_eq!(retries.into_inner().unwrap(), 0);
}
