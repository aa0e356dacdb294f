//! The handle that an app and its migrations share.

mod doubts;
pub(crate) mod listener;
mod pragma;

use std::fmt::{Debug, Display};

use async_trait::async_trait;
use futures_util::{future::BoxFuture, stream::BoxStream};
use onerow_sql::psql;
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, DatabaseBackend, DatabaseConnection,
    DatabaseTransaction, DbErr, ExecResult, IsolationLevel, QueryResult, Statement, StreamTrait,
    TransactionError, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::SchemaManager;

use self::{
    doubts::Doubts,
    listener::{Listener, Statements},
};
use crate::{
    backend::{self, Doubt},
    driver,
    error::{Error, ErrorKind},
    place::{Place, Position},
};

/// The pool that an app holds, or the transaction that a migration is handed.
///
/// It implements SeaORM's [`ConnectionTrait`], [`TransactionTrait`] and [`StreamTrait`], so
/// entities, `sea_query` statements and raw SQL all run on it. It is not `Clone`, so that no
/// migration keeps the transaction that it is handed. An app shares its pool as `Arc<Database>`.
///
/// On PostgreSQL `COPY … FROM stdin` is an error, since the driver has no way to send the rows. In
/// a transaction that a migration begins on the handle, that error has to end the migration: a
/// statement after it, or an awaited `rollback`, hangs.
#[derive(Debug)]
pub struct Database {
    inner: Inner,
    listener: Listener,
    statements: Statements,
    doubts: Doubts,
    /// Whether a migration has this handle. Then errors have the number of the statement.
    counts: bool,
}

#[derive(Debug)]
enum Inner {
    Pool(DatabaseConnection),
    Transaction(DatabaseTransaction),
}

/// Calls a method of the pool or of the transaction.
macro_rules! delegate {
    ($self:ident.$method:ident($($argument:expr),*).await) => {{
        let _asked = $self.statements.ask();
        match &$self.inner {
            Inner::Pool(pool) => pool.$method($($argument),*).await,
            Inner::Transaction(transaction) => {
                transaction.$method($($argument),*).await.inspect_err(|_| $self.be_unsure())
            }
        }
    }};
}

/// Does the same with a statement. An error says which statement of the migration it was.
macro_rules! send {
    ($self:ident.$method:ident($statement:ident).await) => {{
        $self.check_copies(&$statement.sql)?;
        let sql = if $self.counts { $statement.sql.clone() } else { pragma::sql_of(&$statement) };
        let done = delegate!($self.$method($statement).await)
            .map_err(|error| $self.placed(error, &sql))?;
        $self.check_effect(&sql).await.map(|()| done)
    }};
}

impl Database {
    /// Opens a pool with a URL, or with SeaORM's [`ConnectOptions`], which also have its size and
    /// timeouts.
    ///
    /// A URL is `postgres://user:password@host:5432/name`, `sqlite://file.sqlite?mode=rwc` (`rwc`
    /// creates the file) or `sqlite::memory:`. The feature `postgres` or `sqlite` compiles the
    /// driver in.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidUrl`], [`ErrorKind::UnknownScheme`] or [`ErrorKind::DriverMissing`] if
    /// the URL is of no use; [`ErrorKind::ServerUnreachable`], [`ErrorKind::AuthenticationFailed`],
    /// [`ErrorKind::NoSuchDatabase`], [`ErrorKind::TooManyConnections`] or [`ErrorKind::Connect`]
    /// if connecting fails. None of them holds the password.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), onerow::Error> {
    /// let db = onerow::Database::connect("sqlite::memory:").await?;
    /// db.disconnect().await
    /// # }
    /// ```
    pub async fn connect(options: impl Into<ConnectOptions>) -> Result<Self, Error> {
        let options = options.into();
        backend::at(options.get_url())?.connect(options).await.map(Self::from)
    }

