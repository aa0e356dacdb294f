//! PostgreSQL.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{
    ConnAcquireErr, ConnectOptions, ConnectionTrait, DatabaseBackend, DatabaseConnection,
    DatabaseTransaction, DbErr, SqlxPostgresConnector, Statement, TransactionTrait,
    sqlx::{
        self, AssertSqlSafe, Connection, PgPool, Row,
        pool::PoolConnection,
        postgres::{PgConnectOptions, PgRow},
    },
};
use tokio::time::{sleep, timeout};
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

use super::{
    Activity, Backend, CLOSE, Fault, Mistrust, Move, Session, Settings, Start, VersionRow, abandon,
    connect_error, url,
};
use crate::driver::{code, error_of, query_error};
use crate::{
    Error, ErrorKind, Failure, ServerSession,
    driver::words,
    index::CreateIndex,
    table::{Table, quoted},
    version,
};

pub(super) struct Postgres;

/// sqlx retries a refused connection in silence until the pool's timeout (30 s by default). After this long it is
/// looked into.
const PATIENCE: Duration = Duration::from_secs(1);

/// Of a run's number in the label of its sessions.
const RUN_DIGITS: usize = 8;

/// The first version with `client_connection_check_interval`
/// (<https://www.postgresql.org/docs/14/release-14.html>).
const CHECKS_CLIENT: u32 = 140_000;

/// The first version with `transaction_timeout`
/// (<https://www.postgresql.org/docs/17/release-17.html>).
const LIMITS_TRANSACTIONS: u32 = 170_000;

/// What a server says of a view of which it is asked for a sample.
const NOT_A_TABLE: [&str; 2] = ["0A000", "42809"];

#[async_trait]
impl Backend for Postgres {
    async fn connect(&self, mut options: ConnectOptions) -> Result<DatabaseConnection, Error> {
        url::postgres(options.get_url())?;
        let lazy = options.get_connect_lazy();
        options.connect_lazy(true);
        // Unheard, as its span holds the options, password and all. It connects nowhere yet.
        let pool = SqlxPostgresConnector::connect(options)
            .with_subscriber(NoSubscriber::default())
            .await
            .map_err(|error| url::invalid(&words(&error)))?;
        let connections = pool.get_postgres_connection_pool();
        let parsed = PgConnectOptions::clone(&connections.connect_options());
        connections.set_connect_options(url::without_brackets(parsed));
        if !lazy {
            let mut first = match first_connection(connections).await {
                Ok(first) => first,
                // It lets in whoever comes later. How long to wait for that is the run's to say.
                Err(error) if error.kind() == ErrorKind::TooManyConnections => return Ok(pool),
                Err(error) => return Err(error),
            };
            // One that is dropped goes back in a task of its own: whoever asks the pool next, `up` say, is faster, finds it
            // empty and opens a second connection, which takes four round trips more.
            first.return_to_pool().await;
        }
        Ok(pool)
    }

    fn fault(&self, error: &DbErr) -> Fault {
        match error {
            DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => Fault::Unreachable,
            DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => Fault::Lost,
            _ => error_of(error).map_or(Fault::Other, fault),
        }
    }

    async fn fetch_texts(&self, pool: &DatabaseConnection, sql: &str) -> Result<Vec<Option<String>>, DbErr> {
        let pool = pool.get_postgres_connection_pool();
        let rows = match ask_idle(pool, sql).await {
            Some(answer) => answer,
            None => sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await,
        };
        // The simple protocol answers in text, whatever the type.
        let texts = rows.and_then(|rows| rows.iter().map(|row| row.try_get_unchecked(0)).collect());
        texts.map_err(query_error)
    }

    async fn read_row(
        &self,
        pool: &DatabaseConnection,
        table: &Table,
    ) -> Result<Result<VersionRow, DbErr>, Error> {
        let rows = match ask(pool.get_postgres_connection_pool(), &read_row(table, true)).await? {
            Ok(rows) if !rows.is_empty() && rows.iter().all(is_plain) => {
                return Ok(Ok(VersionRow { rows: versions(&rows), mistrust: None }));
            }
            Ok(rows) => versions(&rows),
            // So says the server if the role has `row_security = off`.
            Err(error) if fault(&error) == Fault::Denied && self.hides_rows(pool, table).await => {
                return Ok(Ok(VersionRow { mistrust: Some(Mistrust::Hidden), ..VersionRow::default() }));
            }
            // It is no table.
            Err(error) if code(&error).is_some_and(|code| NOT_A_TABLE.contains(&&*code)) => Vec::new(),
            Err(error) => return Ok(Err(query_error(error))),
        };
        Ok(self.read_closely(pool, table, rows).await)
    }

