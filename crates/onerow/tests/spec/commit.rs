//! Moving the version and committing: refused, overtaken, or with somebody in the way.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use onerow::{Error, ErrorKind, Failure, Progress, Report, prelude::*};
use onerow_testing::{Backend, TestDatabase, on_every_backend};
use sea_orm::DatabaseTransaction;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{
    Sql, assert_failed, assert_rolled_back, begun, has_table, number, only_on, registry, version,
};

fn base() -> Sql {
    Sql::new(["CREATE TABLE items (id INTEGER PRIMARY KEY)"])
}

fn more() -> Sql {
    Sql::new(["CREATE TABLE more (id INTEGER)"])
}

/// Applies the migrations, and fails if that takes for ever.
async fn up(registry: &Registry, db: &Database) -> Result<Report, Error> {
    timeout(Duration::from_secs(20), registry.up(db).into_future())
        .await
        .expect("it goes on for ever")
}

on_every_backend! {
    async fn a_migration_that_deletes_the_row_is_not_committed(db: TestDatabase) {
        let registry =
            registry([base(), more().statement("DELETE FROM schema_migration".into()), more()]);
        let error = up(&registry, &db).await.unwrap_err();
        assert_failed(&error, 1, 0);
        assert_eq!(version(&*db).await, 0);
        assert!(!has_table(&db, "more").await);
    }

    async fn a_migration_that_moves_the_version_itself_is_not_committed(db: TestDatabase) {
        for wrong in [-1, 1, 5] {
            let moves = more().statement(format!("UPDATE schema_migration SET version = {wrong}"));
            let registry = registry([base(), moves, Sql::new([]).outside_transaction()]);
            let error = up(&registry, &db).await.unwrap_err();
            assert_failed(&error, 1, 0);
            assert_eq!(version(&*db).await, 0);
            assert!(!has_table(&db, "more").await);
        }
    }

    async fn what_came_before_a_migration_that_drops_the_table_stays(db: TestDatabase) {
        let registry = registry([base(), more().statement("DROP TABLE schema_migration".into())]);
        let error = up(&registry, &db).await.unwrap_err();
        assert_rolled_back(&error, 1, 0);
        assert!(matches!(error.failure(), Some(Failure::Commit(_))), "{error:?}");
        assert!(has_table(&db, "items").await && !has_table(&db, "more").await);
    }

    async fn a_migration_that_fails_while_it_keeps_a_transaction_lets_go_of_the_row(
        db: TestDatabase,
    ) {
        let kept = Arc::default();
        let registry =
            Registry::new(vec![Box::new(base()), Box::new(KeepsAndFails(Arc::clone(&kept)))]);
        up(&registry, &db).await.unwrap_err();
        let write = db.execute_unprepared("UPDATE schema_migration SET version = version");
        timeout(Duration::from_secs(5), write).await.expect("the row is still held").unwrap();
        drop(kept);
    }
}

struct KeepsAndFails(Arc<Mutex<Option<DatabaseTransaction>>>);

#[async_trait]
impl MigrationTrait for KeepsAndFails {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        let begun = db.begin().await?;
        begun.execute_unprepared("CREATE TABLE kept (id INTEGER)").await?;
        *self.0.lock().unwrap() = Some(begun);
        Err(DbErr::Custom("on purpose".into()))
    }
}

#[tokio::test]
async fn a_move_that_sqlite_refuses_keeps_what_came_before() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    let registry = registry([base(), more().statement("PRAGMA query_only = ON".into())]);
    let error = up(&registry, &db).await.unwrap_err();
    assert_rolled_back(&error, 1, 0);
    assert!(matches!(error.failure(), Some(Failure::Commit(_))), "{error:?}");
    assert!(has_table(&db, "items").await && !has_table(&db, "more").await);
}

/// Its constraint is checked at the commit.
fn refused() -> Sql {
    Sql::new([
        "CREATE TABLE children (id INTEGER, item INTEGER REFERENCES items (id) DEFERRABLE \
         INITIALLY DEFERRED)",
        "INSERT INTO children VALUES (1, 1)",
    ])
}

#[tokio::test]
async fn a_commit_that_is_refused_leaves_nothing_and_nobody() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let error = up(&registry([base(), refused(), more()]), &db).await.unwrap_err();
    assert_rolled_back(&error, 1, 0);
    assert!(matches!(error.failure(), Some(Failure::Commit(_))), "{error:?}");
    assert!(!has_table(&db, "children").await && !has_table(&db, "more").await);
    let sessions = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name LIKE 'onerow%'";
    // The server needs a moment to see that a connection was closed.
    let started = Instant::now();
    while number(&*db, sessions).await > 0 {
        assert!(started.elapsed() < Duration::from_secs(10), "a session is left");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The seed's Python code blocks on the row, and gets it as soon as the commit is refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_runner_applied_after_a_refused_commit_is_not_told_as_ones_own() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    registry([base()]).up(&db).await.unwrap();
    let other = db.connect().await;
    let overtake = async {
        sleep(Duration::from_millis(400)).await;
        let sql = "UPDATE schema_migration SET version = 1 WHERE version = 0";
        assert_eq!(other.execute_unprepared(sql).await.unwrap().rows_affected(), 1);
    };
    let registry = registry([base(), refused().statement("SELECT pg_sleep(1)".into())]);
    let (outcome, ()) = tokio::join!(up(&registry, &db), overtake);
    let error = outcome.unwrap_err();
    assert_eq!(
        (error.kind(), error.migration()),
        (ErrorKind::MigrationFailed, Some(1)),
        "{error:?}"
    );
    assert!(!has_table(&db, "children").await);
}

