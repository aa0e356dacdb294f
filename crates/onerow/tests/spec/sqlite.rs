//! SQLite alone: foreign keys that a rebuild would fire, and databases in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onerow::{ErrorKind, Failure, Progress, prelude::*};
use onerow_testing::{Backend, TestDatabase};
use sea_orm::{ConnectOptions, Statement, sqlx::sqlite::SqliteJournalMode};

use crate::support::{
    Sql, assert_failed, assert_rolled_back, first, has_table, logged, number, only_on, registry,
    text, version,
};

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
    assert_eq!(
        number(db, "SELECT count(*) FROM children JOIN parents ON parents.id = parent_id").await,
        3
    );
    // The app's own connection still enforces them.
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
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    let careless = Sql::new(["DELETE FROM parents WHERE id = 1"]);
    let error = registry([parents_and_children(), careless]).up(&db).await.unwrap_err();
    assert_failed(&error, 1, 0);
    let Some(Failure::ForeignKeys { rows: 2, table }) = error.failure() else {
        panic!("{error:?}")
    };
    assert_eq!(table, "children");
    assert_eq!(number(&*db, "SELECT count(*) FROM parents").await, 2);
}

/// Python's sqlite3 does not enforce foreign keys, so a database that is taken over may hold such
/// rows.
#[tokio::test]
async fn a_child_that_had_no_parent_before_does_not_stop_a_migration() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    registry([parents_and_children()]).up(&db).await.unwrap();
    db.execute_unprepared("PRAGMA foreign_keys = OFF; INSERT INTO children VALUES (30, 3)")
        .await
        .unwrap();
    registry([parents_and_children(), rebuild_of_parents()]).up(&db).await.unwrap();
    assert_eq!(version(&*db).await, 1);
}

#[tokio::test]
async fn a_url_that_gives_each_connection_a_database_of_its_own_is_refused() {
    for url in [
        "sqlite://?mode=memory&cache=private",
        "sqlite://?mode=memory",
        "sqlite:",
        "sqlite:file:",
        "sqlite:file:x?mode=memory&cache=private",
        "sqlite::memory:?cache=private",
        "sqlite:file::memory:",
    ] {
        let error = Database::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{url}: {error:?}");
    }
}

#[tokio::test]
async fn write_ahead_logging_works_beside_an_app_that_reads() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
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

/// The header of the file counts the transactions that wrote to it
/// (<https://sqlite.org/fileformat.html#file_change_counter>).
fn transactions(db: &TestDatabase) -> u32 {
    let path = db.url().trim_start_matches("sqlite://").split('?').next().unwrap();
    let header = std::fs::read(path).unwrap();
    u32::from_be_bytes(header[24..28].try_into().unwrap())
}

#[tokio::test]
async fn a_hundred_migrations_are_gathered_in_few_transactions() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    logged(1).up(&db).await.unwrap();
    let before = transactions(&db);
    logged(101).up(&db).await.unwrap();
    // It is one, or a few more on a slow machine, because each gathers for half a second.
    let grown = transactions(&db) - before;
    assert!((1..=20).contains(&grown), "{grown} transactions");
}

/// SQLite itself rolls back the whole transaction, with its savepoints.
#[tokio::test]
async fn a_database_that_is_full_names_the_migration_that_filled_it() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    let mut fills = Sql::new(["PRAGMA max_page_count = 30", "CREATE TABLE filled (text TEXT)"]);
    for _ in 0..200 {
        fills = fills.statement(format!("INSERT INTO filled VALUES ('{}')", "x".repeat(2000)));
    }
    let error =
        registry([parents_and_children(), Sql::new(["CREATE TABLE small (id INTEGER)"]), fills])
            .up(&db)
            .await
            .unwrap_err();
    let found = error.version().unwrap();
    assert_failed(&error, 2, found);
    assert!(
        error.explain().to_string().contains("database or disk is full"),
        "{}",
        error.explain()
    );
    assert!(db.schema().has_table("small").await.unwrap() == (found == 1), "{error}");
}

