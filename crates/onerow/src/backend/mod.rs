//! What differs between the databases. The only place that asks which one it is.

// What one backend reads, makes or finds, another may not.
#![cfg_attr(
    not(all(feature = "postgres", feature = "sqlite")),
    allow(dead_code, unused_imports, unused_mut, clippy::unused_async)
)]

pub mod databases;
pub(crate) mod foreign;
mod ledger;
#[cfg(feature = "postgres")]
mod postgres;
pub(crate) mod pragma;
#[cfg(feature = "sqlite")]
mod sqlite;
mod url;

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr,
};
use tokio::time::timeout;

use crate::{
    error::{Error, ErrorKind, still_at},
    failure::Failure,
    index::CreateIndex,
    progress::ServerSession,
    table::Table,
};
use ledger::Ledger;

/// What an error of the driver means to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NoTable,
    NoColumn,
    /// The search path leads to no schema in which a table could be made.
    NoSchema,
    NotNull,
    /// Another session makes the same table at this moment.
    CreateRace,
    /// The server has no connection to give.
    Crowded,
    /// Another session holds a lock, or the server broke a deadlock: trying again may succeed.
    Held,
    ReadOnly,
    Denied,
    Unreachable,
    Authentication,
    NoDatabase,
    /// The connection broke: what it was asked last may or may not have been done.
    Lost,
    Other,
}

/// What a claim asks of its transaction.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// What the session calls itself, for who looks at the server's sessions.
    pub(crate) label: String,
    pub(crate) lock_timeout: Duration,
    /// Whether the commit is to be on disk before it is answered.
    pub(crate) durable: bool,
}

impl Settings {
    /// In the whole milliseconds that the databases take, and within their range; 0 only for 0, which means no limit.
    fn lock_timeout_milliseconds(&self) -> i32 {
        let milliseconds = i32::try_from(self.lock_timeout.as_millis()).unwrap_or(i32::MAX);
        if self.lock_timeout.is_zero() { 0 } else { milliseconds.max(1) }
    }
}

/// From which version to which, and in which table.
pub(crate) struct Move<'a> {
    pub(crate) table: &'a Table,
    pub(crate) from: i32,
    pub(crate) to: i32,
    /// Whether its commit is to be on disk before it is answered, whatever the claim has asked for.
    pub(crate) durable: bool,
}

/// What stands in the version table, and what that is.
#[derive(Debug, Default)]
pub(crate) struct VersionRow {
    /// The version of each of its rows.
    pub(crate) rows: Vec<Option<String>>,
    pub(crate) mistrust: Option<Mistrust>,
}

/// Why a version table is not to be trusted.
#[derive(Debug, Clone)]
pub(crate) enum Mistrust {
    /// Row-level security hides its row.
    Hidden,
    /// It could run somebody else's code.
    Foreign {
        owner: String,
        /// What of, if its owner is one to be trusted.
        has: Option<String>,
        /// Whether it is not even to be read.
        even_to_read: bool,
    },
}

/// What a session is when it has connected.
#[derive(Debug, Clone, Default)]
pub(crate) struct Start {
    /// Its process on the server, since it has connected last.
    pid: Arc<AtomicI32>,
    /// The first schema of the search path that exists, in which tables are made.
    pub(crate) schema: Option<String>,
    role: Option<String>,
    statement_timeout: String,
    /// What the pool has set since.
    settings: Vec<(String, String)>,
}

impl Start {
    pub(crate) fn pid(&self) -> i32 {
        self.pid.load(Ordering::Relaxed)
    }
}

/// What a migration may have done unseen.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a doubt of its own")]
pub(crate) struct Doubt {
    /// It may have gone on after a statement that failed, some of whose rows were told of as written.
    pub(crate) rows: bool,
    /// It may have set something for its session.
    pub(crate) settings: bool,
    /// It may have done more to an SQLite schema than to add to it.
    pub(crate) schema: bool,
    /// It may have added a table with a foreign key.
    pub(crate) children: bool,
}