    /// Closes the pool: waits for the connections in use to come back, then closes them all.
    ///
    /// It takes a reference, so that an app whose handlers share the pool can close it when they
    /// are done. After that, all use of the pool is an error.
    ///
    /// # Errors
    /// [`ErrorKind::NotAPool`] if this is the transaction that a migration is handed, and
    /// [`ErrorKind::Database`] if closing fails.
    pub async fn disconnect(&self) -> Result<(), Error> {
        match &self.inner {
            Inner::Pool(pool) => pool.close_by_ref().await.map_err(Error::cannot_reach),
            Inner::Transaction(_) => Err(not_a_pool()),
        }
    }

    /// Returns sea-orm-migration's [`SchemaManager`] on this handle: `create_table`, `has_column`
    /// and the like.
    #[must_use]
    pub fn schema(&self) -> SchemaManager<'_> {
        // The manager gives out its connection.
        self.doubts.lose_sight();
        match &self.inner {
            Inner::Pool(pool) => SchemaManager::new(pool),
            Inner::Transaction(transaction) => SchemaManager::new(transaction),
        }
    }

    /// Says which backend this is, for SQL that differs.
    #[must_use]
    pub fn get_database_backend(&self) -> DatabaseBackend {
        match &self.inner {
            Inner::Pool(pool) => pool.get_database_backend(),
            Inner::Transaction(transaction) => ConnectionTrait::get_database_backend(transaction),
        }
    }

    fn new(inner: Inner) -> Self {
        Self {
            inner,
            listener: Listener::default(),
            doubts: Doubts::default(),
            counts: false,
            statements: Statements::default(),
        }
    }

    /// What a migration may have done without this handle seeing it.
    pub(crate) fn doubt(&self) -> Doubt {
        self.doubts.doubt()
    }

    fn be_unsure(&self) {
        self.doubts.be_unsure();
    }

    /// Notes SQL that has run. It is an error if a PRAGMA in it had no effect. Statements in a
    /// nested transaction, or on the connection of [`schema`](Self::schema), do not come here.
    async fn check_effect(&self, sql: &str) -> Result<(), DbErr> {
        let may_set = self.doubts.note(sql);
        match &self.inner {
            Inner::Transaction(transaction) if may_set => {
                pragma::check_effect(transaction, sql).await
            }
            _ => Ok(()),
        }
    }

    /// Returns SeaORM's own pool, for code that needs one.
    ///
    /// # Errors
    /// [`ErrorKind::NotAPool`] if this is the transaction that a migration is handed.
    pub fn connection(&self) -> Result<&DatabaseConnection, Error> {
        match &self.inner {
            Inner::Pool(pool) => Ok(pool),
            Inner::Transaction(_) => Err(not_a_pool()),
        }
    }

    pub(crate) fn from_transaction(transaction: DatabaseTransaction) -> Self {
        Self::new(Inner::Transaction(transaction))
    }

    /// The number of the statement that was sent last, if it has not been answered.
    pub(crate) fn statement_in_flight(&self) -> Option<u64> {
        self.statements.in_flight()
    }

    /// The handle for a migration: it counts statements, and passes those of `execute_unprepared`,
    /// which [`Listener::attach`] does not hear of, to the listener.
    pub(crate) fn with_listener(self, listener: &Listener) -> Self {
        let db = Self { listener: listener.clone(), counts: true, ..self };
        db.count_anew();
        db
    }

    pub(crate) fn count_anew(&self) {
        self.listener.count_anew();
    }

    /// Sends SQL of a script as it is. The caller adds the place in the script to an error.
    pub(crate) async fn send(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let done = delegate!(self.execute_unprepared(sql).await)
            .inspect_err(|_| self.listener.failed(sql))?;
        self.check_effect(sql).await.map(|()| done)
    }

    /// Sends SQL to find out more about an error. The listener does not hear of it.
    pub(crate) async fn probe(&self, sql: &str) -> Result<(), DbErr> {
        delegate!(self.execute_unprepared(sql).await).map(drop)
    }

    /// An error if this SQL holds a `COPY` from or to the client, which the driver cannot do.
    fn check_copies(&self, sql: &str) -> Result<(), DbErr> {
        if self.get_database_backend() == DatabaseBackend::Postgres
            && let Some((_, reason)) = psql::copies(sql)
        {
            return Err(DbErr::Custom(reason.into()));
        }
        Ok(())
    }

    /// Adds the number of the statement to the error of a migration.
    fn placed(&self, error: DbErr, sql: &str) -> DbErr {
        if !self.counts {
            return error;
        }
        let number = self.listener.sent();
        driver::placed(error, |position: Option<Position>| Place::in_code(number, sql, position))
    }

    /// Returns the transaction that [`from_transaction`](Self::from_transaction) took.
    pub(crate) fn into_transaction(self) -> DatabaseTransaction {
        match self.inner {
            Inner::Transaction(transaction) => transaction,
            Inner::Pool(_) => unreachable!("only what from_transaction made comes here"),
        }
    }
}

