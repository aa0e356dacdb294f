//! Runs that somebody stops, by the caller or by `kill -9`, and long runs.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use onerow::{ErrorKind, Progress, prelude::*};
use onerow_testing::{Backend, TestDatabase, on_every_backend};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::support::{
    Sql, has_setting, has_table, number, only_on, registry, runner_of, server_with, version,
};

/// Takes a minute on either backend, in one statement.
struct Minute(Mode);

#[async_trait]
impl MigrationTrait for Minute {
    fn mode(&self) -> Mode {
        self.0
    }

    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared("CREATE TABLE minute (id INTEGER)").await?;
        let statement = match db.get_database_backend() {
            DatabaseBackend::Postgres => "SELECT pg_sleep(60)",
            _ => {
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
                 SELECT count(*) FROM n"
            }
        };
        db.execute_unprepared(statement).await.map(drop)
    }
}

fn with_a_long_one(mode: Mode) -> Registry {
    let items = Sql::new(["CREATE TABLE items (id INTEGER)"]);
    Registry::new(vec![Box::new(items), Box::new(Minute(mode))])
}

const EXECUTING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
     AND application_name LIKE 'onerow m%' AND state <> 'idle'";

on_every_backend! {
    async fn a_run_that_is_told_to_stop_ends_its_statement_and_says_where_the_database_is(
        db: TestDatabase,
    ) {
        let started = Instant::now();
        let registry = with_a_long_one(Mode::Transaction);
        registry.up(&db).to(0).await.unwrap();
        let error = registry
            .up(&db)
            .cancel_on(tokio::time::sleep(Duration::from_millis(500)))
            .await
            .unwrap_err();

        assert_eq!((error.kind(), error.version()), (ErrorKind::Cancelled, Some(0)), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(30), "it waited for the statement");
        assert_eq!(version(&*db).await, 0);
        assert!(!has_table(&db, "minute").await);
        // If the statement went on, it would keep SQLite's write lock.
        db.execute_unprepared("CREATE TABLE free (id INTEGER)").await.unwrap();
        if db.get_database_backend() == DatabaseBackend::Postgres {
            assert_eq!(number(&*db, EXECUTING).await, 0);
        }
    }

    async fn a_run_that_is_told_to_stop_outside_a_transaction_says_where_the_database_is(
        db: TestDatabase,
    ) {
        let started = Instant::now();
        let registry = with_a_long_one(Mode::Outside);
        registry.up(&db).to(0).await.unwrap();
        let stop = tokio::time::sleep(Duration::from_millis(500));
        let error = registry.up(&db).cancel_on(stop).await.unwrap_err();

        assert_eq!((error.kind(), error.version()), (ErrorKind::Cancelled, Some(0)), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(30), "it waited for the statement");
        // Another run gets at the row at once.
        let next = registry.up(&db).to(0).wait_timeout(Duration::from_secs(1)).await.unwrap();
        assert_eq!(next.version, 0);
        db.execute_unprepared("CREATE TABLE free (id INTEGER)").await.unwrap();
    }

    async fn a_run_whose_future_is_dropped_changes_nothing_and_holds_nothing(db: TestDatabase) {
        let registry = with_a_long_one(Mode::Transaction);
        registry.up(&db).to(0).await.unwrap();
        let slow = Registry::new(vec![Box::new(Sql::default()), Box::new(Asleep)]);
        let dropped =
            tokio::time::timeout(Duration::from_millis(300), slow.up(&db).into_future()).await;
        assert!(dropped.is_err());

        let next = crate::support::registry([
            Sql::default(),
            Sql::new(["CREATE TABLE next (id INTEGER)"]),
        ]);
        assert_eq!(next.up(&db).wait_timeout(Duration::from_secs(20)).await.unwrap().version, 1);
        assert!(!has_table(&db, "asleep").await);
    }

    async fn a_migration_that_lasts_is_reported_while_it_runs(db: TestDatabase) {
        let told = Mutex::new(0);
        let registry = Registry::new(vec![Box::new(Asleep)]);
        registry
            .up(&db)
            .on_progress(|step| {
                if let Progress::Running { version: 0, elapsed, .. } = step {
                    assert!(*elapsed >= Duration::from_secs(1));
                    *told.lock().unwrap() += 1;
                }
            })
            .await
            .unwrap();
        assert!(told.into_inner().unwrap() >= 1);
    }
}