/// What became of a migration that has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is set apart from those that may follow.
    Apart,
    /// It is undone, and has to run again.
    Undone,
}

/// What a session of a run is doing, seen from another connection.
#[derive(Debug, Default, Clone)]
pub(crate) struct Activity {
    /// How many sessions have the label.
    pub(crate) sessions: usize,
    /// For how long they all have been waiting for a statement.
    pub(crate) idle: Option<Duration>,
    pub(crate) blockers: Vec<ServerSession>,
    pub(crate) phase: Option<String>,
}

/// A connection that is not the app's: a pool of one, since SeaORM takes nothing smaller.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) backend: &'static dyn Backend,
    pub(crate) pool: DatabaseConnection,
    /// PostgreSQL's `server_version_num`; 0 elsewhere.
    server_version: u32,
    pub(crate) start: Start,
    /// Of the whole run: ends the statements in flight, where the database runs in this process.
    pub(crate) interrupt: Arc<AtomicBool>,
    /// What its migrations have changed, if the database does not reset a session.
    pub(crate) ledger: Arc<Ledger>,
}

/// How long a connection may take to come to rest before it is left to the end of the process.
const CLOSE: Duration = Duration::from_secs(10);

impl Session {
    /// Opens a connection with the options of the app's pool, fit to run migrations.
    pub(crate) async fn open(
        pool: &DatabaseConnection,
        label: &str,
        interrupt: &Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        of(pool)?.dedicate(pool, label, Arc::clone(interrupt)).await
    }

    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.backend.begin(self).await
    }

    pub(crate) fn fault(&self, error: &DbErr) -> Fault {
        self.backend.fault(error)
    }

    /// Gives the connection up until [`make_ready`](Self::make_ready): others may be waiting for one.
    pub(crate) async fn release(&self) {
        self.backend.release(self).await;
    }

    /// Connects again, if it is not connected.
    pub(crate) async fn make_ready(&self) -> Result<(), Error> {
        self.backend.make_ready(self).await
    }

    /// Whether a migration has left something behind that the next one must not find.
    pub(crate) fn is_stale(&self) -> bool {
        self.ledger.is_stale()
    }

    /// Closes the connection once it is idle.
    pub(crate) async fn close(&self) {
        match timeout(CLOSE, self.pool.close_by_ref()).await {
            Ok(Ok(())) => (),
            Ok(Err(error)) => tracing::debug!(%error, "the connection was not closed in good order"),
            Err(_) => tracing::debug!("the connection did not come to rest"),
        }
    }
}

