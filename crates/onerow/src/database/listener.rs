//! Listening to the statements of migrations.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use sea_orm::DatabaseConnection;

/// Counts the statements, and passes those that fail to the callback of
/// [`on_failed_statement`](crate::Up::on_failed_statement).
#[derive(Clone, Default)]
pub(crate) struct Listener {
    callback: Option<Callback>,
    /// How many statements were sent since the migration began.
    sent: Arc<AtomicUsize>,
}

type Callback = Arc<dyn Fn(&str) + Send + Sync>;

impl Listener {
    pub(crate) fn new(callback: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { callback: Some(Arc::new(callback)), ..Self::default() }
    }

    /// Listens to a connection, and to the transactions that are begun on it from now on. SeaORM
    /// does not report statements of `execute_unprepared`.
    #[cfg_attr(not(any(feature = "postgres", feature = "sqlite")), expect(dead_code))]
    pub(crate) fn attach(&self, connection: &mut DatabaseConnection) {
        let listener = self.clone();
        connection.set_metric_callback(move |info| {
            listener.count();
            if info.failed && listener.callback.is_some() {
                listener.failed(&info.statement.to_string());
            }
        });
    }

    pub(super) fn count(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_anew(&self) {
        self.sent.store(0, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self, sql: &str) {
        if let Some(callback) = &self.callback {
            callback(sql);
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

/// Counts the statements that were sent on a handle, and those that were answered or given up.
#[derive(Debug, Default)]
pub(super) struct Statements {
    asked: AtomicU64,
    answered: AtomicU64,
}

impl Statements {
    /// The number of the statement that was sent last, if it has not been answered.
    pub(super) fn in_flight(&self) -> Option<u64> {
        let answered = self.answered.load(Ordering::Relaxed);
        let asked = self.asked.load(Ordering::Relaxed);
        (asked > answered).then_some(asked)
    }

    pub(super) fn ask(&self) -> Asked<'_> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Asked(self)
    }
}

/// A statement that was sent. When it is dropped, it counts as answered.
pub(super) struct Asked<'a>(&'a Statements);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }
}
