//! How an error says which statement failed and where, and statements that could never end.

use std::{fmt::Write, time::Duration};

use onerow::{Error, Failure, SqlMigration, prelude::*};
use onerow_testing::{Backend, TestDatabase, on_every_backend};
use sea_orm::{Statement, StreamTrait, TransactionError};
use tokio::time::timeout;

use crate::support::{
    Sql, assert_failed, assert_rolled_back, has_table, only_on, registry, version,
};

/// The cause in the error of a script's run.
async fn complaint_of(db: &Database, sql: String) -> String {
    let script = SqlMigration::new("7_todos", "todos", sql.leak(), Mode::Transaction);
    let error = Registry::new(vec![Box::new(script)]).up(db).await.unwrap_err();
    assert!(error.to_string().contains("was rolled back"), "{error}");
    let text = error.explain().to_string();
    text.split_once('\n').unwrap().1.to_owned()
}

/// A script of 401 lines with a stray comma in line 301.
fn long_script() -> String {
    let mut sql = String::from("CREATE TABLE t (a INTEGER, b TEXT);\n");
    for line in 2..=401 {
        let comma = if line == 301 { "," } else { "" };
        writeln!(sql, "INSERT INTO t VALUES ({line}, 'it''s; \\'{comma});").unwrap();
    }
    sql
}

on_every_backend! {
    async fn an_error_in_a_script_is_told_with_its_line_and_a_caret(db: TestDatabase) {
        let complaint = complaint_of(&db, long_script()).await;
        let row = "301 | INSERT INTO t VALUES (301, 'it''s; \\',);";
        let caret = " ".repeat(row.find(");").unwrap() - "301 | ".len());
        let place =
            format!("\n    in the script of 7_todos, line 301\n    {row}\n        | {caret}^");
        assert!(complaint.ends_with(&place), "{complaint}");
        assert!(
            complaint.starts_with("  caused by: ") && complaint.contains("syntax error"),
            "{complaint}"
        );
        assert!(!has_table(&db, "t").await);
    }

    async fn of_a_statement_of_several_lines_the_beginning_is_told_too(db: TestDatabase) {
        let sql = "-- todos; of all\n\n  CREATE TABLE t (\n    a INTEGER,\n\tb TEXT,\n);\n";
        let complaint = complaint_of(&db, sql.into()).await;
        let place = "\n    in the script of 7_todos, line 6, \
                     in the statement that begins in line 3\n    \
                     3 |   CREATE TABLE t (\n    6 | );\n      | ^";
        assert!(complaint.ends_with(place), "{complaint}");
    }

    async fn of_a_long_line_the_part_around_the_error_is_shown(db: TestDatabase) {
        let rows = "(1, 'ééé'), ".repeat(200);
        let sql = format!(
            "CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES {rows}(1,,), {rows} (1, 'é');"
        );
        let complaint = complaint_of(&db, sql).await;
        let lines: Vec<_> = complaint.lines().rev().collect();
        assert!(lines[1].chars().count() < 110 && lines[1].contains("(1,,)"), "{complaint}");
        let caret = lines[0].find('^').unwrap();
        assert_eq!(lines[1].chars().nth(caret), Some(','), "{complaint}");
        assert_eq!(lines[1].chars().nth(caret - 1), Some(','), "{complaint}");
    }

    async fn what_a_script_of_one_statement_violates_is_told_with_that_statement(db: TestDatabase) {
        let made = Sql::new(["CREATE TABLE t (a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)"]);
        let script = SqlMigration::new(
            "7_todos",
            "todos",
            "-- more\nINSERT INTO t\nVALUES (1);\n",
            Mode::Transaction,
        );
        let error =
            Registry::new(vec![Box::new(made), Box::new(script)]).up(&db).await.unwrap_err();
        let complaint = error.explain().to_string();
        let place = "\n    in the script of 7_todos, in the statement that begins in line 2\n    \
                     2 | INSERT INTO t";
        assert!(complaint.ends_with(place), "{complaint}");
    }

    async fn a_trigger_in_a_script_is_one_statement(db: TestDatabase) {
        if db.get_database_backend() == DatabaseBackend::Postgres {
            return;
        }
        let sql = "CREATE TABLE t (a INTEGER); CREATE TABLE log (a INTEGER);
                   CREATE TRIGGER logged AFTER INSERT ON t BEGIN
                       INSERT INTO log SELECT CASE WHEN new.a > 1 THEN new.a ELSE 0 END;
                       INSERT INTO log VALUES (7);
                   END;
                   INSERT INTO t VALUES (2);";
        let script = SqlMigration::new("1_a", "a", sql, Mode::Transaction);
        Registry::new(vec![Box::new(script)]).up(&db).await.unwrap();
        assert_eq!(crate::support::number(&*db, "SELECT sum(a) FROM log").await, 9);
    }

    async fn an_error_in_code_is_told_by_the_number_of_its_statement_without_its_sql(
        db: TestDatabase,
    ) {
        let secret = Sql::new([
            "CREATE TABLE t (a TEXT)",
            "INSERT INTO t VALUES ('a')",
            "INSERT INTO nowhere\nVALUES ('secret')",
        ]);
        let error = registry([secret]).up(&db).await.unwrap_err();
        let text = error.explain().to_string();
        let line =
            if db.get_database_backend() == DatabaseBackend::Postgres { ", line 1" } else { "" };
        let place = format!("; in statement 3 of the migration (INSERT){line}");
        assert!(text.ends_with(&place), "{text}");
        assert!(!format!("{text}{error:?}").contains("secret"), "{error:?}");
    }

    async fn statements_that_seaorm_builds_count_and_those_of_other_migrations_do_not(
        db: TestDatabase,
    ) {
        let registry = Registry::new(vec![
            Box::new(Sql::new(["CREATE TABLE one (a INTEGER)"; 1])),
            Box::new(Built),
        ]);
        let error = registry.up(&db).await.unwrap_err();
        let text = error.explain().to_string();
        assert!(text.contains("; in statement 3 of the migration (SELECT)"), "{text}");
    }

    async fn a_validation_counts_anew(db: TestDatabase) {
        let error =
            registry([Sql::new(["CREATE TABLE t (a INTEGER)"]).validate("SELECT 1 FROM nowhere")])
                .up(&db)
                .await;
        let text = error.unwrap_err().explain().to_string();
        assert!(text.contains("; in statement 1 of the migration (SELECT)"), "{text}");
    }

    async fn a_transaction_within_that_fails_is_undone_and_the_migration_goes_on(db: TestDatabase) {
        for mode in [Mode::Transaction, Mode::Outside] {
            let registry = Registry::new(vec![Box::new(GoesOn(mode))]);
            let registry = registry.with_table(format!("of_{mode:?}"));
            assert_eq!(registry.up(&db).await.unwrap().version, 0);
            assert_eq!(crate::support::number(&*db, "SELECT sum(a) FROM t").await, 2);
        }
    }

    async fn the_driver_s_error_stays_what_it_was(db: TestDatabase) {
        let twice = Sql::new([
            "CREATE TABLE t (a INTEGER PRIMARY KEY)",
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t VALUES (1)",
        ]);
        let error = registry([twice]).up(&db).await.unwrap_err();
        let Some(Failure::Migrate(error)) = error.failure() else { panic!("{error:?}") };
        assert!(
            matches!(error.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_))),
            "{error:?}"
        );
    }
}

