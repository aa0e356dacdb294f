//! Taking over from another tool, by tables such as these tools make. `tests/adopt` has the tools
//! themselves.

mod beside_the_old_tool;
mod quart_db;
mod warnings;

use std::error::Error as _;

use onerow::{Error, ErrorKind, HistoryProblem, Tool, prelude::*};
use onerow_cli::next_step;
use onerow_testing::{Backend, TestDatabase, on_every_backend};

use crate::support::{has_table, number, only_on, version};

/// Creates a table, and fails if it exists, so that a second run would show.
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
    Registry::new(
        migrations.into_iter().map(|makes| Box::new(makes) as Box<dyn MigrationTrait>).collect(),
    )
}

/// Two migrations of sqlx's, and a new one.
fn three() -> Registry {
    registry(vec![Makes("a", &["1_a.sql"]), Makes("b", &["2_b.up.sql"]), Makes("c", &[])])
}

const SQLX: &str =
    "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL)";

const SEAQL: &str = "CREATE TABLE seaql_migrations (
    version VARCHAR(255) PRIMARY KEY, applied_at BIGINT NOT NULL)";

const REFINERY: &str = "CREATE TABLE refinery_schema_history (
    version INT PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255))";

/// The state that sqlx leaves after it has applied these, one in each second.
async fn sqlx(db: &TestDatabase, versions: &[i64]) {
    db.sql(SQLX).await;
    for (second, version) in versions.iter().enumerate() {
        let table =
            ["", "a", "b"].get(usize::try_from(*version).unwrap()).copied().unwrap_or("other");
        db.sql(&format!("CREATE TABLE {table} (id INTEGER)")).await;
        db.sql(&format!(
            "INSERT INTO _sqlx_migrations VALUES ({version}, '{table}', \
             '2026-01-01 00:00:{second:02}', TRUE)"
        ))
        .await;
    }
}

/// Multiplies by a hundred, so that a second run would show.
struct Multiplies;

#[async_trait]
impl MigrationTrait for Multiplies {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared("UPDATE a SET id = id * 100").await.map(drop)
    }

    fn replaces(&self) -> Vec<&str> {
        vec!["2_b.sql"]
    }
}

fn makes_and_multiplies() -> Registry {
    Registry::new(vec![Box::new(Makes("a", &["1_a.sql"])), Box::new(Multiplies)])
}

const APPLIES_2: &str = "INSERT INTO _sqlx_migrations VALUES (2, 'b', '2026-01-02', TRUE)";

#[track_caller]
fn assert_problems(error: &Error, expected: &[HistoryProblem]) {
    assert_eq!(error.kind(), ErrorKind::HistoryMismatch, "{error:?}");
    assert_eq!(error.problems(), expected);
}

#[track_caller]
fn assert_unadopted(error: &Error, tool: Tool, version: i32) {
    let found = (error.kind(), error.tool(), error.version());
    assert_eq!(found, (ErrorKind::Unadopted, Some(tool), Some(version)), "{error:?}");
}

