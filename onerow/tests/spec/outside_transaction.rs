//! Migrations that refuse a transaction.

use onerow::{
    Error, Failure, Progress, on_every_backend,
    prelude::*,
    testing::{Backend, TestDatabase},
};

use crate::support::{Sql, number, registry, version};

fn items() -> Sql {
    Sql::new(["CREATE TABLE items (id INTEGER PRIMARY KEY, task TEXT)", "INSERT INTO items VALUES (1, 'a')"])
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

    async fn the_version_stays_when_it_fails_and_the_error_says_that_work_may_be_half_done(db: TestDatabase) {
        let broken = Sql::new(["CREATE TABLE half (id INTEGER)", "SELECT nothing"]).outside_transaction();
        let error = registry([items(), broken]).up(&db).await.unwrap_err();
        assert!(matches!(error, Error::MigrationFailed { version: Some(0), rolled_back: false, .. }), "{error:?}");
        assert!(error.to_string().contains("half done"), "{error}");
        assert_eq!(version(&*db).await, 0);
    }

    async fn the_version_stays_when_its_validation_fails(db: TestDatabase) {
        let broken = Sql::new(["CREATE TABLE IF NOT EXISTS done (id INTEGER)"]).outside_transaction();
        let error = registry([items(), broken.clone().validate("SELECT nothing")]).up(&db).await.unwrap_err();
        assert!(matches!(error, Error::MigrationFailed { version: Some(0), .. }), "{error:?}");
        registry([items(), broken]).up(&db).await.unwrap();
        assert_eq!(version(&*db).await, 1);
    }

    async fn four_runners_at_once_run_it_once(db: TestDatabase) {
        registry([items()]).up(&db).await.unwrap();
        let mut runs = Vec::new();
        for _ in 0..4 {
            let handle = db.connect().await;
            let insert = Sql::new(["INSERT INTO items (id, task) SELECT max(id) + 1, 'more' FROM items"]);
            let registry = registry([items(), insert.outside_transaction()]);
            runs.push(tokio::spawn(async move { registry.up(&handle).await.map(|report| report.version) }));
        }
        for run in runs {
            assert_eq!(run.await.unwrap().unwrap(), 1);
        }
        assert_eq!(number(&*db, "SELECT count(*) FROM items").await, 2);
    }
}

#[tokio::test]
async fn an_invalid_index_that_a_cut_off_build_left_is_built_anew() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let db = Backend::Postgres.empty_database().await;
    registry([items()]).up(&db).await.unwrap();
    db.execute_unprepared("INSERT INTO items VALUES (2, 'a')").await.unwrap();
    let unique = "CREATE UNIQUE INDEX CONCURRENTLY items_task ON items (task)";
    db.execute_unprepared(unique).await.expect_err("the rows are not unique");
    let valid = "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('items_task') AND indisvalid";
    assert_eq!(number(&*db, valid).await, 0);

    with_index().up(&db).await.unwrap();
    assert_eq!(number(&*db, valid).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_index_waits_for_a_writer_its_phase_and_the_writer_are_told() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let db = Backend::Postgres.empty_database().await;
    registry([items()]).up(&db).await.unwrap();
    let writer = db.connect().await;
    let writing = writer.begin().await.unwrap();
    writing.execute_unprepared("INSERT INTO items VALUES (2, 'b')").await.unwrap();
    let (told, waits) = tokio::sync::oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let tell = |step: &Progress| {
        if let Progress::Running { version: 1, blockers, phase: Some(phase), .. } = step
            && let Some(told) = told.lock().unwrap().take()
        {
            told.send((blockers.clone(), phase.clone())).unwrap();
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
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let db = Backend::Postgres.empty_database().await;
    let strict =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable',
                  current_database()); END $$";
    db.execute_unprepared(strict).await.unwrap();
    let app = db.connect().await;
    let registry = with_index();
    let run = tokio::time::timeout(std::time::Duration::from_secs(30), registry.up(&app).into_future());
    assert_eq!(run.await.expect("it hangs").unwrap().version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_whose_claim_is_lost_is_ended_and_the_next_run_finishes() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let db = Backend::Postgres.empty_database().await;
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
    let lost =
        matches!(&error, Error::MigrationFailed { failure: Failure::ClaimLost(_), rolled_back: false, .. });
    assert!(lost, "{error:?}");
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'onerow m0001%' AND state = 'active'
                AND datname = current_database()";
    assert_eq!(number(&*db, left).await, 0);
    assert_eq!(with_index().up(&db).await.unwrap().version, 2);
}
