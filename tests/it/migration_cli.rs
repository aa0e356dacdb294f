//! The command line of the migrations.

use nix::sys::signal::Signal;
use onerow::{
    prelude::{ConnectionTrait, DatabaseBackend, TransactionTrait},
    testing::{TestDatabase, on_every_backend},
};
use serde_json::Value;

use crate::harness::MigrationCli;

on_every_backend! {
    async fn up_applies_all_and_then_finds_nothing_to_do(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());

        let applied = cli.run(&["up"]).done();
        for migration in ["members and todos", "time-based one-time passwords", "priority of a todo, out of its text"] {
            assert!(applied.contains(migration), "{applied}");
        }

        let nothing = cli.run(&["up"]).done();
        assert_eq!(nothing, "nothing to do: the database is at version 2\n");
        assert_eq!(cli.run(&["version"]).done(), "2\n");
    }

    async fn up_to_stops_at_a_version_and_goes_on_from_there(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());

        cli.run(&["up", "--to", "0"]).done();
        assert_eq!(cli.run(&["version"]).done(), "0\n");
        cli.run(&["up", "--to", "1"]).done();
        assert_eq!(cli.run(&["version"]).done(), "1\n");
        cli.run(&["up"]).done();
        assert_eq!(cli.run(&["version"]).done(), "2\n");
    }

    async fn up_to_refuses_what_is_beyond_the_last_and_below_the_current_version(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        cli.run(&["up", "--to", "1"]).done();

        for wrong in ["3", "0"] {
            let complaint = cli.run(&["up", "--to", wrong]).failed(1);
            assert!(complaint.starts_with("error: ") && complaint.contains(wrong), "{complaint}");
        }
        assert_eq!(cli.run(&["version"]).done(), "1\n");
    }

    async fn a_baseline_is_looked_at_set_and_gone_on_from(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());

        let looked = cli.run(&["baseline", "1", "--dry-run"]).done();
        assert!(looked.contains(" m0001") && looked.ends_with(
            "would be taken over: the database would be at version 1; 1 pending, the next is m0002\n"
        ), "{looked}");
        assert_eq!(cli.run(&["version"]).done(), "-1\n");
        assert_eq!(
            cli.run(&["baseline", "1"]).done(),
            "taken over: the database is at version 1; 1 pending, the next is m0002\n"
        );
        assert_eq!(cli.run(&["baseline", "1"]).done(), "nothing to do: the database is at version 1\n");
        assert!(cli.run(&["baseline", "2"]).failed(1).contains("at version 1 already"));
    }

    async fn a_history_is_adopted_as_json(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        db.sql("CREATE TABLE state (data_loaded BOOL NOT NULL, version INTEGER NOT NULL)").await;
        db.sql("INSERT INTO state VALUES (TRUE, 1)").await;

        let nothing = cli.run(&["adopt", "--format", "json"]).failed(1);
        let nothing: Value = serde_json::from_str(&nothing).unwrap();
        assert_eq!(nothing["error"]["kind"], "no_history");
        let nothing = cli.run(&["adopt", "--if-any"]).done();
        assert_eq!(nothing, "nothing to do: the database is at version -1\n");

        let adopt = ["adopt", "--from-table", "state", "--format", "json"];
        let adopted: Value = serde_json::from_str(&cli.run(&adopt).done()).unwrap();
        assert_eq!((&adopted["tool"], &adopted["table"]), (&"quart-db".into(), &"state".into()));
        assert_eq!((&adopted["initial"], &adopted["version"], &adopted["latest"]), (&(-1).into(), &1.into(), &2.into()));
        assert_eq!((&adopted["dry_run"], &adopted["adopted"][1]["name"]), (&false.into(), &"m0001".into()));
        assert_eq!(cli.run(&["version"]).done(), "1\n");
    }

    async fn version_and_status_only_look(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());

        assert_eq!(cli.run(&["version"]).done(), "-1\n");
        cli.run(&["status"]).done();

        assert!(!db.schema().has_table("schema_migration").await.unwrap());
    }

    async fn status_lists_every_migration_and_whether_it_is_applied(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        cli.run(&["up", "--to", "1"]).done();

        let status = cli.run(&["status"]).done();
        let line = |name: &str| status.lines().find(|line| line.contains(name)).unwrap().to_owned();
        assert!(line("m0000").contains("members and todos"), "{status}");
        assert!(line("m0001").contains("time-based one-time passwords"), "{status}");
        assert!(line("m0002").contains("priority of a todo"), "{status}");

        let json = cli.run(&["--format", "json", "status"]).done();
        let json: Value = serde_json::from_str(&json).unwrap();
        let applied: Vec<_> = json["migrations"].as_array().unwrap().iter().map(|m| &m["applied"]).collect();
        assert_eq!(applied, [true, true, false]);
    }

    async fn a_database_ahead_of_the_program_is_named_and_left_alone(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        cli.run(&["up"]).done();
        db.execute_unprepared("UPDATE schema_migration SET version = 9").await.unwrap();

        let complaint = cli.run(&["up"]).failed(1);
        assert!(complaint.contains('9'), "{complaint}");
        let status = cli.run(&["status"]).done();
        assert!(status.contains("ahead"), "{status}");
        assert_eq!(cli.run(&["version"]).done(), "9\n");
    }

    async fn ctrl_c_and_sigterm_end_a_run_that_waits_and_say_where_the_database_is(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        cli.run(&["up", "--to", "1"]).done();
        let lock = db.begin().await.unwrap();
        // What m0002 needs: the table on PostgreSQL, and on SQLite the file.
        lock.execute_unprepared("DELETE FROM todos").await.unwrap();
        let waits = match db.get_database_backend() {
            DatabaseBackend::Postgres => "blocked by pid",
            _ => "waiting for another runner",
        };

        for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
            let run = cli.start(&["up"]);
            run.says(waits);
            let (ended, said) = run.stop(signal);
            assert_eq!(ended, Some(code), "{said}");
            assert!(said.contains("the database is at version 1") && said.contains("to go on: "), "{said}");
        }

        lock.rollback().await.unwrap();
        cli.run(&["up"]).done();
    }

    async fn an_env_file_names_the_database_and_the_environment_wins(db: TestDatabase) {
        let content = format!("DATABASE_URL=\"{}\"\n", db.url());
        let cli = MigrationCli::new().file("test.env", &content);
        cli.run(&["--env-file", "test.env", "up", "--to", "0"]).done();
        assert_eq!(cli.run(&["--env-file", "test.env", "version"]).done(), "0\n");

        let other = "sqlite://other.sqlite?mode=rwc";
        let cli = MigrationCli::new().file("test.env", &content).env("DATABASE_URL", other);
        assert_eq!(cli.run(&["--env-file", "test.env", "version"]).done(), "-1\n");
        assert_eq!(cli.run(&["--env-file", "test.env", "--database-url", db.url(), "version"]).done(), "0\n");
    }
}

