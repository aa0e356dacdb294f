//! What only SQLite has: foreign keys that a rebuild would fire, and databases in memory.

use std::time::Duration;

use onerow::{
    Error, Failure,
    prelude::*,
    testing::{Backend, TestDatabase},
};

use crate::support::{Sql, logged, number, registry, version};

fn parents_and_children() -> Sql {
    Sql::new([
        "CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT)",
        "CREATE TABLE children (id INTEGER PRIMARY KEY,
             parent_id INTEGER NOT NULL REFERENCES parents (id) ON DELETE CASCADE)",
        "INSERT INTO parents VALUES (1, 'one'), (2, 'two')",
        "INSERT INTO children VALUES (10, 1), (11, 1), (20, 2)",
    ])
}

fn rebuild_of_parents() -> Sql {
    Sql::new([
        "CREATE TABLE new_parents (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
        "INSERT INTO new_parents SELECT id, name FROM parents",
        "DROP TABLE parents",
        "ALTER TABLE new_parents RENAME TO parents",
    ])
}

async fn keeps_the_children(db: TestDatabase) {
    let db = &*db;
    registry([parents_and_children(), rebuild_of_parents()]).up(db).await.unwrap();
    assert_eq!(number(db, "SELECT count(*) FROM children JOIN parents ON parents.id = parent_id").await, 3);
    // And the app's own connection enforces them still.
    assert!(db.execute_unprepared("INSERT INTO children VALUES (30, 3)").await.is_err());
}

#[tokio::test]
async fn rebuilding_a_parent_table_keeps_its_children() {
    if Backend::Sqlite.is_wanted() {
        keeps_the_children(Backend::Sqlite.empty_database().await).await;
    }
}

#[tokio::test]
async fn rebuilding_a_parent_table_in_memory_keeps_its_children() {
    if Backend::Sqlite.is_wanted() {
        keeps_the_children(TestDatabase::in_memory().await).await;
    }
}

#[tokio::test]
async fn a_database_in_memory_works_like_a_file() {
    if !Backend::Sqlite.is_wanted() {
        return;
    }
    let db = Database::connect("sqlite::memory:").await.unwrap();
    assert_eq!(logged(5).up(&db).to(2).await.unwrap().version, 2);
    assert_eq!(logged(5).up(&db).await.unwrap().initial, 2);
    assert_eq!(number(&db, "SELECT count(*) FROM log").await, 5);
}

#[tokio::test]
async fn a_migration_that_leaves_a_child_without_its_parent_is_rolled_back() {
    if !Backend::Sqlite.is_wanted() {
        return;
    }
    let db = Backend::Sqlite.empty_database().await;
    let careless = Sql::new(["DELETE FROM parents WHERE id = 1"]);
    let error = registry([parents_and_children(), careless]).up(&db).await.unwrap_err();
    let Error::MigrationFailed { migration: 1, version: Some(0), failure, .. } = error else {
        panic!("{error:?}")
    };
    assert!(matches!(&failure, Failure::ForeignKeys { rows: 2, table } if table == "children"), "{failure}");
    assert_eq!(number(&*db, "SELECT count(*) FROM parents").await, 2);
}

/// Python's sqlite3 does not enforce foreign keys, so a database that is taken over may hold such rows.
#[tokio::test]
async fn a_child_that_had_no_parent_before_does_not_stop_a_migration() {
    if !Backend::Sqlite.is_wanted() {
        return;
    }
    let db = Backend::Sqlite.empty_database().await;
    registry([parents_and_children()]).up(&db).await.unwrap();
    db.execute_unprepared("PRAGMA foreign_keys = OFF; INSERT INTO children VALUES (30, 3)").await.unwrap();
    registry([parents_and_children(), rebuild_of_parents()]).up(&db).await.unwrap();
    assert_eq!(version(&*db).await, 1);
}