#[tokio::test]
async fn a_foreign_key_that_sqlite_cannot_check_does_not_stop_the_migration_that_mends_it() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    let broken = Sql::new([
        "CREATE TABLE names (name TEXT)",
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT REFERENCES names (name))",
    ]);
    let mend = Sql::new(["CREATE UNIQUE INDEX names_name ON names (name)"]);
    assert_eq!(registry([broken, mend]).up(&db).await.unwrap().version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lock_timeout_a_commit_waits_for_a_reader_as_long_as_it_takes() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
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
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                   SELECT count(*) FROM n, schema_migration";
    let registry = registry([Sql::new([endless]).outside_transaction()]);
    let stop = tokio::time::sleep(Duration::from_millis(300));
    let run = tokio::time::timeout(
        Duration::from_secs(30),
        registry.up(&db).cancel_on(stop).into_future(),
    );
    let error = run.await.expect("it waits for the statement").unwrap_err();
    assert_eq!((error.kind(), error.version()), (ErrorKind::Cancelled, Some(-1)), "{error:?}");
    // If the statement went on, it would keep its read lock, and no commit would get through.
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

#[tokio::test]
async fn a_database_in_memory_is_one_for_all_connections_of_the_pool_and_of_the_run() {
    for url in [
        "sqlite::memory:",
        "sqlite://named?mode=memory",
        "sqlite:file:uri?mode=memory",
        "sqlite:file:uri_too?mode=memory&cache=shared",
        "sqlite:file::memory:?cache=shared",
        "sqlite://odd%23%3F%25 name?mode=memory",
    ] {
        let mut options = ConnectOptions::new(url);
        options.max_connections(3).min_connections(2);
        let db =
            Database::connect(options).await.unwrap_or_else(|error| panic!("{url}: {error:?}"));
        logged(2).up(&db).await.unwrap_or_else(|error| panic!("{url}: {error:?}"));
        let held =
            [db.begin().await.unwrap(), db.begin().await.unwrap(), db.begin().await.unwrap()];
        for one in held {
            let found = one
                .query_one_raw(Statement::from_string(
                    DatabaseBackend::Sqlite,
                    "SELECT version FROM schema_migration",
                ))
                .await;
            assert!(matches!(found, Ok(Some(_))), "{url}: {found:?}");
        }
    }
}

#[tokio::test]
async fn a_pool_each_of_whose_connections_has_a_database_of_its_own_is_refused() {
    for url in ["sqlite://named?mode=memory", "sqlite::memory:?cache=private", "sqlite://"] {
        let mut options = ConnectOptions::new(url);
        options.max_connections(3);
        let db = Database::from(sea_orm::Database::connect(options).await.unwrap());
        let error = logged(1).up(&db).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{url}: {error:?}");
    }
    let db = Database::from(sea_orm::Database::connect("sqlite::memory:").await.unwrap());
    assert_eq!(logged(1).up(&db).await.unwrap().version, 0);
}

/// The settings of a connection, and its tables and files.
const SETTINGS: [&str; 15] = [
    "analysis_limit",
    "automatic_index",
    "cache_size",
    "defer_foreign_keys",
    "full_column_names",
    "ignore_check_constraints",
    "legacy_alter_table",
    "locking_mode",
    "max_page_count",
    "query_only",
    "recursive_triggers",
    "reverse_unordered_selects",
    "secure_delete",
    "trusted_schema",
    "writable_schema",
];

/// Writes down the settings of its connection.
fn observe() -> Sql {
    let mut columns =
        vec!["('a' LIKE 'A')".to_owned(), "(SELECT temp_store FROM pragma_temp_store)".into()];
    columns.extend(SETTINGS.map(|name| format!("(SELECT {name} FROM pragma_{name})")));
    columns.push("(SELECT count(*) FROM pragma_database_list WHERE seq <> 1)".into());
    columns.push("(SELECT count(*) FROM temp.sqlite_schema)".into());
    let columns = columns.join(" || ' ' || ");
    Sql::default().statement(format!("CREATE TABLE observed AS SELECT {columns} AS settings"))
}

#[tokio::test]
async fn what_a_migration_sets_for_its_session_does_not_reach_the_next_one() {
    if !Backend::Sqlite.is_wanted() {
        return;
    }
    for left in [
        "PRAGMA legacy_alter_table = ON",
        "PRAGMA defer_foreign_keys = ON",
        "PRAGMA ignore_check_constraints = ON",
        "PRAGMA recursive_triggers = ON",
        "PRAGMA case_sensitive_like = ON",
        "PRAGMA writable_schema = ON",
        "PRAGMA trusted_schema = OFF",
        "PRAGMA temp_store = MEMORY",
        "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA reverse_unordered_selects = ON",
        "PRAGMA automatic_index = OFF",
        "PRAGMA cache_size = 77",
        "PRAGMA secure_delete = ON",
        "PRAGMA full_column_names = ON",
        "PRAGMA analysis_limit = 7",
        "PRAGMA max_page_count = 5000",
        "CREATE TEMP TABLE left_behind (id INTEGER)",
        "CREATE TEMP VIEW left_behind AS SELECT 1",
        "CREATE TEMP TRIGGER left_behind AFTER INSERT ON main.parents BEGIN SELECT 1; END",
        "ATTACH ':memory:' AS left_behind",
    ] {
        let registry = registry([parents_and_children(), Sql::new([left]), observe()]);
        let (one, three) =
            (Backend::Sqlite.empty_database().await, Backend::Sqlite.empty_database().await);
        registry.up(&one).await.unwrap_or_else(|error| panic!("{left}: {}", error.explain()));
        for target in 0..3 {
            registry
                .up(&three)
                .to(target)
                .await
                .unwrap_or_else(|error| panic!("{left}: {error:?}"));
        }
        let observed = "SELECT settings FROM observed";
        assert_eq!(text(&*one, observed).await, text(&*three, observed).await, "{left}");
    }
}

#[tokio::test]
async fn a_rename_after_a_migration_that_wants_the_old_way_of_renaming_is_followed() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    let table = Sql::new([
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
        "CREATE VIEW v AS SELECT a FROM t",
    ]);
    let rebuild = Sql::new([
        "PRAGMA legacy_alter_table = ON",
        "CREATE TABLE t_new (id INTEGER PRIMARY KEY, a TEXT NOT NULL)",
        "DROP TABLE t",
        "ALTER TABLE t_new RENAME TO t",
    ]);
    let rename = Sql::new([
        "CREATE TABLE child (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id))",
        "ALTER TABLE t RENAME TO things",
    ]);
    registry([table, rebuild, rename]).up(&db).await.unwrap();
    assert_eq!(number(&*db, "SELECT count(*) FROM v").await, 0);
    let schema = text(&*db, "SELECT group_concat(sql) FROM sqlite_schema").await;
    assert!(schema.contains("REFERENCES \"things\""), "{schema}");
}