    async fn examine(
        &self,
        pool: &DatabaseConnection,
        table: &Table,
    ) -> Result<(Option<String>, Option<Mistrust>), DbErr> {
        let sql = examine(table);
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool.get_postgres_connection_pool());
        let rows = rows.await.map_err(query_error)?;
        rows.first().map_or(Ok((None, None)), |row| examined(row).map_err(query_error))
    }

    async fn hides_rows(&self, pool: &DatabaseConnection, table: &Table) -> bool {
        let sql =
            format!("SELECT pg_catalog.row_security_active(pg_catalog.to_regclass({}))", text(&table.sql()));
        let answer = self.fetch_texts(pool, &sql).await.ok().and_then(|mut rows| rows.pop().flatten());
        answer.as_deref() == Some("t")
    }

    async fn lets_in(&self, pool: &DatabaseConnection) -> bool {
        let options = pool.get_postgres_connection_pool().connect_options();
        match sqlx::PgConnection::connect_with(&options).await {
            Ok(connection) => connection.close().await.is_ok(),
            Err(_) => false,
        }
    }

    async fn is_answered(&self, pool: &DatabaseConnection) {
        let options = pool.get_postgres_connection_pool().connect_options();
        if let Ok(mut connection) = sqlx::PgConnection::connect_with(&options).await {
            let _ = sqlx::raw_sql("SELECT 1").execute(&mut connection).await;
            let _ = connection.close().await;
        }
    }

    async fn release_idle(&self, pool: &DatabaseConnection) {
        let pool = pool.get_postgres_connection_pool();
        while let Some(idle) = pool.try_acquire() {
            let _ = idle.close().await;
        }
    }

    async fn release(&self, session: &Session) {
        let pool = session.pool.get_postgres_connection_pool();
        if pool.size() == 0 {
            return;
        }
        // It may be on its way back from a transaction that has just been given up.
        if let Ok(Ok(connection)) = timeout(CLOSE, pool.acquire()).await {
            let _ = connection.close().await;
        }
    }

    async fn make_ready(&self, session: &Session) -> Result<(), Error> {
        let (_, start) = start(session.pool.get_postgres_connection_pool()).await?;
        session.start.pid.store(start.pid(), Ordering::Relaxed);
        Ok(())
    }

    async fn dedicate(
        &self,
        pool: &DatabaseConnection,
        label: &str,
        interrupt: Arc<AtomicBool>,
    ) -> Result<Session, Error> {
        let pool = pool.get_postgres_connection_pool();
        let options = PgConnectOptions::clone(&pool.connect_options())
            .application_name(label)
            // A transaction-pooling proxy hands the next statement to another session, which has not prepared it;
            // and a statement prepared before a migration may "change result type" after it.
            .statement_cache_capacity(0);
        let pool = pool.options().clone();
        let pool = pool.min_connections(0).max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.test_before_acquire(false).connect_lazy_with(options);
        let (server_version, start) = start(&pool).await?;
        Ok(Session {
            backend: &Self,
            pool: pool.into(),
            server_version,
            start,
            interrupt,
            ledger: Arc::default(),
        })
    }

    async fn prepare_worker(&self, worker: &Session) -> Result<(), DbErr> {
        if worker.server_version >= CHECKS_CLIENT {
            // Of the session, for lack of a transaction. A proxy may give it to another session, which it does not harm.
            let sql = "SET client_connection_check_interval = 1000";
            worker.pool.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn create_index(&self, pool: &DatabaseConnection, index: &CreateIndex<'_>) -> Result<(), DbErr> {
        let (name, table) = (index.name, index.table);
        // An index is in the schema of its table, whatever the search path.
        let look = format!(
            "SELECT CASE WHEN i.indisvalid THEN 'valid' ELSE pg_catalog.format('%I.%I', n.nspname, c.relname) END
             FROM pg_catalog.pg_index i
             JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
             WHERE i.indrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})
             AND c.relname OPERATOR(pg_catalog.=) (pg_catalog.parse_ident({}))[1]::pg_catalog.name",
            text(table),
            text(name)
        );
        match self.fetch_texts(pool, &look).await?.pop().flatten() {
            Some(found) if found == "valid" => return Ok(()),
            Some(invalid) => {
                pool.execute_unprepared(&format!("DROP INDEX CONCURRENTLY {invalid}")).await?;
            }
            None => (),
        }
        // Its waits lock nobody out, and to cut one off leaves an invalid index.
        pool.execute_unprepared(WITHOUT_LOCK_TIMEOUT).await?;
        let definition = index.definition(true);
        let create = format!("CREATE {} CONCURRENTLY {name} ON {table} {definition}", index.kind());
        pool.execute_unprepared(&create).await?;
        match self.fetch_texts(pool, &look).await?.pop().flatten() {
            Some(found) if found == "valid" => Ok(()),
            _ => Err(DbErr::Migration(format!("the index {name} is not valid after it was built"))),
        }
    }

    async fn columns(&self, transaction: &DatabaseTransaction, table: &Table) -> Result<Vec<String>, DbErr> {
        let sql = format!(
            "SELECT attname::pg_catalog.text FROM pg_catalog.pg_attribute
             WHERE attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})
             AND attnum OPERATOR(pg_catalog.>) 0 AND NOT attisdropped",
            text(&table.sql())
        );
        let rows = transaction.query_all_raw(Statement::from_string(DatabaseBackend::Postgres, sql)).await?;
        rows.iter().map(|row| row.try_get_by_index(0)).collect()
    }

    async fn schema_of(
        &self,
        transaction: &DatabaseTransaction,
        table: &Table,
    ) -> Result<Option<String>, DbErr> {
        let schema = table.schema().map_or_else(|| "pg_catalog.current_schema()".to_owned(), text);
        let sql = format!(
            "SELECT coalesce((SELECT n.nspname FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
             WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})), {schema})::pg_catalog.text",
            text(&table.sql())
        );
        let row = transaction.query_one_raw(Statement::from_string(DatabaseBackend::Postgres, sql)).await?;
        row.map_or(Ok(None), |row| row.try_get_by_index(0))
    }

    async fn begin_reading(&self, session: &Session) -> Result<DatabaseTransaction, DbErr> {
        self.begin(session).await
    }

    async fn lock_out_writers(&self, transaction: &DatabaseTransaction, table: &Table) -> Result<(), DbErr> {
        // `SHARE` would let quart-db hold its row, as it does for as long as a migration runs.
        let lock = format!("LOCK TABLE {} IN EXCLUSIVE MODE NOWAIT", table.sql());
        transaction.execute_unprepared(&lock).await.map(drop)
    }

    fn create_schema(&self, table: &Table) -> String {
        let Some(schema) = table.schema() else { return String::new() };
        // Even with `IF NOT EXISTS` it takes the right to create one.
        let (name, create) = (text(schema), format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema)));
        let block = format!(
            "BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace \
             WHERE nspname OPERATOR(pg_catalog.=) {name}) THEN {create}; END IF; END"
        );
        format!("DO {}; ", text(&block))
    }

    async fn begin(&self, session: &Session) -> Result<DatabaseTransaction, DbErr> {
        let transaction = session.pool.begin().await?;
        transaction.execute_unprepared(BRIEFLY).await?;
        Ok(transaction)
    }

    async fn create_row(
        &self,
        session: &Session,
        table: &Table,
        statements: &str,
        next: Option<&Settings>,
    ) -> Result<Option<DatabaseTransaction>, DbErr> {
        let transaction = session.pool.begin().await?;
        let lock = next.map(|settings| lock_row(session, table, version::NONE, settings));
        let message = format!("{BRIEFLY}; {statements}; COMMIT; BEGIN; {}", lock.unwrap_or_default());
        // A row of the insertion, and one of the lock.
        if transaction.execute_unprepared(&message).await?.rows_affected() == 2 {
            return Ok(Some(transaction));
        }
        transaction.rollback().await?;
        Ok(None)
    }

    async fn begin_with_row(
        &self,
        session: &Session,
        table: &Table,
        version: i32,
        settings: &Settings,
    ) -> Result<Option<DatabaseTransaction>, DbErr> {
        let transaction = session.pool.begin().await?;
        let claim = lock_row(session, table, version, settings);
        if transaction.execute_unprepared(&claim).await?.rows_affected() == 1 {
            return Ok(Some(transaction));
        }
        transaction.rollback().await?;
        Ok(None)
    }

    async fn stage(&self, _: &DatabaseTransaction, _: &Move<'_>) -> Result<(), Failure> {
        Ok(())
    }

    async fn undo(&self, _: &DatabaseTransaction) -> Result<(), DbErr> {
        Ok(())
    }

    /// All in one message: each would be a round trip. To SeaORM it stays the same transaction.
    async fn commit(
        &self,
        session: &Session,
        claim: DatabaseTransaction,
        moved: &Move<'_>,
        next: Option<&Settings>,
    ) -> Result<Option<DatabaseTransaction>, Failure> {
        let mark = format!("{:016x}", fastrand::u64(..));
        let lock = next.map(|settings| lock_row(session, moved.table, moved.to, settings));
        let durably = if moved.durable { "SET LOCAL synchronous_commit TO DEFAULT; " } else { "" };
        let message = format!(
            "{durably}{}; {}; COMMIT; BEGIN; {}; COMMIT; BEGIN; {}",
            own_role(session),
            move_row(moved, &mark),
            reset(session, &mark),
            lock.unwrap_or_default()
        );
        match claim.execute_unprepared(&message).await {
            // A row each of the move, of the reset and of the lock.
            Ok(done) if done.rows_affected() == 3 => Ok(Some(claim)),
            // Rolled back on the connection's way to the pool, which takes no round trip of its own.
            Ok(_) => Ok(None),
            Err(error) if words(&error).contains(ENDED) => {
                abandon(claim).await;
                Err(Failure::EndedTransaction)
            }
            Err(error) => {
                let committed = claim.execute_unprepared(&look_for(&mark)).await;
                match committed.map(|found| found.rows_affected()) {
                    // What was refused is the lock.
                    Ok(1) => Ok(None),
                    Ok(_) => Err(Failure::Commit(error)),
                    Err(lost) => Err(Failure::Commit(lost)),
                }
            }
        }
    }

    fn gather(&self) -> Option<Duration> {
        None
    }

    fn row_excludes_writers(&self) -> bool {
        false
    }

    fn lock_file(&self, _: &DatabaseConnection, _: &str) -> io::Result<Option<File>> {
        Ok(None)
    }

    async fn holder(&self, session: &Session, table: &Table) -> Option<ServerSession> {
        // A row's lock is its holder's transaction id, in xmax; pg_locks tells whose that is.
        let sql = format!(
            "SELECT {SESSION} FROM {} v
             JOIN pg_catalog.pg_locks l ON l.locktype OPERATOR(pg_catalog.=) 'transactionid'
             AND l.transactionid OPERATOR(pg_catalog.=) v.xmax AND l.granted
             JOIN pg_catalog.pg_stat_activity s ON s.pid OPERATOR(pg_catalog.=) l.pid",
            table.sql()
        );
        sessions(session, sql).await.ok()?.pop()
    }

    async fn activity(&self, session: &Session, label: &str, pid: i32) -> Result<Activity, DbErr> {
        let blockers = format!(
            "SELECT DISTINCT {SESSION} FROM pg_catalog.pg_stat_activity mine
             CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(mine.pid)) AS blocking(pid)
             JOIN pg_catalog.pg_stat_activity s ON s.pid OPERATOR(pg_catalog.=) blocking.pid
             WHERE mine.application_name OPERATOR(pg_catalog.=) '{label}'"
        );
        let phase = format!(
            "SELECT pg_catalog.format('%s, %s of %s blocks', p.phase, p.blocks_done, p.blocks_total)
             FROM pg_catalog.pg_stat_progress_create_index p
             JOIN pg_catalog.pg_stat_activity s ON s.pid OPERATOR(pg_catalog.=) p.pid
             WHERE s.application_name OPERATOR(pg_catalog.=) '{label}'"
        );
        let state = format!(
            "{AS_LOGIN}; SELECT pg_catalog.count(*), pg_catalog.date_part('epoch', \
             pg_catalog.min(CASE WHEN state OPERATOR(pg_catalog.<>) 'active' \
             THEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) state_change \
             ELSE '0'::pg_catalog.interval END)) \
             FROM pg_catalog.pg_stat_activity WHERE application_name OPERATOR(pg_catalog.=) '{label}' \
             OR pid OPERATOR(pg_catalog.=) {pid}"
        );
        let blockers = sessions(session, blockers).await?;
        let state = rows(session, state).await?;
        let (count, idle) = match state.first() {
            Some(row) => (row.try_get::<i64, _>(0), row.try_get::<Option<f64>, _>(1)),
            None => (Ok(0), Ok(None)),
        };
        let idle = idle.ok().flatten().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let sessions = usize::try_from(count.unwrap_or(0)).unwrap_or(0);
        let phase = rows(session, phase).await?.first().and_then(|row| row.try_get(0).ok());
        Ok(Activity { sessions, idle, blockers, phase })
    }

    async fn others_at_work(
        &self,
        session: &Session,
        migration: &str,
        run: &str,
        table: &Table,
    ) -> Result<Vec<ServerSession>, DbErr> {
        let (digits, label) = run.split_at(RUN_DIGITS);
        let prefix = format!("onerow {migration} ");
        let (digits_at, label_at) = (prefix.len() + 1, prefix.len() + 1 + RUN_DIGITS);
        let name = "s.application_name";
        // Whatever its state: between two statements of a migration it is idle. Its label anybody may choose; the right to move the
        // version is what a runner has, and that not everybody. A role that inherits nothing may take the one that has it.
        let sql = format!(
            "SELECT {SESSION} FROM pg_catalog.pg_stat_activity s
             WHERE s.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
             AND pg_catalog.starts_with({name}, '{prefix}')
             AND pg_catalog.substr({name}, {digits_at}, {RUN_DIGITS}) OPERATOR(pg_catalog.<>) '{digits}'
             AND pg_catalog.substr({name}, {label_at}) OPERATOR(pg_catalog.=) '{label}'
             AND EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(s.usesysid, r.oid, 'MEMBER')
                 AND pg_catalog.has_table_privilege(r.oid, {}::pg_catalog.regclass, 'UPDATE'))",
            text(&table.sql())
        );
        sessions(session, sql).await
    }

    async fn cancel(&self, monitor: &Session, run: &str) -> Result<(), DbErr> {
        let sql = format!(
            "{AS_LOGIN}; SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity
             WHERE pg_catalog.strpos(application_name, '{run}') OPERATOR(pg_catalog.>) 0
             AND state OPERATOR(pg_catalog.=) 'active'
             AND pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()"
        );
        rows(monitor, sql).await.map(|_| ())
    }

    async fn terminate(&self, monitor: &Session, run: &str) -> Result<(), DbErr> {
        let sql = format!(
            "{AS_LOGIN}; SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
             WHERE pg_catalog.strpos(application_name, '{run}') OPERATOR(pg_catalog.>) 0
             AND state OPERATOR(pg_catalog.=) 'active' AND pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()"
        );
        rows(monitor, sql).await.map(|_| ())
    }
}