fn not_a_pool() -> Error {
    let message = "this handle is the transaction of a running migration, not the pool";
    Error::new(ErrorKind::NotAPool, message)
}

/// Takes a pool that SeaORM opened. A run of migrations connects with the same options.
impl From<DatabaseConnection> for Database {
    fn from(pool: DatabaseConnection) -> Self {
        Self::new(Inner::Pool(pool))
    }
}

#[async_trait]
impl ConnectionTrait for Database {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        send!(self.execute_raw(statement).await)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.check_copies(sql)?;
        self.listener.count();
        self.send(sql).await.map_err(|error| self.placed(error, sql))
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        send!(self.query_one_raw(statement).await)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        send!(self.query_all_raw(statement).await)
    }

    fn support_returning(&self) -> bool {
        self.get_database_backend().support_returning()
    }
}

#[async_trait]
impl TransactionTrait for Database {
    type Transaction = DatabaseTransaction;

    async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.be_unsure();
        delegate!(self.begin().await)
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<DatabaseTransaction, DbErr> {
        self.be_unsure();
        delegate!(self.begin_with_config(isolation_level, access_mode).await)
    }

    async fn begin_with_options(
        &self,
        options: TransactionOptions,
    ) -> Result<DatabaseTransaction, DbErr> {
        self.be_unsure();
        delegate!(self.begin_with_options(options).await)
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c DatabaseTransaction) -> BoxFuture<'c, Result<T, E>> + Send,
        T: Send,
        E: Display + Debug + Send,
    {
        self.transaction_with_config(callback, None, None).await
    }

    async fn transaction_with_config<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c DatabaseTransaction) -> BoxFuture<'c, Result<T, E>> + Send,
        T: Send,
        E: Display + Debug + Send,
    {
        self.be_unsure();
        if !self.counts {
            return match &self.inner {
                Inner::Pool(pool) => {
                    pool.transaction_with_config(callback, isolation_level, access_mode).await
                }
                Inner::Transaction(transaction) => {
                    transaction
                        .transaction_with_config(callback, isolation_level, access_mode)
                        .await
                }
            };
        }
        let begun = self.begin_with_config(isolation_level, access_mode).await;
        let transaction = begun.map_err(TransactionError::Connection)?;
        // If the callback fails, dropping the transaction rolls it back before the next statement.
        // SeaORM would await the rollback here: for ever, if the server waits for the rows of a
        // `COPY`.
        let done = callback(&transaction).await.map_err(TransactionError::Transaction)?;
        transaction.commit().await.map_err(TransactionError::Connection)?;
        Ok(done)
    }
}

impl StreamTrait for Database {
    type Stream<'a> = BoxStream<'a, Result<QueryResult, DbErr>>;

    fn get_database_backend(&self) -> DatabaseBackend {
        self.get_database_backend()
    }

    fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> BoxFuture<'a, Result<Self::Stream<'a>, DbErr>> {
        self.be_unsure();
        Box::pin(async move {
            self.check_copies(&statement.sql)?;
            Ok(match &self.inner {
                Inner::Pool(pool) => {
                    Box::pin(pool.stream_raw(statement).await?) as Self::Stream<'a>
                }
                Inner::Transaction(transaction) => {
                    Box::pin(transaction.stream_raw(statement).await?)
                }
            })
        })
    }
}