/// A database, by what a run needs of it.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// Opens the pool of an app.
    async fn connect(&self, options: ConnectOptions) -> Result<DatabaseConnection, Error>;

    /// What an error means.
    fn fault(&self, error: &DbErr) -> Fault;

    /// The first column of each row as text, in one statement and, where there is a network, one round trip.
    async fn fetch_texts(&self, pool: &DatabaseConnection, sql: &str) -> Result<Vec<Option<String>>, DbErr>;

    /// Reads the version row, in one statement and, where there is a network, one round trip. Fails itself only if it cannot
    /// connect.
    async fn read_row(
        &self,
        pool: &DatabaseConnection,
        table: &Table,
    ) -> Result<Result<VersionRow, DbErr>, Error>;

    /// The schema of a table, if it is there and there are schemas; and why it is not to be trusted, if it is not.
    async fn examine(
        &self,
        pool: &DatabaseConnection,
        table: &Table,
    ) -> Result<(Option<String>, Option<Mistrust>), DbErr>;

    /// Whether row-level security holds for this user at the table.
    async fn hides_rows(&self, _: &DatabaseConnection, _: &Table) -> bool {
        false
    }

    /// Whether a new connection is answered, if only by a pooler.
    async fn lets_in(&self, _: &DatabaseConnection) -> bool {
        true
    }

    /// Done when a new connection was served, or refused: a pooler may let one in and not serve it.
    async fn is_answered(&self, _: &DatabaseConnection) {}

    /// Closes the connections of a pool that nobody uses, if a server may run out of them.
    async fn release_idle(&self, pool: &DatabaseConnection);

    /// See [`Session::release`].
    async fn release(&self, session: &Session);

    /// See [`Session::make_ready`].
    async fn make_ready(&self, session: &Session) -> Result<(), Error>;

    /// See [`Session::open`].
    async fn dedicate(
        &self,
        pool: &DatabaseConnection,
        label: &str,
        interrupt: Arc<AtomicBool>,
    ) -> Result<Session, Error>;

    /// An error if migrations cannot be run in this session and keep what a run promises.
    async fn admit(&self, _: &Session) -> Result<(), Error> {
        Ok(())
    }

    /// Makes ready a connection for a migration outside a transaction.
    async fn prepare_worker(&self, worker: &Session) -> Result<(), DbErr>;

    /// See [`create_index`](crate::create_index).
    async fn create_index(&self, pool: &DatabaseConnection, index: &CreateIndex<'_>) -> Result<(), DbErr>;

    /// The columns of a table; none if there is no such table.
    async fn columns(&self, transaction: &DatabaseTransaction, table: &Table) -> Result<Vec<String>, DbErr>;

    /// The schema that a table is in, or would be made in, where there are schemas.
    async fn schema_of(
        &self,
        transaction: &DatabaseTransaction,
        table: &Table,
    ) -> Result<Option<String>, DbErr>;

    /// Begins a transaction that reads, and waits for no lock for long.
    async fn begin_reading(&self, session: &Session) -> Result<DatabaseTransaction, DbErr>;

    /// Keeps others from writing to a table, and from holding rows of it, without waiting, for as long as the transaction lasts.
    async fn lock_out_writers(&self, transaction: &DatabaseTransaction, table: &Table) -> Result<(), DbErr>;

    /// The statement that makes the schema of a table, unless it is there, with a semicolon; empty if there is nothing to make.
    fn create_schema(&self, table: &Table) -> String;

    /// Begins a transaction that writes.
    async fn begin(&self, session: &Session) -> Result<DatabaseTransaction, DbErr>;

    /// Makes the row by these statements, and commits that. With settings for what comes next, it may hold the row, if it is
    /// the one that it made, in a transaction that it gives back.
    async fn create_row(
        &self,
        session: &Session,
        table: &Table,
        statements: &str,
        next: Option<&Settings>,
    ) -> Result<Option<DatabaseTransaction>, DbErr>;

    /// Begins a transaction and locks the table's row at this version, without waiting; `None` if it has moved on.
    async fn begin_with_row(
        &self,
        session: &Session,
        table: &Table,
        version: i32,
        settings: &Settings,
    ) -> Result<Option<DatabaseTransaction>, DbErr>;

    /// Where several migrations share a transaction: moves the version past the one that has run, and has what comes next begin
    /// at a point of its own, to which [`undo`](Self::undo) goes back.
    async fn stage(&self, claim: &DatabaseTransaction, moved: &Move<'_>) -> Result<(), Failure>;

    /// Looks at the session before migrations run in it, to tell later what they have changed.
    async fn survey(&self, _: &Session, _: &DatabaseTransaction) -> Result<(), DbErr> {
        Ok(())
    }

    /// The same as [`stage`](Self::stage), unless the migration leaves a row without its parent.
    async fn settle(
        &self,
        _: &Session,
        claim: &DatabaseTransaction,
        moved: &Move<'_>,
        _: Doubt,
    ) -> Result<Settled, Failure> {
        self.stage(claim, moved).await.map(|()| Settled::Apart)
    }

    /// Undoes what was done since the last stage.
    async fn undo(&self, claim: &DatabaseTransaction) -> Result<(), DbErr>;

    /// Moves the version in the transaction that locked the row, unless the stages have, and commits that. With settings for what
    /// comes next, it may hold the row again, at the new version, in a transaction that it gives back.
    ///
    /// It does not go by SeaORM's count of nested transactions, which a migration may leave wrong: to commit would be to release
    /// a savepoint. A [`Fault::Lost`] leaves open what became of it.
    async fn commit(
        &self,
        session: &Session,
        claim: DatabaseTransaction,
        moved: &Move<'_>,
        next: Option<&Settings>,
    ) -> Result<Option<DatabaseTransaction>, Failure>;

    /// For how long migrations may be gathered in one transaction; `None` if each has its own.
    fn gather(&self) -> Option<Duration>;

    /// Whether to hold the row is to lock out every other writer.
    fn row_excludes_writers(&self) -> bool;

    /// The file to lock where [`row_excludes_writers`](Self::row_excludes_writers), and other processes can come.
    fn lock_file(&self, pool: &DatabaseConnection, label: &str) -> io::Result<Option<File>>;

    /// Who holds the row of this table.
    async fn holder(&self, session: &Session, table: &Table) -> Option<ServerSession>;

    /// What the sessions of this label are doing, and the one of this process, which a migration may have renamed.
    async fn activity(&self, session: &Session, label: &str, pid: i32) -> Result<Activity, DbErr>;

    /// The sessions of other runs of this migration and this registry, by their label and by their right to the row.
    async fn others_at_work(
        &self,
        session: &Session,
        migration: &str,
        run: &str,
        table: &Table,
    ) -> Result<Vec<ServerSession>, DbErr>;

    /// Ends the statements that the sessions of this run are executing.
    async fn cancel(&self, monitor: &Session, run: &str) -> Result<(), DbErr>;

    /// Ends the sessions of this run that are at a statement.
    async fn terminate(&self, monitor: &Session, run: &str) -> Result<(), DbErr>;
}

/// Rolls back, whatever SeaORM takes for the number of nested transactions. Where it fails the connection is lost, and the server
/// rolls back by itself.
pub(crate) async fn abandon(transaction: DatabaseTransaction) {
    let end = async {
        let _ = transaction.execute_unprepared("ROLLBACK; BEGIN").await;
        let _ = transaction.rollback().await;
    };
    let _ = timeout(CLOSE / 2, end).await;
}

/// Which backend serves a pool.
pub(crate) fn of(pool: &DatabaseConnection) -> Result<&'static dyn Backend, Error> {
    match pool.get_database_backend() {
        #[cfg(feature = "postgres")]
        DatabaseBackend::Postgres => Ok(&postgres::Postgres),
        #[cfg(feature = "sqlite")]
        DatabaseBackend::Sqlite => Ok(&sqlite::Sqlite),
        other => Err(url::unknown(&format!("{other:?}"))),
    }
}

