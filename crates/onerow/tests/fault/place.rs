//! Databases to attack.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use onerow::prelude::*;
use onerow_testing::{Backend, PostgresServer};
use sea_orm::ConnectOptions;
use tempfile::TempDir;
use tokio::{
    sync::OnceCell,
    task::block_in_place,
    time::{Instant, sleep},
};

use crate::{runner::LIMIT, state::texts};

/// The owner of the databases, for whom no slots are reserved.
const USER: &str = "fault";

/// How long a killed server may take to recover.
const RECOVERY: Duration = Duration::from_mins(1);

/// How long a server may take to notice that one of its processes was killed.
const NOTICED: Duration = Duration::from_secs(5);

/// The server, started when the first scenario asks for it.
#[derive(Default)]
pub struct World {
    server: OnceCell<Server>,
}

impl World {
    pub async fn server(&self) -> &Server {
        self.server.get_or_init(async || Server::start(&[]).await).await
    }

    /// An empty database of this kind.
    pub async fn place(&self, kind: Kind) -> Place {
        match kind {
            Kind::Postgres => self.server().await.place().await,
            Kind::Sqlite(journal) => Place::in_file(journal).await,
        }
    }
}

/// The kind of database that a scenario attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    Sqlite(Journal),
}

impl Kind {
    pub fn backend(self) -> Backend {
        match self {
            Self::Postgres => Backend::Postgres,
            Self::Sqlite(_) => Backend::Sqlite,
        }
    }

    /// Its name in the summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite(Journal::Rollback) => "sqlite",
            Self::Sqlite(Journal::Wal) => "sqlite_wal",
        }
    }
}

/// How SQLite keeps a transaction apart until the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    Rollback,
    Wal,
}

/// A database under attack.
pub struct Place {
    pub kind: Kind,
    pub url: String,
    /// Its name on the server.
    name: String,
    /// The directory goes with the value.
    home: Option<TempDir>,
}

impl Place {
    async fn in_file(journal: Journal) -> Self {
        let dir = tempfile::Builder::new().prefix("onerow-fault.").tempdir();
        let dir = dir
            .unwrap_or_else(|error| panic!("cannot make a directory for an SQLite file: {error}"));
        let mut place = Self::at(dir.path(), journal);
        place.home = Some(dir);
        if journal == Journal::Wal {
            // The file remembers it.
            place.execute("PRAGMA journal_mode = WAL").await;
        }
        place
    }

    /// A file in a directory that somebody else removes.
    pub fn at(dir: &Path, journal: Journal) -> Self {
        let file: PathBuf = dir.join("fault.sqlite");
        Self {
            kind: Kind::Sqlite(journal),
            url: format!("sqlite://{}?mode=rwc", file.display()),
            name: String::new(),
            home: None,
        }
    }

    /// A connection of an onlooker.
    pub async fn look(&self) -> Database {
        connect(&self.url).await
    }