impl Postgres {
    /// What the table is, if there is something about it; its row, if that may be read.
    async fn read_closely(
        &self,
        pool: &DatabaseConnection,
        table: &Table,
        rows: Vec<Option<String>>,
    ) -> Result<VersionRow, DbErr> {
        let (_, mistrust) = self.examine(pool, table).await?;
        if !rows.is_empty() || mistrust.is_some() {
            return Ok(VersionRow { rows, mistrust });
        }
        // Row security of one who is trusted may show it.
        let answer = sqlx::raw_sql(AssertSqlSafe(read_row(table, false)));
        let answer = answer.fetch_all(pool.get_postgres_connection_pool()).await.map_err(query_error)?;
        let hidden = answer.is_empty() && self.hides_rows(pool, table).await;
        Ok(VersionRow { rows: versions(&answer), mistrust: hidden.then_some(Mistrust::Hidden) })
    }
}

/// Reads the row, and with it, in the one statement of a run with nothing to do, whether the table is an ordinary one.
///
/// To read a view would run its maker's functions with the reader's rights, so a sample of all rows is asked for, which only a
/// table gives; for the same reason row security is not entered before it is known whose it is. It looks at little, since
/// each further catalog costs: [`examine`] sees the rest.
fn read_row(table: &Table, guarded: bool) -> String {
    let (name, literal) = (table.sql(), text(&table.sql()));
    let guard = format!(" WHERE NOT pg_catalog.row_security_active({literal}::pg_catalog.regclass)");
    let guard = if guarded { guard } else { String::new() };
    format!(
        "SELECT v.version, NOT c.relhasrules \
         AND (pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.<>) 'on' \
         OR pg_catalog.pg_get_userbyid(c.relowner) OPERATOR(pg_catalog.=) current_user) \
         FROM {name} v TABLESAMPLE pg_catalog.system(100) \
         JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) {literal}::pg_catalog.regclass \
         AND c.relkind OPERATOR(pg_catalog.=) 'r'{guard}"
    )
}

