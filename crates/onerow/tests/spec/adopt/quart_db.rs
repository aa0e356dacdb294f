//! Taking over from quart-db, whose table has the name of onerow's, in each of its layouts.

use onerow::{ErrorKind, HistoryProblem, Tool};
use onerow_cli::next_step;
use onerow_testing::{TestDatabase, on_every_backend};

use super::{Makes, assert_problems, assert_unadopted, registry, three};
use crate::support::number;

/// The columns of the releases 0.8 to 0.10.
const OLDER: &str =
    "background INTEGER NOT NULL, data_loaded BOOL NOT NULL, foreground INTEGER NOT NULL";

/// The state that quart-db leaves: a row with these columns, and the column that keeps it the only
/// one.
async fn quart_db(db: &TestDatabase, columns: &str, values: &str) {
    db.sql(&format!(
        "CREATE TABLE schema_migration (onerow_id BOOL PRIMARY KEY DEFAULT TRUE, {columns},
         CONSTRAINT onerow_uni CHECK (onerow_id))"
    ))
    .await;
    db.sql(&format!("INSERT INTO schema_migration VALUES (TRUE, {values})")).await;
}

on_every_backend! {
    async fn a_database_of_quart_db_goes_on_in_its_own_table(db: TestDatabase) {
        quart_db(&db, "data_loaded BOOL NOT NULL, version INTEGER NOT NULL", "FALSE, 1").await;
        let registry = || registry(vec![Makes("a", &[]), Makes("b", &[]), Makes("c", &[])]);
        assert_eq!(registry().adopt(&db).await.unwrap().initial, 1);
        assert_eq!(registry().up(&db).await.unwrap().applied.len(), 1);
    }

    async fn quart_db_may_not_have_begun(db: TestDatabase) {
        quart_db(&db, "data_loaded BOOL NOT NULL, version INTEGER NOT NULL", "FALSE, -1").await;
        let adoption = registry(vec![Makes("a", &[])]).adopt(&db).await.unwrap();
        assert_eq!((adoption.tool.unwrap().0, adoption.version), (Tool::QuartDb, -1));
    }

    async fn the_history_of_somebody_else_holds_up_no_registry(db: TestDatabase) {
        quart_db(&db, "data_loaded BOOL NOT NULL, version INTEGER NOT NULL", "FALSE, 1").await;
        db.sql("CREATE TABLE _sqlx_migrations (version INTEGER)").await;
        assert_eq!(three().with_table("library_migration").up(&db).await.unwrap().version, 2);
    }

    async fn an_older_layout_of_quart_db_takes_another_table(db: TestDatabase) {
        quart_db(&db, OLDER, "1, TRUE, 1").await;
        let registry = || registry(vec![Makes("a", &[]), Makes("b", &[]), Makes("c", &[])]);
        let error = registry().adopt(&db).await.unwrap_err();
        let found = (error.kind(), error.table());
        assert_eq!(found, (ErrorKind::ForeignTable, Some("schema_migration")), "{error:?}");
        assert!(next_step(&error).contains("Registry::with_table"), "{}", next_step(&error));

        let elsewhere = registry().with_table("app_migration");
        let adoption = elsewhere.adopt(&db).await.unwrap();
        assert_eq!((adoption.initial, adoption.version), (-1, 1));
        assert_eq!(elsewhere.up(&db).await.unwrap().applied.len(), 1);
        assert_eq!(number(&*db, "SELECT foreground FROM schema_migration").await, 1);
    }

    async fn background_migrations_of_quart_db_that_have_not_run_are_named(db: TestDatabase) {
        quart_db(&db, OLDER, "0, TRUE, 1").await;
        let registry = registry(vec![Makes("a", &[]), Makes("b", &[])]).with_table("app_migration");
        let error = registry.adopt(&db).await.unwrap_err();
        assert_problems(
            &error,
            &[HistoryProblem::BackgroundPending { foreground: 1, background: 0 }],
        );
    }

    async fn quart_db_may_be_ahead_of_the_registry(db: TestDatabase) {
        quart_db(&db, "data_loaded BOOL NOT NULL, version INTEGER NOT NULL", "FALSE, 2000000000")
            .await;
        let registry = registry(vec![Makes("a", &[])]).with_table("app_migration");
        assert_problems(
            &registry.adopt(&db).await.unwrap_err(),
            &[HistoryProblem::Extra { name: "2000000000.py".into() }],
        );
    }

    async fn up_refuses_an_older_layout_of_quart_db_that_is_told_of_and_was_not_adopted(
        db: TestDatabase,
    ) {
        quart_db(&db, OLDER, "1, TRUE, 1").await;
        let registry = registry(vec![Makes("a", &[]), Makes("b", &[])]);
        let registry =
            registry.with_table("app_migration").adopting_from(Tool::QuartDb, "schema_migration");
        let error = registry.up(&db).await.unwrap_err();
        assert_unadopted(&error, Tool::QuartDb, -1);
        assert_eq!(registry.adopt(&db).await.unwrap().version, 1);
    }

    async fn a_number_of_quart_db_is_not_that_of_a_registry_that_sums_up(db: TestDatabase) {
        quart_db(&db, "data_loaded BOOL NOT NULL, version INTEGER NOT NULL", "FALSE, 1").await;
        let registry = registry(vec![Makes("a", &["0.py", "1.py"]), Makes("b", &["2.py"])]);
        let error = registry.adopt(&db).await.unwrap_err();
        assert_problems(&error, &[HistoryProblem::OtherNumber { theirs: 1, ours: 0 }]);
        assert!(next_step(&error).contains("Registry::with_table"), "{}", next_step(&error));
        assert_eq!(
            registry
                .with_table("app_migration")
                .adopt(&db)
                .from(Tool::QuartDb)
                .await
                .unwrap()
                .version,
            0
        );
    }

    async fn a_registry_may_sum_up_what_quart_db_applied(db: TestDatabase) {
        quart_db(&db, OLDER, "1, TRUE, 1").await;
        let registry = registry(vec![Makes("a", &["0.py", "1.py"]), Makes("new", &[])])
            .with_table("app_migration");
        assert_eq!(registry.adopt(&db).await.unwrap().version, 0);
    }
}
