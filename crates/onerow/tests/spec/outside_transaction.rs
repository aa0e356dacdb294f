//! Migrations that refuse a transaction.

use std::time::Duration;

use onerow::{Failure, Progress, prelude::*};
use onerow_testing::{Backend, TestDatabase, on_every_backend};

use tokio::time::sleep;

use crate::support::{
    Sql, assert_failed, begun, first, has_setting, number, only_on, registry, server_with, version,
};

fn items() -> Sql {
    Sql::new([
        "CREATE TABLE items (id INTEGER PRIMARY KEY, task TEXT)",
        "INSERT INTO items VALUES (1, 'a')",
    ])
}

struct Index;

#[async_trait]
impl MigrationTrait for Index {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        create_index(db, "items_task", "items", "task").await
    }

    fn transactional(&self) -> bool {
        false
    }
}

fn with_index() -> Registry {
    Registry::new(vec![
        Box::new(items()),
        Box::new(Index),
        Box::new(Sql::new(["CREATE TABLE after (id INTEGER)"])),
    ])
}

on_every_backend! {
    async fn a_vacuum_runs(db: TestDatabase) {
        registry([items(), Sql::new(["VACUUM"]).outside_transaction()]).up(&db).await.unwrap();
        assert_eq!(version(&*db).await, 1);
    }

    async fn an_index_is_built_beside_the_traffic_and_the_run_goes_on(db: TestDatabase) {
        assert_eq!(with_index().up(&db).await.unwrap().applied.len(), 3);
        assert!(db.schema().has_index("items", "items_task").await.unwrap());
        assert!(db.schema().has_table("after").await.unwrap());
    }

    async fn the_version_stays_when_it_fails_and_the_error_says_that_work_may_be_half_done(
        db: TestDatabase,
    ) {
        let broken =
            Sql::new(["CREATE TABLE half (id INTEGER)", "SELECT nothing"]).outside_transaction();
        let error = registry([items(), broken]).up(&db).await.unwrap_err();
        assert_failed(&error, 1, 0);
        assert!(error.to_string().contains("half done"), "{error}");
        assert_eq!(version(&*db).await, 0);
    }

    async fn the_version_stays_when_its_validation_fails(db: TestDatabase) {
        let broken =
            Sql::new(["CREATE TABLE IF NOT EXISTS done (id INTEGER)"]).outside_transaction();
        let error = registry([items(), broken.clone().validate("SELECT nothing")])
            .up(&db)
            .await
            .unwrap_err();
        assert_failed(&error, 1, 0);
        registry([items(), broken]).up(&db).await.unwrap();
        assert_eq!(version(&*db).await, 1);
    }

    async fn four_runners_at_once_run_it_once(db: TestDatabase) {
        registry([items()]).up(&db).await.unwrap();
        let mut runs = Vec::new();
        for _ in 0..4 {
            let handle = db.connect().await;
            let insert =
                Sql::new(["INSERT INTO items (id, task) SELECT max(id) + 1, 'more' FROM items"]);
            let registry = registry([items(), insert.outside_transaction()]);
            runs.push(tokio::spawn(async move {
                registry.up(&handle).await.map(|report| report.version)
            }));
        }
        for run in runs {
            assert_eq!(run.await.unwrap().unwrap(), 1);
        }
        assert_eq!(number(&*db, "SELECT count(*) FROM items").await, 2);
    }
}

#[tokio::test]
async fn an_invalid_index_that_a_cut_off_build_left_is_built_anew() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    registry([items()]).up(&db).await.unwrap();
    db.execute_unprepared("INSERT INTO items VALUES (2, 'a')").await.unwrap();
    let unique = "CREATE UNIQUE INDEX CONCURRENTLY items_task ON items (task)";
    db.execute_unprepared(unique).await.expect_err("the rows are not unique");
    let valid =
        "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('items_task') AND indisvalid";
    assert_eq!(number(&*db, valid).await, 0);

    with_index().up(&db).await.unwrap();
    assert_eq!(number(&*db, valid).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_index_waits_for_a_writer_its_phase_and_the_writer_are_told() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    registry([items()]).up(&db).await.unwrap();
    let writing = begun(&db, "INSERT INTO items VALUES (2, 'b')").await;
    let (told, waits) = first();
    let tell = |step: &Progress| {
        if let Progress::Running { version: 1, blockers, phase: Some(phase), .. } = step {
            told((blockers.clone(), phase.clone()));
        }
    };
    let registry = with_index();
    let run = registry.up(&db).on_progress(tell).into_future();
    let release = async {
        let seen = waits.await.unwrap();
        writing.commit().await.unwrap();
        seen
    };
    let (run, (blockers, phase)) = tokio::join!(run, release);
    assert_eq!(run.unwrap().version, 2);
    assert!(phase.starts_with("waiting for writers"), "{phase}");
    assert_eq!(blockers.len(), 1, "{blockers:?}");
}