fn is_plain(row: &PgRow) -> bool {
    row.try_get_unchecked::<String, _>(1).is_ok_and(|plain| plain == "t")
}

fn versions(rows: &[PgRow]) -> Vec<Option<String>> {
    rows.iter().map(|row| row.try_get_unchecked(0).unwrap_or_default()).collect()
}

/// Where the table is, whose it is, and what could run somebody else's code when it is read or written to.
fn examine(table: &Table) -> String {
    let database = "(SELECT datdba FROM pg_catalog.pg_database \
        WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())";
    let superuser = "(pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on')";
    // A superuser is a member of every role.
    format!(
        "SELECT n.nspname, o.rolname, \
         o.rolsuper OR o.rolname OPERATOR(pg_catalog.=) current_user OR o.oid OPERATOR(pg_catalog.=) {database} \
         OR (NOT {superuser} AND pg_catalog.pg_has_role(o.oid, 'MEMBER')), \
         {superuser} OR pg_catalog.pg_has_role({database}, 'MEMBER'), \
         pg_catalog.row_security_active(c.oid), \
         CASE WHEN c.relkind OPERATOR(pg_catalog.<>) 'r' THEN 'is not an ordinary table' \
         WHEN c.relhasrules THEN 'has a rule' \
         WHEN c.relhastriggers THEN (SELECT 'has the trigger ' OPERATOR(pg_catalog.||) tgname::pg_catalog.text \
         FROM pg_catalog.pg_trigger WHERE tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT tgisinternal LIMIT 1) END \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
         JOIN pg_catalog.pg_roles o ON o.oid OPERATOR(pg_catalog.=) c.relowner \
         WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})",
        text(&table.sql())
    )
}