#[tokio::test]
async fn a_trigger_that_keeps_the_version_is_found_out() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let guard = Sql::new([
        "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER guard BEFORE UPDATE ON schema_migration FOR EACH ROW EXECUTE FUNCTION \
         guard()",
    ]);
    let error = up(&registry([base(), guard, more()]), &db).await.unwrap_err();
    assert_failed(&error, 1, 0);
    assert!(!has_table(&db, "more").await);
}

/// `LOCK TABLE`, a queued `ALTER TABLE` and `VACUUM FULL` take such a lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_does_not_block_on_a_lock_of_the_version_table() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    registry([base()]).up(&db).await.unwrap();
    let locked = begun(&db, "LOCK TABLE schema_migration IN EXCLUSIVE MODE").await;
    let registry = registry([base(), more()]);
    let run =
        registry.up(&db).lock_timeout(Duration::ZERO).wait_timeout(Duration::from_millis(500));
    let outcome = timeout(Duration::from_secs(20), run.into_future()).await.expect("it blocks");
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), error.version()), (ErrorKind::WaitTimeout, Some(0)), "{error:?}");
    locked.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_between_two_migrations_and_what_it_has_committed_counts() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    registry([base()]).up(&db).await.unwrap();
    let locked = db.connect().await.begin().await.unwrap();
    let registry = registry([base(), Sql::new(["SELECT pg_sleep(1)"]), more()]);
    let applied = Mutex::new(Vec::new());
    let tell = |step: &Progress| {
        if let Progress::Applied(one) = step {
            applied.lock().unwrap().push(one.version);
        }
    };
    let run =
        registry.up(&db).lock_timeout(Duration::ZERO).wait_timeout(Duration::from_millis(500));
    let run = run.on_progress(tell);
    let lock = async {
        sleep(Duration::from_millis(500)).await;
        // It queues behind the claim, and gets the lock at its commit.
        locked.execute_unprepared("LOCK TABLE schema_migration IN EXCLUSIVE MODE").await.unwrap();
    };
    let both = async { tokio::join!(run.into_future(), lock).0 };
    let outcome = timeout(Duration::from_secs(20), both).await.expect("it blocks");
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), error.version()), (ErrorKind::WaitTimeout, Some(1)), "{error:?}");
    assert_eq!(applied.into_inner().unwrap(), [1]);
    locked.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ended_its_transaction_does_not_block_on_the_row_of_the_next_runner() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let held = Arc::default();
    let other = Database::connect(db.url()).await.unwrap();
    let ends = EndsAndIsOvertaken(other, Arc::clone(&held));
    let registry = Registry::new(vec![Box::new(base()), Box::new(ends)]);
    let error = up(&registry, &db).await.unwrap_err();
    assert!(matches!(error.failure(), Some(Failure::EndedTransaction)), "{error:?}");
    drop(held);
}

struct EndsAndIsOvertaken(Database, Arc<Mutex<Option<DatabaseTransaction>>>);

#[async_trait]
impl MigrationTrait for EndsAndIsOvertaken {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared("COMMIT").await?;
        let other = self.0.begin().await?;
        other.execute_unprepared("SELECT FROM schema_migration FOR UPDATE").await?;
        *self.1.lock().unwrap() = Some(other);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_outside_a_transaction_whose_move_is_lost_is_not_run_again() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let other = Database::connect(db.url()).await.unwrap();
    let registry = Registry::new(vec![Box::new(base()), Box::new(LosesTheClaim(other))]);
    assert_eq!(up(&registry, &db).await.unwrap().version, 1);
    assert_eq!(version(&*db).await, 1);
    assert_eq!(number(&*db, "SELECT count(*) FROM items").await, 1);
}

#[tokio::test]
async fn a_migration_outside_a_transaction_whose_move_is_refused_is_told_to_be_done() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let refuses = Sql::new([
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; \
         END $$",
        "CREATE TRIGGER refuse BEFORE UPDATE ON schema_migration FOR EACH ROW EXECUTE FUNCTION \
         refuse()",
    ]);
    let error = up(&registry([base(), refuses.outside_transaction()]), &db).await.unwrap_err();
    let text = error.explain().to_string();
    let lines: Vec<_> = text.lines().collect();
    let first = "error: migration m0001 failed outside a transaction, after its work was done; \
        the database is at version 0";
    assert_eq!(lines[..2], [first, "  caused by: its commit was refused"]);
    assert!(text.contains("not now"), "{text}");
}

/// Ends the session that holds the row, and succeeds before anybody looks.
struct LosesTheClaim(Database);

#[async_trait]
impl MigrationTrait for LosesTheClaim {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared("INSERT INTO items (id) SELECT coalesce(max(id), 0) + 1 FROM items")
            .await?;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name LIKE 'onerow m0001%' AND state = 'idle in transaction'";
        self.0.execute_unprepared(end).await.map(drop)
    }

    fn mode(&self) -> Mode {
        Mode::Outside
    }
}
