//! A database moves from the seed's Python code to onerow, and back.

use onerow::{ErrorKind, prelude::*};
use onerow_testing::{TestDatabase, on_every_backend};

use crate::support::{logged, number, version};

/// The statements of the seed's `_create_migration_table`.
const CREATE: &str = "CREATE TABLE IF NOT EXISTS schema_migration (
               onerow_id BOOL PRIMARY KEY DEFAULT TRUE,
               version INTEGER NOT NULL,

               CONSTRAINT onerow_uni CHECK (onerow_id)
           )";
const INSERT: &str = "INSERT INTO schema_migration (version)
                VALUES(-1)
           ON CONFLICT DO NOTHING";

/// Does the same as the seed's `create_database` with so many migrations. Returns its result, and
/// how many it ran.
async fn seed(db: &Database, migrations: i64) -> (i64, i64) {
    db.execute_unprepared(CREATE).await.unwrap();
    db.execute_unprepared(INSERT).await.unwrap();
    let initial = version(db).await;
    for number in initial + 1..migrations {
        if number == 0 {
            db.execute_unprepared("CREATE TABLE log (number INTEGER NOT NULL)").await.unwrap();
        }
        db.execute_unprepared(&format!("CREATE TABLE t{number} (id INTEGER PRIMARY KEY)"))
            .await
            .unwrap();
        db.execute_unprepared(&format!("INSERT INTO log VALUES ({number})")).await.unwrap();
        db.execute_unprepared(&format!("UPDATE schema_migration SET version = {number}"))
            .await
            .unwrap();
    }
    (initial, migrations - 1 - initial)
}

on_every_backend! {
    async fn the_seed_hands_over_and_finds_nothing_to_do_when_it_is_back(db: TestDatabase) {
        assert_eq!(seed(&db, 2).await, (-1, 2));
        let report = logged(4).up(&db).await.unwrap();
        assert_eq!((report.initial, report.version), (1, 3));
        assert_eq!(seed(&db, 4).await, (3, 0));
        assert_eq!(number(&*db, "SELECT count(*) FROM log").await, 4);
    }

    async fn the_seed_goes_on_from_where_onerow_was(db: TestDatabase) {
        logged(2).up(&db).await.unwrap();
        assert_eq!(seed(&db, 3).await, (1, 1));
        assert_eq!(logged(3).up(&db).await.unwrap().initial, 2);
    }

    async fn a_table_with_a_column_data_loaded_works_and_keeps_it(db: TestDatabase) {
        let create = CREATE.replace(
            "version INTEGER NOT NULL,",
            "version INTEGER NOT NULL, data_loaded BOOL NOT NULL,",
        );
        db.execute_unprepared(&create).await.unwrap();
        db.execute_unprepared(
            "INSERT INTO schema_migration (version, data_loaded) VALUES (-1, TRUE)",
        )
        .await
        .unwrap();
        assert_eq!(logged(2).up(&db).await.unwrap().version, 1);
        assert_eq!(
            number(&*db, "SELECT count(*) FROM schema_migration WHERE data_loaded AND version = 1")
                .await,
            1
        );
    }

    async fn a_table_without_a_row_gets_the_row(db: TestDatabase) {
        db.execute_unprepared(CREATE).await.unwrap();
        let report = logged(1).up(&db).await.unwrap();
        assert_eq!((report.initial, report.version), (-1, 0));
    }

    async fn a_table_without_a_row_that_takes_none_is_an_error(db: TestDatabase) {
        let create = CREATE.replace(
            "version INTEGER NOT NULL,",
            "version INTEGER NOT NULL, data_loaded BOOL NOT NULL,",
        );
        db.execute_unprepared(&create).await.unwrap();
        let error = logged(1).up(&db).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingRow, "{error:?}");
        assert_eq!(number(&*db, "SELECT count(*) FROM schema_migration").await, 0);
    }
}
