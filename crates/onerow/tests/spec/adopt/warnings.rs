//! Warnings about a database that is taken over anyway, and tables that are never read.

use onerow::{AdoptionWarning, ErrorKind, Failure, SqlMigration, Tool, prelude::*};
use onerow_cli::next_step;
use onerow_testing::{Backend, TestDatabase, on_every_backend};

use super::{Makes, SEAQL, SQLX, registry, sqlx, three};
use crate::support::{assert_failed, has_table, only_on, version};

const A: &str = "CREATE TABLE a (id INTEGER);\n";
const B: &str = "CREATE TABLE b (id INTEGER);\n";

/// Made with `sha384sum`.
const SHA384: [&str; 2] = [
    "6b80cb02f9855755e04189618c876d0dae543211118397f3c7168e844cc1183ef5f078698673186f575d5f5055ff90e9",
    "5f42a704a81180526008ba468dd8bfcbdb18b414f359e796f91a7c4b7062f861b8493d450d59abc294bcebfb997fe4bf",
];

/// Two scripts.
fn scripts(a: &'static str, b: &'static str) -> Registry {
    let script = |name, sql| {
        Box::new(SqlMigration::new(name, "", sql, Mode::Transaction)) as Box<dyn MigrationTrait>
    };
    Registry::new(vec![script("1_a.sql", a), script("2_b.sql", b)])
}

/// The state that sqlx leaves after it has applied [`A`] and [`B`].
async fn applied(db: &TestDatabase) {
    let bytes = if db.get_database_backend() == sea_orm::DatabaseBackend::Postgres {
        "BYTEA"
    } else {
        "BLOB"
    };
    let quote = if bytes == "BYTEA" { "'\\x" } else { "x'" };
    let [a, b] = SHA384;
    db.sql(&format!("{A} {B} {SQLX}")).await;
    db.sql(&format!("ALTER TABLE _sqlx_migrations ADD COLUMN checksum {bytes}")).await;
    db.sql(&format!(
        "INSERT INTO _sqlx_migrations VALUES
         (1, 'a', '2026-01-01', TRUE, {quote}{a}'), (2, 'b', '2026-01-02', TRUE, {quote}{b}')"
    ))
    .await;
}

/// A migration that stands for the old ones, and then runs a statement of the old tool's script.
fn naming(table: &'static str) -> Registry {
    let sql: &'static str =
        format!("CREATE TABLE a (id INTEGER); DELETE FROM {table} WHERE version = 1").leak();
    Registry::new(vec![Box::new(SqlMigration::new("1_a", "", sql, Mode::Transaction))])
}

on_every_backend! {
    async fn a_script_that_was_edited_after_it_was_applied_is_named(db: TestDatabase) {
        applied(&db).await;
        let edited = scripts(A, "CREATE TABLE b (id INTEGER, more TEXT);\n");

        let adoption = edited.adopt(&db).await.unwrap();

        let named =
            AdoptionWarning::Edited { migration: 1, name: "2_b.sql".into(), tool: Tool::Sqlx };
        assert_eq!((adoption.version, adoption.warnings), (1, vec![named.clone()]));
        assert!(
            named.to_string().contains("2_b.sql was edited after sqlx had applied it"),
            "{named}"
        );
        // It is told only once, because a deployment adopts each time.
        assert_eq!(edited.adopt(&db).await.unwrap().warnings, []);
    }

    async fn a_script_that_is_the_same_is_not_named_nor_is_one_that_differs_in_its_line_ends(
        db: TestDatabase,
    ) {
        applied(&db).await;
        let same = scripts(A, "CREATE TABLE b (id INTEGER);\r\n");
        assert_eq!(same.adopt(&db).dry_run().await.unwrap().warnings, []);
        assert_eq!(scripts(A, B).adopt(&db).await.unwrap().warnings, []);
    }

    async fn a_history_without_checksums_says_nothing_of_scripts(db: TestDatabase) {
        sqlx(&db, &[1, 2]).await;
        assert_eq!(scripts("other", "scripts").adopt(&db).await.unwrap().warnings, []);
    }

    async fn on_a_new_database_a_script_that_needs_the_old_tools_table_is_told_whose_that_is(
        db: TestDatabase,
    ) {
        for (table, tool) in [
            ("_sqlx_migrations", "sqlx"),
            ("seaql_migrations", "sea-orm-migration"),
            ("refinery_schema_history", "refinery"),
            ("__diesel_schema_migrations", "diesel"),
        ] {
            let error = naming(table).up(&db).await.unwrap_err();
            assert_failed(&error, 0, -1);
            assert!(matches!(error.failure(), Some(Failure::OldTable { .. })), "{error:?}");
            let text = error.explain().to_string();
            assert!(
                text.contains(&format!(
                    "it needs the table {table} of {tool}, which exists only in a database"
                )),
                "{text}"
            );
            let next_step = next_step(&error);
            assert!(next_step.starts_with("take the statement out of the script"), "{next_step}");
            assert!(next_step.contains(&format!("to_regclass('{table}')")), "{next_step}");
            assert!(!has_table(&db, "a").await);
        }
    }

    async fn an_old_table_of_another_name_is_known_by_the_registry(db: TestDatabase) {
        let error = naming("our_history")
            .adopting_from(Tool::Sqlx, "our_history")
            .up(&db)
            .await
            .unwrap_err();
        assert!(
            error.explain().to_string().contains("the table our_history of sqlx"),
            "{}",
            error.explain()
        );
        let error = naming("somebody_elses").up(&db).await.unwrap_err();
        assert!(matches!(error.failure(), Some(Failure::Migrate(_))), "{error:?}");
    }
}

