//! A second session that looks at what a migration is doing.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep, timeout},
};

use crate::{
    backend::{self, Activity, Answer, ServerSession, Session, SessionOptions},
    database::Database,
    driver,
    error::Error,
    progress::Progress,
};

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the server may take to answer a question that takes it a few milliseconds.
const SILENCE: Duration = Duration::from_secs(10);

/// How long an answer may take if a pooler may hold the statement up: pgbouncer lets one queue for
/// two minutes by default.
const POOLER: Duration = Duration::from_secs(150);

/// The second session. It is opened when there is something to look at, and is never in a
/// transaction.
pub(crate) struct Monitor<'a> {
    pool: &'a DatabaseConnection,
    label: String,
    interrupt: Arc<AtomicBool>,
    session: AsyncMutex<Option<Arc<dyn Session>>>,
}

impl<'a> Monitor<'a> {
    pub(crate) fn new(
        pool: &'a DatabaseConnection,
        label: String,
        interrupt: Arc<AtomicBool>,
    ) -> Self {
        Self { pool, label, interrupt, session: AsyncMutex::default() }
    }

    pub(crate) async fn session(&self) -> Result<Arc<dyn Session>, Error> {
        let mut session = self.session.lock().await;
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        let (label, interrupt) = (self.label.as_str(), &self.interrupt);
        let options = SessionOptions { label, interrupt, listener: None };
        let opened = backend::of(self.pool)?.open(self.pool, &options).await?;
        Ok(Arc::clone(session.insert(opened)))
    }

    pub(crate) async fn close(&self) {
        if let Some(session) = self.session.lock().await.take() {
            session.close().await;
        }
    }

    /// Does the work, and tells once a second what it is doing. Returns its output, or an error if
    /// the server has gone silent; and the sessions that blocked it last.
    pub(crate) async fn watch<T>(
        &self,
        work: impl Future<Output = T>,
        watched: &Watched<'_>,
        tell: impl Fn(&Progress),
    ) -> (Result<T, DbErr>, Vec<ServerSession>) {
        let blockers = Mutex::new(Vec::new());
        let output = tokio::select! {
            output = work => Ok(output),
            silence = self.observe(watched, &blockers, tell) => Err(silence),
        };
        (output, blockers.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when the server has been silent on two connections, one of them new, or when it has
    /// long been done with the commit of this session.
    pub(crate) async fn silence(&self, label: &str, pid: i32) -> DbErr {
        let mut unanswered = Unanswered::default();
        loop {
            sleep(INTERVAL).await;
            match self.look(label, pid).await {
                Ok(activity) if unanswered.lasts(Some(0), activity.as_ref()) < SILENCE => (),
                Ok(_) => return driver::silence(SILENCE),
                Err(silence) => return silence,
            }
        }
    }

    async fn observe(
        &self,
        watched: &Watched<'_>,
        blockers: &Mutex<Vec<ServerSession>>,
        tell: impl Fn(&Progress),
    ) -> DbErr {
        let started = Instant::now();
        // The first look comes before a lock timeout of less than a second ends the statement.
        let first = match watched.lock_timeout {
            Some(limit) if !limit.is_zero() => INTERVAL.min(limit / 2),
            _ => INTERVAL,
        };
        sleep(first).await;
        let mut unanswered = Unanswered::default();
        // Outside a transaction, each statement may have to queue in a pooler.
        let patience = if watched.lock_timeout.is_some() { SILENCE } else { POOLER };
        loop {
            let activity = match self.look(watched.label, watched.pid).await {
                Ok(activity) => activity,
                Err(silence) => return silence,
            };
            if unanswered.lasts(watched.db.statement_in_flight(), activity.as_ref()) >= patience {
                return driver::silence(patience);
            }
            let Activity { blockers: now, phase, .. } = activity.unwrap_or_default();
            if !now.is_empty() {
                blockers.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&now);
            }
            let elapsed = started.elapsed();
            if elapsed >= INTERVAL {
                let version = watched.version;
                tell(&Progress::Running { version, elapsed, blockers: now, phase });
            }
            sleep(INTERVAL).await;
        }
    }

    /// Asks on the second connection, and if that is silent, on a new one. Returns `None` if there
    /// is no new connection, or if the new connection is refused or not served.
    async fn look(&self, label: &str, pid: i32) -> Result<Option<Activity>, DbErr> {
        if let Ok(answer) = timeout(SILENCE, self.activity(label, pid)).await {
            return Ok(answer);
        }
        *self.session.lock().await = None;
        match tokio::join!(timeout(SILENCE, self.activity(label, pid)), self.is_let_in()) {
            (Ok(answer), _) => Ok(answer),
            // A pooler lets in more than it serves at a time.
            (Err(_), true) => Ok(None),
            (Err(_), false) => Err(driver::silence(SILENCE * 2)),
        }
    }

    async fn is_let_in(&self) -> bool {
        let Ok(backend) = backend::of(self.pool) else { return false };
        matches!(backend.knock(self.pool, SILENCE).await, Answer::LetIn | Answer::Served)
    }

    async fn activity(&self, label: &str, pid: i32) -> Option<Activity> {
        let session = self.session().await.ok()?;
        session.activity(label, pid).await.ok()
    }
}

/// The statement that was sent last and is not answered yet, and since when.
#[derive(Default)]
struct Unanswered(Option<(u64, Instant)>);

impl Unanswered {
    /// For how long the server has been done with a statement while its answer has not come.
    fn lasts(&mut self, statement: Option<u64>, activity: Option<&Activity>) -> Duration {
        let Some((number, activity)) = statement.zip(activity) else {
            self.0 = None;
            return Duration::ZERO;
        };
        let asked = self.0.filter(|(last, _)| *last == number).unwrap_or((number, Instant::now()));
        let (_, since) = *self.0.insert(asked);
        let done = if activity.sessions == 0 { Some(Duration::MAX) } else { activity.idle };
        since.elapsed().min(done.unwrap_or_default())
    }
}

/// A migration that is watched.
pub(crate) struct Watched<'a> {
    pub(crate) version: i32,
    /// The handle that it works on.
    pub(crate) db: &'a Database,
    /// The label of its sessions.
    pub(crate) label: &'a str,
    /// The process of its session on the server.
    pub(crate) pid: i32,
    /// `None` outside a transaction.
    pub(crate) lock_timeout: Option<Duration>,
}
