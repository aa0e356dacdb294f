//! Opening pools, also of databases in memory, and sessions.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use sea_orm::{
    ConnectOptions, DatabaseConnection, DbErr, SqlxSqliteConnector,
    sqlx::{self, SqlitePool, sqlite::SqliteConnectOptions},
};
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

use super::{
    Sqlite,
    session::SqliteSession,
    storage::{Storage, private},
};
use crate::{
    backend::{
        connecting::{Connect, SessionOptions},
        fault::{Fault, connect_error},
        session::Session,
        url,
    },
    driver::{code, error_of, query_error},
    error::Error,
};

#[async_trait]
impl Connect for Sqlite {
    async fn connect(&self, mut options: ConnectOptions) -> Result<DatabaseConnection, Error> {
        let parsed = url::sqlite(options.get_url())?;
        let file = parsed.get_filename();
        let storage = Storage::of(options.get_url());
        match storage {
            Storage::File => (),
            // Such a database goes with its last connection.
            Storage::Memory | Storage::Unshared => {
                options.idle_timeout(None).max_lifetime(None);
            }
            Storage::Private => return Err(private()),
        }
        let lazy = options.get_connect_lazy();
        // Nobody hears SeaORM's span: it holds the options, and with them the key of an encrypted
        // file.
        let connected =
            SqlxSqliteConnector::connect(options).with_subscriber(NoSubscriber::default()).await;
        let failed = |error| {
            connect_error(self.fault(&error), &file.display().to_string(), in_folder(file, error))
        };
        let connected = connected.map_err(failed)?;
        if !matches!(storage, Storage::Unshared) {
            return Ok(connected);
        }
        let shared = share(connected.get_sqlite_connection_pool(), lazy).await;
        shared.map(DatabaseConnection::from).map_err(query_error).map_err(failed)
    }

    async fn open(
        &self,
        pool: &DatabaseConnection,
        options: &SessionOptions<'_>,
    ) -> Result<Arc<dyn Session>, Error> {
        Ok(Arc::new(SqliteSession::open(pool, options).await?))
    }

    fn fault(&self, error: &DbErr) -> Fault {
        let Some(error) = error_of(error) else {
            return Fault::Other;
        };
        let message = error.as_database_error().map_or("", |error| error.message());
        let Some(extended) = code(error).and_then(|code| code.parse::<u32>().ok()) else {
            return Fault::Other;
        };
        // https://sqlite.org/rescode.html: the primary code is the low byte of the extended.
        match (extended, extended & 0xff) {
            (1299, _) => Fault::NotNull,
            (_, 1) if message.starts_with("no such table") => Fault::NoTable,
            (_, 1) if message.starts_with("no such column") => Fault::NoColumn,
            // SQLITE_LOCKED: a statement of the same connection is in the way. Waiting does not
            // help.
            (6, _) => Fault::Other,
            (_, 5 | 6) => Fault::Held,
            (_, 8) => Fault::ReadOnly,
            (_, 3 | 23) => Fault::Denied,
            (_, 14) => Fault::NoDatabase,
            _ => Fault::Other,
        }
    }
}

/// A pool like this one whose connections open the same database in memory. They find it by its
/// name, which SQLite shares only if it stands in a URI (<https://sqlite.org/inmemorydb.html>).
async fn share(private: &SqlitePool, lazy: bool) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::clone(&private.connect_options());
    let name = options.get_filename().to_string_lossy().replace('%', "%25").replace('?', "%3f");
    let options = options.filename(format!("file:{}", name.replace('#', "%23")));
    let pool = private.options().clone();
    private.close().await;
    if lazy { Ok(pool.connect_lazy_with(options)) } else { pool.connect_with(options).await }
}

/// The error, or that the file's folder does not exist.
fn in_folder(file: &Path, error: DbErr) -> DbErr {
    match file.parent() {
        Some(folder) if folder != Path::new("") && !folder.exists() => {
            DbErr::Custom(format!("there is no folder {}", folder.display()))
        }
        _ => error,
    }
}