fn examined(row: &PgRow) -> Result<(Option<String>, Option<Mistrust>), sqlx::Error> {
    let [schema, owner, trusted, privileged, row_security, code] = texts(row)?
        .try_into()
        .map_err(|_| sqlx::Error::Protocol("a table has other facts than were asked for".into()))?;
    let is = |text: Option<String>| text.as_deref() == Some("t");
    let (trusted, privileged, row_security) = (is(trusted), is(privileged), is(row_security));
    let mistrust = match code {
        None if trusted => None,
        None if row_security => Some(Mistrust::Hidden),
        // Who may do anything is not told that there is nothing to do by who may do little.
        has => Some(Mistrust::Foreign {
            owner: owner.unwrap_or_default(),
            has,
            even_to_read: !trusted && privileged,
        }),
    };
    Ok((schema, mistrust))
}

/// Asks a connection of the pool, in the simple protocol; fails itself only if it cannot connect.
async fn ask(pool: &PgPool, sql: &str) -> Result<Result<Vec<PgRow>, sqlx::Error>, Error> {
    if let Some(answer) = ask_idle(pool, sql).await {
        return Ok(answer);
    }
    let mut connection = first_connection(pool).await?;
    let answer = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *connection).await;
    connection.return_to_pool().await;
    Ok(answer)
}

