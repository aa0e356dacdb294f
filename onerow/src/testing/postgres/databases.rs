//! Databases on a server, among others: made, copied, dropped.

use std::{
    env,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{ConnectOptions, ConnectionTrait, DbErr};
use tokio::{runtime::Runtime, time::sleep};
use url::Url;

use super::{server::random_hex, shared::Guest};
use crate::{
    Database, Error,
    backend::{self, Fault},
    testing::{
        place::{Lock, Place},
        template::{self, Store},
    },
};

const URL_VARIABLE: &str = "TEST_POSTGRES_URL";

/// The name of a test's database: this, the run it belongs to, and its number there.
const TEST: &str = "onerow_test_";
const TEMPLATE: &str = "onerow_template_";

/// What a process of tests calls its sessions: this, and its run. Its databases stay for as long as one is open.
const SESSION: &str = "onerow tests ";

/// Sessions end within a moment of their connection, and PostgreSQL looks for that every 100 ms only.
const SESSIONS_END: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(1);

/// The server that tests of this process make databases on, and the sessions by which they do.
pub(in crate::testing) struct Server {
    url: Url,
    /// The sessions are served by a runtime of their own: that of a test ends with the test, and a drop waits in it.
    runtime: Runtime,
    maintenance: Database,
    run: String,
    /// How a database is copied.
    strategy: &'static str,
    made: AtomicU32,
    _guest: Option<Guest>,
}

/// A database of a test, dropped with the value.
pub(in crate::testing) struct TestDb {
    name: String,
    /// Whether it has become a template.
    kept: bool,
}

impl Server {
    /// # Panics
    /// Where there is no server.
    pub(in crate::testing) fn of_this_process() -> &'static Self {
        static SERVER: LazyLock<Result<Server, String>> = LazyLock::new(Server::open);
        match &*SERVER {
            Ok(server) => server,
            Err(reason) => panic!(
                "no PostgreSQL server to test on\n  {reason}\n  \
                 to test on a running one: {URL_VARIABLE}=postgres://user:password@host:5432/postgres\n  \
                 to leave PostgreSQL out: ONEROW_TEST_BACKENDS=sqlite"
            ),
        }
    }

    fn open() -> Result<Self, String> {
        let (url, guest) = match env::var(URL_VARIABLE) {
            Ok(url) if !url.is_empty() => {
                (Url::parse(&url).map_err(|error| format!("{URL_VARIABLE} does not parse: {error}"))?, None)
            }
            _ => {
                let guest = Guest::come().map_err(|error| error.explain())?;
                (guest.url(), Some(guest))
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start a tokio runtime: {error}"))?;
        let mut run = random_hex().map_err(|error| format!("no random numbers: {error}"))?;
        run.truncate(16);
        let (maintenance, strategy) = wait(&runtime, connect_for_maintenance(url.clone(), run.clone()))
            .map_err(|error| error.explain().to_string())?;
        Ok(Self { url, runtime, maintenance, run, strategy, made: AtomicU32::new(0), _guest: guest })
    }

    /// The URL of one of the server's databases.
    pub(in crate::testing) fn url_of(&self, database: &TestDb) -> String {
        let mut url = self.url.clone();
        url.set_path(&database.name);
        url.into()
    }

    async fn execute(&'static self, sql: String) -> Result<(), DbErr> {
        let task = self.runtime.spawn(async move { self.maintenance.execute_unprepared(&sql).await });
        task.await.map_err(|error| DbErr::Custom(error.to_string()))?.map(drop)
    }

    async fn fetch(&'static self, sql: String) -> Result<Vec<String>, DbErr> {
        let task = self.runtime.spawn(async move { fetch(&self.maintenance, &sql).await });
        task.await.map_err(|error| DbErr::Custom(error.to_string()))?
    }

    /// Drops a database, with the sessions that a test left open on it.
    async fn drop_database(&'static self, name: String) -> Result<(), DbErr> {
        self.sessions_end(&name).await?;
        self.execute(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
    }

    async fn sessions_end(&'static self, name: &str) -> Result<(), DbErr> {
        let others = format!("SELECT pid FROM pg_stat_activity WHERE datname = '{name}'");
        let polls = SESSIONS_END.as_millis() / POLL.as_millis();
        for _ in 0..polls {
            if self.fetch(others.clone()).await?.is_empty() {
                break;
            }
            sleep(POLL).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for &'static Server {
    async fn create(&self, template: Option<&str>) -> Result<Option<Place>, Error> {
        let name = format!("{TEST}{}_{}", self.run, self.made.fetch_add(1, Ordering::Relaxed));
        let from = template.map(|template| format!(" TEMPLATE {TEMPLATE}{template}")).unwrap_or_default();
        let created = self.execute(format!("CREATE DATABASE {name}{from}{}", self.strategy)).await;
        match created {
            Ok(()) => Ok(Some(Place::Postgres(TestDb { name, kept: false }))),
            Err(error) if template.is_some() && is_missing(self, &error) => Ok(None),
            Err(error) => Err(doing("create a database to test on", error)),
        }
    }

    async fn lock(&self, build: &str) -> Result<Lock, Error> {
        // Its session holds the lock, and lets go of it however this process ends.
        let mut options = ConnectOptions::new(self.url.as_str());
        options.max_connections(1).idle_timeout(None).max_lifetime(None).sqlx_logging(false);
        let session = Database::connect(options).await?;
        let attempt = format!("SELECT pg_try_advisory_lock(hashtext('{build}'))::text");
        // Never in a blocked statement: its snapshot would be in the way of the migrations it waits for.
        loop {
            let locked = fetch(&session, &attempt).await;
            let locked = locked.map_err(|error| doing("lock the templates", error))?;
            if locked == ["true"] {
                return Ok(Lock::Session(session));
            }
            sleep(POLL * 10).await;
        }
    }

    async fn highest(&self, names: &[String]) -> Result<Option<usize>, Error> {
        let list: Vec<_> = names.iter().map(|name| format!("'{TEMPLATE}{name}'")).collect();
        let sql = format!("SELECT datname FROM pg_database WHERE datname IN ({})", list.join(", "));
        let found = self.fetch(sql).await.map_err(|error| doing("look for templates", error))?;
        let is_there = |name: &String| found.iter().any(|found| found.strip_prefix(TEMPLATE) == Some(name));
        Ok(names.iter().rposition(is_there))
    }

    async fn publish(&self, place: Place, name: &str) -> Result<(), Error> {
        let Place::Postgres(mut database) = place else { return Ok(()) };
        let publish = async {
            self.sessions_end(&database.name).await?;
            // Nobody comes in any more: a session on a template is in the way of copying it.
            self.execute(format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", database.name)).await?;
            let built = template::seconds_since_epoch();
            self.execute(format!("COMMENT ON DATABASE {} IS '{built}'", database.name)).await?;
            self.execute(format!("ALTER DATABASE {} RENAME TO {TEMPLATE}{name}", database.name)).await
        };
        publish.await.map_err(|error| doing("keep a template", error))?;
        database.kept = true;
        Ok(())
    }

    async fn prune(&self, program: &str, build: &str) -> Result<(), Error> {
        let sql = format!(
            "SELECT datname FROM (
                 SELECT datname, row_number() OVER (ORDER BY oid DESC) AS place,
                     shobj_description(oid, 'pg_database')::bigint AS built
                 FROM pg_database WHERE starts_with(datname, '{TEMPLATE}')
             ) AS templates
             WHERE starts_with(datname, '{TEMPLATE}{program}') AND NOT starts_with(datname, '{TEMPLATE}{build}')
                 OR built < {} OR place > {}",
            template::seconds_since_epoch() - template::KEPT.as_secs(),
            template::KEPT_AT_MOST,
        );
        let old = self.fetch(sql).await.map_err(|error| doing("look for old templates", error))?;
        for name in old {
            // Another process may be at it, or copy it just now.
            let _ = self.drop_database(name).await;
        }
        Ok(())
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let server = Server::of_this_process();
        let dropped = wait(&server.runtime, server.drop_database(self.name.clone()));
        // No panic: one in a test that already does would abort the others.
        if let Err(error) = dropped {
            eprintln!("the database {} is left behind: {}", self.name, backend::words(&error));
        }
    }
}

async fn connect_for_maintenance(mut url: Url, run: String) -> Result<(Database, &'static str), Error> {
    url.query_pairs_mut().append_pair("application_name", &format!("{SESSION}{run}"));
    let mut options = ConnectOptions::new(url.as_str());
    // Those it opens stay: they tell others that this process is alive.
    options.max_connections(4).idle_timeout(None).max_lifetime(None).test_before_acquire(false);
    let database = Database::connect(options.sqlx_logging(false).to_owned()).await?;
    let failed = |error| doing("prepare the server for tests", error);
    drop_leftovers(&database).await.map_err(failed)?;
    // Where nothing is flushed to disk, to copy files takes less than half the time of copying by the log.
    let sql =
        "SELECT current_setting('server_version_num')::int >= 150000 AND current_setting('fsync') = 'off'";
    let by_file = fetch(&database, &format!("SELECT ({sql})::text")).await.map_err(failed)? == ["true"];
    Ok((database, if by_file { " STRATEGY file_copy" } else { "" }))
}

/// Drops the databases whose process was killed.
async fn drop_leftovers(database: &Database) -> Result<(), DbErr> {
    let run_starts = TEST.len() + 1;
    let sql = format!(
        "SELECT datname FROM pg_database d WHERE starts_with(datname, '{TEST}') AND NOT EXISTS (
             SELECT FROM pg_stat_activity WHERE application_name = '{SESSION}' || substr(d.datname, {run_starts}, 16))"
    );
    for name in fetch(database, &sql).await? {
        // Another process may be at it.
        let _ = database.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    }
    Ok(())
}

async fn fetch(database: &Database, sql: &str) -> Result<Vec<String>, DbErr> {
    let pool = database.pool().map_err(|error| DbErr::Custom(error.to_string()))?;
    let texts = backend::of(pool).map_err(|error| DbErr::Custom(error.to_string()))?;
    Ok(texts.fetch_texts(pool, sql).await?.into_iter().flatten().collect())
}

fn is_missing(server: &Server, error: &DbErr) -> bool {
    let backend = server.maintenance.pool().and_then(backend::of);
    backend.is_ok_and(|backend| backend.fault(error) == Fault::NoDatabase)
}

fn doing(operation: &str, source: DbErr) -> Error {
    Error::Database { operation: operation.into(), version: None, source }
}

/// Waits for the future on that runtime, also inside another.
fn wait<T: Send + 'static>(runtime: &Runtime, future: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    runtime.spawn(async move {
        let _ = sender.send(future.await);
    });
    receiver.recv().unwrap_or_else(|_| panic!("a task on the server for tests panicked"))
}