struct Built;

#[async_trait]
impl MigrationTrait for Built {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.schema()
            .create_table(Table::create().table("t").col(schema::integer("a")).take())
            .await?;
        db.execute_unprepared("INSERT INTO t VALUES (1)").await?;
        let backend = db.get_database_backend();
        db.query_one_raw(Statement::from_string(backend, "SELECT b FROM t")).await.map(drop)
    }
}

struct GoesOn(Mode);

#[async_trait]
impl MigrationTrait for GoesOn {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared("DROP TABLE IF EXISTS t; CREATE TABLE t (a INTEGER)").await?;
        for (number, sql) in [(1, "SELECT 1 FROM nowhere"), (2, "SELECT 1")] {
            let outcome: Result<(), TransactionError<DbErr>> = db
                .transaction(|nested| {
                    Box::pin(async move {
                        nested
                            .execute_unprepared(&format!("INSERT INTO t VALUES ({number})"))
                            .await?;
                        nested.execute_unprepared(sql).await.map(drop)
                    })
                })
                .await;
            assert_eq!(outcome.is_ok(), number == 2);
        }
        Ok(())
    }

    fn mode(&self) -> Mode {
        self.0
    }
}

/// A way to send a statement.
#[derive(Clone, Copy, Debug)]
enum Way {
    Unprepared,
    Execute,
    QueryOne,
    QueryAll,
    Stream,
}

struct Sends(Way, &'static str);

#[async_trait]
impl MigrationTrait for Sends {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        let Self(way, sql) = *self;
        db.execute_unprepared("CREATE TABLE t (a INTEGER)").await?;
        let statement = Statement::from_string(DatabaseBackend::Postgres, sql);
        match way {
            Way::Unprepared => db.execute_unprepared(sql).await.map(drop),
            Way::Execute => db.execute_raw(statement).await.map(drop),
            Way::QueryOne => db.query_one_raw(statement).await.map(drop),
            Way::QueryAll => db.query_all_raw(statement).await.map(drop),
            Way::Stream => db.stream_raw(statement).await.map(drop),
        }
    }
}

/// A way to send a statement past the handle.
#[derive(Clone, Copy, Debug)]
enum Past {
    Nested,
    Callback,
    SchemaManager,
}

struct Evades(Past, Mode);

