//! The connections of a run. Through them it reads, makes and claims the version row, and waits
//! for it.

use std::{
    fs::{File, TryLockError},
    io,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use futures_util::future::join_all;
use sea_orm::{DatabaseConnection, DbErr};
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

/// How long a server may take to tell which version it holds after a failure.
pub(crate) const CANCEL: Duration = Duration::from_secs(10);

/// The app's pool, the run's own session, and a second session that looks at what the first does.
pub(crate) struct Connections<'a> {
    pub(crate) options: Options<'a>,
    pub(crate) pool: &'a DatabaseConnection,
    /// The version table as the registry calls it, for messages and labels.
    pub(crate) called: TableName,
    /// The version table with its schema, for statements.
    pub(crate) table: TableName,
    pub(crate) session: Arc<dyn Session>,
    pub(crate) monitor: Monitor<'a>,
    interrupt: Arc<AtomicBool>,
    /// Ends the label of each session of this run.
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
        session.admit(options.on_unverified_engine).await?;
        let table = version::examine(&*session, &called).await?;
        let monitor = Monitor::new(pool, format!("onerow monitor {id}"), Arc::clone(&interrupt));
        Ok(Self { options, pool, called, table, session, monitor, interrupt, id })
    }

    pub(crate) async fn close(&self) {
        tokio::join!(self.monitor.close(), self.session.close());
    }

    /// The label that a session doing this work has on the server.
    pub(crate) fn label(&self, work: &str) -> String {
        format!("onerow {work} {}", self.id)
    }

    /// Opens a further session.
    pub(crate) async fn open_another(&self, label: &str) -> Result<Arc<dyn Session>, Error> {
        let (interrupt, listener) = (&self.interrupt, Some(&self.options.listener));
        let options = SessionOptions { label, interrupt, listener };
        backend::of(self.pool)?.open(self.pool, &options).await
    }

    /// Takes a new session if a migration has left something in this one: a setting, a temporary
    /// table, an attached file.
    pub(crate) async fn renew(&mut self) -> Result<(), Error> {
        if let Some(successor) = self.session.successor(self.pool).await? {
            self.session = successor;
        }
        Ok(())
    }

    /// Waits for the row. It uses at most one connection, and none if the wait lasts.
    pub(crate) async fn stand_in_line(&self, wait: &mut Wait<'_>) -> Result<(), Error> {
        // The run's own session is not in a transaction while it waits, so it may ask.
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

    /// Reads the version. It waits while another process shuts readers out.
    pub(crate) async fn read(&self) -> Result<Found, Error> {
        let unanswered = |silence| self.cannot("read the version", None, silence);
        poll(Wait::new(&self.options, None), || async {
            let reading = async { Ok(version::read(self.session.pool(), &self.called).await) };
            let found = answered(reading).await.map_err(unanswered)??.found();
            Ok((found != Found::Held).then_some(found))
        })
        .await
    }

    /// Makes the table and the row if they are missing, and returns the version that is there then.
    /// If it gets settings for the first migration, it may also return a claim.
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
            found = version::read(self.session.pool(), &self.called).await?.believed()?;
            // Somebody else has made the table since the run looked at it.
            version::examine(&*self.session, &self.called).await?;
        }
    }

    /// Accepts an error that another session caused by making the version row too. Any other error
    /// is returned.
    pub(crate) async fn creation_raced(&self, error: DbErr) -> Result<(), Error> {
        match self.session.fault(&error) {
            Fault::CreateRace | Fault::Held => Ok(()),
            Fault::NoSchema => Err(self.no_schema(error).await),
            _ => {
                version::examine(&*self.session, &self.called).await?;
                Err(self.cannot("create the version row", None, error))
            }
        }
    }

    async fn no_schema(&self, source: DbErr) -> Error {
        let path = self.session.search_path().await;
        let table = &self.called;
        let message = format!(
            "no schema in the search path {path} exists, so there is no place for {table}; nothing \
             was changed"
        );
        Error::new(ErrorKind::NoSchema, message).of_table(table).because(source)
    }

    /// Claims the row at this version, and waits for it if need be. Returns `None` if the row is at
    /// another version.
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
                // Nothing that could be in doubt was sent yet, so another connection will do.
                Fault::Lost if !reconnected => {
                    reconnected = true;
                    self.make_ready().await?;
                }
                _ => return Err(self.cannot_now("claim the version row", error).await),
            }
        }
    }

    /// Locks the file that stands for the row while a migration runs outside a transaction. Returns
    /// `None` if this database needs no such file.
    pub(crate) async fn lock_file(&self, version: Option<i32>) -> Result<Option<File>, Error> {
        let file = match self.session.lock_file(&self.called.label()) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(error) => return Err(self.cannot_now("open the lock file", custom(&error)).await),
        };
        poll(Wait::new(&self.options, version), || async {
            match file.try_lock() {
                Ok(()) => Ok(Some(())),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => {
                    Err(self.cannot_now("lock the lock file", custom(&error)).await)
                }
            }
        })
        .await?;
        Ok(Some(file))
    }

    /// Waits for the sessions in which other runs perform this migration. A runner that has lost
    /// the row may not have noticed yet, and the server goes on with the statement of a runner that
    /// was killed.
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
                    return Err(self.cannot_now("look for another runner's session", error).await);
                }
            }
        }
    }

    /// The version that the database holds, if it answers soon. On SQLite a rollback that is under
    /// way may shut readers out for a while.
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

    /// Cancels the statements of this run again and again, until these sessions are closed.
    pub(crate) async fn end_statements(&self, sessions: &[&dyn Session]) {
        // A connection that is closed while its statement runs would leave the statement running on
        // the server, so it is released first, which waits until it is idle.
        let rest = join_all(sessions.iter().map(async |session| {
            session.release().await;
            session.close().await;
        }));
        // Opening the monitor's connection takes more than a second on a slow line, so nothing cuts
        // it short.
        let cancel = async {
            loop {
                if let Ok(monitor) = self.monitor.session().await {
                    let _ = monitor.cancel(&self.id).await;
                }
                sleep(POLL.1).await;
            }
        };
        tokio::select! {
            _ = rest => (),
            () = cancel => (),
        }
    }

    /// Ends a session that waits for the rows of a `COPY`: a rollback in it would wait for ever.
    pub(crate) async fn end_deaf_session(&self) {
        if let Ok(monitor) = self.monitor.session().await {
            let _ = timeout(CANCEL, monitor.terminate(&self.id)).await;
        }
    }

    /// The error of a statement that failed, with the version that the database holds now.
    pub(crate) async fn cannot_now(&self, operation: &str, error: DbErr) -> Error {
        self.cannot(operation, self.version_now().await, error)
    }

    /// The error of a statement that failed.
    pub(crate) fn cannot(&self, operation: &str, version: Option<i32>, error: DbErr) -> Error {
        version::cannot(self.session.fault(&error), operation, version, &self.called, error)
    }
}

/// Tells the sessions of a run from those of other runs and of other registries.
fn id(label: &str) -> String {
    let run = fastrand::u32(..);
    if label.is_empty() { format!("{run:08x}") } else { format!("{run:08x} {label}") }
}

fn custom(error: &io::Error) -> DbErr {
    DbErr::Custom(error.to_string())
}
