//! Through pgbouncer in transaction mode, which may give each transaction another session of the
//! server.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::chown,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use nix::unistd::{Uid, User};
use onerow::{ErrorKind, prelude::*};
use onerow_cli::next_step;
use onerow_testing::PostgresServer;
use tempfile::TempDir;

use crate::support::{Sql, assert_rolled_back, logged, number, registry, server_with, try_number};

/// pgbouncer in front of a server of our own.
struct Proxy {
    server: PostgresServer,
    process: Child,
    port: u16,
    _directory: TempDir,
}

impl Proxy {
    fn start() -> Option<Self> {
        Self::start_with(4)
    }

    /// With so many connections to the server.
    fn start_with(connections: u8) -> Option<Self> {
        let server = server_with(&[])?;
        let url = server.url("postgres");
        let password = url.split(['@', ':']).nth(2).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = TempDir::new().unwrap();
        let configuration = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres password={password}\n\
             [pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\n\
             auth_type=any\npool_mode=transaction\ndefault_pool_size={connections}\n\
             ignore_startup_parameters=extra_float_digits\n",
            server.port()
        );
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new("pgbouncer");
        if Uid::effective().is_root() {
            // It refuses to run as root, and changes to this user by itself.
            let user =
                User::from_name("postgres").unwrap().expect("a user postgres to run pgbouncer as");
            for path in [directory.path(), &configuration] {
                chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
            }
            command.args(["--user", "postgres"]);
        }
        let process = command
            .arg("--quiet")
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process =
            process.unwrap_or_else(|error| panic!("pgbouncer: {error}; apt-get install pgbouncer"));
        let proxy = Self { server, process, port, _directory: directory };
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(proxy);
            }
            sleep(Duration::from_millis(50));
        }
        panic!("pgbouncer does not listen");
    }

    async fn database(&self) -> Database {
        Database::connect(format!("postgres://postgres@127.0.0.1:{}/postgres", self.port))
            .await
            .unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn with_index() -> Registry {
    struct Index;

    #[async_trait]
    impl MigrationTrait for Index {
        async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
            create_index(db, "items_task", "items", "task").await
        }

        fn mode(&self) -> Mode {
            Mode::Outside
        }
    }

    Registry::new(vec![
        Box::new(Sql::new(["CREATE TABLE items (id INTEGER, task TEXT)"])),
        Box::new(Index),
        Box::new(Sql::new(["INSERT INTO items VALUES (1, 'a')"])),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_in_and_outside_transactions_run_through_a_transaction_pooling_proxy() {
    let Some(proxy) = Proxy::start() else { return };
    let direct = Database::connect(proxy.server.url("postgres")).await.unwrap();
    let app = proxy.database().await;

    assert_eq!(with_index().up(&app).await.unwrap().applied.len(), 3);
    assert_eq!(with_index().up(&app).await.unwrap().applied.len(), 0);
    let valid =
        "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('items_task') AND indisvalid";
    assert_eq!(number(&direct, valid).await, 1);

    // Whoever gets the session next finds it unchanged.
    let settings = "SELECT count(*) FROM pg_settings WHERE source = 'session'
                    AND name IN ('lock_timeout', 'synchronous_commit', 'idle_in_transaction_session_timeout')";
    let transaction = app.begin().await.unwrap();
    assert_eq!(try_number(&transaction, settings).await.unwrap(), 0);
    transaction.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_runners_behind_a_proxy_apply_each_migration_once() {
    let Some(proxy) = Proxy::start() else { return };
    let mut runs = Vec::new();
    for _ in 0..8 {
        let app = proxy.database().await;
        runs.push(tokio::spawn(
            async move { logged(50).up(&app).await.map(|report| report.version) },
        ));
    }
    for run in runs {
        assert_eq!(run.await.unwrap().unwrap(), 49);
    }
    let direct = Database::connect(proxy.server.url("postgres")).await.unwrap();
    assert_eq!(number(&direct, "SELECT count(*) FROM log").await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_behind_a_proxy_leaves_nothing() {
    let Some(proxy) = Proxy::start() else { return };
    let app = proxy.database().await;
    let broken = Sql::new(["CREATE TABLE items (id INTEGER)", "SELECT nothing"]);
    let error = registry([broken]).up(&app).await.unwrap_err();
    assert_rolled_back(&error, 0, -1);
    let direct = Database::connect(proxy.server.url("postgres")).await.unwrap();
    assert!(!direct.schema().has_table("items").await.unwrap());
}

#[tokio::test]
async fn a_migration_outside_a_transaction_is_refused_by_a_pooler_that_has_one_connection() {
    let Some(proxy) = Proxy::start_with(1) else { return };
    let db = proxy.database().await;
    let error = registry([Sql::default(), Sql::new(["VACUUM"]).outside_transaction()])
        .up(&db)
        .await
        .unwrap_err();
    let found = (error.kind(), error.migration(), error.version());
    assert_eq!(found, (ErrorKind::OneConnection, Some(1), Some(0)), "{error:?}");
    assert!(next_step(&error).contains("default_pool_size"), "{error:?}");
    assert_eq!(
        registry([Sql::default(), Sql::new(["SELECT 1"])]).up(&db).await.unwrap().version,
        1
    );
}

#[tokio::test]
async fn a_pooler_that_is_busy_with_the_migration_itself_is_not_taken_for_a_silent_line() {
    let Some(proxy) = Proxy::start_with(1) else { return };
    let db = proxy.database().await;
    assert_eq!(registry([Sql::new(["SELECT pg_sleep(24)"])]).up(&db).await.unwrap().version, 0);
}
