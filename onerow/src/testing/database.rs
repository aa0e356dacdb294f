//! A database that lives as long as the test that asked for it.

use std::ops::Deref;

use crate::{Database, Error, Registry, Report};

/// An empty database of a test's own, removed when it is dropped, also by a panic.
///
/// It derefs to the pool, a [`Database`].
///
/// Making one panics where that cannot be done: that is how a test fails with the reason.
///
/// ```
/// use onerow::testing::TestDatabase;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), onerow::Error> {
/// let db = TestDatabase::sqlite().await;
/// let report = onerow::Registry::new(vec![]).up(&db).await?;
/// assert_eq!(report.version, -1);
/// # Ok(())
/// # }
/// ```
pub struct TestDatabase {
    // Dropped in this order: the pool lets go of the database before that is removed.
    database: Database,
    url: String,
    _removed_when_dropped: Option<Box<dyn Send + Sync>>,
}

const IN_MEMORY: &str = "sqlite::memory:";

impl TestDatabase {
    /// An SQLite file in a directory of its own.
    ///
    /// # Panics
    /// When there is no room for it in the directory for temporary files.
    #[cfg(feature = "sqlite")]
    pub async fn sqlite() -> Self {
        let dir = tempfile::Builder::new().prefix("onerow-sqlite.").tempdir();
        let dir = dir.unwrap_or_else(|error| panic!("cannot make a directory for an SQLite file: {error}"));
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("test.sqlite").display());
        Self::open(url, Some(Box::new(dir))).await
    }

    /// An SQLite database in memory, with its pool of one connection.
    ///
    /// # Panics
    /// When SQLite refuses.
    #[cfg(feature = "sqlite")]
    pub async fn sqlite_memory() -> Self {
        Self::open(IN_MEMORY.into(), None).await
    }

    /// A database on the server that `TEST_POSTGRES_URL` names, or on a throwaway server that all tests of this
    /// process share, started when the first of them asks.
    ///
    /// # Panics
    /// When there is no server, or it refuses. The message says what to install or to set.
    #[cfg(feature = "postgres")]
    pub async fn postgres() -> Self {
        let on_server = postgres::OnServer::create().await;
        Self::open(on_server.url(), Some(Box::new(on_server))).await
    }

    async fn open(url: String, removed_when_dropped: Option<Box<dyn Send + Sync>>) -> Self {
        let database = connect(&url).await;
        Self { database, url, _removed_when_dropped: removed_when_dropped }
    }

    /// Where it is, for a program under test that takes a `DATABASE_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Another pool on the same database, as another process would open.
    ///
    /// # Panics
    /// When the database refuses, and for one in memory: that cannot be reached a second time.
    pub async fn connect(&self) -> Database {
        assert!(
            self.url != IN_MEMORY,
            "a second pool on sqlite::memory: is another, empty database; take TestDatabase::sqlite()"
        );
        connect(&self.url).await
    }

    /// Applies the migrations up to this version: the state that a test of the next one starts from.
    pub async fn up_to(&self, registry: &Registry, version: i32) -> Result<Report, Error> {
        registry.up(self).to(version).await
    }

    /// Applies this one migration, on a database at the version before.
    ///
    /// # Panics
    /// When the database is at any other version, because the test would then be of something else.
    pub async fn apply(&self, registry: &Registry, version: i32) -> Result<(), Error> {
        let (found, before) = (registry.status(self).await?.version, version - 1);
        assert!(
            found == before,
            "apply(&registry, {version}) wants a database at version {before}, and this is at {found}: \
             call up_to(&registry, {before}) first"
        );
        self.up_to(registry, version).await.map(drop)
    }
}

impl Deref for TestDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