on_every_backend! {
    async fn the_version_is_that_of_the_old_tool_and_up_goes_on_from_there(db: TestDatabase) {
        sqlx(&db, &[1, 2]).await;

        let adoption = three().adopt(&db).await.unwrap();

        assert_eq!((adoption.initial, adoption.version), (-1, 1));
        assert_eq!(adoption.tool, Some((Tool::Sqlx, "_sqlx_migrations".into())));
        let adopted: Vec<_> = adoption
            .adopted
            .iter()
            .map(|adopted| (adopted.name(), adopted.replaces[0].as_str()))
            .collect();
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
        assert_problems(
            &error,
            &[HistoryProblem::Missing { name: "1_a.sql".into(), migration: 0 }],
        );
        assert_eq!(
            error.explain().to_string(),
            "error: the registry does not begin with what sqlx has applied, according to its table \
             _sqlx_migrations; nothing was changed\n  caused by: 1_a.sql is missing: it was not \
             applied, and m0000 stands for it"
        );
        assert_eq!(next_step(&error), "apply what is missing with the other tool, then adopt");
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
        assert_problems(
            &late.adopt(&db).await.unwrap_err(),
            &[HistoryProblem::Unnamed { migration: 0 }],
        );
    }

    async fn a_database_without_a_history_is_refused_with_the_tables_looked_for(db: TestDatabase) {
        let error = three().adopt(&db).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoHistory, "{error:?}");
        assert_eq!(error.to_string().split(", ").count(), 5, "{error}");
        let error = three().adopt(&db).from(Tool::Sqlx).from_table("other").await.unwrap_err();
        assert!(error.to_string().contains("no table other"), "{error}");
        assert!(!has_table(&db, "schema_migration").await);
    }

    async fn two_histories_take_a_word_on_which(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        db.sql(SEAQL).await;
        // A table without rows says nothing.
        assert_eq!(three().adopt(&db).dry_run().await.unwrap().version, 0);
        db.sql("INSERT INTO seaql_migrations VALUES ('m2022_a', 1)").await;
        let error = three().adopt(&db).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SeveralHistories, "{error:?}");
        let tables = "_sqlx_migrations of sqlx";
        assert!(error.to_string().contains(tables), "{error}");
        assert_eq!(error.to_string().split(", ").count(), 2, "{error}");
        assert_eq!(three().adopt(&db).from(Tool::Sqlx).await.unwrap().version, 0);
    }

    async fn a_table_that_is_not_that_tools_is_refused(db: TestDatabase) {
        db.sql("CREATE TABLE _sqlx_migrations (version INTEGER)").await;
        let error = three().adopt(&db).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ForeignHistory, "{error:?}");
        assert!(error.to_string().contains("no column \"description\""), "{error}");
    }

    async fn the_old_table_may_have_another_name(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        db.sql("ALTER TABLE _sqlx_migrations RENAME TO old").await;
        assert_eq!(three().adopt(&db).from(Tool::Sqlx).from_table("old").await.unwrap().version, 0);
    }

    async fn what_the_old_tool_has_applied_since_is_adopted_too_and_never_run_again(
        db: TestDatabase,
    ) {
        sqlx(&db, &[1]).await;
        makes_and_multiplies().adopt(&db).await.unwrap();
        db.sql("INSERT INTO a VALUES (100)").await;
        db.sql(APPLIES_2).await;

        let error = makes_and_multiplies().up(&db).await.unwrap_err();
        assert_unadopted(&error, Tool::Sqlx, 0);
        assert_eq!(number(&*db, "SELECT id FROM a").await, 100);
        let adoption = makes_and_multiplies().adopt(&db).await.unwrap();

        assert_eq!((adoption.initial, adoption.version, adoption.adopted.len()), (0, 1, 1));
        assert_eq!(version(&*db).await, 1);
    }

    async fn up_refuses_what_was_not_adopted(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        let error = three().up(&db).await.unwrap_err();
        assert_unadopted(&error, Tool::Sqlx, -1);
        assert!(!has_table(&db, "schema_migration").await);
        // This is somebody else's history.
        let other = registry(vec![Makes("x", &["99"])]);
        assert_eq!(other.up(&db).await.unwrap().version, 0);
    }

    async fn up_refuses_what_was_not_adopted_beside_the_history_of_another_app(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        db.sql(SEAQL).await;
        db.sql("INSERT INTO seaql_migrations VALUES ('m2022_of_another_app', 1)").await;
        let error = three().up(&db).await.unwrap_err();
        assert_unadopted(&error, Tool::Sqlx, -1);
    }

    async fn up_refuses_what_was_not_adopted_beside_a_table_that_is_no_tools(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        db.sql("CREATE TABLE seaql_migrations (something INTEGER)").await;
        let error = three().up(&db).await.unwrap_err();
        assert_unadopted(&error, Tool::Sqlx, -1);
    }

    async fn a_name_of_sea_orm_migration_is_taken_to_the_letter(db: TestDatabase) {
        db.sql(SEAQL).await;
        db.sql("INSERT INTO seaql_migrations VALUES ('src/m2022_a.rs', 1)").await;
        let registry = registry(vec![Makes("a", &["src/m2022_a.rs"])]);
        assert_eq!(registry.up(&db).await.unwrap_err().kind(), ErrorKind::Unadopted);
        assert_eq!(registry.adopt(&db).await.unwrap().version, 0);
    }

    async fn once_adopted_the_tables_of_other_apps_are_no_hindrance(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        three().adopt(&db).await.unwrap();
        three().up(&db).await.unwrap();
        db.sql(SEAQL).await;
        db.sql("INSERT INTO seaql_migrations VALUES ('m2022_of_another_app', 1)").await;
        assert_eq!(three().adopt(&db).await.unwrap().version, 2);
    }

    async fn a_change_of_the_clock_is_not_out_of_order(db: TestDatabase) {
        db.sql(REFINERY).await;
        db.sql("INSERT INTO refinery_schema_history VALUES
            (1, 'a', '2020-10-25T02:30:00.5+02:00', '1'), (2, 'b', '2020-10-25T02:10:00.5+01:00', '2')").await;
        let registry = registry(vec![Makes("a", &["V1__a.sql"]), Makes("b", &["V2__b.sql"])]);
        assert_eq!(registry.adopt(&db).await.unwrap().version, 1);
    }

    async fn a_migration_of_refinery_may_be_a_file_of_rust(db: TestDatabase) {
        db.sql(REFINERY).await;
        db.sql("INSERT INTO refinery_schema_history VALUES (1, 'a', '2026-01-01T00:00:00Z', '1')")
            .await;
        assert_eq!(registry(vec![Makes("a", &["V1__a.rs"])]).adopt(&db).await.unwrap().version, 0);
    }

    async fn the_sources_of_a_mismatch_name_what_does_not_fit(db: TestDatabase) {
        sqlx(&db, &[2]).await;
        let error = three().adopt(&db).await.unwrap_err();
        let sources = std::iter::successors(error.source(), |&cause| cause.source());
        let text: Vec<_> = sources.map(ToString::to_string).collect();
        let text = text.join(": ");
        assert!(text.contains("1_a.sql"), "{text}");
    }

    async fn an_old_table_of_the_name_of_ours_is_not_to_be_emptied(db: TestDatabase) {
        db.sql(
            "CREATE TABLE schema_migration (version VARCHAR(255) PRIMARY KEY, applied_at BIGINT \
            NOT NULL)",
        )
        .await;
        db.sql("INSERT INTO schema_migration VALUES ('m2022_a', 1)").await;
        let error = three().adopt(&db).await.unwrap_err();
        assert!(next_step(&error).contains("Registry::with_table"), "{}", next_step(&error));
    }

    async fn a_baseline_that_is_refused_is_told_of_its_own_option(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        let one = three().baseline(&db, 0).await.unwrap_err();
        db.sql(SEAQL).await;
        db.sql("INSERT INTO seaql_migrations VALUES ('m2022_of_another_app', 1)").await;
        let several = three().baseline(&db, 0).await.unwrap_err();
        for error in [one, several] {
            assert!(next_step(&error).contains("--beside-other-tools"), "{}", next_step(&error));
        }
    }

    async fn other_migrations_under_the_same_numbers_are_not_taken_for_these(db: TestDatabase) {
        db.sql(SQLX).await;
        db.sql(
            "INSERT INTO _sqlx_migrations VALUES (1, 'users', '2026-01-01', TRUE), (2, 'b', \
            '2026-01-02', TRUE)",
        )
        .await;
        let error = three().adopt(&db).await.unwrap_err();
        let (applied, name) = ("1 users".into(), "1_a.sql".into());
        assert_problems(&error, &[HistoryProblem::Renamed { applied, name }]);
        // They are not in the way of a library with migrations of its own.
        let library = registry(vec![Makes("a", &["1_a.sql"])]).with_table("library_migration");
        assert_eq!(library.up(&db).await.unwrap().version, 0);
    }

    async fn the_tool_of_a_table_is_known_by_its_columns(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        db.sql("ALTER TABLE _sqlx_migrations RENAME TO old").await;
        assert_eq!(
            three().adopt(&db).from_table("old").dry_run().await.unwrap().tool.unwrap().0,
            Tool::Sqlx
        );
        for (table, kind) in [("elsewhere", ErrorKind::NoHistory), ("a", ErrorKind::NoTool)] {
            assert_eq!(three().adopt(&db).from_table(table).await.unwrap_err().kind(), kind);
        }
    }

    async fn a_registry_may_say_where_the_history_is(db: TestDatabase) {
        sqlx(&db, &[1]).await;
        db.sql("ALTER TABLE _sqlx_migrations RENAME TO old").await;
        let registry = || three().adopting_from(Tool::Sqlx, "old");
        assert_eq!(registry().up(&db).await.unwrap_err().kind(), ErrorKind::Unadopted);
        assert_eq!(registry().adopt(&db).await.unwrap().version, 0);
    }

    async fn a_new_database_has_no_history_and_that_may_be_as_it_should(db: TestDatabase) {
        let adoption = three().adopt(&db).if_any().await.unwrap();
        assert_eq!((adoption.version, adoption.adopted.len()), (-1, 0));
        assert!(!has_table(&db, "schema_migration").await);
        assert_eq!(three().up(&db).await.unwrap().version, 2);
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
            assert_eq!(error.kind(), ErrorKind::TargetBeyondLatest, "{error:?}");
            assert!(error.to_string().contains("this build has 0 to 2"), "{error}");
        }
        sqlx(&db, &[1]).await;
        let error = three().baseline(&db, 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BesideHistory, "{error:?}");
        assert!(error.to_string().contains("has applied 1 migration(s)"), "{error}");
        assert!(next_step(&error).contains("--beside-other-tools"), "{}", next_step(&error));
        assert!(!has_table(&db, "schema_migration").await);
        three().baseline(&db, 1).beside_other_tools().await.unwrap();
        assert_eq!(three().baseline(&db, 1).await.unwrap().adopted.len(), 0);
        let error = three().baseline(&db, 2).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.version()),
            (ErrorKind::AlreadyVersioned, Some(1)),
            "{error:?}"
        );
    }

    async fn the_row_of_another_registry_is_no_history(db: TestDatabase) {
        registry(vec![Makes("a", &[])]).up(&db).await.unwrap();
        let other = registry(vec![Makes("b", &[])]).with_table("other_migration");
        assert_eq!(other.adopt(&db).await.unwrap_err().kind(), ErrorKind::NoHistory);
        // It is a history if the caller says so: the seed's table, under another name.
        assert_eq!(other.adopt(&db).from(Tool::QuartDb).await.unwrap().version, 0);
    }
}

