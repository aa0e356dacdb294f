//! The command line on whole databases: `check`, `wait`, `create`, `drop` and `reset`.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use onerow::prelude::{ConnectionTrait, Database, TransactionTrait};
use onerow_testing::{Backend, PostgresServer, TestDatabase, on_every_backend};
use serde_json::{Value, json};

use crate::harness::{MigrationCli, NO_SERVER};

/// The object that a command prints with `--format json`.
fn json(cli: &MigrationCli, args: &[&str]) -> Value {
    let printed = cli.run(&[&["--format", "json"], args].concat());
    assert_eq!(printed.code, Some(0), "{printed:?}");
    serde_json::from_str(&printed.stdout).unwrap()
}

on_every_backend! {
    async fn check_tells_by_its_exit_code_where_the_database_is(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        let check = |code| {
            let outcome = cli.run(&["check"]);
            assert_eq!((outcome.code, outcome.said()), (Some(code), ""), "{outcome:?}");
            outcome.stdout
        };

        assert_eq!(check(3), "the database is at version -1; 3 pending, the next is m0000\n");
        assert!(!db.schema().has_table("schema_migration").await.unwrap());
        cli.run(&["up"]).done();
        assert_eq!(check(0), "the database is at version 2, up to date\n");
        db.sql("UPDATE schema_migration SET version = 9").await;
        assert_eq!(
            check(4),
            "the database is at version 9, ahead of this build, whose last migration is 2\n"
        );
    }

    async fn create_makes_a_database_once_and_drop_takes_it_away(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        db.sql("CREATE TABLE gone (id INTEGER)").await;

        assert_eq!(json(&cli, &["drop", "--yes"])["dropped"], true);
        assert_eq!(json(&cli, &["drop", "--yes"])["dropped"], false);
        assert_eq!(json(&cli, &["create"])["created"], true);
        assert_eq!(json(&cli, &["create"])["created"], false);
        cli.run(&["up"]).done();
        assert_eq!(json(&cli, &["create"])["created"], false);
        assert_eq!(cli.run(&["version"]).done(), "2\n");
        assert!(!db.connect().await.schema().has_table("gone").await.unwrap());
    }

    async fn reset_begins_from_nothing(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        cli.run(&["up"]).done();
        db.sql("INSERT INTO members (email) VALUES ('ada@example.org')").await;

        let applied = cli.run(&["reset", "--yes"]).done();

        assert!(applied.ends_with("from version -1 to version 2\n"), "{applied}");
        assert_eq!(db.connect().await.schema().has_table("members").await, Ok(true));
        assert_eq!(json(&cli, &["reset", "--yes"])["initial"], -1);
    }

    async fn without_a_terminal_to_confirm_on_nothing_is_dropped(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        cli.run(&["up"]).done();

        for command in ["drop", "reset"] {
            let complaint = cli.run(&[command]).failed(2);
            assert!(
                complaint.contains("nothing was changed\n  to drop it without being asked: --yes"),
                "{complaint}"
            );
        }
        assert_eq!(cli.run(&["version"]).done(), "2\n");
    }

    async fn what_is_typed_has_to_be_the_name_of_the_database(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        cli.run(&["up"]).done();
        let path = db.url().split_once("://").unwrap().1.split('?').next().unwrap();
        let name =
            if db.url().starts_with("sqlite") { path } else { path.rsplit('/').next().unwrap() };

        let complaint = cli.run_at_a_terminal(&["drop"], "yes\n").failed(1);
        assert!(complaint.ends_with(
            "error: that is not its name; \
            nothing was changed\n  try again, and type the name as it is shown\n"
        ));
        assert_eq!(cli.run(&["version"]).done(), "2\n");

        let dropped = cli.run_at_a_terminal(&["drop"], &format!("{name}\n")).done();
        assert!(dropped.starts_with("dropped the database "), "{dropped}");
    }

    async fn each_command_prints_one_json_object(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        let mut up = json(&cli, &["up", "--to", "0"]);
        assert!(up["applied"][0]["seconds"].take().is_f64());
        let applied = json!({
            "version": 0, "name": "m0000", "description": "members and todos", "seconds": null
        });
        assert_eq!(up, json!({ "initial": -1, "version": 0, "latest": 2, "applied": [applied] }));

        assert_eq!(json(&cli, &["version"]), json!({ "version": 0 }));
        let status = json(&cli, &["status"]);
        assert_eq!(
            (&status["state"], &status["version"], &status["latest"]),
            (&json!("pending"), &json!(0), &json!(2))
        );
        let first = json!({
            "version": 0, "name": "m0000", "description": "members and todos", "applied": true
        });
        assert_eq!(
            (&status["migrations"][0], status["migrations"].as_array().unwrap().len()),
            (&first, 3)
        );

        let check = cli.run(&["--format", "json", "check"]);
        assert_eq!(check.code, Some(3));
        let check: Value = serde_json::from_str(&check.stdout).unwrap();
        assert_eq!(check, json!({ "state": "pending", "version": 0, "latest": 2 }));
        assert!(json(&cli, &["wait"])["waited_seconds"].is_f64());
    }

    async fn a_failure_is_a_json_object_on_stderr(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());
        cli.run(&["up", "--to", "1"]).done();
        db.sql("ALTER TABLE todos ADD COLUMN priority INTEGER").await;

        let failed = cli.run(&["--format", "json", "up"]).failed(1);

        let error = &serde_json::from_str::<Value>(&failed).unwrap()["error"];
        assert_eq!(
            (&error["kind"], &error["version"], &error["exit_code"]),
            (&json!("migration_failed"), &json!(1), &json!(1))
        );
        assert_eq!(
            error["message"],
            "migration m0002 failed and was rolled back; the database is at version 1"
        );
        assert!(error["causes"][0].as_str().unwrap().contains("priority"), "{error}");
        assert_eq!(error["next_step"], "to retry after fixing it: cargo run -p migration -- up");
    }

    async fn quiet_leaves_the_results(db: TestDatabase) {
        let outcome = MigrationCli::on(db.url()).run(&["--quiet", "up"]);
        assert_eq!(outcome.stderr, "");
        assert!(outcome.done().ends_with("from version -1 to version 2\n"));
    }

    async fn verbose_logs_what_happens_underneath_and_rust_log_wins(db: TestDatabase) {
        let outcome = MigrationCli::on(db.url()).run(&["-v", "up"]);
        assert!(outcome.stderr.contains("onerow: applied m0002"), "{outcome:?}");
        let outcome = MigrationCli::on(db.url()).env("RUST_LOG", "off").run(&["-v", "up"]);
        assert_eq!(outcome.said(), "");
    }
}