/// Is slow outside the database.
struct Asleep;

#[async_trait]
impl MigrationTrait for Asleep {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared("CREATE TABLE asleep (id INTEGER)").await?;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        Ok(())
    }
}

async fn until(db: &Database, executing: bool) {
    let started = Instant::now();
    while (number(db, EXECUTING).await > 0) != executing {
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "still {}executing",
            if executing { "not " } else { "" }
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_statement_is_ended_of_a_login_that_takes_another_role() {
    let Some(server) = server_with(&[]) else { return };
    let db = Database::connect(server.url("postgres")).await.unwrap();
    let roles = "CREATE ROLE owner; ALTER SCHEMA public OWNER TO owner;
        CREATE ROLE runner LOGIN PASSWORD 'r' IN ROLE owner; ALTER ROLE runner SET role = owner";
    db.execute_unprepared(roles).await.unwrap();
    let url = format!("postgres://runner:r@127.0.0.1:{}/postgres", server.port());
    let app = Database::connect(url).await.unwrap();
    // The server must not find out by itself that its client has gone.
    let alone = "SELECT set_config(name, '0', false) FROM pg_settings
        WHERE name = 'client_connection_check_interval'; SELECT pg_sleep(60)";
    let registry = registry([Sql::new([alone])]);
    let stop = tokio::time::sleep(Duration::from_millis(1500));
    let error = registry.up(&app).cancel_on(stop).await.unwrap_err();
    assert_eq!((error.kind(), error.version()), (ErrorKind::Cancelled, Some(-1)), "{error:?}");
    until(&db, false).await;
}

#[tokio::test]
async fn the_server_ends_the_statement_of_a_killed_runner_in_and_outside_a_transaction() {
    for outside in ["", "outside"] {
        let Some(db) = only_on(Backend::Postgres).await else { return };
        if !has_setting(&*db, "client_connection_check_interval").await {
            return;
        }
        let mut runner = runner_of(&db, "SELECT pg_sleep(60)", outside);
        until(&db, true).await;
        kill(Pid::from_raw(runner.id().cast_signed()), Signal::SIGKILL).unwrap();
        runner.wait().unwrap();
        until(&db, false).await;
        registry([Sql::new(["CREATE TABLE items (id INTEGER)"])]).up(&db).await.unwrap();
    }
}

#[tokio::test]
async fn the_statement_that_a_killed_runner_left_is_waited_for_before_its_migration_runs_again() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let orphan = db.connect().await;
    let orphan = tokio::spawn(async move {
        let sql = "SET application_name = 'onerow m0000 0badcafe'; SELECT pg_sleep(2)";
        orphan.execute_unprepared(sql).await.unwrap();
    });
    until(&db, true).await;

    let told = Mutex::new(None);
    let registry = registry([Sql::new(["VACUUM"]).outside_transaction()]);
    let tell = |step: &Progress| {
        if let Progress::Waiting { holder: Some(holder), .. } = step {
            *told.lock().unwrap() = Some(holder.application_name.clone());
        }
    };
    registry.up(&db).on_progress(tell).await.unwrap();
    assert_eq!(told.into_inner().unwrap().as_deref(), Some("onerow m0000 0badcafe"));
    assert!(orphan.is_finished());
}

/// Applies these until it is told to stop. Returns the version in the error, and the migrations
/// that were reported as applied.
async fn stopped_after(db: &Database, registry: Registry, delay: u64) -> (Option<i32>, Vec<i32>) {
    let told = Mutex::new(Vec::new());
    let tell = |step: &Progress| {
        if let Progress::Applied(applied) = step {
            told.lock().unwrap().push(applied.version);
        }
    };
    let signal = tokio::time::sleep(Duration::from_millis(delay));
    let error = registry.up(db).on_progress(tell).cancel_on(signal).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
    (error.version(), told.into_inner().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_under_way_when_the_run_is_told_to_stop_is_finished_and_told() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let slow_commit = Sql::new([
        "CREATE TABLE items (id INTEGER)",
        "CREATE FUNCTION rest() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); \
         RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER rest AFTER INSERT ON items DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION rest()",
        "INSERT INTO items VALUES (1)",
    ]);
    let (version, told) =
        stopped_after(&db, registry([slow_commit, Sql::new(["SELECT pg_sleep(60)"])]), 1000).await;
    assert_eq!((version, told), (Some(0), vec![0]));
}

/// Blocks the thread of the run.
struct Blocks;

#[async_trait]
impl MigrationTrait for Blocks {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared("CREATE TABLE blocked (id INTEGER)").await?;
        std::thread::sleep(Duration::from_millis(1500));
        Ok(())
    }
}

on_every_backend! {
    async fn what_is_committed_behind_a_migration_that_blocks_is_told(db: TestDatabase) {
        let registry = Registry::new(vec![Box::new(Blocks), Box::new(Minute(Mode::Transaction))]);
        let (version, told) = stopped_after(&db, registry, 500).await;
        assert_eq!(told, (0..=version.unwrap()).collect::<Vec<_>>());
    }
}

/// Forwards connections. When it is notified, the existing ones go silent, and do not even end.
async fn forward(listener: TcpListener, server: u16, mute: Arc<Notify>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut upstream = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
        let mute = Arc::clone(&mute);
        tokio::spawn(async move {
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut upstream) => (),
                () = mute.notified() => pending().await,
            }
        });
    }
}