async fn connect(url: &str) -> Database {
    Database::connect(url).await.unwrap_or_else(|error| panic!("{}", error.explain()))
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::{env, sync::LazyLock, thread};

    use sea_orm::{ConnectOptions, ConnectionTrait};
    use url::Url;

    use crate::{
        Database, Error,
        testing::{PostgresServer, server},
    };

    const URL_VARIABLE: &str = "TEST_POSTGRES_URL";

    /// A database among others on a server. The server may outlive us, and does where `TEST_POSTGRES_URL` names it.
    pub(super) struct OnServer {
        server: Url,
        name: String,
    }

    impl OnServer {
        pub(super) async fn create() -> Self {
            let server = server();
            let digits = server::random_hex().unwrap_or_else(|error| panic!("no random numbers: {error}"));
            let name = format!("onerow_test_{digits}");
            let created = execute(&server, &format!("CREATE DATABASE {name}")).await;
            created
                .unwrap_or_else(|error| panic!("cannot create a database to test on\n{}", error.explain()));
            Self { server, name }
        }

        pub(super) fn url(&self) -> String {
            let mut url = self.server.clone();
            url.set_path(&self.name);
            url.into()
        }
    }

    impl Drop for OnServer {
        /// On a thread of its own, because the runtime of the test may have no other, and may not be entered twice.
        fn drop(&mut self) {
            // Forced: what the test left open on it is closed by the server.
            let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
            let server = self.server.clone();
            let dropped = thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|error| error.to_string())?;
                runtime.block_on(execute(&server, &sql)).map_err(|error| error.explain().to_string())
            });
            // No panic: one in a test that already does would abort the others.
            if let Ok(Err(error)) = dropped.join() {
                eprintln!(
                    "the database {} is left behind on {}\n{error}",
                    self.name,
                    self.server.authority()
                );
            }
        }
    }

    async fn execute(server: &Url, sql: &str) -> Result<(), Error> {
        let mut options = ConnectOptions::new(server.as_str());
        options.max_connections(1).sqlx_logging(false);
        let database = Database::connect(options).await?;
        database.execute_unprepared(sql).await.map_err(Error::database)?;
        database.disconnect().await
    }

    fn server() -> Url {
        let url = match env::var(URL_VARIABLE) {
            Ok(url) if !url.is_empty() => url,
            _ => shared_server().url("postgres"),
        };
        Url::parse(&url).unwrap_or_else(|error| panic!("{URL_VARIABLE} does not parse: {error}"))
    }

    fn shared_server() -> &'static PostgresServer {
        static SERVER: LazyLock<Result<PostgresServer, String>> =
            LazyLock::new(|| PostgresServer::start().map_err(|error| error.explain()));
        match &*SERVER {
            Ok(server) => server,
            Err(reason) => panic!(
                "no PostgreSQL server to test on\n  {reason}\n  \
                 to test on a running one: {URL_VARIABLE}=postgres://user:password@host:5432/postgres\n  \
                 to leave PostgreSQL out: ONEROW_TEST_BACKENDS=sqlite"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::{MigrationTrait, on_every_backend, prelude::*};

    /// A migration that makes a table of this name.
    struct Makes(&'static str);

    #[async_trait]
    impl MigrationTrait for Makes {
        async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
            db.execute_unprepared(&format!("CREATE TABLE {} (id INTEGER)", self.0)).await.map(drop)
        }
    }

    fn registry() -> Registry {
        Registry::new(vec![Box::new(Makes("first")), Box::new(Makes("second")), Box::new(Makes("third"))])
    }

    on_every_backend! {
        async fn apply_applies_one_migration(db: TestDatabase) {
            db.up_to(&registry(), 0).await.unwrap();
            db.apply(&registry(), 1).await.unwrap();
            assert!(db.schema().has_table("second").await.unwrap());
            assert!(!db.schema().has_table("third").await.unwrap());
        }

        #[should_panic(expected = "wants a database at version 1, and this is at -1")]
        async fn apply_refuses_to_apply_more_than_one(db: TestDatabase) {
            let _ = db.apply(&registry(), 2).await;
        }

        async fn a_second_pool_sees_what_the_first_did(db: TestDatabase) {
            db.up_to(&registry(), 0).await.unwrap();
            let other = db.connect().await;
            assert!(other.schema().has_table("first").await.unwrap());
            other.disconnect().await.unwrap();
        }
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn a_file_goes_with_its_directory() {
        let db = TestDatabase::sqlite().await;
        db.up_to(&registry(), 2).await.unwrap();
        let dir = db.url().trim_start_matches("sqlite://").rsplit_once('/').unwrap().0.to_owned();
        assert!(std::path::Path::new(&dir).exists());
        drop(db);
        assert!(!std::path::Path::new(&dir).exists());
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    #[should_panic(expected = "take TestDatabase::sqlite()")]
    async fn a_database_in_memory_has_no_second_pool() {
        TestDatabase::sqlite_memory().await.connect().await;
    }

    /// In a runtime of one thread, which the drop keeps waiting, and with a connection in use.
    #[cfg(feature = "postgres")]
    #[tokio::test]
    async fn a_database_on_a_server_is_dropped_with_connections_open() {
        if !crate::testing::Backend::Postgres.is_wanted() {
            return;
        }
        let db = TestDatabase::postgres().await;
        let other = db.connect().await;
        let _unfinished = other.begin().await.unwrap();
        let url = db.url().to_owned();
        drop(db);
        assert!(matches!(Database::connect(url).await, Err(Error::NoSuchDatabase { .. })));
    }
}
