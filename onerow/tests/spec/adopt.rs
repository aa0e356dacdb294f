//! Taking over what another tool has migrated, by tables as these tools make them. `tests/adopt` has the tools themselves.

use std::time::Duration;

use onerow::{
    Error, HistoryProblem, Tool, on_every_backend,
    prelude::*,
    testing::{Backend, TestDatabase},
};
use sea_orm::TransactionTrait;
use tokio::time::sleep;

use crate::support::{has_table, number, version};

/// A table, or an error if it is there, so that a second run would show.
struct Makes(&'static str, &'static [&'static str]);

#[async_trait]
impl MigrationTrait for Makes {
    fn description(&self) -> &str {
        self.0
    }

    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared(&format!("CREATE TABLE {} (id INTEGER)", self.0)).await.map(drop)
    }

    fn replaces(&self) -> Vec<&str> {
        self.1.to_vec()
    }
}

fn registry(migrations: Vec<Makes>) -> Registry {
    Registry::new(migrations.into_iter().map(|makes| Box::new(makes) as Box<dyn MigrationTrait>).collect())
}

/// Two of sqlx's, and a new one.
fn three() -> Registry {
    registry(vec![Makes("a", &["1_a.sql"]), Makes("b", &["2_b.up.sql"]), Makes("c", &[])])
}

const SQLX: &str = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL)";

/// What sqlx leaves that has applied these, a second each.
async fn sqlx(db: &TestDatabase, versions: &[i64]) {
    db.sql(SQLX).await;
    for (second, version) in versions.iter().enumerate() {
        let table = ["", "a", "b"].get(usize::try_from(*version).unwrap()).copied().unwrap_or("other");
        db.sql(&format!("CREATE TABLE {table} (id INTEGER)")).await;
        db.sql(&format!(
            "INSERT INTO _sqlx_migrations VALUES ({version}, '{table}', '2026-01-01 00:00:{second:02}', TRUE)"
        ))
        .await;
    }
}

#[track_caller]
fn assert_problems(error: &Error, expected: &[HistoryProblem]) {
    let Error::HistoryMismatch { problems, .. } = error else { panic!("{error:?}") };
    assert_eq!(problems, expected);
}

