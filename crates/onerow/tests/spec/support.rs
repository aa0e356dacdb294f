//! Migrations for the specifications, and processes that run them.

use std::{
    env,
    fmt::Debug,
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use onerow::{Error, ErrorKind, prelude::*};
use onerow_testing::{Backend, PostgresServer, TestDatabase};
use sea_orm::DatabaseTransaction;
use tokio::sync::oneshot;

/// A migration of plain SQL.
#[derive(Clone, Default)]
pub struct Sql {
    pub migrate: Vec<String>,
    pub validate: Vec<String>,
    pub panics: bool,
    pub outside_transaction: bool,
}

impl Sql {
    pub fn new<const N: usize>(statements: [&str; N]) -> Self {
        Self { migrate: statements.map(str::to_owned).into(), ..Self::default() }
    }

    pub fn statement(mut self, statement: String) -> Self {
        self.migrate.push(statement);
        self
    }

    pub fn validate(mut self, statement: &str) -> Self {
        self.validate.push(statement.into());
        self
    }

    pub fn panics(mut self) -> Self {
        self.panics = true;
        self
    }

    pub fn outside_transaction(mut self) -> Self {
        self.outside_transaction = true;
        self
    }
}

#[async_trait]
impl MigrationTrait for Sql {
    fn description(&self) -> &str {
        self.migrate.first().map_or("nothing", String::as_str)
    }

    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        for statement in &self.migrate {
            db.execute_unprepared(statement).await?;
        }
        assert!(!self.panics, "on purpose");
        Ok(())
    }

    async fn validate(&self, db: &Database) -> Result<(), DbErr> {
        for statement in &self.validate {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    fn mode(&self) -> Mode {
        if self.outside_transaction { Mode::Outside } else { Mode::Transaction }
    }
}

pub fn registry(migrations: impl IntoIterator<Item = Sql>) -> Registry {
    let boxed =
        migrations.into_iter().map(|migration| Box::new(migration) as Box<dyn MigrationTrait>);
    Registry::new(boxed.collect())
}

/// So many migrations. Each makes a table and adds its number to `log`, where a second run would
/// show.
pub fn logged(count: usize) -> Registry {
    registry((0..count).map(|number| {
        let mut migration = Sql::new([]);
        if number == 0 {
            migration.migrate.push("CREATE TABLE log (number INTEGER NOT NULL)".into());
        }
        migration.migrate.push(format!("CREATE TABLE t{number} (id INTEGER PRIMARY KEY)"));
        migration.migrate.push(format!("INSERT INTO log VALUES ({number})"));
        migration
    }))
}

/// Checks that this migration failed, and at which version the database is said to be.
#[track_caller]
pub fn assert_failed(error: &Error, migration: i32, version: i32) {
    let found = (error.kind(), error.migration(), error.version());
    let expected = (ErrorKind::MigrationFailed, Some(migration), Some(version));
    assert_eq!(found, expected, "{error:?}");
}

/// The same, and that it was rolled back.
#[track_caller]
pub fn assert_rolled_back(error: &Error, migration: i32, version: i32) {
    assert_failed(error, migration, version);
    assert!(error.to_string().contains(" and was rolled back"), "{error}");
}

/// A new database of this backend, if the tests are to run on it.
pub async fn only_on(backend: Backend) -> Option<TestDatabase> {
    if backend.is_wanted() { Some(backend.empty_database().await) } else { None }
}

/// A server of one's own with these settings, if the tests are to run on PostgreSQL.
pub fn server_with(settings: &[(&str, &str)]) -> Option<PostgresServer> {
    Backend::Postgres.is_wanted().then(|| PostgresServer::start_with(settings).unwrap())
}

/// A transaction on a connection of its own, in which this SQL has run.
pub async fn begun(db: &TestDatabase, sql: &str) -> DatabaseTransaction {
    let transaction = db.connect().await.begin().await.unwrap();
    transaction.execute_unprepared(sql).await.unwrap();
    transaction
}

/// A function to call when something happens, and a receiver that gets the first call's value.
pub fn first<T: Debug>() -> (impl Fn(T), oneshot::Receiver<T>) {
    let (told, first) = oneshot::channel();
    let told = Mutex::new(Some(told));
    let tell = move |value| {
        if let Some(told) = told.lock().unwrap().take() {
            told.send(value).unwrap();
        }
    };
    (tell, first)
}

/// The first column of the first row.
pub async fn number(db: &impl ConnectionTrait, sql: &str) -> i64 {
    try_number(db, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

pub async fn try_number(db: &impl ConnectionTrait, sql: &str) -> Result<i64, DbErr> {
    let sql = format!("SELECT CAST(({sql}) AS BIGINT) AS number");
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    row.ok_or_else(|| DbErr::Custom("no row".into()))?.try_get("", "number")
}

/// The first column of the first row.
pub async fn text(db: &impl ConnectionTrait, sql: &str) -> String {
    let sql = format!("SELECT ({sql}) AS text");
    let row =
        db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    row.unwrap().try_get("", "text").unwrap()
}

/// Whether PostgreSQL has this setting, which came with one of its versions.
pub async fn has_setting(db: &impl ConnectionTrait, name: &str) -> bool {
    number(db, &format!("SELECT count(*) FROM pg_settings WHERE name = '{name}'")).await == 1
}

/// The major version of PostgreSQL.
pub async fn major(db: &impl ConnectionTrait) -> i64 {
    number(db, "SELECT current_setting('server_version_num')").await / 10_000
}

pub async fn version(db: &impl ConnectionTrait) -> i64 {
    number(db, "SELECT version FROM schema_migration").await
}

pub async fn has_table(db: &Database, table: &str) -> bool {
    db.schema().has_table(table).await.unwrap()
}

/// Starts this test program once more, as a process that applies `count` [`logged`] migrations to
/// the database.
pub fn runner(db: &TestDatabase, count: usize) -> Child {
    process(db, &[("RUNNER_COUNT", &count.to_string())])
}

/// The same with one migration of this SQL, outside a transaction unless `outside` is empty.
pub fn runner_of(db: &TestDatabase, sql: &str, outside: &str) -> Child {
    process(db, &[("RUNNER_SQL", sql), ("RUNNER_OUTSIDE", outside)])
}

fn process(db: &TestDatabase, variables: &[(&str, &str)]) -> Child {
    runner_at(db.url(), variables)
}

/// The same on the server of this URL.
pub fn runner_at(url: &str, variables: &[(&str, &str)]) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "support::a_runner_process", "--ignored", "--nocapture"])
        .env("RUNNER_URL", url)
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the runners, which must all succeed.
pub fn all_succeed(runners: Vec<Child>) {
    for runner in runners {
        let output = runner.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The body of [`process`], not a specification.
#[tokio::test]
#[ignore = "only as a process of another test"]
async fn a_runner_process() {
    let Ok(url) = env::var("RUNNER_URL") else { return };
    let registry = if let Ok(count) = env::var("RUNNER_COUNT") {
        logged(count.parse().unwrap())
    } else {
        let outside_transaction =
            env::var("RUNNER_OUTSIDE").is_ok_and(|outside| !outside.is_empty());
        let sql = Sql::default().statement(env::var("RUNNER_SQL").unwrap());
        registry([Sql { outside_transaction, ..sql }])
    };
    let db = Database::connect(url).await.unwrap_or_else(|error| panic!("{}", error.explain()));
    let report = registry.up(&db).await.unwrap_or_else(|error| panic!("{}", error.explain()));
    assert_eq!(report.version, registry.latest());
}
