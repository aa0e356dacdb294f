//! Databases on a server, among others: made, copied, dropped.

use std::{
    borrow::Cow,
    env,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use sea_orm::{ConnectOptions, ConnectionTrait, DbErr, RuntimeErr, sqlx::Executor};
use tokio::{
    runtime::{self, Runtime},
    time::sleep,
};
use url::Url;

use super::{server::random_hex, shared::Guest};
use crate::{
    apply::ApplyError,
    place::{Lock, Place},
    rows::select,
    template::{self, Store},
};
use onerow::{Database, words};

const URL_VARIABLE: &str = "TEST_POSTGRES_URL";

/// The beginning of the name of a test's database; the run and a number follow.
const TEST: &str = "onerow_test_";

/// The beginning of the label of a test process's sessions; its run follows. The databases of a run
/// stay as long as one of its sessions is open.
const SESSION: &str = "onerow tests ";

/// The setting came with PostgreSQL 14.
const STAYS: &str = "SELECT pg_catalog.set_config('idle_session_timeout', '0', false)
    WHERE pg_catalog.current_setting('idle_session_timeout', true) IS NOT NULL";

/// A session may end a moment after its connection, and PostgreSQL looks for that only every 100
/// ms.
const SESSIONS_END: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(1);

/// The server on which the tests of this process make databases, and the sessions that they use for
/// it.
pub(crate) struct Server {
    url: Url,
    maintenance: Database,
    run: String,
    /// The beginning of the name of a template.
    template: String,
    /// The strategy of `CREATE DATABASE`.
    strategy: &'static str,
    made: AtomicU32,
    _guest: Option<Guest>,
}

/// The sessions have a runtime of their own: the runtime of a test ends with the test, and a drop
/// blocks inside it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.unwrap_or_else(|error| panic!("cannot start a tokio runtime: {error}"))
});

/// A test's database. Dropping the value drops it.
pub(crate) struct TestDb {
    name: String,
    /// Whether it has become a template, which stays.
    kept: bool,
}

