//! Connecting: the app's pool, and the sessions of a run.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{ConnectOptions, DatabaseConnection, DbErr};

use super::{
    databases::Databases, fault::Fault, index::Index, session::Session, version_row::ReadRow,
};
use crate::{database::listener::Listener, error::Error};

/// A kind of database, with what is done on the app's own pool.
pub(crate) trait Backend: Connect + ReadRow + Databases {}

impl<T: Connect + ReadRow + Databases> Backend for T {}

/// Opens connections, and says what their errors mean.
#[async_trait]
pub(crate) trait Connect: Sync {
    /// Opens the pool of an app.
    async fn connect(&self, options: ConnectOptions) -> Result<DatabaseConnection, Error>;

    /// Opens a connection with the options of the app's pool, fit to run migrations.
    async fn open(
        &self,
        pool: &DatabaseConnection,
        options: &SessionOptions<'_>,
    ) -> Result<Arc<dyn Session>, Error>;

    /// What an error means.
    fn fault(&self, error: &DbErr) -> Fault;

    /// Tries a new connection, and waits so long for each answer at most.
    async fn knock(&self, _: &DatabaseConnection, _: Duration) -> Answer {
        Answer::Served
    }

    /// Closes the connections of a pool that nobody uses, if a server may run out of them.
    async fn release_idle(&self, _: &DatabaseConnection) {}

    /// See [`create_index`](crate::create_index).
    async fn create_index(&self, pool: &DatabaseConnection, index: &Index<'_>)
    -> Result<(), DbErr>;
}

/// What a session of a run is opened with.
#[derive(Clone, Copy)]
pub(crate) struct SessionOptions<'a> {
    /// What the session calls itself, for those who look at the server's sessions.
    pub(crate) label: &'a str,
    /// Of the whole run: ends the statements in flight, if the database runs in this process.
    pub(crate) interrupt: &'a Arc<AtomicBool>,
    /// Hears of the statements of migrations.
    pub(crate) listener: Option<&'a Listener>,
}

/// What a new connection comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Silent,
    Refused,
    /// It is let in, and not served: a pooler lets in more than it serves at a time.
    LetIn,
    Served,
}