/// Changing the connection must not cost a transaction: migrations are gathered in one.
#[tokio::test]
async fn a_setting_that_is_put_back_does_not_end_the_gathering() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    logged(1).up(&db).await.unwrap();
    let before = transactions(&db);
    let tidy = |number| {
        Sql::new(["PRAGMA legacy_alter_table = ON"])
            .statement(format!("CREATE TABLE t{number} (id INTEGER)"))
            .statement(format!("ALTER TABLE t{number} RENAME TO tidy{number}"))
            .statement(
                "PRAGMA legacy_alter_table = OFF; PRAGMA foreign_keys = OFF; \
                 PRAGMA foreign_keys = ON"
                    .into(),
            )
    };
    registry(std::iter::once(Sql::new([])).chain((1..60).map(tidy))).up(&db).await.unwrap();
    let grown = transactions(&db) - before;
    assert!((1..=20).contains(&grown), "{grown} transactions");
}

#[tokio::test]
async fn a_pragma_that_has_no_effect_in_a_transaction_fails_the_migration() {
    for idle in [
        "PRAGMA journal_mode = WAL",
        "CREATE TABLE t (id INTEGER); pragma main.journal_mode('truncate')",
        "PRAGMA page_size = 8192",
        "PRAGMA auto_vacuum = FULL",
        "PRAGMA encoding = 'UTF-16'",
    ] {
        let Some(db) = only_on(Backend::Sqlite).await else { return };
        let error = registry([parents_and_children(), Sql::new([idle])]).up(&db).await.unwrap_err();
        assert_rolled_back(&error, 1, 0);
        assert!(error.explain().to_string().contains("has no effect"), "{}", error.explain());
        assert!(!has_table(&db, "t").await);
    }
}