#[test]
fn a_variable_that_is_empty_counts_as_not_set_but_for_the_databases() {
    let cli = MigrationCli::new();
    let variables =
        ["ONEROW_TO", "ONEROW_FORMAT", "ONEROW_QUIET", "ONEROW_MAX_TRIES", "ONEROW_ENV_FILE"];
    let cli = variables.into_iter().fold(cli, |cli, variable| cli.env(variable, ""));

    assert!(cli.run(&["up"]).done().ends_with("from version -1 to version 2\n"));
    let complaint = cli.env("DATABASE_URL", "").run(&["version"]).failed(2);
    assert!(complaint.contains("DATABASE_URL is set, but it is empty"), "{complaint}");
}

/// A database that was dropped could not be created again.
#[tokio::test]
async fn who_may_not_create_a_database_does_not_reset_one() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let server = PostgresServer::start().unwrap();
    let admin = onerow::Database::connect(server.url("postgres")).await.unwrap();
    admin.execute_unprepared("CREATE ROLE owner LOGIN PASSWORD 'hunter2'").await.unwrap();
    admin.execute_unprepared("CREATE DATABASE owned OWNER owner").await.unwrap();
    admin.disconnect().await.unwrap();
    let cli =
        MigrationCli::on(&format!("postgres://owner:hunter2@127.0.0.1:{}/owned", server.port()));

    let complaint = cli.run(&["reset", "--yes"]).failed(1);

    assert!(
        complaint.contains(
            "was not dropped; nothing was changed\n  do it as a user with the right CREATEDB"
        ),
        "{complaint}"
    );
    // The database exists, so this needs no right.
    assert!(cli.run(&["create"]).done().starts_with("there is already"));
    cli.run(&["up"]).done();
}