/// Asks a connection that the pool has at hand; `None` if it has none, or one that has died.
///
/// The pool itself would first ask whether the connection is alive, which is a round trip more.
async fn ask_idle(pool: &PgPool, sql: &str) -> Option<Result<Vec<PgRow>, sqlx::Error>> {
    let mut idle = pool.try_acquire()?;
    match sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *idle).await {
        Err(error) if fault(&error) == Fault::Lost => None,
        answer => Some(answer),
    }
}

/// Opens the pool's first connection, and gives up at once on what waiting does not mend.
async fn first_connection(pool: &PgPool) -> Result<PoolConnection<sqlx::Postgres>, Error> {
    let options = pool.connect_options();
    // What the server last said to a probe, such as that it is starting up: all that the pool says is that time is up.
    let mut said = None;
    let probing = async {
        loop {
            sleep(PATIENCE).await;
            match sqlx::PgConnection::connect_with(&options).await {
                Ok(connection) => drop(connection.close().await),
                Err(error @ sqlx::Error::Io(_)) => return error,
                Err(error) if fault(&error) == Fault::Crowded => return error,
                Err(error) => said = Some(error),
            }
        }
    };
    let error = tokio::select! {
        opened = pool.acquire() => match opened {
            Ok(connection) => return Ok(connection),
            Err(error) => Err(error),
        },
        error = probing => Ok(error),
    };
    // Nothing was asked yet, so nothing is in doubt.
    let (fault, error) = match error {
        Err(sqlx::Error::PoolTimedOut) if said.is_some() => {
            (Fault::Other, said.unwrap_or(sqlx::Error::PoolTimedOut))
        }
        Ok(error) | Err(error) => match error {
            sqlx::Error::Io(_) => (Fault::Unreachable, error),
            _ => (fault(&error), error),
        },
    };
    Err(connect_error(fault, name(&options), query_error(error)))
}

/// Host, port and database, for a message.
pub(super) fn name(options: &PgConnectOptions) -> String {
    let host = options.get_socket().map_or(options.get_host().into(), |path| path.display().to_string());
    let host = if host.contains(':') && !host.starts_with('/') { format!("[{host}]") } else { host };
    format!("{host}:{}/{}", options.get_port(), options.get_database().unwrap_or(options.get_username()))
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn fault(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::PoolTimedOut => Fault::Unreachable,
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolClosed => Fault::Lost,
        _ => code(error).map_or(Fault::Other, |code| match &*code {
            "42P01" => Fault::NoTable,
            "42703" => Fault::NoColumn,
            "3F000" => Fault::NoSchema,
            "23502" => Fault::NotNull,
            "23505" | "42710" | "42P04" | "42P06" | "42P07" => Fault::CreateRace,
            "55P03" | "40P01" | "40001" => Fault::Held,
            "25006" => Fault::ReadOnly,
            "42501" => Fault::Denied,
            "28000" | "28P01" => Fault::Authentication,
            "3D000" => Fault::NoDatabase,
            "53300" => Fault::Crowded,
            "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04" => Fault::Lost,
            code if code.starts_with("08") => Fault::Lost,
            _ => Fault::Other,
        }),
    }
}