on_every_backend! {
    async fn the_version_is_that_of_the_old_tool_and_up_goes_on_from_there(db: TestDatabase) {
        sqlx(&db, &[1, 2]).await;

        let adoption = three().adopt(&db).await.unwrap();

        assert_eq!((adoption.initial, adoption.version), (-1, 1));
        assert_eq!(adoption.tool, Some((Tool::Sqlx, "_sqlx_migrations".into())));
        let adopted: Vec<_> = adoption.adopted.iter().map(|adopted| (adopted.name(), adopted.replaces[0].as_str())).collect();
        assert_eq!(adopted, [("m0000".into(), "1_a.sql"), ("m0001".into(), "2_b.up.sql")]);
        let report = three().up(&db).await.unwrap();
        assert_eq!((report.initial, report.version), (1, 2));
        assert_eq!(number(&*db, "SELECT count(*) FROM _sqlx_migrations").await, 2);
    }

    async fn a_dry_run_says_the_same_and_changes_nothing(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        let adoption = three().adopt(&db).dry_run().await.unwrap();
        assert_eq!((adoption.version, adoption.adopted.len()), (0, 1));
        assert!(!has_table(&db, "schema_migration").await);
        assert_eq!(three().adopt(&db).await.unwrap(), adoption);
    }

    async fn a_second_time_there_is_nothing_to_do(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        three().adopt(&db).await.unwrap();
        three().up(&db).await.unwrap();
        let again = three().adopt(&db).await.unwrap();
        assert_eq!((again.initial, again.version, again.adopted.len()), (2, 2, 0));
        db.sql("DROP TABLE _sqlx_migrations").await;
        assert_eq!(three().adopt(&db).await.unwrap().version, 2);
    }

    async fn a_row_that_a_failed_up_has_left_is_no_hindrance(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        db.sql("DROP TABLE _sqlx_migrations").await;
        three().up(&db).await.unwrap_err();
        assert_eq!(version(&*db).await, -1);
        db.sql(SQLX).await;
        db.sql("INSERT INTO _sqlx_migrations VALUES (1, 'a', '2026-01-01', TRUE)").await;

        assert_eq!(three().adopt(&db).await.unwrap().version, 0);
        assert_eq!(version(&*db).await, 0);
    }

    async fn a_history_without_a_migration_is_the_beginning(db: TestDatabase) {
        sqlx(&db, &[]).await;
        assert_eq!(three().adopt(&db).await.unwrap().version, -1);
        assert_eq!(three().up(&db).await.unwrap().applied.len(), 3);
    }

    async fn of_several_at_once_one_adopts_and_the_others_find_nothing_to_do(db: TestDatabase) {
        sqlx(&db, &[1, 2]).await;
        let (one, other, registry) = (db.connect().await, db.connect().await, three());
        let (a, b, c) = tokio::join!(
            registry.adopt(&one).into_future(),
            registry.adopt(&other).into_future(),
            registry.adopt(&db).into_future(),
        );
        let mut initial = [a.unwrap().initial, b.unwrap().initial, c.unwrap().initial];
        initial.sort_unstable();
        assert_eq!(initial, [-1, 1, 1]);
    }

    async fn what_is_missing_is_named_and_nothing_is_changed(db: TestDatabase) {
        sqlx(&db, &[2]).await;
        let error = three().adopt(&db).await.unwrap_err();
        assert_problems(&error, &[HistoryProblem::Missing { name: "1_a.sql".into(), migration: 0 }]);
        assert_eq!(
            error.explain().to_string(),
            "error: what sqlx has applied, by its table _sqlx_migrations, is not what the registry begins with; nothing was changed\n  \
             caused by: 1_a.sql is missing: it was not applied, and m0000 stands for it\n  \
             apply what is missing with the old migrator, then adopt"
        );
        assert!(!has_table(&db, "schema_migration").await);
    }

    async fn what_is_extra_is_named(db: TestDatabase) {
        sqlx(&db, &[1, 7]).await;
        let error = three().adopt(&db).await.unwrap_err();
        assert_problems(&error, &[HistoryProblem::Extra { name: "7 other".into() }]);
    }

    async fn what_failed_half_way_is_named(db: TestDatabase) {
        sqlx(&db, &[1, 2]).await;
        db.sql("UPDATE _sqlx_migrations SET success = FALSE WHERE version = 2").await;
        let error = three().adopt(&db).await.unwrap_err();
        assert_problems(&error, &[HistoryProblem::Failed { name: "2 b".into() }]);
    }

    async fn what_was_applied_out_of_order_is_named_unless_that_is_accepted(db: TestDatabase) {
        sqlx(&db, &[2, 1]).await;
        let error = three().adopt(&db).await.unwrap_err();
        let (name, after) = ("1_a.sql".into(), "2_b.up.sql".into());
        assert_problems(&error, &[HistoryProblem::OutOfOrder { name, after }]);
        assert_eq!(three().adopt(&db).out_of_order().await.unwrap().version, 1);
    }

    async fn a_registry_that_does_not_say_what_it_replaces_is_refused(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        let error = registry(vec![Makes("a", &[])]).adopt(&db).await.unwrap_err();
        assert_problems(&error, &[HistoryProblem::Extra { name: "1 a".into() }]);
        let late = registry(vec![Makes("z", &[]), Makes("a", &["1"])]);
        assert_problems(&late.adopt(&db).await.unwrap_err(), &[HistoryProblem::Unnamed { migration: 0 }]);
    }

    async fn a_database_without_a_history_is_refused_with_the_tables_looked_for(db: TestDatabase) {
        let error = three().adopt(&db).await.unwrap_err();
        let Error::NoHistory { looked_for } = &error else { panic!("{error:?}") };
        assert_eq!(looked_for.len(), 5);
        let error = three().adopt(&db).from(Tool::Sqlx).table("other").await.unwrap_err();
        assert!(error.to_string().contains("no table other"), "{error}");
        assert!(!has_table(&db, "schema_migration").await);
    }

    async fn two_histories_take_a_word_on_which(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        db.sql("CREATE TABLE seaql_migrations (version VARCHAR(255) PRIMARY KEY, applied_at BIGINT NOT NULL)").await;
        // Without a row it says nothing.
        assert_eq!(three().adopt(&db).dry_run().await.unwrap().version, 0);
        db.sql("INSERT INTO seaql_migrations VALUES ('m2022_a', 1)").await;
        let error = three().adopt(&db).await.unwrap_err();
        assert!(matches!(&error, Error::SeveralHistories { tables } if tables.len() == 2), "{error:?}");
        assert_eq!(three().adopt(&db).from(Tool::Sqlx).await.unwrap().version, 0);
    }

    async fn a_table_that_is_not_that_tools_is_refused(db: TestDatabase) {
        db.sql("CREATE TABLE _sqlx_migrations (version INTEGER)").await;
        let error = three().adopt(&db).await.unwrap_err();
        assert!(matches!(&error, Error::ForeignHistory { column, .. } if column == "description"), "{error:?}");
    }

    async fn the_old_table_may_have_another_name(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        db.sql("ALTER TABLE _sqlx_migrations RENAME TO old").await;
        assert_eq!(three().adopt(&db).from(Tool::Sqlx).table("old").await.unwrap().version, 0);
    }

    async fn an_old_tool_that_has_gone_on_since_is_told(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        three().adopt(&db).await.unwrap();
        db.sql("INSERT INTO _sqlx_migrations VALUES (2, 'b', '2026-01-02', TRUE)").await;
        let error = three().adopt(&db).await.unwrap_err();
        assert!(matches!(error, Error::HistoryAhead { history: 1, version: 0, .. }), "{error:?}");
        assert_eq!(version(&*db).await, 0);
    }

    async fn up_refuses_what_was_not_adopted(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        let error = three().up(&db).await.unwrap_err();
        assert!(matches!(error, Error::Unadopted { tool: Tool::Sqlx, applied: 1, .. }), "{error:?}");
        assert!(!has_table(&db, "schema_migration").await);
        // Somebody else's history.
        let other = registry(vec![Makes("x", &["99"])]);
        assert_eq!(other.up(&db).await.unwrap().version, 0);
    }

    async fn a_baseline_says_what_is_applied(db: TestDatabase) {
        let adoption = three().baseline(&db, 1).dry_run().await.unwrap();
        assert_eq!((adoption.initial, adoption.version, adoption.adopted.len()), (-1, 1, 2));
        assert!(!has_table(&db, "schema_migration").await);
        three().baseline(&db, 1).await.unwrap();
        assert_eq!(version(&*db).await, 1);
        assert_eq!(three().up(&db).await.unwrap().applied.len(), 1);
    }

    async fn a_baseline_is_refused_where_there_is_a_version_or_a_history(db: TestDatabase) {
        for beyond in [-1, 3] {
            let error = three().baseline(&db, beyond).await.unwrap_err();
            assert!(matches!(error, Error::TargetBeyondLatest { latest: 2, .. }), "{error:?}");
        }
        sqlx(&db, &[1]).await;
        let error = three().baseline(&db, 1).await.unwrap_err();
        assert!(matches!(error, Error::Unadopted { .. }), "{error:?}");
        assert!(!has_table(&db, "schema_migration").await);
        three().baseline(&db, 1).beside_other_tools().await.unwrap();
        assert_eq!(three().baseline(&db, 1).await.unwrap().adopted.len(), 0);
        let error = three().baseline(&db, 2).await.unwrap_err();
        assert!(matches!(error, Error::AlreadyVersioned { version: 1 }), "{error:?}");
    }

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
        assert_eq!(three().table("library_migration").up(&db).await.unwrap().version, 2);
    }

    async fn an_older_layout_of_quart_db_takes_another_table(db: TestDatabase) {
        quart_db(&db, "background INTEGER NOT NULL, data_loaded BOOL NOT NULL, foreground INTEGER NOT NULL", "1, TRUE, 1").await;
        let registry = || registry(vec![Makes("a", &[]), Makes("b", &[]), Makes("c", &[])]);
        let error = registry().adopt(&db).await.unwrap_err();
        assert!(matches!(&error, Error::ForeignTable { table, .. } if table == "schema_migration"), "{error:?}");
        assert!(error.next_step().contains("Registry::table"), "{}", error.next_step());

        let elsewhere = registry().table("app_migration");
        let adoption = elsewhere.adopt(&db).await.unwrap();
        assert_eq!((adoption.initial, adoption.version), (-1, 1));
        assert_eq!(elsewhere.up(&db).await.unwrap().applied.len(), 1);
        assert_eq!(number(&*db, "SELECT foreground FROM schema_migration").await, 1);
    }

    async fn background_migrations_of_quart_db_that_have_not_run_are_named(db: TestDatabase) {
        quart_db(&db, "background INTEGER NOT NULL, data_loaded BOOL NOT NULL, foreground INTEGER NOT NULL", "0, TRUE, 1").await;
        let registry = registry(vec![Makes("a", &[]), Makes("b", &[])]).table("app_migration");
        let error = registry.adopt(&db).await.unwrap_err();
        assert_problems(&error, &[HistoryProblem::BackgroundPending { foreground: 1, background: 0 }]);
    }

    async fn quart_db_may_be_ahead_of_the_registry(db: TestDatabase) {
        quart_db(&db, "data_loaded BOOL NOT NULL, version INTEGER NOT NULL", "FALSE, 2000000000").await;
        let registry = registry(vec![Makes("a", &[])]).table("app_migration");
        assert_problems(&registry.adopt(&db).await.unwrap_err(), &[HistoryProblem::Extra { name: "2000000000.py".into() }]);
    }

    async fn the_row_of_another_registry_is_no_history(db: TestDatabase) {
        registry(vec![Makes("a", &[])]).up(&db).await.unwrap();
        let other = registry(vec![Makes("b", &[])]).table("other_migration");
        assert!(matches!(other.adopt(&db).await.unwrap_err(), Error::NoHistory { .. }));
        // Unless it is said to be one: the seed's table, under another name.
        assert_eq!(other.adopt(&db).from(Tool::QuartDb).await.unwrap().version, 0);
    }
}

