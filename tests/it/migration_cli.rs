//! The command line of the migrations.

use nix::sys::signal::Signal;
use onerow::prelude::{ConnectionTrait, DatabaseBackend, TransactionTrait};
use onerow_testing::{Backend, PostgresServer, TestDatabase, on_every_backend};
use serde_json::Value;

use crate::harness::{MigrationCli, NO_SERVER};

on_every_backend! {
    async fn up_applies_all_and_then_finds_nothing_to_do(db: TestDatabase) {
        let cli = MigrationCli::on(db.url());

        let applied = cli.run(&["up"]).done();
        for migration in [
            "members and todos",
            "time-based one-time passwords",
            "priority of a todo, out of its text",
        ] {
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
        assert!(
            looked.contains(" m0001")
                && looked.ends_with(
                    "would be taken over: the database would be at version 1; \
             1 pending, the next is m0002\n"
                ),
            "{looked}"
        );
        assert_eq!(cli.run(&["version"]).done(), "-1\n");
        assert_eq!(
            cli.run(&["baseline", "1"]).done(),
            "taken over: the database is at version 1; 1 pending, the next is m0002\n"
        );
        assert_eq!(
            cli.run(&["baseline", "1"]).done(),
            "nothing to do: the database is at version 1\n"
        );
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
        assert_eq!(
            (&adopted["initial"], &adopted["version"], &adopted["latest"]),
            (&(-1).into(), &1.into(), &2.into())
        );
        assert_eq!(
            (&adopted["dry_run"], &adopted["adopted"][1]["name"]),
            (&false.into(), &"m0001".into())
        );
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
        let applied: Vec<_> =
            json["migrations"].as_array().unwrap().iter().map(|m| &m["applied"]).collect();
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

    async fn ctrl_c_and_sigterm_end_a_run_that_waits_and_say_where_the_database_is(
        db: TestDatabase,
    ) {
        let cli = MigrationCli::on(db.url());
        cli.run(&["up", "--to", "1"]).done();
        let lock = db.begin().await.unwrap();
        // m0002 needs the table on PostgreSQL, and the file on SQLite.
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
            assert!(
                said.contains("the database is at version 1") && said.contains("to go on: "),
                "{said}"
            );
        }

        lock.rollback().await.unwrap();
        cli.run(&["up"]).done();
    }

    async fn a_signal_is_heard_while_a_migration_blocks_or_computes_and_the_second_ends_the_process(
        db: TestDatabase,
    ) {
        let signals = [
            (Signal::SIGINT, Signal::SIGINT, 130),
            (Signal::SIGTERM, Signal::SIGTERM, 143),
            (Signal::SIGINT, Signal::SIGTERM, 143),
        ];
        for (does, (first, second, code)) in
            ["blocks", "computes", "blocks"].into_iter().zip(signals)
        {
            let run = MigrationCli::of_subject(db.url(), does).start(&["up"]);
            run.says(&format!("m0001 {does}"));
            run.send(first);
            run.says(
                "stopping as soon as m0001 lets go; press Ctrl-C again to end the process at once",
            );
            let (ended, said) = run.stop(second);
            assert_eq!(ended, Some(code), "{said}");
            assert!(
                said.contains(
                    "error: ended at once, while m0001 was running; this run has applied "
                ),
                "{said}"
            );
            let version = MigrationCli::of_subject(db.url(), "").run(&["version"]).done();
            assert!(
                version == "0\n" || version == "-1\n" && !said.contains("applied m0000"),
                "{version} {said}"
            );
        }
        let run = MigrationCli::of_subject(db.url(), "blocks").start(&["--format", "json", "up"]);
        run.says("m0001 blocks");
        run.send(Signal::SIGINT);
        let (ended, said) = run.stop(Signal::SIGTERM);
        let (_, document) = said.split_once("m0001 blocks\n").unwrap();
        let error = &serde_json::from_str::<Value>(document).unwrap()["error"];
        assert_eq!(
            (&error["kind"], error["exit_code"].as_i64()),
            (&"ended_at_once".into(), ended.map(i64::from))
        );

        // The run that was ended is not in the way of the next one.
        assert_eq!(MigrationCli::of_subject(db.url(), "").run(&["up"]).code, Some(0));

        let run = MigrationCli::of_subject(db.url(), "").run(&["--format", "json", "up"]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    }

    async fn an_env_file_names_the_database_and_the_environment_wins(db: TestDatabase) {
        let content = format!("DATABASE_URL=\"{}\"\n", db.url());
        let cli = MigrationCli::new().file("test.env", &content);
        cli.run(&["--env-file", "test.env", "up", "--to", "0"]).done();
        assert_eq!(cli.run(&["--env-file", "test.env", "version"]).done(), "0\n");

        let other = "sqlite://other.sqlite?mode=rwc";
        let cli = MigrationCli::new().file("test.env", &content).env("DATABASE_URL", other);
        assert_eq!(cli.run(&["--env-file", "test.env", "version"]).done(), "-1\n");
        assert_eq!(
            cli.run(&["--env-file", "test.env", "--database-url", db.url(), "version"]).done(),
            "0\n"
        );
    }
}

#[tokio::test]
async fn what_the_server_has_to_say_is_shown_as_progress() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let db = Backend::Postgres.empty_database().await;
    let up = async |options: &[&str]| {
        db.sql("DROP TABLE IF EXISTS plain, schema_migration").await;
        let outcome =
            MigrationCli::of_subject(db.url(), "speaks").run(&[options, &["up"]].concat());
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.said().to_owned()
    };

    let shown = "notice: a notice\nwarning: a warning\nnotice: relation \"plain\" already exists, \
        skipping\n";
    assert_eq!(up(&[]).await, shown);
    assert!(up(&["-v"]).await.contains("\ninfo: an information\n"));
    assert_eq!(up(&["-vv"]).await.matches("a warning").count(), 1 + 1, "{}", "once as SQL");
    assert_eq!(up(&["--quiet"]).await, "");
    assert_eq!(up(&["--format", "json"]).await, "");
    // onerow itself makes the server send no notices.
    assert_eq!(
        MigrationCli::on(Backend::Postgres.empty_database().await.url()).run(&["up"]).said(),
        ""
    );
}

#[test]
fn an_empty_database_url_is_refused_wherever_it_stands() {
    let file = |content: &str| MigrationCli::new().file(".env", content).file("test.env", content);
    let named = |empty: &str| format!("DATABASE_URL={empty}\n");
    for empty in ["", " ", "\t \n"] {
        let quoted = named(&format!("\"{empty}\""));
        let cases = [
            (MigrationCli::on(empty), &[][..]),
            (
                MigrationCli::on(empty)
                    .file(".env", "DATABASE_URL=sqlite://other.sqlite?mode=rwc\n"),
                &[],
            ),
            (file(&quoted), &[]),
            (file(&quoted), &["--env-file", "test.env"]),
            (MigrationCli::new(), &["--database-url", empty]),
        ];
        for (cli, options) in cases {
            for command in ["up", "status", "version", "check", "wait", "create", "reset"] {
                let complaint = cli.run(&[options, &[command]].concat()).failed(2);
                assert!(
                    complaint.starts_with("error: ") && complaint.contains("nothing was changed"),
                    "{complaint}"
                );
                assert!(complaint.contains("--database-url: postgres://"), "{complaint}");
            }
            let files = std::fs::read_dir(cli.dir()).unwrap().map(|file| file.unwrap().file_name());
            assert!(files.into_iter().all(|name| name.to_string_lossy().ends_with(".env")));
        }
    }
    // These need files only, or the argument names the database.
    let cli = MigrationCli::on("");
    cli.run(&["completions", "bash"]).done();
    cli.run(&["--database-url", "sqlite::memory:", "version"]).done();
}

#[test]
fn a_file_named_dot_env_is_read_here_and_above_and_whatever_is_set_wins() {
    let content = |name: &str| format!("DATABASE_URL=sqlite://{name}.sqlite?mode=rwc\n");
    let cli =
        MigrationCli::new().file(".env", &content("above")).file("named.env", &content("named"));
    let below = "mkdir -p a/b && cd a/b && migration -q up >/dev/null && ls";
    assert_eq!(cli.shell(below).done(), "above.sqlite\n");
    let nearer = "cp named.env a/.env && cd a/b && migration -q up >/dev/null && ls";
    assert_eq!(cli.shell(nearer).done(), "above.sqlite\nnamed.sqlite\n");

    let on = |cli: &MigrationCli, args: &[&str]| cli.run(&[args, &["version"]].concat()).stderr;
    assert_eq!(on(&cli, &[]), "database: ./above.sqlite\n");
    assert_eq!(on(&cli, &["--env-file", "named.env"]), "database: ./named.sqlite\n");
    let cli = cli.env("DATABASE_URL", "sqlite://set.sqlite?mode=rwc");
    assert_eq!(on(&cli, &["--env-file", "named.env"]), "database: ./set.sqlite\n");
    assert_eq!(on(&cli, &["--database-url", "sqlite::memory:"]), "database: in memory\n");
}

#[test]
fn an_environment_file_that_does_not_parse_is_named_and_not_repeated() {
    let good = "DATABASE_URL=sqlite://database.sqlite?mode=rwc\n";
    for broken in
        ["PASSWORD hunter2", "PASSWORD=\"hunter2", "PASSWORD=hunter2 hunter2 # no", "hunter2"]
    {
        let content = format!("{good}{broken}\n");
        let cli = MigrationCli::new().file(".env", &content).file("test.env", &content);
        for (args, file) in
            [(&["up"][..], "/.env"), (&["--env-file", "test.env", "up"], "test.env")]
        {
            let complaint = cli.run(args).failed(2);
            assert!(
                complaint.contains("cannot read the environment file"),
                "{broken}: {complaint}"
            );
            assert!(
                complaint.contains(file) && !complaint.contains("hunter2"),
                "{broken}: {complaint}"
            );
        }
        assert!(!cli.dir().join("database.sqlite").exists());
    }
}

#[test]
fn a_command_names_the_database_first_without_its_password() {
    let cli = MigrationCli::on("postgresql://tozo:hunter2@127.0.0.1:1/shop");
    for args in [
        &["up"][..],
        &["status"],
        &["version"],
        &["check"],
        &["adopt"],
        &["create"],
        &["drop", "--yes"],
    ] {
        let outcome = cli.run(args);
        let first = outcome.stderr.lines().next();
        assert_eq!(first, Some("database: 127.0.0.1:1/shop as tozo"), "{args:?}: {outcome:?}");
    }
    for silent in ["--quiet", "--format=json"] {
        let outcome = cli.run(&[silent, "version"]);
        assert!(!outcome.stderr.starts_with("database: "), "{outcome:?}");
    }
    let outcome = MigrationCli::new().run(&["up"]);
    assert_eq!(outcome.stderr, "database: ./database.sqlite\n");
    let outcome = MigrationCli::new().run(&["completions", "bash"]);
    assert_eq!(outcome.stderr, "");
}

#[test]
fn no_piece_of_a_password_that_is_not_encoded_is_printed() {
    // Each of the two pieces would pass for a host, a port, a database or a user.
    for between in
        ["@", "/", "?", "#", ":", "%", "%zz", "@x/", "/@", "?@", "#@", ":/", "&", "[", "\\"]
    {
        for (left, right) in [("hunter", "secret"), ("12", "34secret"), ("secret", "")] {
            let url = format!("postgres://tozo:{left}{between}{right}@127.0.0.1:1/tozo");
            complain_without(&url, &["--format=text"], &["hunter", "secret"]);
        }
    }
    for url in [
        "postgres:tozo:hunter2@127.0.0.1:1/tozo",
        "postgres:/tozo:hunter2@127.0.0.1:1/tozo",
        "host=127.0.0.1 user=tozo password=hunter2 sslmode=disable:",
        "tozo@hunter2:5432/tozo",
        "postgres://tozo:12/hunter@127.0.0.1:1/tozo?sslmode=disable",
        "postgres://127.0.0.1:1/tozo?user=tozo&password=x&hunter2&sslmode=disable",
        "postgres://127.0.0.1:1/tozo?user=tozo&password=x#hunter2",
        "sqlite://file.sqlite?key=hunter2",
        "sqlite://file.sqlite?mode=rwc&hexkey=hunter2&hunter",
        "sqlite://file.sqlite?mode=hunter2",
    ] {
        complain_without(url, &["--format=text", "--format=json"], &["hunter"]);
    }
}

/// This URL is refused, and no piece of the secret is printed.
fn complain_without(url: &str, formats: &[&str], secrets: &[&str]) {
    let cli = MigrationCli::on(url);
    for format in formats {
        let outcome = cli.run(&[format, "-vv", "version"]);
        assert_ne!(outcome.code, Some(0), "{url}: {outcome:?}");
        let printed = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!secrets.iter().any(|secret| printed.contains(secret)), "{url}: {printed}");
        assert!(
            printed.contains("percent-encoded") || url.starts_with("sqlite"),
            "{url}: {printed}"
        );
    }
}