/// Waiting a second for a lock of the table counts as "held by another runner". For the catalog too: who makes the same table may
/// be stopped in the middle of it. What is read behind a lock is to be what is there then: under a stricter default a claim would
/// keep its snapshot besides, and a `CREATE INDEX CONCURRENTLY` beside it would wait for that for ever. A timeout of the role's is
/// for the migrations' statements: it would cut off a claim.
const BRIEFLY: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; \
    SET LOCAL lock_timeout = 1000; SET LOCAL statement_timeout = 10000";

/// What a role or a database may have set to end a session, or a transaction, that waits for nobody: a migration that computes.
const ENDS_SESSIONS: [&str; 3] =
    ["idle_session_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"];

/// Changes nothing if there is none.
const WITHOUT_LOCK_TIMEOUT: &str = "SELECT pg_catalog.set_config('lock_timeout', '0', false) \
    WHERE pg_catalog.current_setting('lock_timeout') OPERATOR(pg_catalog.<>) '0'";

/// Locks the row at this version, and sets what the transaction needs if it is there.
///
/// What is set ends with the transaction: behind a transaction-pooling proxy a plain `SET` would stay with the server's
/// session, and pass to whoever gets it next.
fn lock_row(session: &Session, table: &Table, version: i32, settings: &Settings) -> String {
    let lock_timeout = settings.lock_timeout_milliseconds().to_string();
    let mut values = vec![
        ("application_name", settings.label.as_str()),
        ("lock_timeout", &lock_timeout),
        ("statement_timeout", &session.start.statement_timeout),
        ("idle_in_transaction_session_timeout", "0"),
        // Otherwise the row of a runner whose machine is gone stays locked for two hours.
        ("tcp_keepalives_idle", "30"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "3"),
    ];
    if session.server_version >= CHECKS_CLIENT {
        // A statement in flight outlived its killed client by 11 s without this, and by 1.0 s with it.
        values.push(("client_connection_check_interval", "1000"));
    }
    if session.server_version >= LIMITS_TRANSACTIONS {
        values.push(("transaction_timeout", "0"));
    }
    if !settings.durable {
        values.push(("synchronous_commit", "off"));
    }
    let values = values.iter().map(|(name, value)| set_config(name, value, true));
    let values = values.collect::<Vec<_>>().join(", ");
    let table = table.sql();
    format!(
        "{BRIEFLY}; SELECT {values} FROM {table} \
         WHERE version OPERATOR(pg_catalog.=) {version} FOR UPDATE NOWAIT"
    )
}

fn set_config(name: &str, value: &str, local: bool) -> String {
    format!("pg_catalog.set_config({}, {}, {local})", text(name), text(value))
}

/// Moves the version, and fails unless it moves in the transaction that locked the row. The mark stays with the session if the
/// transaction is committed, and only then.
fn move_row(moved: &Move<'_>, mark: &str) -> String {
    let (table, from, to) = (moved.table.sql(), moved.from, moved.to);
    // A row's lock is in its xmax, until the transaction ends.
    format!(
        "WITH moved AS (UPDATE {table} SET version = {to} WHERE version OPERATOR(pg_catalog.=) {from} \
         AND xmax::pg_catalog.text OPERATOR(pg_catalog.=) (pg_catalog.txid_current() \
         OPERATOR(pg_catalog.%) 4294967296::pg_catalog.int8)::pg_catalog.text RETURNING 1) \
         SELECT (CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 THEN '1' ELSE '{ENDED}' END)::pg_catalog.int4, \
         {} FROM moved",
        set_config(MARK, mark, false)
    )
}

/// What the server is made to take for a number, and to refuse.
const ENDED: &str = "onerow: the migration ended its transaction, or changed the version row";

/// A setting of the session that tells whether a commit took place.
const MARK: &str = "onerow.committed";

/// A migration may act for another role, and that ends with it: the version is moved by the one that locked the row.
fn own_role(session: &Session) -> String {
    let role = session.start.role.as_ref().map(|role| format!("; SET ROLE {}", quoted(role)));
    format!("SET SESSION AUTHORIZATION DEFAULT; RESET ROLE{}", role.unwrap_or_default())
}