#[tokio::test]
async fn a_url_that_gives_each_connection_a_database_of_its_own_is_refused() {
    for url in ["sqlite://?mode=memory&cache=private", "sqlite:"] {
        let error = Database::connect(url).await.unwrap_err();
        assert!(matches!(error, Error::InvalidUrl { .. }), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn write_ahead_logging_works_beside_an_app_that_reads() {
    if !Backend::Sqlite.is_wanted() {
        return;
    }
    let db = Backend::Sqlite.empty_database().await;
    db.execute_unprepared("PRAGMA journal_mode = WAL").await.unwrap();
    let other = db.connect().await;
    logged(2).up(&db).await.unwrap();
    let reader = other.begin().await.unwrap();
    assert_eq!(version(&reader).await, 1);
    logged(4).up(&db).await.unwrap();
    assert_eq!(version(&reader).await, 1);
    reader.rollback().await.unwrap();
    assert_eq!(version(&other).await, 3);
}

/// The header of the file counts the transactions that wrote to it (<https://sqlite.org/fileformat.html#file_change_counter>).
fn transactions(db: &TestDatabase) -> u32 {
    let path = db.url().trim_start_matches("sqlite://").split('?').next().unwrap();
    let header = std::fs::read(path).unwrap();
    u32::from_be_bytes(header[24..28].try_into().unwrap())
}

#[tokio::test]
async fn a_hundred_migrations_are_gathered_in_few_transactions() {
    if !Backend::Sqlite.is_wanted() {
        return;
    }
    let db = Backend::Sqlite.empty_database().await;
    logged(1).up(&db).await.unwrap();
    let before = transactions(&db);
    logged(101).up(&db).await.unwrap();
    // One, or a few more where the machine is slow: each gathers for half a second.
    let grown = transactions(&db) - before;
    assert!((1..=20).contains(&grown), "{grown} transactions");
}

/// SQLite rolls back all of the transaction by itself, savepoints and all.
#[tokio::test]
async fn a_database_that_is_full_names_the_migration_that_filled_it() {
    if !Backend::Sqlite.is_wanted() {
        return;
    }
    let db = Backend::Sqlite.empty_database().await;
    let mut fills = Sql::new(["PRAGMA max_page_count = 30", "CREATE TABLE filled (text TEXT)"]);
    for _ in 0..200 {
        fills = fills.statement(format!("INSERT INTO filled VALUES ('{}')", "x".repeat(2000)));
    }
    let error = registry([parents_and_children(), Sql::new(["CREATE TABLE small (id INTEGER)"]), fills])
        .up(&db)
        .await
        .unwrap_err();
    let Error::MigrationFailed { migration: 2, version: Some(found), .. } = &error else {
        panic!("{error:?}")
    };
    assert!(error.explain().to_string().contains("database or disk is full"), "{}", error.explain());
    assert!(db.schema().has_table("small").await.unwrap() == (*found == 1), "{error}");
}

#[tokio::test]
async fn a_foreign_key_that_sqlite_cannot_check_does_not_stop_the_migration_that_mends_it() {
    if !Backend::Sqlite.is_wanted() {
        return;
    }
    let db = Backend::Sqlite.empty_database().await;
    let broken = Sql::new([
        "CREATE TABLE names (name TEXT)",
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT REFERENCES names (name))",
    ]);
    let mend = Sql::new(["CREATE UNIQUE INDEX names_name ON names (name)"]);
    assert_eq!(registry([broken, mend]).up(&db).await.unwrap().version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lock_timeout_a_commit_waits_for_a_reader_as_long_as_it_takes() {
    if !Backend::Sqlite.is_wanted() {
        return;
    }
    let db = Backend::Sqlite.empty_database().await;
    logged(1).up(&db).await.unwrap();
    let reader = db.begin().await.unwrap();
    reader.execute_unprepared("SELECT count(*) FROM log").await.unwrap();
    let other = db.connect().await;
    let registry = logged(2);
    let run = registry.up(&other).lock_timeout(Duration::ZERO).max_tries(1).into_future();
    let release = async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        reader.rollback().await.unwrap();
    };
    let (run, ()) = tokio::join!(run, release);
    assert_eq!(run.unwrap().version, 1);
}

#[tokio::test]
async fn a_migration_outside_a_transaction_is_ended_when_the_run_is_told_to_stop() {
    if !Backend::Sqlite.is_wanted() {
        return;
    }
    let db = Backend::Sqlite.empty_database().await;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                   SELECT count(*) FROM n, schema_migration";
    let registry = registry([Sql::new([endless]).outside_transaction()]);
    let stop = tokio::time::sleep(Duration::from_millis(300));
    let run = tokio::time::timeout(Duration::from_secs(30), registry.up(&db).cancel_on(stop).into_future());
    let error = run.await.expect("it waits for the statement").unwrap_err();
    assert!(matches!(error, Error::Cancelled { version: Some(-1) }), "{error:?}");
    // A statement that went on would keep its read lock, and no commit would get past that.
    db.execute_unprepared("CREATE TABLE free (id INTEGER)").await.unwrap();
}

#[tokio::test]
async fn a_path_need_not_be_a_url() {
    if !Backend::Sqlite.is_wanted() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/my database.sqlite?mode=rwc", directory.path().display());
    let db = Database::connect(url).await.unwrap();
    assert_eq!(logged(1).up(&db).await.unwrap().version, 0);
}