#[tokio::test]
async fn a_file_that_is_read_only_by_its_url_is_not_dropped() {
    let db = Backend::Sqlite.empty_database().await;
    db.sql("CREATE TABLE kept (id INTEGER)").await;
    let cli = MigrationCli::on(&db.url().replace("mode=rwc", "mode=ro"));

    for command in ["drop", "reset"] {
        let complaint = cli.run(&[command, "--yes"]).failed(1);
        assert!(complaint.contains("readonly"), "{complaint}");
    }
    assert!(db.connect().await.schema().has_table("kept").await.unwrap());
}

#[tokio::test]
async fn a_link_leads_to_the_file_that_is_dropped() {
    let db = Backend::Sqlite.empty_database().await;
    db.sql("PRAGMA journal_mode = WAL; CREATE TABLE gone (id INTEGER)").await;
    db.disconnect().await.unwrap();
    let file = db.url().trim_start_matches("sqlite://").trim_end_matches("?mode=rwc");
    let cli = MigrationCli::new();
    let link = cli.dir().join("link.sqlite");
    std::os::unix::fs::symlink(file, &link).unwrap();
    let cli = cli.env("DATABASE_URL", &format!("sqlite://{}", link.display()));

    cli.run(&["drop", "--yes"]).done();

    assert!(!std::path::Path::new(file).exists());
}

#[tokio::test]
async fn a_file_that_somebody_reads_is_not_dropped() {
    let db = Backend::Sqlite.empty_database().await;
    db.sql("PRAGMA journal_mode = WAL; CREATE TABLE kept (id INTEGER)").await;
    let reader = db.begin().await.unwrap();
    reader.execute_unprepared("SELECT * FROM kept").await.unwrap();

    let complaint = MigrationCli::on(db.url()).run(&["drop", "--yes"]).failed(1);

    assert!(complaint.contains("locked"), "{complaint}");
    reader.rollback().await.unwrap();
    assert!(db.schema().has_table("kept").await.unwrap());
}

/// Linux has a device that is always full.
#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let script = "migration version >/dev/full; echo $?; migration up | true; echo done";
    let output = MigrationCli::new().shell(script);
    assert_eq!(output.stdout, "1\ndone\n", "{output:?}");
    assert!(output.said().starts_with("error: the result cannot be printed: "), "{output:?}");
}

#[test]
fn a_signal_ends_a_wait() {
    let waiting = MigrationCli::on(NO_SERVER).start(&["wait"]);
    waiting.says("waiting for");

    let (code, said) = waiting.stop(Signal::SIGTERM);

    assert_eq!(code, Some(143));
    assert!(said.contains("error: stopped as told"), "{said}");
}

#[test]
fn a_database_on_another_machine_is_dropped_by_force_only() {
    let cli = MigrationCli::on("postgresql://tozo:hunter2@db.example.org/tozo");

    for command in ["drop", "reset"] {
        let complaint = cli.run(&[command, "--yes"]).failed(1);
        assert!(
            complaint.starts_with("error: db.example.org:5432/tozo is not on this machine"),
            "{complaint}"
        );
        assert!(
            complaint.ends_with("nothing was changed\n  if it is meant: --force\n"),
            "{complaint}"
        );
    }
}

#[test]
fn check_tells_a_server_that_is_not_there_from_one_that_is_behind() {
    let complaint = MigrationCli::on(NO_SERVER).run(&["check"]).failed(5);
    assert!(complaint.starts_with("error: no server answers at 127.0.0.1:1/tozo"), "{complaint}");
}

#[test]
fn who_waits_for_a_server_that_does_not_come_is_told_so() {
    let started = Instant::now();
    let complaint = MigrationCli::on(NO_SERVER).run(&["wait", "--timeout", "1"]).failed(1);

    assert!(started.elapsed() >= Duration::from_secs(1));
    assert!(
        complaint
            .starts_with("waiting for 127.0.0.1:1/tozo\nerror: waited 1 s for 127.0.0.1:1/tozo"),
        "{complaint}"
    );
}

#[test]
fn a_server_that_comes_up_is_waited_for() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let server = PostgresServer::start().unwrap();
    let cli = MigrationCli::on(&server.url("postgres"));
    server.kill_immediately().unwrap();
    let waiting = [cli.start(&["wait"]), cli.start(&["up", "--wait-for-server", "30"])];
    for process in &waiting {
        process.says("waiting for 127.0.0.1");
    }

    server.restart().unwrap();

    for process in waiting {
        assert_eq!(process.end().0, Some(0));
    }
    assert_eq!(cli.run(&["version"]).done(), "2\n");
}