/// What a migration leaves in its session does not reach the next: it is `DISCARD ALL` but for the plans, in the parts that may
/// stand in a message with other statements (<https://www.postgresql.org/docs/current/sql-discard.html>). What the pool has
/// set when it connected is set again.
fn reset(session: &Session, mark: &str) -> String {
    let settings = session.start.settings.iter().map(|(name, value)| set_config(name, value, false));
    let settings: Vec<_> = settings.chain([set_config(MARK, mark, false)]).collect();
    format!(
        "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; {}; CLOSE ALL; UNLISTEN *; DEALLOCATE ALL; DISCARD SEQUENCES; \
         DISCARD TEMP; SELECT pg_catalog.pg_advisory_unlock_all(), {}",
        own_role(session),
        settings.join(", ")
    )
}

/// Connects, and reads what the session is at its start.
async fn start(pool: &PgPool) -> Result<(u32, Start), Error> {
    let mut connection = first_connection(pool).await?;
    let server_version = connection.server_version_num().unwrap_or(0);
    let start = start_of(&mut connection).await.map_err(|error| Error::cannot_reach(query_error(error)))?;
    connection.return_to_pool().await;
    Ok((server_version, start))
}

/// What a session is at its start, for [`reset`] to come back to: `RESET` alone goes back to before the pool's `after_connect`.
///
/// Behind a proxy the session may be another one next time; so nothing is set that the operator has not.
async fn start_of(connection: &mut sqlx::PgConnection) -> Result<Start, sqlx::Error> {
    let limits = ENDS_SESSIONS.map(|name| format!("'{name}'")).join(", ");
    let sql = format!(
        "SELECT 'set', pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
         WHERE setting OPERATOR(pg_catalog.<>) '0' \
         AND name OPERATOR(pg_catalog.=) ANY (ARRAY[{limits}]::pg_catalog.text[]); \
         SELECT NULL, pg_catalog.current_schema()::pg_catalog.text, \
         (CASE WHEN pg_catalog.current_setting('role') OPERATOR(pg_catalog.<>) 'none' \
         THEN pg_catalog.current_setting('role') END), \
         pg_catalog.current_setting('statement_timeout'), pg_catalog.pg_backend_pid() \
         UNION ALL SELECT name, setting, NULL, NULL, NULL FROM pg_catalog.pg_settings \
         WHERE source OPERATOR(pg_catalog.=) 'session'"
    );
    let mut start = Start::default();
    for row in sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await? {
        match texts(&row)?.as_slice() {
            [None, schema, role, statement_timeout, pid] => {
                let pid = pid.as_deref().and_then(|pid| pid.parse().ok()).unwrap_or_default();
                start.pid.store(pid, Ordering::Relaxed);
                start.schema.clone_from(schema);
                start.role.clone_from(role);
                start.statement_timeout = statement_timeout.clone().unwrap_or_default();
            }
            [Some(name), Some(value), _, _, _] => start.settings.push((name.clone(), value.clone())),
            _ => (),
        }
    }
    Ok(start)
}

fn texts(row: &PgRow) -> Result<Vec<Option<String>>, sqlx::Error> {
    (0..row.len()).map(|column| row.try_get_unchecked(column)).collect()
}

/// Ends the transaction that was refused, and gives a row if the one before it was committed. In one message, so that a proxy
/// cannot give its parts to different sessions; and where the commit itself was refused any session will do.
fn look_for(mark: &str) -> String {
    format!(
        "ROLLBACK; BEGIN; SELECT WHERE pg_catalog.current_setting('{MARK}', true) OPERATOR(pg_catalog.=) '{mark}'"
    )
}

/// A literal, whatever is in it and whatever `standard_conforming_strings` says.
fn text(value: &str) -> String {
    format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// A role that the session has taken may neither see the states of its login's sessions nor end their statements.
const AS_LOGIN: &str = "SET LOCAL ROLE none";

/// What [`sessions`] reads of a row of `pg_stat_activity s`.
const SESSION: &str = "s.pid, coalesce(s.application_name, ''),
    coalesce(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) s.xact_start), 0)::pg_catalog.float8";

async fn sessions(session: &Session, sql: String) -> Result<Vec<ServerSession>, DbErr> {
    let read = |row: PgRow| {
        let seconds: f64 = row.try_get(2)?;
        let since = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Ok(ServerSession { pid: row.try_get(0)?, application_name: row.try_get(1)?, since })
    };
    rows(session, sql).await?.into_iter().map(read).collect::<Result<_, _>>().map_err(query_error)
}

/// The simple protocol again: outside a transaction a proxy may give each message of the other to another session.
async fn rows(session: &Session, sql: String) -> Result<Vec<PgRow>, DbErr> {
    let pool = session.pool.get_postgres_connection_pool();
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await.map_err(query_error)
}