#[tokio::test]
async fn a_pragma_that_asks_for_what_is_there_already_passes() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    let harmless = Sql::new([
        "PRAGMA journal_mode; PRAGMA journal_mode = DELETE; PRAGMA encoding = \"UTF-8\"; \
         PRAGMA encoding = utf8",
        "PRAGMA auto_vacuum = NONE",
        "PRAGMA foreign_keys = OFF; CREATE TABLE t (id INTEGER); PRAGMA foreign_keys = ON",
        "PRAGMA user_version = 7",
    ]);
    registry([harmless]).up(&db).await.unwrap();
    let outside = Sql::new(["PRAGMA journal_mode = WAL"]).outside_transaction();
    registry([Sql::new([]), outside]).up(&db).await.unwrap();
    assert_eq!(text(&*db, "SELECT journal_mode FROM pragma_journal_mode").await, "wal");
}

#[tokio::test]
async fn a_connection_without_a_journal_is_refused_before_anything_is_changed() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    let with = |mode: SqliteJournalMode| {
        let mut options = ConnectOptions::new(db.url());
        options.map_sqlx_sqlite_opts(move |options| options.journal_mode(mode));
        options
    };
    let without = Database::connect(with(SqliteJournalMode::Off)).await.unwrap();
    let error = logged(2).up(&without).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoJournal, "{error:?}");
    assert!(!has_table(&db, "schema_migration").await);
    let memory = Database::connect(with(SqliteJournalMode::Memory)).await.unwrap();
    assert_eq!(logged(2).up(&memory).await.unwrap().version, 1);
    assert_eq!(logged(2).up(&without).await.unwrap().initial, 1);
}

/// Children whose parent is looked up by a collation that counts its calls.
async fn counting() -> (TestDatabase, Database, Arc<AtomicUsize>) {
    let db = Backend::Sqlite.empty_database().await;
    let compared = Arc::<AtomicUsize>::default();
    let comparisons = Arc::clone(&compared);
    let mut options = ConnectOptions::new(db.url());
    options.map_sqlx_sqlite_opts(move |options| {
        let comparisons = Arc::clone(&comparisons);
        options.collation("counted", move |left, right| {
            comparisons.fetch_add(1, Ordering::Relaxed);
            left.cmp(right)
        })
    });
    let app = Database::connect(options).await.unwrap();
    (db, app, compared)
}

const CHILDREN: usize = 20_000;

fn many_children() -> Sql {
    Sql::new([
        "CREATE TABLE parents (name TEXT COLLATE counted PRIMARY KEY, note TEXT)",
        "CREATE TABLE children (id INTEGER PRIMARY KEY, parent TEXT REFERENCES parents (name))",
        "CREATE TABLE settings (id INTEGER PRIMARY KEY, value TEXT)",
        "INSERT INTO parents VALUES ('one', ''), ('two', '')",
    ])
    .statement(format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {CHILDREN})
         INSERT INTO children SELECT i, 'one' FROM n"
    ))
}

