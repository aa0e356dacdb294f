//! The connections of a run, and the version row by way of them: read, made, claimed, waited for.

use std::{
    fs::{File, TryLockError},
    io,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use tokio::time::{sleep, timeout};

use crate::{
    backend::{self, Claim, Fault, NONE, Session, SessionOptions, Settings},
    error::{Error, ErrorKind},
    monitor::Monitor,
    options::Options,
    table::TableName,
    version::{self, Found},
    waiting::{POLL, Wait, answered, once_let_in, pauses, poll},
};

/// How long a server may take to say where a failure leaves it.
pub(crate) const CANCEL: Duration = Duration::from_secs(10);

/// The app's pool, the run's own session, and a second one that looks at what it does.
pub(crate) struct Connections<'a> {
    pub(crate) options: Options<'a>,
    pub(crate) pool: &'a DatabaseConnection,
    /// The registry's table as the registry calls it, for messages and labels.
    pub(crate) called: TableName,
    /// The same with the schema that it is in, for statements.
    pub(crate) table: TableName,
    pub(crate) session: Arc<dyn Session>,
    pub(crate) monitor: Monitor<'a>,
    interrupt: Arc<AtomicBool>,
    /// At the end of the label of each of this run's sessions.
    id: String,
}

impl<'a> Connections<'a> {
    pub(crate) async fn open(
        pool: &'a DatabaseConnection,
        called: TableName,
        options: Options<'a>,
    ) -> Result<Self, Error> {
        let id = id(&called.label());
        let interrupt = Arc::default();
        let label = format!("onerow {id}");
        let listener = Some(&options.listener);
        let session = SessionOptions { label: &label, interrupt: &interrupt, listener };
        let backend = backend::of(pool)?;
        let session = once_let_in(&options, pool, || backend.open(pool, &session)).await?;
        let table = version::examine(&*session, &called).await?;
        session.admit().await?;
        let monitor = Monitor::new(pool, format!("onerow monitor {id}"), Arc::clone(&interrupt));
        Ok(Self { options, pool, called, table, session, monitor, interrupt, id })
    }

    pub(crate) async fn close(&self) {
        tokio::join!(self.monitor.close(), self.session.close());
    }

    /// What the sessions that work at this are called on the server.
    pub(crate) fn label(&self, work: &str) -> String {
        format!("onerow {work} {}", self.id)
    }

    /// Opens a further session, beside the one that holds the row.
    pub(crate) async fn open_another(&self, label: &str) -> Result<Arc<dyn Session>, Error> {
        let (interrupt, listener) = (&self.interrupt, Some(&self.options.listener));
        let options = SessionOptions { label, interrupt, listener };
        backend::of(self.pool)?.open(self.pool, &options).await
    }

    /// Takes a new session if a migration has left something in this one: a setting, a temporary table,
    /// an attached file.
    pub(crate) async fn renew(&mut self) -> Result<(), Error> {
        if let Some(successor) = self.session.successor(self.pool).await? {
            self.session = successor;
        }
        Ok(())
    }

    /// Waits for the row with at most one connection, and with none if it lasts.
    pub(crate) async fn stand_in_line(&self, wait: &mut Wait<'_>) -> Result<(), Error> {
        // On the run's own session, which is not in a transaction while it waits.
        wait.tell(self.session.holder(&self.table)).await?;
        let released = wait.releases();
        if released {
            self.session.release().await;
            backend::of(self.pool)?.release_idle(self.pool).await;
        }
        wait.pause().await;
        if released { self.make_ready().await } else { Ok(()) }
    }

    async fn make_ready(&self) -> Result<(), Error> {
        once_let_in(&self.options, self.pool, || self.session.make_ready()).await
    }

    /// Reads the version, once nobody shuts readers out.
    pub(crate) async fn read(&self) -> Result<Found, Error> {
        let refused = |silence| self.refusal("read the version", None, silence);
        poll(Wait::new(&self.options, None), || async {
            let reading = async { Ok(version::read(self.session.pool(), &self.called).await) };
            let found = answered(reading).await.map_err(refused)??.found();
            Ok((found != Found::Held).then_some(found))
        })
        .await
    }

    /// Makes the table and the row if they are missing, and gives the version that is there then. With
    /// settings for the first migration it may hold the row at once.
    pub(crate) async fn create_row(
        &self,
        mut found: Found,
        next: Option<&Settings>,
    ) -> Result<(i32, Option<Claim>), Error> {
        let mut wait = Wait::new(&self.options, None);
        loop {
            match found {
                Found::Version(version) => return Ok((version, None)),
                Found::Held => wait.turn().await?,
                Found::NoTable | Found::NoRow => {
                    match version::create(&*self.session, &self.table, found, next).await {
                        Ok(None) => (),
                        Ok(claim) => return Ok((NONE, claim)),
                        Err(error) => {
                            self.creation_raced(error).await?;
                            wait.turn().await?;
                        }
                    }
                }
            }
            found = version::read(self.session.pool(), &self.called).await?.found();
        }
    }

