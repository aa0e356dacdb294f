//! Taking over while the old tool, or another runner, is at work.

use std::time::Duration;

use onerow::{ErrorKind, prelude::*};
use onerow_testing::Backend;
use sea_orm::{SqliteTransactionMode, TransactionOptions, TransactionTrait};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{APPLIES_2, makes_and_multiplies, sqlx, three};
use crate::support::{begun, has_table, number, only_on};

#[tokio::test]
async fn on_postgres_the_old_tool_is_let_to_end_what_it_is_at() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    sqlx(&db, &[1]).await;
    let transaction =
        begun(&db, "INSERT INTO _sqlx_migrations VALUES (2, 'b', '2026-01-02', TRUE)").await;
    let commit = async {
        sleep(Duration::from_millis(500)).await;
        transaction.commit().await.unwrap();
    };

    let registry = three();
    let (adoption, ()) = tokio::join!(registry.adopt(&db).into_future(), commit);

    assert_eq!(adoption.unwrap().version, 1);
}

#[tokio::test]
async fn on_postgres_an_old_tool_that_does_not_end_is_not_waited_for_longer_than_told() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    sqlx(&db, &[1]).await;
    let _old_tool = begun(&db, "DELETE FROM _sqlx_migrations").await;

    let error = three().adopt(&db).wait_timeout(Duration::from_millis(300)).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::HistoryBusy, "{error:?}");
    assert!(!has_table(&db, "schema_migration").await);
}

#[tokio::test]
async fn on_postgres_a_migration_that_the_old_tool_has_begun_is_not_run_again() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    sqlx(&db, &[1]).await;
    db.sql("INSERT INTO a VALUES (1)").await;
    // sqlx does the same: the migration first, then the row in its table.
    let transaction = begun(&db, "UPDATE a SET id = id * 100").await;

    let adoption = makes_and_multiplies().adopt(&db).wait_timeout(Duration::from_millis(300)).await;
    transaction.execute_unprepared(APPLIES_2).await.unwrap();
    transaction.commit().await.unwrap();
    let run = makes_and_multiplies().up(&db).await;

    assert_eq!(number(&*db, "SELECT id FROM a").await, 100, "it ran twice: {adoption:?}, {run:?}");
}

#[tokio::test]
async fn on_postgres_an_old_table_that_may_not_be_read_at_the_moment_is_waited_for() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    sqlx(&db, &[1]).await;
    let transaction = begun(&db, "LOCK TABLE _sqlx_migrations IN ACCESS EXCLUSIVE MODE").await;
    let release = async {
        sleep(Duration::from_secs(3)).await;
        transaction.commit().await.unwrap();
    };
    let registry = three();
    let (adoption, ()) = tokio::join!(registry.adopt(&db).into_future(), release);
    assert!(adoption.is_ok(), "{adoption:?}");
}

#[tokio::test]
async fn on_postgres_a_dry_run_does_not_block() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    sqlx(&db, &[1]).await;
    let transaction = begun(&db, "LOCK TABLE _sqlx_migrations IN ACCESS EXCLUSIVE MODE").await;
    let registry = three();
    let dry_run =
        registry.adopt(&db).dry_run().wait_timeout(Duration::from_millis(300)).into_future();
    let outcome = timeout(Duration::from_secs(8), dry_run).await;
    transaction.rollback().await.unwrap();
    assert!(outcome.is_ok(), "it blocks for as long as the lock is held");
}

#[tokio::test]
async fn on_postgres_a_wait_for_the_old_tool_is_called_so() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    sqlx(&db, &[1]).await;
    let transaction = begun(&db, APPLIES_2).await;
    let error = three().adopt(&db).wait_timeout(Duration::from_millis(300)).await.unwrap_err();
    transaction.rollback().await.unwrap();
    assert!(error.to_string().contains("_sqlx_migrations"), "{error}");
}

#[tokio::test]
async fn on_sqlite_an_adopted_database_is_not_refused_since_it_is_locked() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    sqlx(&db, &[1]).await;
    three().adopt(&db).await.unwrap();
    let writer = db.connect().await;
    let exclusive = Some(SqliteTransactionMode::Exclusive);
    let options = TransactionOptions { sqlite_transaction_mode: exclusive, ..Default::default() };
    let transaction = writer.begin_with_options(options).await.unwrap();
    let release = async {
        // It is longer than the busy timeout of one statement, and shorter than two.
        sleep(Duration::from_secs(7)).await;
        transaction.rollback().await.unwrap();
    };
    let registry = three();
    let (run, ()) = tokio::join!(registry.up(&db).into_future(), release);
    assert_eq!(run.unwrap().initial, 0);
}

/// Says that it has begun, and ends when it is told to.
struct Outside(&'static Notify, &'static Notify);

#[async_trait]
impl MigrationTrait for Outside {
    async fn migrate(&self, _: &Database) -> Result<(), DbErr> {
        self.0.notify_one();
        self.1.notified().await;
        Ok(())
    }

    fn mode(&self) -> Mode {
        Mode::Outside
    }
}

#[tokio::test]
async fn on_sqlite_the_row_is_not_set_while_a_migration_runs() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    let (begun, go_on): (&Notify, &Notify) = (Box::leak(Box::default()), Box::leak(Box::default()));
    let registry = Registry::new(vec![Box::new(Outside(begun, go_on))]);
    let other = db.connect().await;
    let baseline = async {
        begun.notified().await;
        let outcome = registry.baseline(&other, 0).wait_timeout(Duration::from_millis(300)).await;
        go_on.notify_one();
        outcome
    };
    let (run, baseline) = tokio::join!(registry.up(&db).into_future(), baseline);
    let error = baseline.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WaitTimeout, "{error:?}, and the run says {run:?}");
}