#[tokio::test]
async fn the_children_are_looked_at_only_if_they_or_their_parents_may_have_changed() {
    if !Backend::Sqlite.is_wanted() {
        return;
    }
    let (_file, db, compared) = counting().await;
    let rest = [
        "CREATE TABLE empty (id INTEGER PRIMARY KEY)",
        "CREATE TABLE other (id INTEGER PRIMARY KEY AUTOINCREMENT, parent TEXT REFERENCES parents \
         (name))",
        "INSERT INTO settings VALUES (1, 'on')",
        "DELETE FROM settings WHERE id = 1",
        "CREATE INDEX settings_value ON settings (value)",
        "ALTER TABLE settings ADD COLUMN note TEXT",
        "ALTER TABLE settings RENAME TO options",
        "CREATE VIEW seen AS SELECT id FROM children",
        "DROP TABLE options",
    ];
    let migrations = || std::iter::once(many_children()).chain(rest.map(|sql| Sql::new([sql])));
    registry([many_children()]).up(&db).await.unwrap();
    compared.store(0, Ordering::Relaxed);
    let tell = |step: &Progress| match step {
        Progress::Started { version, .. } if *version > 0 => {
            assert_eq!(compared.load(Ordering::Relaxed), 0, "before {version}");
        }
        _ => (),
    };
    registry(migrations()).up(&db).on_progress(tell).await.unwrap();
    assert_eq!(compared.load(Ordering::Relaxed), 0);
    // If a parent changes, each child is checked.
    let update = Sql::new(["UPDATE parents SET note = 'more' WHERE note = ''"]);
    registry(migrations().chain([update])).up(&db).await.unwrap();
    assert!((CHILDREN..3 * CHILDREN).contains(&compared.load(Ordering::Relaxed)), "{compared:?}");
}

#[tokio::test]
async fn the_check_of_the_foreign_keys_is_part_of_the_time_that_is_told() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    let mut options = ConnectOptions::new(db.url());
    options.map_sqlx_sqlite_opts(|options| {
        options.collation("counted", |left, right| {
            std::thread::sleep(Duration::from_millis(100));
            left.cmp(right)
        })
    });
    let db = Database::connect(options).await.unwrap();
    let slow = Sql::new([
        "CREATE TABLE parents (name TEXT COLLATE counted PRIMARY KEY)",
        "CREATE TABLE children (id INTEGER PRIMARY KEY, parent TEXT REFERENCES parents (name))",
        "INSERT INTO parents VALUES ('one')",
        "INSERT INTO children VALUES (1, 'one'), (2, 'one'), (3, 'one')",
    ]);
    let report = registry([slow]).up(&db).await.unwrap();
    // Each child is compared once, and only at the check.
    assert!(report.applied[0].elapsed >= Duration::from_millis(300), "{report:?}");
}

#[tokio::test]
async fn a_child_without_its_parent_is_found_however_it_came_about() {
    for careless in [
        "DELETE FROM parents",
        "DELETE FROM parents WHERE id = 2",
        "UPDATE parents SET id = 5 WHERE id = 1",
        "REPLACE INTO named VALUES (7, 'a')",
        "INSERT INTO children VALUES (30, 3)",
        "INSERT INTO children SELECT 31, 9",
        "UPDATE children SET parent_id = 9 WHERE id = 10",
        "DROP TABLE parents",
        "DROP TABLE parents; CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT)",
        "DROP TABLE copied; CREATE TABLE copied AS SELECT 2 AS id; \
         CREATE UNIQUE INDEX copied_id ON copied (id)",
        "ALTER TABLE children ADD COLUMN other INTEGER DEFAULT 5 REFERENCES parents (id)",
        "CREATE TABLE late (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parents (id)); \
         INSERT INTO late VALUES (1, 8)",
        "CREATE TABLE late (id TEXT PRIMARY KEY, parent_id INTEGER REFERENCES parents (id)) \
         WITHOUT ROWID; INSERT INTO late VALUES (1, 8)",
        "DELETE FROM listed",
        "DELETE FROM listed WHERE name = 'x'",
        "PRAGMA legacy_alter_table = ON; ALTER TABLE parents RENAME TO grown",
        "CREATE TABLE log (id); CREATE TRIGGER follow AFTER INSERT ON log BEGIN DELETE \
         FROM parents WHERE id = 1; END; INSERT INTO log VALUES (1)",
        "INSERT INTO empty_parents VALUES (1); INSERT INTO gathered VALUES (1, 1); \
         DELETE FROM empty_parents",
    ] {
        let more = Sql::new([
            "CREATE TABLE named (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
            "CREATE TABLE of_named (id INTEGER PRIMARY KEY, named_id INTEGER REFERENCES named (id))",
            "INSERT INTO named VALUES (1, 'a'); INSERT INTO of_named VALUES (1, 1)",
            "CREATE TABLE listed (name TEXT PRIMARY KEY) WITHOUT ROWID",
            "CREATE TABLE of_listed (id INTEGER PRIMARY KEY, name TEXT REFERENCES \"Listed\")",
            "INSERT INTO listed VALUES ('x'), ('y'); INSERT INTO of_listed VALUES (1, 'x')",
            "CREATE TABLE copied AS SELECT 1 AS id; CREATE UNIQUE INDEX copied_id ON copied (id)",
            "CREATE TABLE of_copied (id INTEGER REFERENCES copied (id)); \
             INSERT INTO of_copied VALUES (1)",
            "CREATE TABLE empty_parents (id INTEGER PRIMARY KEY)",
            "CREATE TABLE gathered (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES \
             [empty_parents] (id))",
        ]);
        for first in [1, 2] {
            let Some(db) = only_on(Backend::Sqlite).await else { return };
            let registry = registry([parents_and_children(), more.clone(), Sql::new([careless])]);
            // Once in the transaction that made the tables, once in one that found them.
            registry.up(&db).to(first - 1).await.unwrap();
            let error = registry.up(&db).await.expect_err(careless);
            assert_failed(&error, 2, 1);
            let found = matches!(error.failure(), Some(Failure::ForeignKeys { .. }));
            assert!(found, "{careless}: {error:?}");
            assert_eq!(
                number(
                    &*db,
                    "SELECT count(*) FROM children JOIN parents ON parents.id = parent_id"
                )
                .await,
                3
            );
        }
    }
}