#[tokio::test]
async fn an_index_is_built_where_transactions_keep_their_snapshot_by_default() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let strict =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable',
                  current_database()); END $$";
    db.execute_unprepared(strict).await.unwrap();
    let app = db.connect().await;
    let registry = with_index();
    let run =
        tokio::time::timeout(std::time::Duration::from_secs(30), registry.up(&app).into_future());
    assert_eq!(run.await.expect("it hangs").unwrap().version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_whose_claim_is_lost_is_ended_and_the_next_run_finishes() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let registry = registry([items(), Sql::new(["SELECT pg_sleep(60)"]).outside_transaction()]);
    let end_the_claim = async {
        let claim = "FROM pg_stat_activity WHERE datname = current_database()
                     AND application_name LIKE 'onerow m0001%' AND state = 'idle in transaction'";
        while number(&*db, &format!("SELECT count(*) {claim}")).await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        db.execute_unprepared(&format!("SELECT pg_terminate_backend(pid) {claim}")).await.unwrap();
    };
    let (run, ()) = tokio::join!(registry.up(&db).into_future(), end_the_claim);
    let error = run.unwrap_err();
    assert!(matches!(error.failure(), Some(Failure::ClaimLost(_))), "{error:?}");
    assert!(error.to_string().contains("half done"), "{error}");
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'onerow m0001%' AND state = 'active'
                AND datname = current_database()";
    assert_eq!(number(&*db, left).await, 0);
    assert_eq!(with_index().up(&db).await.unwrap().version, 2);
}

/// Writes a row, rests in its own code, and writes the next. Between two statements its session is
/// idle.
struct Slow {
    rows: u32,
    rest: Duration,
}

#[async_trait]
impl MigrationTrait for Slow {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        for _ in 0..self.rows {
            let insert = "INSERT INTO trace (who) VALUES (current_setting('application_name'))";
            db.execute_unprepared(insert).await?;
            sleep(self.rest).await;
        }
        Ok(())
    }

    fn mode(&self) -> Mode {
        Mode::Outside
    }
}

fn slow(rows: u32, rest: Duration) -> Registry {
    let trace = Sql::new(["CREATE TABLE trace (id SERIAL PRIMARY KEY, who TEXT)"]);
    Registry::new(vec![Box::new(trace), Box::new(Slow { rows, rest })])
}

/// How often a row was written by another session than the row before.
const CHANGES: &str =
    "SELECT count(*) FROM (SELECT who, lag(who) OVER (ORDER BY id) AS before FROM trace) t
                       WHERE who <> before";

const CLAIM: &str = "FROM pg_stat_activity WHERE datname = current_database()
                     AND application_name LIKE 'onerow m0001%' AND state = 'idle in transaction'";