/// Opens the pool that the URL's scheme asks for.
pub(crate) async fn connect(options: ConnectOptions) -> Result<DatabaseConnection, Error> {
    match url::scheme(options.get_url())? {
        #[cfg(feature = "postgres")]
        url::Scheme::Postgres => postgres::Postgres.connect(options).await,
        #[cfg(feature = "sqlite")]
        url::Scheme::Sqlite => sqlite::Sqlite.connect(options).await,
    }
}

/// The error of a connection that could not be opened.
fn connect_error(fault: Fault, server: String, source: DbErr) -> Error {
    let error = match fault {
        Fault::Unreachable => {
            Error::new(ErrorKind::ServerUnreachable, format!("no server answers at {server}"))
        }
        Fault::Authentication => Error::new(
            ErrorKind::AuthenticationFailed,
            format!("{server} rejected the user name or password"),
        ),
        Fault::NoDatabase => Error::new(ErrorKind::NoSuchDatabase, format!("there is no database {server}")),
        Fault::Crowded => return crowded(&server, source),
        _ => Error::new(ErrorKind::Connect, format!("cannot connect to {server}")),
    };
    error.because(source)
}

pub(crate) fn crowded(server: &str, source: DbErr) -> Error {
    let message = format!("{server} has no connection to give");
    Error::new(ErrorKind::TooManyConnections, message).because(source)
}

pub(crate) fn permission_denied(operation: &str, version: Option<i32>, source: DbErr) -> Error {
    let message = format!("no right to {operation}{}; nothing more was changed", still_at(version));
    Error::new(ErrorKind::PermissionDenied, message).at(version).because(source)
}