#[test]
fn a_program_whose_main_names_no_default_database_has_none() {
    let cli = MigrationCli::of_subject("", "").unset("DATABASE_URL");
    for command in ["up", "status", "version", "check", "wait", "create", "drop", "reset", "adopt"]
    {
        let complaint = cli.run(&[command]).failed(2);
        assert!(complaint.starts_with("error: no database is named"), "{complaint}");
    }
    assert_eq!(std::fs::read_dir(cli.dir()).unwrap().count(), 0);
    assert!(!cli.run(&["up", "--help"]).done().contains("database.sqlite"));
}

/// It fails on a machine without IPv6, because a test that cannot run must say so.
#[test]
fn an_address_of_ipv6_stands_in_brackets() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let server = PostgresServer::start_with(&[("listen_addresses", "127.0.0.1,::1")]).unwrap();
    let url = server.url("shop").replace("127.0.0.1", "[::1]");
    let cli = MigrationCli::on(&url);
    let name = format!("[::1]:{}/shop", server.port());

    assert_eq!(cli.run(&["wait"]).done(), format!("[::1]:{} answers\n", server.port()));
    assert_eq!(cli.run(&["create"]).done(), format!("created the database {name}\n"));
    let up = cli.run(&["up"]);
    assert_eq!(up.stderr, format!("database: {name} as postgres\n"));
    up.done();
    assert_eq!(cli.run(&["version"]).done(), "2\n");
    assert_eq!(cli.run(&["drop", "--yes"]).done(), format!("dropped the database {name}\n"));
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
    for args in [&["downward"][..], &["up", "--to", "first"], &["--colour"], &[]] {
        let outcome = MigrationCli::new().run(args);
        assert_eq!(outcome.code, Some(2), "{args:?}: {outcome:?}");
    }
}

#[test]
fn no_password_is_ever_printed() {
    let cli = MigrationCli::on(&format!("{NO_SERVER}?connect_timeout=1"));

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
    let complaint = MigrationCli::on(NO_SERVER).run(&["up"]).failed(1);

    assert!(complaint.starts_with("error: ") && complaint.contains("127.0.0.1"), "{complaint}");
}

/// An image has a copy of the program, and no cargo.
#[test]
fn the_next_step_names_the_program_as_it_can_be_called() {
    let script = "export DATABASE_URL=sqlite:///nowhere/at/all.sqlite
                  migration up; cp \"$(command -v migration)\" shop; ./shop up; CARGO=cargo ./shop up";

    let said = MigrationCli::new().shell(script).stderr;

    let steps: Vec<_> =
        said.lines().filter_map(|line| Some(line.split_once("create it: ")?.1)).collect();
    let expected =
        ["cargo run -p migration -- create", "shop create", "cargo run -p shop -- create"];
    assert_eq!(steps, expected, "{said}");
}