/// Forwards connections. Each answer takes this long, so that a new connection takes more than a
/// second.
async fn forward_slowly(listener: TcpListener, server: u16, answer: Duration) {
    while let Ok((client, _)) = listener.accept().await {
        let upstream = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
        let ((mut asks, mut hears), (mut answers, mut gets)) =
            (client.into_split(), upstream.into_split());
        tokio::spawn(async move { copy(&mut asks, &mut gets).await });
        tokio::spawn(async move {
            let mut buffer = [0; 8192];
            while let Ok(length @ 1..) = answers.read(&mut buffer).await {
                tokio::time::sleep(answer).await;
                hears.write_all(&buffer[..length]).await?;
            }
            hears.shutdown().await
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_told_to_stop_over_a_slow_line_has_ended_its_statement() {
    let Some(server) = server_with(&[]) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let line = server.url("postgres").replace(
        &format!(":{}/", server.port()),
        &format!(":{}/", listener.local_addr().unwrap().port()),
    );
    tokio::spawn(forward_slowly(listener, server.port(), Duration::from_millis(400)));
    let direct = Database::connect(server.url("postgres")).await.unwrap();
    let db = Database::connect(line).await.unwrap();
    let run = registry([Sql::new(["SELECT pg_sleep(60)"])]);
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let begun = async {
        while number(&direct, asleep).await == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let error = run.up(&db).cancel_on(begun).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
    assert_eq!(number(&direct, asleep).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_given_up_whose_answer_is_lost_though_new_connections_are_served() {
    let Some(server) = server_with(&[]) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!(":{}/", listener.local_addr().unwrap().port());
    let mute = Arc::new(Notify::new());
    tokio::spawn(forward(listener, server.port(), Arc::clone(&mute)));
    let direct = server.url("postgres");
    let db =
        Database::connect(direct.replace(&format!(":{}/", server.port()), &proxy)).await.unwrap();
    let silence = async {
        until(&Database::connect(direct.clone()).await.unwrap(), true).await;
        mute.notify_waiters();
    };
    let registry = registry([Sql::new(["SELECT pg_sleep(2)"])]);
    let run = tokio::time::timeout(Duration::from_mins(1), registry.up(&db).into_future());
    let (run, ()) = tokio::join!(run, silence);
    let error = run.expect("it waits for the answer").unwrap_err();
    assert_eq!(
        (error.kind(), error.migration()),
        (ErrorKind::MigrationFailed, Some(0)),
        "{error:?}"
    );
}