    /// Whether the version row could not be made since another session is at it; all else is an error.
    pub(crate) async fn creation_raced(&self, error: DbErr) -> Result<(), Error> {
        match self.session.fault(&error) {
            Fault::CreateRace | Fault::Held => Ok(()),
            Fault::NoSchema => Err(self.no_schema(error).await),
            _ => Err(self.refusal("create the version row", None, error)),
        }
    }

    async fn no_schema(&self, source: DbErr) -> Error {
        let pool = self.session.pool();
        let show = Statement::from_string(pool.get_database_backend(), "SHOW search_path");
        let shown = pool.query_one_raw(show).await.ok().flatten();
        let path: String = shown.and_then(|row| row.try_get_by_index(0).ok()).unwrap_or_default();
        let table = &self.called;
        let message = format!(
            "no schema of the search path {path} is there to hold {table}; nothing was changed"
        );
        Error::new(ErrorKind::NoSchema, message).of_table(table).because(source)
    }

    /// Holds the row at this version; `None` if it has moved on.
    pub(crate) async fn claim(
        &self,
        version: i32,
        settings: &Settings,
    ) -> Result<Option<Claim>, Error> {
        let mut reconnected = false;
        let mut wait = Wait::new(&self.options, Some(version));
        loop {
            let error = match answered(self.session.claim(&self.table, version, settings)).await {
                Ok(claim) => return Ok(claim),
                Err(error) => error,
            };
            match self.session.fault(&error) {
                Fault::Held => self.stand_in_line(&mut wait).await?,
                // Nothing was asked yet that could be in doubt, so another connection will do.
                Fault::Lost if !reconnected => {
                    reconnected = true;
                    self.make_ready().await?;
                }
                _ => return Err(self.refused("claim the version row", error).await),
            }
        }
    }

    /// Locks the file that stands for the row while a migration runs outside a transaction, if there is
    /// one.
    pub(crate) async fn lock_file(&self, version: Option<i32>) -> Result<Option<File>, Error> {
        let file = match self.session.lock_file(&self.called.label()) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(error) => return Err(self.refused("open the lock file", custom(&error)).await),
        };
        poll(Wait::new(&self.options, version), || async {
            match file.try_lock() {
                Ok(()) => Ok(Some(())),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => {
                    Err(self.refused("lock the lock file", custom(&error)).await)
                }
            }
        })
        .await?;
        Ok(Some(file))
    }

    /// Waits for the sessions in which other runs are at this migration: one that has lost the row may not
    /// have noticed yet, and the server goes on with the statement of one that was killed.
    pub(crate) async fn await_others(
        &self,
        migration: &str,
        version: i32,
        worker: &dyn Session,
    ) -> Result<(), Error> {
        let mut wait = Wait::new(&self.options, Some(version));
        loop {
            match answered(worker.others_at_work(migration, &self.id, &self.table)).await {
                Ok(mut others) => match others.pop() {
                    Some(other) => wait.turn_for(async { Some(other) }).await?,
                    None => return Ok(()),
                },
                Err(error) => {
                    return Err(self.refused("look for another runner's session", error).await);
                }
            }
        }
    }

    /// The version that the database holds, if it says so soon; on SQLite once a rollback that is under
    /// way lets readers in.
    pub(crate) async fn version_now(&self) -> Option<i32> {
        let read = async {
            for pause in pauses(POLL) {
                let version = version::read(self.pool, &self.table).await.ok()?.found().version();
                if version.is_some() {
                    return version;
                }
                sleep(pause).await;
            }
            None
        };
        timeout(CANCEL, read).await.ok().flatten()
    }

    /// Has this run's statements ended, wherever they run, until its connections have come to rest.
    pub(crate) async fn end_statements(&self, worker: Option<&dyn Session>) {
        let rest = async {
            match worker {
                Some(worker) => drop(tokio::join!(self.session.close(), worker.close())),
                None => self.session.close().await,
            }
        };
        tokio::pin!(rest);
        loop {
            let cancel = async {
                let monitor = self.monitor.session().await.ok()?;
                monitor.cancel(&self.id).await.ok()
            };
            tokio::select! {
                () = &mut rest => break,
                _ = timeout(POLL.1, cancel) => (),
            }
            if timeout(POLL.1, &mut rest).await.is_ok() {
                break;
            }
        }
    }

    /// Ends a session that waits for the rows of a `COPY`, in which a rollback would wait for ever.
    pub(crate) async fn end_deaf_session(&self) {
        if let Ok(monitor) = self.monitor.session().await {
            let _ = timeout(CANCEL, monitor.terminate(&self.id)).await;
        }
    }

    /// The error of a statement that was refused, with the version that the database holds then.
    pub(crate) async fn refused(&self, operation: &str, error: DbErr) -> Error {
        self.refusal(operation, self.version_now().await, error)
    }

    pub(crate) fn refusal(&self, operation: &str, version: Option<i32>, error: DbErr) -> Error {
        version::refusal(self.session.fault(&error), operation, version, &self.called, error)
    }
}

/// Tells the sessions of a run from those of others, and of other registries.
fn id(label: &str) -> String {
    let run = fastrand::u32(..);
    if label.is_empty() { format!("{run:08x}") } else { format!("{run:08x} {label}") }
}

fn custom(error: &io::Error) -> DbErr {
    DbErr::Custom(error.to_string())
}