/// What quart-db leaves: a row with these columns, beside the one that keeps it alone.
async fn quart_db(db: &TestDatabase, columns: &str, values: &str) {
    db.sql(&format!(
        "CREATE TABLE schema_migration (onerow_id BOOL PRIMARY KEY DEFAULT TRUE, {columns},
         CONSTRAINT onerow_uni CHECK (onerow_id))"
    ))
    .await;
    db.sql(&format!("INSERT INTO schema_migration VALUES (TRUE, {values})")).await;
}

/// A migration of the old tool that is not committed is not missed: without the lock, the version would be one too low.
#[tokio::test]
async fn on_postgres_the_old_tool_is_let_to_end_what_it_is_at() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let db = Backend::Postgres.empty_database().await;
    sqlx(&db, &[1]).await;
    let old_tool = db.connect().await;
    let transaction = old_tool.begin().await.unwrap();
    transaction
        .execute_unprepared("INSERT INTO _sqlx_migrations VALUES (2, 'b', '2026-01-02', TRUE)")
        .await
        .unwrap();
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
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let db = Backend::Postgres.empty_database().await;
    sqlx(&db, &[1]).await;
    let old_tool = db.connect().await;
    let transaction = old_tool.begin().await.unwrap();
    transaction.execute_unprepared("DELETE FROM _sqlx_migrations").await.unwrap();

    let error = three().adopt(&db).wait_timeout(Duration::from_millis(300)).await.unwrap_err();

    assert!(matches!(error, Error::WaitTimeout { .. }), "{error:?}");
    assert!(!has_table(&db, "schema_migration").await);
}
