//! Opening connections: the app's pool, and the sessions of a run.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{ConnectOptions, DatabaseConnection, DbErr};

use super::{
    databases::Databases, fault::Fault, index::CreateIndex, session::Session, version_row::ReadRow,
};
use crate::{database::listener::Listener, error::Error};

/// PostgreSQL or SQLite: all that is done on the app's own pool, or by a URL.
pub(crate) trait Backend: Connect + ReadRow + CreateIndex + Databases {}

impl<T: Connect + ReadRow + CreateIndex + Databases> Backend for T {}

/// Opens connections, and says what their errors mean.
#[async_trait]
pub(crate) trait Connect: Sync {
    /// Opens the pool of an app.
    async fn connect(&self, options: ConnectOptions) -> Result<DatabaseConnection, Error>;

    /// Opens a connection with the options of the app's pool, and makes it fit to run migrations.
    async fn open(
        &self,
        pool: &DatabaseConnection,
        options: &SessionOptions<'_>,
    ) -> Result<Arc<dyn Session>, Error>;

    /// Says what an error means.
    fn fault(&self, error: &DbErr) -> Fault;

    /// Tries whether a new connection is served. Each answer may take the given time at most.
    async fn knock(&self, _: &DatabaseConnection, _: Duration) -> Answer {
        Answer::Served
    }

    /// Closes the idle connections of a pool, if the server may run out of connections.
    async fn release_idle(&self, _: &DatabaseConnection) {}
}

/// The options of a session of a run.
#[derive(Clone, Copy)]
pub(crate) struct SessionOptions<'a> {
    /// The session's name in the server's list of sessions.
    pub(crate) label: &'a str,
    /// The run's flag that ends its statements in flight, if the database runs in this process.
    pub(crate) interrupt: &'a Arc<AtomicBool>,
    /// Hears of the statements of migrations.
    pub(crate) listener: Option<&'a Listener>,
}

/// How the server answers a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Silent,
    Refused,
    /// It lets the connection in, but does not serve it: a pooler lets in more than it serves at a
    /// time.
    LetIn,
    Served,
}