/// The URL of the same database, with a server setting for each session.
fn with_options(db: &TestDatabase, setting: &str) -> String {
    let separator = if db.url().contains('?') { '&' } else { '?' };
    format!(
        "{}{separator}options=-c%20{}",
        db.url(),
        setting.replace('=', "%3D").replace(',', "%2C")
    )
}

#[tokio::test]
async fn on_postgres_the_history_of_another_schema_is_not_this_ones() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    sqlx(&db, &[1]).await;
    db.sql("CREATE SCHEMA tenant").await;
    let tenant = Database::connect(with_options(&db, "search_path=tenant,public")).await.unwrap();
    let registry = three().in_schema("tenant");

    let error = registry.adopt(&tenant).await.unwrap_err();
    let found = (error.kind(), error.table());
    assert_eq!(found, (ErrorKind::HistoryElsewhere, Some("public._sqlx_migrations")), "{error:?}");
    assert!(error.to_string().contains("not in the schema tenant of"), "{error}");
    let told =
        registry.adopt(&tenant).from_table("public._sqlx_migrations").dry_run().await.unwrap();
    assert_eq!(told.version, 0);
    // The tables of this schema are not those of the other.
    tenant.execute_unprepared("SET search_path = tenant").await.unwrap();
    assert_eq!(registry.up(&tenant).await.unwrap().applied.len(), 3);
}

#[tokio::test]
async fn on_postgres_up_does_not_ask_for_the_right_to_read_the_table_of_another_app() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    db.sql(SEAQL).await;
    // Each server has this role.
    db.sql("GRANT CREATE, USAGE ON SCHEMA public TO pg_monitor").await;
    let app = Database::connect(with_options(&db, "role=pg_monitor")).await.unwrap();
    let outcome = three().up(&app).await;
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[tokio::test]
async fn on_postgres_a_table_is_named_as_the_old_tool_was_told_it() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    sqlx(&db, &[1]).await;
    db.sql("ALTER TABLE _sqlx_migrations RENAME TO AppHistory").await;
    assert_eq!(
        three().adopt(&db).from(Tool::Sqlx).from_table("AppHistory").await.unwrap().version,
        0
    );
}