    /// A statement of an onlooker.
    pub async fn execute(&self, sql: &str) {
        let db = self.look().await;
        let done = db.execute_unprepared(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        disconnect(db).await;
    }
}

/// A PostgreSQL server that faults may kill.
pub struct Server {
    postgres: PostgresServer,
    databases: AtomicUsize,
}

impl Server {
    /// Starts one with these settings besides its own.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let mut all = vec![
            // Real servers have this level. The minimal one writes new tables to the log in another
            // way.
            ("wal_level", "replica"),
            // Records that no commit waits for stay in memory until they fill a page, so that a
            // crash loses them.
            ("wal_writer_delay", "10s"),
        ];
        all.extend(settings);
        let postgres = block_in_place(|| PostgresServer::start_with(&all));
        let postgres =
            postgres.unwrap_or_else(|error| panic!("no PostgreSQL server to attack: {error}"));
        let server = Self { postgres, databases: AtomicUsize::new(0) };
        server.execute(&format!("CREATE ROLE {USER} LOGIN PASSWORD '{USER}'")).await;
        server
    }

    pub fn port(&self) -> u16 {
        self.postgres.port()
    }

    /// An empty database. It replaces the one before: a thousand of them would fill the disk.
    pub async fn place(&self) -> Place {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("fault_{number}");
        if let Some(before) = number.checked_sub(1) {
            let drop = format!("DROP DATABASE IF EXISTS fault_{before} WITH (FORCE)");
            self.execute(&drop).await;
        }
        self.execute(&format!("CREATE DATABASE {name} OWNER {USER}")).await;
        Place { kind: Kind::Postgres, url: self.postgres.url(&name), name, home: None }
    }

    /// The same database for its owner, who has no privileges elsewhere.
    pub fn for_owner(&self, place: &Place) -> Place {
        let url = format!("postgres://{USER}:{USER}@127.0.0.1:{}/{}", self.port(), place.name);
        Place { kind: place.kind, url, name: place.name.clone(), home: None }
    }

    /// Sets what the owner's next sessions start with, in this database or everywhere.
    pub async fn set_for_owner(&self, place: Option<&Place>, name: &str, value: &str) {
        let only = place.map_or(String::new(), |place| format!("IN DATABASE {}", place.name));
        self.execute(&format!("ALTER ROLE {USER} {only} SET {name} = '{value}'")).await;
    }

    /// Lets the owner's next sessions start with the server's settings, in all databases.
    pub async fn reset_owner(&self) {
        self.execute(&format!("ALTER ROLE {USER} RESET ALL")).await;
    }

    /// In the server's own form: 150004.
    pub async fn version(&self) -> u32 {
        let version = self.ask("SELECT current_setting('server_version_num')").await;
        version.parse().unwrap_or_else(|error| panic!("server version {version}: {error}"))
    }

    /// The only value of the only row.
    async fn ask(&self, sql: &str) -> String {
        let db = connect(&self.postgres.url("postgres")).await;
        let found = texts(&db, sql).await;
        disconnect(db).await;
        found.unwrap_or_else(|error| panic!("{sql}: {error}")).remove(0)
    }

    async fn execute(&self, sql: &str) {
        let db = connect(&self.postgres.url("postgres")).await;
        let done = db.execute_unprepared(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        disconnect(db).await;
    }

    /// The first column of a query on the sessions `s` of this database.
    pub async fn sessions(&self, place: &Place, what: &str, condition: &str) -> Vec<String> {
        let db = connect(&self.postgres.url("postgres")).await;
        let sql = format!(
            "SELECT {what} FROM pg_stat_activity s
             WHERE datname = '{}' AND application_name LIKE 'onerow %' AND ({condition})",
            place.name
        );
        let found = texts(&db, &sql).await;
        disconnect(db).await;
        found.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Returns when a run has reached this migration.
    pub async fn wait_until_it_runs(&self, place: &Place, version: i32) {
        let (condition, deadline) = (runs(version), Instant::now() + LIMIT);
        while self.sessions(place, "pid", &condition).await.is_empty() {
            assert!(Instant::now() < deadline, "migration {version} is not run after {LIMIT:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGQUIT to the postmaster.
    pub fn kill(&self) {
        let killed = block_in_place(|| self.postgres.kill_immediately());
        killed.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts it again after [`kill`](Self::kill); returns when it has recovered.
    pub fn restart(&self) {
        let started = block_in_place(|| self.postgres.restart());
        started.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The id of the process that writes the log in the background.
    pub async fn log_writer(&self) -> String {
        self.ask("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'").await
    }

    /// SIGKILL to one process of the server; false if it had gone already. Returns when the server
    /// has noticed, and is ending all other sessions. Before that, it would accept new ones and end
    /// them too.
    pub async fn kill_process(&self, pid: &str) -> bool {
        let pid = pid.parse().unwrap_or_else(|error| panic!("pid {pid}: {error}"));
        let db = connect(&self.postgres.url("postgres")).await;
        let witness = db.begin().await.unwrap_or_else(|error| panic!("{error}"));
        if self.postgres.kill_nine(pid).is_err() {
            return false;
        }
        let deadline = Instant::now() + NOTICED;
        while witness.execute_unprepared("SELECT").await.is_ok() {
            if Instant::now() > deadline {
                // The process had ended by itself, and its parent had not looked yet.
                return false;
            }
            sleep(Duration::from_millis(2)).await;
        }
        true
    }

    /// Returns when the server has recovered by itself.
    pub async fn recovered(&self) {
        let deadline = Instant::now() + RECOVERY;
        loop {
            match Database::connect(options(&self.postgres.url("postgres"))).await {
                Ok(db) => return disconnect(db).await,
                Err(error) => assert!(Instant::now() < deadline, "{}", error.explain()),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The condition for the sessions that run this migration.
pub fn runs(version: i32) -> String {
    format!("application_name LIKE 'onerow m{version:04} %'")
}

/// The options for one connection.
fn options(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    options
}

/// A pool of one connection, which has to open.
pub async fn connect(url: &str) -> Database {
    let db = Database::connect(options(url)).await;
    db.unwrap_or_else(|error| panic!("{}", error.explain()))
}

async fn disconnect(db: Database) {
    db.disconnect().await.unwrap_or_else(|error| panic!("{}", error.explain()));
}