async fn end_the_claim(db: &Database) {
    while number(db, &format!("SELECT count(*) {CLAIM}")).await == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    while number(db, "SELECT count(*) FROM trace").await == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    db.execute_unprepared(&format!("SELECT pg_terminate_backend(pid) {CLAIM}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_runner_does_not_start_before_the_session_of_one_that_lost_the_row_is_gone() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    slow(0, Duration::ZERO).up(&db).to(0).await.unwrap();
    let run = |handle: Database, rest| {
        let rest = Duration::from_millis(rest);
        tokio::spawn(async move { slow(10, rest).up(&handle).await.map(|report| report.version) })
    };
    let first = run(db.connect().await, 300);
    sleep(Duration::from_millis(100)).await;
    let second = run(db.connect().await, 10);
    end_the_claim(&db).await;

    let error = first.await.unwrap().unwrap_err();
    assert!(matches!(error.failure(), Some(Failure::ClaimLost(_))), "{error:?}");
    assert_eq!(second.await.unwrap().unwrap(), 1);
    assert_eq!(number(&*db, CHANGES).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_that_take_the_role_of_the_owner_are_kept_apart_though_they_inherit_nothing() {
    let Some(server) = server_with(&[]) else { return };
    let db = Database::connect(server.url("postgres")).await.unwrap();
    let roles = "CREATE ROLE owner; ALTER SCHEMA public OWNER TO owner;
        CREATE ROLE runner LOGIN NOINHERIT PASSWORD 'r' IN ROLE owner; ALTER ROLE runner SET role = owner";
    db.execute_unprepared(roles).await.unwrap();
    let url = format!("postgres://runner:r@127.0.0.1:{}/postgres", server.port());
    slow(0, Duration::ZERO).up(&Database::connect(url.clone()).await.unwrap()).to(0).await.unwrap();
    let run = |rest| {
        let (url, rest) = (url.clone(), Duration::from_millis(rest));
        tokio::spawn(async move {
            let handle = Database::connect(url).await.unwrap();
            slow(10, rest).up(&handle).await.map(|report| report.version)
        })
    };
    let first = run(300);
    sleep(Duration::from_millis(100)).await;
    let second = run(10);
    end_the_claim(&db).await;

    assert!(first.await.unwrap().is_err());
    assert_eq!(second.await.unwrap().unwrap(), 1);
    assert_eq!(number(&db, CHANGES).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_calls_himself_a_runner_keeps_nobody_waiting() {
    let Some(server) = server_with(&[]) else { return };
    let db = Database::connect(server.url("postgres")).await.unwrap();
    db.execute_unprepared("CREATE ROLE intruder LOGIN PASSWORD 'i'").await.unwrap();
    slow(0, Duration::ZERO).up(&db).to(0).await.unwrap();
    let url = format!(
        "postgres://intruder:i@127.0.0.1:{}/postgres?application_name=onerow m0001 0badcafe",
        server.port()
    );
    let _intruder = Database::connect(url).await.unwrap();
    let run = slow(1, Duration::ZERO);
    assert_eq!(run.up(&db).wait_timeout(Duration::from_secs(5)).await.unwrap().version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_of_the_role_do_not_end_a_claim_or_a_migration_that_computes() {
    for setting in [
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
        "lock_timeout",
        "statement_timeout",
        "transaction_timeout",
    ] {
        let Some(db) = only_on(Backend::Postgres).await else { return };
        if !has_setting(&*db, setting).await {
            continue;
        }
        alter_database(&db, setting, "300ms").await;
        let (one, two) = (db.connect().await, db.connect().await);
        let run = slow(2, Duration::from_millis(800));
        let (one, two) = tokio::join!(run.up(&one).into_future(), run.up(&two).into_future());
        assert_eq!((one.unwrap().version, two.unwrap().version), (1, 1), "{setting}");
        assert_eq!(number(&*db, "SELECT count(*) FROM trace").await, 2, "{setting}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_waits_for_a_writer_longer_than_the_lock_timeout_of_the_role() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    registry([items()]).up(&db).await.unwrap();
    alter_database(&db, "lock_timeout", "200ms").await;
    let writing = begun(&db, "INSERT INTO items VALUES (2, 'b')").await;
    let app = db.connect().await;
    let registry = with_index();
    let retried = std::sync::atomic::AtomicBool::new(false);
    let tell = |step: &Progress| {
        if let Progress::Retrying { .. } = step {
            retried.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    };
    let run = registry.up(&app).on_progress(tell).into_future();
    let release = async {
        sleep(Duration::from_secs(2)).await;
        writing.commit().await.unwrap();
    };
    let (run, ()) = tokio::join!(run, release);
    assert_eq!(run.unwrap().version, 2);
    assert!(!retried.load(std::sync::atomic::Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_not_to_be_had_is_tried_for_again() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    registry([items()]).up(&db).await.unwrap();
    alter_database(&db, "lock_timeout", "100ms").await;
    let reading = begun(&db, "SELECT * FROM items").await;
    let app = db.connect().await;
    let (told, retried) = first();
    let tell = |step: &Progress| {
        if let Progress::Retrying { version: 1, .. } = step {
            told(());
        }
    };
    let column =
        Sql::new(["ALTER TABLE items ADD COLUMN IF NOT EXISTS due DATE"]).outside_transaction();
    let registry = registry([items(), column]);
    let run = registry.up(&app).on_progress(tell).into_future();
    let release = async {
        retried.await.unwrap();
        reading.commit().await.unwrap();
    };
    let (run, ()) = tokio::join!(run, release);
    assert_eq!(run.unwrap().version, 1);
}

async fn alter_database(db: &Database, setting: &str, value: &str) {
    let alter = format!(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting} = ''{value}''', \
         current_database()); END $$"
    );
    db.execute_unprepared(&alter).await.unwrap();
}
