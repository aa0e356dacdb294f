//! The app, from its start to its answers.

use onerow::prelude::*;
use onerow_testing::{TestDatabase, on_every_backend};
use serde_json::{Value, json};

use crate::harness::{App, MigrationCli, NO_SERVER, SlowRequest, eventually};

/// A member who keeps to-dos.
fn ada(app: &App) -> Value {
    app.post("/members/", &json!({ "email": "Ada@example.org" })).expect(201)["id"].clone()
}

fn tasks(page: &Value) -> Vec<&str> {
    page["todos"].as_array().unwrap().iter().map(|todo| todo["task"].as_str().unwrap()).collect()
}

/// How many migrations the app applied when it started.
fn applied(log: &str) -> u32 {
    let (_, count) = log.split_once(" applied=").unwrap();
    count.lines().next().unwrap().parse().unwrap()
}

on_every_backend! {
    async fn the_app_migrates_an_empty_database_and_answers_a_ping(db: TestDatabase) {
        let app = App::start(db.url());

        assert_eq!(app.get("/control/ping/").expect(200), json!({ "ping": "pong" }));
        assert_eq!(MigrationCli::on(db.url()).run(&["version"]).done(), "2\n");
    }

    async fn a_restart_finds_nothing_to_do(db: TestDatabase) {
        let first = App::start(db.url());
        let member = ada(&first);
        assert_eq!(applied(&first.stop()), 3);

        let second = App::start(db.url());
        second.post("/todos/", &json!({ "member_id": member, "task": "still here" })).expect(201);

        assert_eq!(applied(&second.stop()), 0);
    }

    async fn eight_apps_that_start_at_once_on_an_empty_database_all_serve(db: TestDatabase) {
        let apps = App::start_many(8, db.url());

        for app in &apps {
            app.get("/control/ping/").expect(200);
        }
        let member = ada(&apps[0]);
        for app in &apps {
            app.post("/todos/", &json!({ "member_id": member, "task": "share" })).expect(201);
        }
        assert_eq!(tasks(&apps[7].get("/todos/").expect(200)), ["share"; 8]);
        let applied: u32 = apps.into_iter().map(|app| applied(&app.stop())).sum();
        assert_eq!(applied, 3);
    }

    async fn a_todo_is_created_read_replaced_and_deleted(db: TestDatabase) {
        let app = App::start(db.url());
        let member = ada(&app);

        let created = app.post("/todos/", &json!({ "member_id": member, "task": "pay the rent" }));
        let location = created.headers["location"].to_str().unwrap().to_owned();
        let created = created.expect(201);
        let expected = json!({
            "id": 1, "member_id": member, "task": "pay the rent", "complete": false, "due": null,
            "priority": "normal", "created": created["created"],
        });
        assert_eq!(created, expected);
        assert_eq!(location, "/todos/1/");
        assert_eq!(app.get(&location).expect(200), created);

        let replacement = json!({
            "task": "pay the landlord",
            "complete": true,
            "due": "2030-01-02T03:04:05.678901Z",
            "priority": "urgent",
        });
        let replaced = app.put(&location, &replacement).expect(200);
        for field in ["task", "complete", "due", "priority"] {
            assert_eq!(replaced[field], replacement[field]);
        }
        for field in ["id", "member_id", "created"] {
            assert_eq!(replaced[field], created[field]);
        }
        assert_eq!(app.get(&location).expect(200), replaced);

        assert_eq!(app.delete(&location).expect(204), Value::Null);
        assert_eq!(app.get(&location).refusal(404), "there is no todo 1");
        assert_eq!(app.delete(&location).refusal(404), "there is no todo 1");
        assert_eq!(app.put(&location, &replacement).refusal(404), "there is no todo 1");
    }

    async fn a_bad_request_is_refused_and_changes_nothing(db: TestDatabase) {
        let app = App::start(db.url());
        let member = ada(&app);
        app.post("/todos/", &json!({ "member_id": member, "task": "stay" })).expect(201);
        let before = app.get("/todos/").expect(200);

        for (method, path, body, status, says) in [
            // These bodies cannot be read.
            ("POST", "/todos/", "", 400, "EOF"),
            ("POST", "/todos/", "{", 400, "EOF"),
            ("POST", "/todos/", r#"{"task": "x"}"#, 422, "member_id"),
            ("POST", "/todos/", r#"{"member_id": "1", "task": "x"}"#, 422, "member_id"),
            ("POST", "/todos/", r#"{"member_id": 1, "task": "x", "colour": "red"}"#, 422, "colour"),
            (
                "POST",
                "/todos/",
                r#"{"member_id": 1, "task": "x", "priority": "huge"}"#,
                422,
                "huge",
            ),
            ("POST", "/todos/", r#"{"member_id": 1, "task": "x", "due": "tomorrow"}"#, 422, "due"),
            ("PUT", "/todos/1/", r#"{"task": "x"}"#, 422, "complete"),
            (
                "PUT",
                "/todos/1/",
                r#"{"task": "x", "complete": true, "member_id": 2}"#,
                422,
                "member_id",
            ),
            // These values cannot be stored.
            (
                "POST",
                "/todos/",
                r#"{"member_id": 77, "task": "x"}"#,
                422,
                "member_id: there is no member 77",
            ),
            (
                "POST",
                "/todos/",
                r#"{"member_id": 1, "task": " "}"#,
                422,
                "a task must say something",
            ),
            ("POST", "/todos/", r#"{"member_id": 1, "task": "\u0000"}"#, 422, "U+0000"),
            (
                "POST",
                "/todos/",
                r#"{"member_id": 1, "task": "x", "due": "+10000-01-01T00:00:00Z"}"#,
                422,
                "four digits",
            ),
            (
                "POST",
                "/todos/",
                r#"{"member_id": 1, "task": "x", "due": "-0001-01-01T00:00:00Z"}"#,
                422,
                "four digits",
            ),
            ("POST", "/members/", r#"{"email": "nobody"}"#, 422, "name@example.org"),
            ("POST", "/members/", r#"{"email": "a b@example.org"}"#, 422, "name@example.org"),
            ("POST", "/members/", r#"{"email": "a\u0000@example.org"}"#, 422, "name@example.org"),
            (
                "PUT",
                "/todos/1/",
                r#"{"task": "", "complete": true}"#,
                422,
                "a task must say something",
            ),
        ] {
            let refusal = app.request(method, path, Some(body)).refusal(status);
            assert!(refusal.contains(says), "{method} {path} {body}: {refusal}");
        }
        for (method, path, status, says) in [
            ("GET", "/todos/first/", 400, "first"),
            ("GET", "/todos/9223372036854775808/", 400, "9223372036854775808"),
            ("GET", "/todos/%FF/", 400, "UTF-8"),
            ("GET", "/todos/-1/", 404, "there is no todo -1"),
            ("GET", "/todos/?limit=0", 400, "from 1 to 100"),
            ("GET", "/todos/?limit=101", 400, "from 1 to 100"),
            ("GET", "/todos/?limit=many", 400, "limit"),
            ("GET", "/todos/?after=first", 400, "after"),
            ("GET", "/todos/?complete=maybe", 400, "complete"),
            ("GET", "/todos/?completed=true", 400, "completed"),
            ("GET", "/", 404, "there is no /"),
            ("GET", "/todos", 404, "there is no /todos"),
            ("DELETE", "/todos/", 405, "/todos/ does not take DELETE"),
            ("GET", "/members/", 405, "/members/ does not take GET"),
        ] {
            let refusal = app.request(method, path, None).refusal(status);
            assert!(refusal.contains(says), "{method} {path}: {refusal}");
        }
        assert_eq!(app.get("/todos/").expect(200), before);
        // A bad request is the client's problem alone, so it is not logged as an error.
        assert!(!app.log().text().contains("ERROR"), "{}", app.log().text());
    }

    async fn a_method_that_is_refused_comes_with_those_that_are_taken(db: TestDatabase) {
        let app = App::start(db.url());

        let answer = app.delete("/todos/");

        assert_eq!(answer.headers["allow"], "GET,HEAD,POST");
        answer.refusal(405);
    }

    async fn a_body_of_another_type_or_beyond_the_limit_is_refused(db: TestDatabase) {
        let app = App::start(db.url());
        let long = json!({ "member_id": 1, "task": "x".repeat(100_000) });

        app.post("/todos/", &long).refusal(413);
        app.request("POST", "/todos/", None).refusal(415);
    }

    async fn trouble_with_the_database_is_told_to_the_log_and_not_to_the_client(db: TestDatabase) {
        let app = App::start(db.url());
        ada(&app);
        db.execute_unprepared("ALTER TABLE todos RENAME TO somewhere_else").await.unwrap();

        let refusal = app.get("/todos/").refusal(500);

        assert!(!refusal.contains("todos"), "{refusal}");
        let logged = app.log().wait_for("ERROR");
        assert!(logged.contains("todos"), "{logged}");
    }

    async fn a_request_that_gets_no_connection_in_time_is_answered_with_503(db: TestDatabase) {
        let app = App::start_with(db.url(), &["--pool-size", "1", "--acquire-timeout", "1"]);
        let member = ada(&app);
        let lock = db.begin().await.unwrap();
        // It keeps other writers from the member's row on PostgreSQL, and from the whole file on
        // SQLite.
        lock.execute_unprepared("DELETE FROM members").await.unwrap();

        let mut waiting = SlowRequest::begin(
            app.address(),
            "/todos/",
            &json!({ "member_id": member, "task": "wait" }),
        );
        waiting.send_body();
        let refusal = eventually("an exhausted pool", || {
            let answer = app.get("/todos/1/");
            (answer.status != 404).then(|| answer.refusal(503))
        });
        lock.rollback().await.unwrap();

        assert_eq!(refusal, "the database cannot be reached; try again later");
        assert!(waiting.answer().starts_with("HTTP/1.1 201 "));
    }
}

#[test]
fn a_start_without_a_database_fails_and_keeps_the_password_to_itself() {
    let (code, stderr) = App::fail_to_start(NO_SERVER, &["--acquire-timeout", "1"]);

    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("error: ") && stderr.contains("127.0.0.1"), "{stderr}");
    assert!(!stderr.contains("hunter2") && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_start_on_an_address_that_is_taken_fails_and_names_it() {
    let first = App::start("sqlite::memory:");
    let address = first.address().to_string();

    let (code, stderr) = App::fail_to_start("sqlite::memory:", &["--address", &address]);

    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(&format!("error: cannot listen on {address}")), "{stderr}");
    assert!(stderr.contains("in use"), "{stderr}");
}

#[test]
fn a_setting_that_makes_no_sense_is_a_usage_error() {
    for [option, value] in [
        ["--address", "localhost"],
        ["--pool-size", "0"],
        ["--acquire-timeout", "0"],
        ["--idle-timeout", "100000"],
        ["--shutdown-timeout", "0"],
        ["--shutdown-timeout", "10s"],
        ["--colour", "red"],
    ] {
        let (code, stderr) = App::fail_to_start("sqlite::memory:", &[option, value]);
        assert_eq!(code, Some(2), "{option} {value}: {stderr}");
        assert!(stderr.contains(option), "{stderr}");
    }
}

#[test]
fn the_help_names_every_setting_and_no_password() {
    let help = App::help(NO_SERVER);

    for setting in [
        "--database-url",
        "DATABASE_URL",
        "--env-file",
        "--address",
        "LISTEN_ADDRESS",
        "--pool-size",
        "POOL_SIZE",
        "--acquire-timeout",
        "ACQUIRE_TIMEOUT",
        "--idle-timeout",
        "IDLE_TIMEOUT",
        "--shutdown-timeout",
        "SHUTDOWN_TIMEOUT",
    ] {
        assert!(help.contains(setting), "{setting}: {help}");
    }
    assert!(!help.contains("hunter2"), "{help}");
}

#[test]
fn an_env_file_names_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("test.env");
    let database = dir.path().join("named.sqlite");
    std::fs::write(&file, format!("DATABASE_URL=\"sqlite://{}?mode=rwc\"\n", database.display()))
        .unwrap();

    let app = App::start_without_url(&["--env-file", file.to_str().unwrap()]);

    ada(&app);
    assert!(database.exists());
}

#[test]
fn without_any_configuration_the_database_is_a_file_in_the_working_directory() {
    let app = App::start_without_url(&[]);

    ada(&app);
    assert!(app.dir().join("database.sqlite").exists());
    let log = app.stop();
    assert!(
        log.contains("the database is the default, sqlite://database.sqlite?mode=rwc"),
        "{log}"
    );
}

#[test]
fn on_a_database_that_was_named_nothing_is_said_of_a_default() {
    let log = App::start("sqlite::memory:").stop();
    assert!(!log.contains("default"), "{log}");
}

#[test]
fn a_database_url_that_is_empty_is_refused() {
    for empty in ["", " "] {
        let (code, stderr) = App::fail_to_start(empty, &[]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.starts_with("error: DATABASE_URL is set, but it is empty"), "{stderr}");
    }
}

/// The idle connection is the database: closing it would lose all data.
#[test]
fn a_database_in_memory_outlives_the_idle_timeout() {
    let app = App::start_with("sqlite::memory:", &["--idle-timeout", "1"]);
    let member = ada(&app);

    std::thread::sleep(std::time::Duration::from_millis(2500));

    app.post("/todos/", &json!({ "member_id": member, "task": "remember" })).expect(201);
}
