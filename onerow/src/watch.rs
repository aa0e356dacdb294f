//! A second connection that looks at what a migration is doing.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use sea_orm::DatabaseConnection;
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};

use crate::{
    Error, Progress, ServerSession,
    backend::{Activity, Session},
};

const INTERVAL: Duration = Duration::from_secs(1);

/// The second connection: opened when there is something to look at, and never in a transaction.
pub(crate) struct Monitor<'a> {
    pool: &'a DatabaseConnection,
    label: String,
    interrupt: Arc<AtomicBool>,
    session: OnceCell<Session>,
}

impl<'a> Monitor<'a> {
    pub(crate) fn new(pool: &'a DatabaseConnection, label: String, interrupt: Arc<AtomicBool>) -> Self {
        Self { pool, label, interrupt, session: OnceCell::new() }
    }

    pub(crate) async fn session(&self) -> Result<&Session, Error> {
        self.session.get_or_try_init(|| Session::open(self.pool, &self.label, &self.interrupt)).await
    }

    pub(crate) async fn close(&self) {
        if let Some(session) = self.session.get() {
            session.close().await;
        }
    }

    /// Does the work, tells once a second what it does, and gives who blocked it last.
    pub(crate) async fn watch<T>(
        &self,
        work: impl Future<Output = T>,
        what: &Watched<'_>,
        tell: impl Fn(&Progress),
    ) -> (T, Vec<ServerSession>) {
        let blockers = Mutex::new(Vec::new());
        let output = tokio::select! {
            output = work => output,
            () = self.observe(what, &blockers, tell) => unreachable!("it observes until it is dropped"),
        };
        (output, blockers.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    async fn observe(
        &self,
        what: &Watched<'_>,
        blockers: &Mutex<Vec<ServerSession>>,
        tell: impl Fn(&Progress),
    ) {
        let started = Instant::now();
        // Before a lock timeout shorter than a second strikes.
        let first = match what.lock_timeout {
            Some(limit) if !limit.is_zero() => INTERVAL.min(limit / 2),
            _ => INTERVAL,
        };
        sleep(first).await;
        loop {
            let Activity { blockers: now, phase } = self.activity(what.label).await.unwrap_or_default();
            if !now.is_empty() {
                blockers.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&now);
            }
            let elapsed = started.elapsed();
            if elapsed >= INTERVAL {
                tell(&Progress::Running { version: what.version, elapsed, blockers: now, phase });
            }
            sleep(INTERVAL).await;
        }
    }

    async fn activity(&self, label: &str) -> Option<Activity> {
        let session = self.session().await.ok()?;
        session.backend.activity(session, label).await.ok()
    }
}

/// What is watched.
pub(crate) struct Watched<'a> {
    pub(crate) version: i32,
    /// Of its sessions.
    pub(crate) label: &'a str,
    pub(crate) lock_timeout: Option<Duration>,
}