#[tokio::test]
async fn reset_drops_nothing_if_the_server_would_refuse_to_migrate() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let server = PostgresServer::start().unwrap();
    let cli = MigrationCli::on(&server.url("shop"));
    cli.run(&["create"]).done();
    cli.run(&["up"]).done();
    let maintenance = Database::connect(server.url("postgres")).await.unwrap();
    let pretend = "CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql \
        AS $$ SELECT 'CockroachDB CCL v26.2.5'::text $$";
    maintenance.execute_unprepared(pretend).await.unwrap();

    let refused = cli.run(&["reset", "--yes"]).failed(1);
    assert!(refused.contains("the server is CockroachDB"), "{refused}");
    assert_eq!(cli.run(&["version"]).done(), "2\n");
    cli.run(&["reset", "--yes", "--on-unverified-engine"]).done();
}

#[test]
fn each_shell_gets_its_completions_and_man_its_pages() {
    let cli = MigrationCli::new();

    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = cli.run(&["completions", shell]).done();
        assert!(
            script.contains("migration") && script.contains("wait-for-server"),
            "{shell}: {script}"
        );
    }
    cli.run(&["man", "pages"]).done();
    let page = std::fs::read_to_string(cli.dir().join("pages/migration-up.1")).unwrap();
    assert!(page.contains("ONEROW_LOCK_TIMEOUT"), "{page}");
}

/// Somebody who knows which database it is for types these each time.
const OVERRIDES: [&str; 5] =
    ["--yes", "--force", "--out-of-order", "--beside-other-tools", "--on-unverified-engine"];

#[test]
fn every_option_has_a_variable_unless_it_overrides_a_safety_check() {
    let cli = MigrationCli::new();
    let commands = [
        "up", "status", "version", "check", "wait", "create", "drop", "reset", "adopt", "baseline",
    ];
    let mut overrides = 0;
    for command in commands {
        let help = cli.run(&[command, "--help"]).done();
        let options = help
            .split("\n  ")
            .filter(|text| text.trim_start().starts_with('-') && !text.contains("--help"));
        for option in options {
            let rest = &help[help.find(option).unwrap()..];
            let next = ["\n      --", "\n  -"].map(|next| rest[2..].find(next));
            let until = next.into_iter().flatten().min().map_or(rest.len(), |at| at + 2);
            let is_override = OVERRIDES.contains(&option.split_whitespace().next().unwrap());
            assert_eq!(rest[..until].contains("[env:"), !is_override, "{command}: {option}");
            overrides += usize::from(is_override);
        }
    }
    assert_eq!(overrides, 10);
}

#[test]
fn what_overrides_a_safety_check_is_not_taken_from_the_environment() {
    let cli = MigrationCli::new().env("ONEROW_YES", "true").env("ONEROW_FORCE", "true");
    let cli = cli.file(".env", "ONEROW_YES=1\nONEROW_FORCE=1\n");
    cli.run(&["up"]).done();

    let far = "postgres://tozo@db.example.org/tozo";
    let complaint = cli.run(&["drop", "--yes", "--database-url", far]).failed(1);
    assert!(complaint.contains("is not on this machine"), "{complaint}");
    for command in ["drop", "reset"] {
        assert!(cli.run(&[command]).failed(2).contains("there is no terminal to type on"));
    }
    assert_eq!(cli.run(&["version"]).done(), "2\n");
}

#[test]
fn create_makes_the_folder_of_a_file_and_up_says_that_it_is_missing() {
    let cli = MigrationCli::on("sqlite://data/of/app.sqlite?mode=rwc");

    for command in ["up", "status", "version", "check"] {
        let complaint = cli.run(&[command]).failed(1);
        assert!(
            complaint.contains("caused by: there is no folder data/of\n"),
            "{command}: {complaint}"
        );
        assert!(complaint.ends_with("-- create\n"), "{command}: {complaint}");
    }
    assert_eq!(cli.run(&["create"]).done(), "created the database ./data/of/app.sqlite\n");
    cli.run(&["up"]).done();

    let cli = cli.file("plain", "").env("DATABASE_URL", "sqlite://plain/of/app.sqlite?mode=rwc");
    let complaint = cli.run(&["create"]).failed(1);
    assert!(complaint.starts_with("error: cannot make the folder plain/of\n"), "{complaint}");
}