/// The state that sea-orm-migration leaves after it has applied `m2022_a`.
async fn seaql(db: &TestDatabase) {
    db.sql(SEAQL).await;
    db.sql("INSERT INTO seaql_migrations VALUES ('m2022_a', 1)").await;
}

fn of_sea_orm() -> Registry {
    registry(vec![Makes("a", &["m2022_a"])])
}

#[tokio::test]
async fn on_postgres_keys_that_this_build_makes_otherwise_are_named() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    seaql(&db).await;
    db.sql(
        "CREATE TABLE a (id serial PRIMARY KEY, place serial); CREATE TABLE b (id int PRIMARY KEY)",
    )
    .await;
    db.sql("CREATE TABLE c (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)").await;

    let adoption = of_sea_orm().adopt(&db).await.unwrap();

    let named = AdoptionWarning::SerialKeys { columns: vec!["a.id".into()] };
    assert!(named.to_string().contains("postgres-use-serial-pk"), "{named}");
    assert_eq!(adoption.warnings, [named]);
}

#[tokio::test]
async fn on_postgres_keys_that_this_build_makes_alike_are_not_named() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    seaql(&db).await;
    db.sql("CREATE TABLE c (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)").await;
    assert_eq!(of_sea_orm().adopt(&db).await.unwrap().warnings, []);
}

/// Anybody who may create a table can make these. Each would run the function with the rights of
/// its reader.
const TRAPS: [(&str, &str); 4] = [
    ("a view", "CREATE VIEW seaql_migrations AS SELECT 'm2022_a' AS version, trap() AS applied_at"),
    (
        "row-level security",
        "CREATE TABLE seaql_migrations (version text, applied_at bigint);
         ALTER TABLE seaql_migrations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         CREATE POLICY trap ON seaql_migrations USING (trap() = 1)",
    ),
    (
        "a type with a cast",
        "CREATE TYPE bait AS ENUM ('m2022_a');
         CREATE FUNCTION trap(bait) RETURNS text LANGUAGE sql AS 'SELECT trap()::text';
         CREATE CAST (bait AS text) WITH FUNCTION trap(bait);
         CREATE TABLE seaql_migrations (version bait, applied_at bigint)",
    ),
    (
        "a type of rows",
        "CREATE TYPE bait AS (version text);
         CREATE TABLE seaql_migrations (version bait, applied_at bigint)",
    ),
];

#[tokio::test]
async fn on_postgres_a_table_that_would_run_its_owners_code_is_not_read() {
    for (what, trap) in TRAPS {
        let Some(db) = only_on(Backend::Postgres).await else { return };
        // A role without other rights may do this in a database in which anybody may create. Each
        // server has `pg_monitor`.
        db.sql("CREATE SEQUENCE sprung").await;
        db.sql(
            "CREATE FUNCTION trap() RETURNS bigint LANGUAGE sql AS 'SELECT nextval(''sprung'')'",
        )
        .await;
        db.sql(trap).await;
        if what == "row-level security" {
            db.sql(
                "GRANT ALL ON ALL TABLES IN SCHEMA public TO pg_monitor; \
                GRANT ALL ON SEQUENCE sprung TO pg_monitor",
            )
            .await;
            db.sql("GRANT CREATE ON SCHEMA public TO pg_monitor").await;
        }
        let role = if what == "row-level security" { "role=pg_monitor" } else { "role=postgres" };
        let app = Database::connect(super::with_options(&db, role)).await.unwrap();
        for error in
            [of_sea_orm().up(&app).await.unwrap_err(), of_sea_orm().adopt(&app).await.unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::UnsafeHistory, "{what}: {error:?}");
            assert!(error.to_string().contains("nothing was changed"), "{error}");
        }
        assert_eq!(db.rows("SELECT is_called FROM sprung").await, ["false"], "{what}");
        assert!(!has_table(&db, "schema_migration").await);
    }
}

#[tokio::test]
async fn on_postgres_a_table_of_another_role_is_read_where_that_runs_nothing() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    seaql(&db).await;
    db.sql("ALTER TABLE seaql_migrations OWNER TO pg_monitor").await;
    assert_eq!(three().up(&db).await.unwrap().version, 2);
    let other = of_sea_orm().with_table("other_migration");
    assert_eq!(other.adopt(&db).await.unwrap().version, 0);
    assert_eq!(version(&*db).await, 2);
}