#[async_trait]
impl MigrationTrait for Evades {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared("CREATE TABLE t (a INTEGER)").await?;
        match self.0 {
            Past::Nested => {
                db.begin().await?.execute_unprepared("COPY t FROM stdin").await.map(drop)
            }
            Past::Callback => {
                let outcome = db.transaction(|nested| {
                    Box::pin(async move {
                        nested.execute_unprepared("COPY t FROM stdin").await.map(drop)
                    })
                });
                outcome.await.map_err(|error: TransactionError<DbErr>| match error {
                    TransactionError::Connection(error) | TransactionError::Transaction(error) => {
                        error
                    }
                })
            }
            Past::SchemaManager => {
                db.schema().get_connection().execute_unprepared("COPY t FROM stdin").await.map(drop)
            }
        }
    }

    fn mode(&self) -> Mode {
        self.1
    }
}

/// The error of a run that must not take long.
async fn soon_fails(db: &Database, migration: Box<dyn MigrationTrait>) -> Error {
    let run = Registry::new(vec![migration]);
    let outcome = timeout(Duration::from_secs(20), async { run.up(db).await }).await;
    outcome.expect("it hangs").unwrap_err()
}

/// Checks that a failed run has left nothing behind.
async fn is_as_before(db: &Database) {
    assert!(!has_table(db, "t").await);
    let report = registry([Sql::new(["CREATE TABLE t (a INTEGER)"])]).up(db).await.unwrap();
    assert_eq!(report.version, 0);
    assert_eq!(version(db).await, 0);
}

#[tokio::test]
async fn on_postgresql_a_copy_from_or_to_the_client_fails_at_once_however_it_is_sent() {
    for way in [Way::Unprepared, Way::Execute, Way::QueryOne, Way::QueryAll, Way::Stream] {
        for (sql, says) in
            [("copy t (a)\nfrom STDIN", "COPY FROM stdin"), ("COPY t TO STDOUT", "COPY TO stdout")]
        {
            let Some(db) = only_on(Backend::Postgres).await else { return };
            let error = soon_fails(&db, Box::new(Sends(way, sql))).await;
            let text = error.explain().to_string();
            assert!(text.contains(&format!("{says} is not possible here")), "{way:?}: {text}");
            assert_rolled_back(&error, 0, -1);
            is_as_before(&db).await;
        }
    }
}

#[tokio::test]
async fn on_postgresql_a_copy_that_goes_past_the_handle_fails_at_once_too() {
    for past in [Past::Nested, Past::Callback, Past::SchemaManager] {
        for mode in [Mode::Transaction, Mode::Outside] {
            let Some(db) = only_on(Backend::Postgres).await else { return };
            let error = soon_fails(&db, Box::new(Evades(past, mode))).await;
            let text = error.explain().to_string();
            assert!(text.contains("COPY FROM stdin is not possible here"), "{past:?}: {text}");
            assert_failed(&error, 0, -1);
            if mode == Mode::Transaction {
                is_as_before(&db).await;
            }
        }
    }
}

#[tokio::test]
async fn on_postgresql_what_is_for_psql_in_a_script_is_named_with_its_line() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    for (sql, says) in [
        (
            "CREATE TABLE t (a INTEGER);\nCOPY t (a) FROM stdin;\n1\n\\.\n",
            "COPY FROM stdin is not possible here",
        ),
        ("CREATE TABLE t (a INTEGER);\n\\connect other\n", "`\\connect` is a command of psql"),
    ] {
        let complaint = complaint_of(&db, sql.into()).await;
        assert!(
            complaint.contains(says) && complaint.ends_with("in the script of 7_todos, line 2"),
            "{complaint}"
        );
    }
    is_as_before(&db).await;
}

#[tokio::test]
async fn on_postgresql_what_pg_dump_prints_is_applied() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let sql = "--\n-- PostgreSQL database dump\n--\n\n\\restrict 5lQ3fX\n\nSET client_encoding = 'UTF8';\n
               CREATE TABLE public.t (a text DEFAULT '\n\\restrict 1\n');\n\n\\unrestrict 5lQ3fX\n\n";
    let script = SqlMigration::new("0_dump", "dump", sql, Mode::Transaction);
    Registry::new(vec![Box::new(script)]).up(&db).await.unwrap();
    assert!(has_table(&db, "t").await);
}

#[tokio::test]
async fn on_postgresql_the_position_counts_in_characters_and_finds_the_query_in_a_block() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let sql = "SELECT 'ééé';\n\nDO $$\nBEGIN\n  INSERT INTO nowhere VALUES (1);\nEND $$;\n";
    let complaint = complaint_of(&db, sql.into()).await;
    let place = "\n    in the script of 7_todos, line 5, \
                 in the statement that begins in line 3\n    3 | DO $$\n    5 |   INSERT INTO \
                 nowhere VALUES (1);\n      |               ^";
    assert!(complaint.ends_with(place), "{complaint}");
    let complaint = complaint_of(&db, "SELECT 'ééé';\nSELECT 'é', (1\n\n".into()).await;
    assert!(
        complaint.contains("line 2\n    2 | SELECT 'é', (1\n      |               ^"),
        "{complaint}"
    );
}
