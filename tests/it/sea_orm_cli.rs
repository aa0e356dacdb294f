//! What `sea-orm-cli migrate` runs: `cargo run --manifest-path migration/Cargo.toml --` with its
//! command, `-n` and `-v`, and with its `-u` and `-s` as variables.

use onerow_testing::{Backend, TestDatabase, on_every_backend};

use crate::harness::MigrationCli;

on_every_backend! {
    async fn up_n_applies_so_many_further_migrations(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());

        for (number, done) in [
            ("1", "from version -1 to version 0; 2 pending, the next is m0001\n"),
            ("1", "from version 0 to version 1; 1 pending, the next is m0002\n"),
            ("7", "from version 1 to version 2\n"),
        ] {
            let printed = cli.run(&["up", "-n", number, "-v"]).done();
            assert!(printed.ends_with(done), "{printed}");
        }
        assert_eq!(
            cli.run(&["up", "--num", "1"]).done(),
            "nothing to do: the database is at version 2\n"
        );
        cli.run(&["up", "-n", "0"]).failed(2);
    }

    async fn the_url_may_be_an_argument(db: TestDatabase) {
        let cli = MigrationCli::new();

        cli.run(&["-u", db.url(), "up"]).done();

        assert_eq!(cli.run(&["version", "-u", db.url()]).done(), "2\n");
    }

    async fn fresh_is_reset(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        cli.run(&["up"]).done();
        db.sql("CREATE TABLE stray (id INTEGER)").await;

        assert!(cli.run(&["fresh"]).failed(2).contains("typed"));
        cli.run(&["fresh", "--yes"]).done();

        // The handle of before is still on the file that was deleted.
        assert!(!db.connect().await.schema().has_table("stray").await.unwrap());
        assert_eq!(cli.run(&["version"]).done(), "2\n");
    }
}

#[tokio::test]
async fn the_schema_takes_the_place_of_the_search_path() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let db = Backend::Postgres.empty_database().await;
    db.sql("CREATE SCHEMA \"b \"\"side\"").await;
    let cli = MigrationCli::on(db.url()).env("DATABASE_SCHEMA", "b \"side");

    cli.run(&["up"]).done();
    assert_eq!(cli.run(&["version"]).done(), "2\n");
    assert_eq!(cli.run(&["version", "-s", "public"]).done(), "-1\n");

    let tables = "SELECT DISTINCT table_schema FROM information_schema.tables
        WHERE table_name IN ('members', 'todos', 'schema_migration')";
    assert_eq!(db.rows(tables).await, ["b \"side"]);
    let missing = cli.run(&["up", "-s", "nowhere"]).failed(1);
    assert!(missing.contains("no schema in the search path \"nowhere\" exists"), "{missing}");
    assert!(missing.contains("--database-schema"), "{missing}");
}

#[tokio::test]
async fn a_whole_database_is_not_dropped_if_a_schema_is_named() {
    for backend in [Backend::Postgres, Backend::Sqlite] {
        if !backend.is_wanted() {
            continue;
        }
        let db = backend.empty_database().await;
        let cli = MigrationCli::on(db.url()).env("DATABASE_SCHEMA", "public");
        cli.run(&["up"]).done();
        for command in ["drop", "reset"] {
            let refused = cli.run(&[command, "--yes"]).failed(2);
            assert!(refused.contains("with all its schemas"), "{refused}");
        }
        assert_eq!(cli.run(&["version"]).done(), "2\n");
    }
}

/// Somebody has put the URL one line too low.
#[test]
fn what_is_no_schema_is_refused_and_not_repeated() {
    for schemas in ["postgres://u:hunter2@h/d", " ", "a,,b", "public,"] {
        let cli = MigrationCli::new().env("DATABASE_SCHEMA", schemas);
        for args in [&["up"][..], &["--help"]] {
            let outcome = cli.run(args);
            assert_eq!(outcome.code, Some(if args == ["up"] { 2 } else { 0 }), "{outcome:?}");
            assert!(!format!("{outcome:?}").contains("hunter2"), "{outcome:?}");
        }
    }
}

#[test]
fn sqlite_says_that_it_has_no_schemas() {
    let said = MigrationCli::new().run(&["up", "-s", "app"]).said().to_owned();
    assert!(said.starts_with("this database has no schemas"), "{said}");
}

#[test]
fn what_would_take_migrations_back_is_refused_and_says_what_to_do_instead() {
    for command in [&["down", "-n", "1", "-v"][..], &["down"], &["refresh"]] {
        let refused = MigrationCli::new().run(command).failed(2);
        assert!(refused.contains(&format!("there is no {}", command[0])), "{refused}");
        assert!(refused.contains("a new migration"), "{refused}");
    }
}