impl Server {
    /// # Panics
    /// If there is no server.
    pub(crate) fn of_this_process() -> &'static Self {
        static SERVER: LazyLock<Result<Server, String>> = LazyLock::new(Server::open);
        match &*SERVER {
            Ok(server) => server,
            Err(reason) => panic!(
                "no PostgreSQL server to test on\n  {reason}\n  \
                 to test on a running one: \
                 {URL_VARIABLE}=postgres://user:password@host:5432/postgres\n  \
                 to leave PostgreSQL out: ONEROW_TEST_BACKENDS=sqlite"
            ),
        }
    }

    fn open() -> Result<Self, String> {
        let (url, guest) = match env::var(URL_VARIABLE) {
            Ok(url) if !url.is_empty() => (server_url(&url)?, None),
            _ => {
                let guest = Guest::come().map_err(|error| error.explain())?;
                (guest.url(), Some(guest))
            }
        };
        let mut run = random_hex().map_err(|error| format!("no random numbers: {error}"))?;
        run.truncate(16);
        let (maintenance, strategy) = wait(connect_for_maintenance(url.clone(), run.clone()))
            .map_err(|error| error.to_string())?;
        // A role may copy only its own databases.
        let template = format!("onerow_template_{:04x}_", template::hash(&url.username()) & 0xffff);
        Ok(Self {
            url,
            maintenance,
            run,
            template,
            strategy,
            made: AtomicU32::new(0),
            _guest: guest,
        })
    }

    /// The URL of one of the server's databases.
    pub(crate) fn url_of(&self, database: &TestDb) -> String {
        let mut url = self.url.clone();
        url.set_path(&database.name);
        url.into()
    }

    async fn execute(&'static self, sql: String) -> Result<(), DbErr> {
        let task = RUNTIME.spawn(async move { self.maintenance.execute_unprepared(&sql).await });
        task.await.map_err(|error| DbErr::Custom(error.to_string()))?.map(drop)
    }

    async fn fetch(&'static self, sql: String) -> Result<Vec<String>, DbErr> {
        let task = RUNTIME.spawn(async move { fetch(&self.maintenance, &sql).await });
        task.await.map_err(|error| DbErr::Custom(error.to_string()))?
    }

    /// Drops a database, with the sessions that a test left open on it.
    async fn drop_database(&'static self, name: String) -> Result<(), DbErr> {
        self.sessions_end(&name).await?;
        self.execute(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
    }

    async fn sessions_end(&'static self, name: &str) -> Result<(), DbErr> {
        let others = format!(
            "SELECT pid FROM pg_catalog.pg_stat_activity WHERE datname OPERATOR(pg_catalog.=) \
             '{name}'"
        );
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
    async fn create(&self, template: Option<&str>) -> Result<Option<Place>, ApplyError> {
        let name = format!("{TEST}{}_{}", self.run, self.made.fetch_add(1, Ordering::Relaxed));
        let from =
            template.map(|name| format!(" TEMPLATE {}{name}", self.template)).unwrap_or_default();
        let sql = format!("CREATE DATABASE {name}{from}{}", self.strategy);
        // The value exists before the database does: if the caller stops waiting, the server goes
        // on making it.
        let mut database = TestDb { name, kept: false };
        let Err(error) = self.execute(sql).await else {
            return Ok(Some(Place::Postgres(database)));
        };
        database.kept = true;
        if template.is_some() && code(&error).is_some_and(|code| code == NO_SUCH_DATABASE) {
            return Ok(None);
        }
        Err(doing("create a database to test on", error))
    }

    async fn lock(&self, build: &str) -> Result<Lock, ApplyError> {
        // The session holds the lock, so the lock goes with this process, however that ends.
        let mut options = ConnectOptions::new(self.url.as_str());
        options.max_connections(1).idle_timeout(None).max_lifetime(None).sqlx_logging(false);
        let session = Database::connect(options).await?;
        // It may block: its snapshot is in nobody's way in other databases, not even in that of
        // `CREATE INDEX CONCURRENTLY`.
        let lock = format!(
            "SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtext('{build}'))::pg_catalog.text"
        );
        fetch(&session, &lock).await.map_err(|error| doing("lock the templates", error))?;
        Ok(Lock::Session(session))
    }

    async fn highest(&self, names: &[String]) -> Result<Option<usize>, ApplyError> {
        let list: Vec<_> = names.iter().map(|name| format!("'{}{name}'", self.template)).collect();
        let sql = format!(
            "SELECT datname FROM pg_catalog.pg_database
             WHERE datname OPERATOR(pg_catalog.=) ANY (ARRAY[{}]::pg_catalog.name[])",
            list.join(", ")
        );
        let found = self.fetch(sql).await.map_err(|error| doing("look for templates", error))?;
        let is_there = |name: &String| {
            found.iter().any(|found| found.strip_prefix(&self.template) == Some(name))
        };
        Ok(names.iter().rposition(is_there))
    }

    async fn publish(&self, place: Place, name: &str) -> Result<(), ApplyError> {
        let Place::Postgres(mut database) = place else { return Ok(()) };
        let publish = async {
            self.sessions_end(&database.name).await?;
            // From here on nobody can connect: a session on a template would be in the way of
            // copying it.
            self.execute(format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", database.name))
                .await?;
            let built = seconds_since_epoch();
            self.execute(format!("COMMENT ON DATABASE {} IS '{built}'", database.name)).await?;
            // These are the sessions that a migration left open, with their uncommitted work.
            let others = format!(
                "SELECT pg_catalog.pg_terminate_backend(pid)::pg_catalog.text
                 FROM pg_catalog.pg_stat_activity WHERE datname OPERATOR(pg_catalog.=) '{}'",
                database.name
            );
            self.fetch(others).await?;
            self.execute(format!(
                "ALTER DATABASE {} RENAME TO {}{name}",
                database.name, self.template
            ))
            .await
        };
        match publish.await {
            Ok(()) => database.kept = true,
            // The lock is on the database that we are connected to; somebody else came through
            // another database.
            Err(error) if code(&error).is_some_and(|code| IS_THERE.contains(&&*code)) => (),
            Err(error) => return Err(doing("keep a template", error)),
        }
        Ok(())
    }

    async fn prune(&self, program: &str, build: &str) -> Result<(), ApplyError> {
        let sql = format!(
            "SELECT datname FROM (
                 SELECT datname, pg_catalog.starts_with(datname, '{of}{program}') AS is_ours,
                     pg_catalog.starts_with(datname, '{of}{build}') AS is_current,
                     pg_catalog.row_number() OVER (
                         PARTITION BY pg_catalog.starts_with(datname, '{of}{build}') ORDER BY oid DESC
                     ) AS place,
                     pg_catalog.shobj_description(oid, 'pg_database')::bigint AS built
                 FROM pg_catalog.pg_database WHERE pg_catalog.starts_with(datname, '{of}')
             ) AS templates
             WHERE is_ours AND NOT is_current OR built OPERATOR(pg_catalog.<) {}
                 OR place OPERATOR(pg_catalog.>) {}",
            seconds_since_epoch() - template::KEPT.as_secs(),
            template::KEPT_AT_MOST,
            of = self.template,
        );
        let old = self.fetch(sql).await.map_err(|error| doing("look for old templates", error))?;
        for name in old {
            // Another process may be dropping it or copying it just now.
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
        let dropped = wait(server.drop_database(self.name.clone()));
        // A panic would abort the process if the test is panicking already.
        if let Err(error) = dropped {
            eprintln!("the database {} is left behind: {}", self.name, words(&error));
        }
    }
}

async fn connect_for_maintenance(
    mut url: Url,
    run: String,
) -> Result<(Database, &'static str), ApplyError> {
    url.query_pairs_mut().append_pair("application_name", &format!("{SESSION}{run}"));
    let mut options = ConnectOptions::new(url.as_str());
    // Its connections stay open: they show others that this process is alive.
    options.max_connections(4).idle_timeout(None).max_lifetime(None);
    options.map_sqlx_postgres_pool_opts(|pool| {
        pool.after_connect(|session, _| Box::pin(async { session.execute(STAYS).await.map(drop) }))
    });
    let database = Database::connect(options.sqlx_logging(false).to_owned()).await?;
    let failed = |error| doing("prepare the server for tests", error);
    drop_leftovers(&database).await.map_err(failed)?;
    // If nothing is flushed to disk, copying files takes less than half the time of copying through
    // the log.
    let sql = "pg_catalog.current_setting('server_version_num')::int OPERATOR(pg_catalog.>=) 150000
        AND pg_catalog.current_setting('fsync') OPERATOR(pg_catalog.=) 'off'";
    let sql = format!("SELECT ({sql})::pg_catalog.text");
    let by_file = fetch(&database, &sql).await.map_err(failed)? == ["true"];
    Ok((database, if by_file { " STRATEGY file_copy" } else { "" }))
}

/// Drops the databases of killed processes.
async fn drop_leftovers(database: &Database) -> Result<(), DbErr> {
    let run_starts = TEST.len() + 1;
    let sql = format!(
        "SELECT datname FROM pg_catalog.pg_database d
         WHERE pg_catalog.starts_with(datname, '{TEST}') AND NOT EXISTS (
             SELECT FROM pg_catalog.pg_stat_activity WHERE application_name OPERATOR(pg_catalog.=) (
                 '{SESSION}' OPERATOR(pg_catalog.||) pg_catalog.substr(d.datname, {run_starts}, 16)))"
    );
    for name in fetch(database, &sql).await? {
        // Another process may be dropping it too.
        let _ = database
            .execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await;
    }
    Ok(())
}

async fn fetch(database: &Database, sql: &str) -> Result<Vec<String>, DbErr> {
    let connection = database.connection().map_err(|error| DbErr::Custom(error.to_string()))?;
    let selected = select(connection, sql).await?;
    Ok(selected.rows.into_iter().filter_map(|row| row.into_iter().next()).collect())
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
const NO_SUCH_DATABASE: &str = "3D000";
/// `duplicate_database`, or a duplicate key in the catalog.
const IS_THERE: [&str; 2] = ["42P04", "23505"];

fn code(error: &DbErr) -> Option<Cow<'_, str>> {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return None;
    };
    error.as_database_error()?.code()
}

/// The server of a URL; the kit sets the path to a test's database. A parameter with the database's
/// name would win over the path, so that the tests would write to that database.
fn server_url(text: &str) -> Result<Url, String> {
    let mut url =
        Url::parse(text).map_err(|error| format!("{URL_VARIABLE} does not parse: {error}"))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(format!("{URL_VARIABLE} does not begin with postgres://"));
    }
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if let Some((_, database)) = pairs.iter().find(|(name, _)| name == "dbname") {
        url.set_path(database);
        let others = pairs.iter().filter(|(name, _)| name != "dbname");
        url.query_pairs_mut().clear().extend_pairs(others);
    }
    Ok(url)
}

fn doing(operation: &str, source: DbErr) -> ApplyError {
    ApplyError::Database { operation: operation.into(), source }
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Waits for the future on our runtime, even inside another runtime.
fn wait<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    RUNTIME.spawn(async move {
        let _ = sender.send(future.await);
    });
    receiver.recv().unwrap_or_else(|_| panic!("a task on the server for tests panicked"))
}