/// Goes on after a statement that failed half way: SQLite reported its rows and took them back.
/// Then it empties the parents, of which SQLite reports nothing.
struct Swallows {
    nested: bool,
}

#[async_trait]
impl MigrationTrait for Swallows {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        let fails = "INSERT INTO notes VALUES (1), (2), (0)";
        if self.nested {
            let nested = db.begin().await?;
            nested.execute_unprepared(fails).await.unwrap_err();
            nested.commit().await?;
        } else {
            db.execute_unprepared(fails).await.unwrap_err();
        }
        db.execute_unprepared("DELETE FROM parents").await.map(drop)
    }
}

#[tokio::test]
async fn a_child_without_its_parent_is_found_behind_a_statement_that_failed() {
    for nested in [false, true] {
        let Some(db) = only_on(Backend::Sqlite).await else { return };
        let notes = Sql::new(["CREATE TABLE notes (id INTEGER CHECK (id > 0))"]);
        let registry = Registry::new(vec![
            Box::new(parents_and_children()),
            Box::new(notes),
            Box::new(Swallows { nested }),
        ]);
        let error = registry.up(&db).await.unwrap_err();
        assert_failed(&error, 2, 1);
        let found = matches!(error.failure(), Some(Failure::ForeignKeys { rows: 3, .. }));
        assert!(found, "{error:?}");
    }
}

#[tokio::test]
async fn of_children_that_had_no_parent_before_only_more_of_them_stop_a_migration() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    registry([parents_and_children()]).up(&db).await.unwrap();
    db.execute_unprepared(
        "PRAGMA foreign_keys = OFF; INSERT INTO children VALUES (30, 3), (31, 3)",
    )
    .await
    .unwrap();
    let migrations = [
        parents_and_children(),
        Sql::new(["CREATE TABLE beside (id INTEGER)"]),
        Sql::new([
            "UPDATE children SET parent_id = 4 WHERE id = 30",
            "PRAGMA legacy_alter_table = ON",
        ]),
        Sql::new(["DELETE FROM children WHERE id = 30"]),
        Sql::new(["INSERT INTO children VALUES (32, 2)"]),
    ];
    assert_eq!(registry(migrations.clone()).up(&db).await.unwrap().applied.len(), 4);
    // One was left; this would make two.
    let worse = Sql::new(["INSERT INTO children VALUES (33, 3)"]);
    let error = registry(migrations.into_iter().chain([worse])).up(&db).await.unwrap_err();
    assert_failed(&error, 5, 4);
    assert!(matches!(error.failure(), Some(Failure::ForeignKeys { rows: 1, .. })), "{error:?}");
}