#[test]
fn without_any_configuration_the_database_is_a_file_in_the_working_directory() {
    let cli = MigrationCli::new();

    cli.run(&["up"]).done();

    assert!(cli.dir().join("database.sqlite").exists());
    assert_eq!(cli.run(&["version"]).done(), "2\n");
}

#[test]
fn an_env_file_that_is_not_there_is_an_error() {
    let outcome = MigrationCli::new().run(&["--env-file", "missing.env", "up"]);

    assert_ne!(outcome.code, Some(0));
    assert!(outcome.stderr.contains("missing.env"), "{outcome:?}");
}

#[test]
fn a_command_that_does_not_exist_is_a_usage_error() {
    for args in [&["down"][..], &["up", "--to", "first"], &["--colour"], &[]] {
        let outcome = MigrationCli::new().run(args);
        assert_eq!(outcome.code, Some(2), "{args:?}: {outcome:?}");
    }
}

#[test]
fn no_password_is_ever_printed() {
    // Nobody listens on port 1.
    let cli = MigrationCli::on("postgresql://tozo:hunter2@127.0.0.1:1/tozo?connect_timeout=1");

    for args in [&["up"][..], &["status"], &["version"], &["--help"], &["up", "--help"]] {
        let outcome = cli.run(args);
        let printed = outcome.stdout + &outcome.stderr;
        assert!(!printed.contains("hunter2"), "{args:?}: {printed}");
    }
    let wrong = MigrationCli::on("postgresql://tozo:hunter2@[").run(&["up"]).failed(1);
    assert!(!wrong.contains("hunter2"), "{wrong}");
}

#[test]
fn a_server_that_is_not_there_is_an_error_with_its_address() {
    let complaint = MigrationCli::on("postgresql://tozo:hunter2@127.0.0.1:1/tozo").run(&["up"]).failed(1);

    assert!(complaint.starts_with("error: ") && complaint.contains("127.0.0.1"), "{complaint}");
}