#[tokio::test]
async fn rows_that_had_no_parent_before_may_move_with_their_table() {
    for moves in [
        "ALTER TABLE children RENAME TO offspring",
        "ALTER TABLE parents RENAME TO elders",
        "ALTER TABLE children RENAME TO offspring; ALTER TABLE parents RENAME TO elders",
        "CREATE TABLE offspring (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parents (id));
         INSERT INTO offspring SELECT * FROM children; DROP TABLE children",
    ] {
        let Some(db) = only_on(Backend::Sqlite).await else { return };
        registry([parents_and_children()]).up(&db).await.unwrap();
        db.execute_unprepared("PRAGMA foreign_keys = OFF; INSERT INTO children \
            VALUES (30, 3), (31, 3)")
            .await
            .unwrap();
        registry([parents_and_children(), Sql::new([moves])]).up(&db).await.expect(moves);
        // This is one more than moved.
        let Some(db) = only_on(Backend::Sqlite).await else { return };
        registry([parents_and_children()]).up(&db).await.unwrap();
        db.execute_unprepared("PRAGMA foreign_keys = OFF; INSERT INTO children \
            VALUES (30, 3), (31, 3)")
            .await
            .unwrap();
        let worse = Sql::new(["INSERT INTO children VALUES (32, 3)", moves]);
        let error = registry([parents_and_children(), worse]).up(&db).await.expect_err(moves);
        let found = matches!(error.failure(), Some(Failure::ForeignKeys { .. }));
        assert!(found, "{moves}: {error:?}");
    }
}

/// A checkpoint inside the transaction would fail like that, and no other connection is in its way.
#[tokio::test]
async fn a_migration_that_is_in_its_own_way_is_not_tried_again() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    db.execute_unprepared("PRAGMA journal_mode = WAL").await.unwrap();
    let registry = registry([Sql::new(["CREATE TABLE t (id INTEGER)", "PRAGMA wal_checkpoint"])]);
    let tell = |step: &Progress| assert!(!matches!(step, Progress::Retrying { .. }), "{step}");
    let error = registry.up(&db).on_progress(tell).await.unwrap_err();
    assert!(error.explain().to_string().contains("table is locked"), "{}", error.explain());
}

/// An app's connection with little patience, beside a transaction that reads.
async fn beside_a_reader(db: &TestDatabase) -> (sea_orm::DatabaseTransaction, Database) {
    let reader = db.begin().await.unwrap();
    reader.execute_unprepared("SELECT count(*) FROM parents").await.unwrap();
    let mut options = ConnectOptions::new(db.url());
    options.map_sqlx_sqlite_opts(|options| options.busy_timeout(Duration::from_millis(100)));
    (reader, Database::connect(options).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_outside_a_transaction_that_a_reader_locks_out_is_tried_again() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    registry([parents_and_children()]).up(&db).await.unwrap();
    let (reader, app) = beside_a_reader(&db).await;
    let outside =
        Sql::new(["INSERT OR IGNORE INTO parents VALUES (9, 'nine')"]).outside_transaction();
    let registry = registry([parents_and_children(), outside]);
    let (told, retried) = first();
    let tell = |step: &Progress| {
        if let Progress::Retrying { version: 1, .. } = step {
            told(step.to_string());
        }
    };
    let release = async {
        let step = retried.await.unwrap();
        assert!(!step.contains("rolled back"), "{step}");
        reader.rollback().await.unwrap();
    };
    let (run, ()) = tokio::join!(registry.up(&app).on_progress(tell).into_future(), release);
    assert_eq!(run.unwrap().version, 1);
    assert_eq!(number(&*db, "SELECT count(*) FROM parents").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_outside_a_transaction_that_a_reader_locks_out_for_good_may_be_half_done() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    registry([parents_and_children()]).up(&db).await.unwrap();
    let (reader, app) = beside_a_reader(&db).await;
    let outside = Sql::new(["DELETE FROM parents WHERE id = 77"]).outside_transaction();
    let error =
        registry([parents_and_children(), outside]).up(&app).max_tries(2).await.unwrap_err();
    assert_failed(&error, 1, 0);
    assert!(error.to_string().contains("half done"), "{error}");
    reader.rollback().await.unwrap();
}
