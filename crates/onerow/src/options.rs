//! The options that `up`, `adopt` and `baseline` share.

use std::time::Duration;

use crate::{database::listener::Listener, progress::Progress};

pub(crate) struct Options<'a> {
    pub(crate) on_unverified_engine: bool,
    pub(crate) wait_timeout: Duration,
    pub(crate) lock_timeout: Duration,
    pub(crate) max_tries: u32,
    pub(crate) progress: Box<dyn Fn(&Progress) + Send + Sync + 'a>,
    pub(crate) listener: Listener,
}

impl Options<'_> {
    pub(crate) fn tell(&self, step: &Progress) {
        step.trace();
        (self.progress)(step);
    }
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            on_unverified_engine: false,
            wait_timeout: Duration::from_mins(10),
            lock_timeout: Duration::from_secs(5),
            max_tries: 10,
            progress: Box::new(|_| ()),
            listener: Listener::default(),
        }
    }
}

/// The setters that each builder with `options` has.
macro_rules! shared_setters {
    () => {
        /// How long to wait for what another session holds: the version row, the old tool's table,
        /// the server's last connection. The default is ten minutes.
        ///
        /// # Errors
        /// When the time is over, the error is [`WaitTimeout`]($crate::ErrorKind::WaitTimeout),
        /// [`HistoryBusy`]($crate::ErrorKind::HistoryBusy) or
        /// [`TooManyConnections`]($crate::ErrorKind::TooManyConnections).
        pub fn wait_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.wait_timeout = timeout;
            self
        }

        /// Goes on even if the server is an engine that onerow is not tested on, such as
        /// CockroachDB.
        ///
        /// Such an engine may commit a part of a migration, or run one twice. Without this, a run
        /// with work to do is refused there. A version of PostgreSQL that is too old is refused in
        /// any case.
        ///
        /// # Errors
        /// The engine may refuse what onerow asks of it. If it does so when the version is read,
        /// the error is also an [`UnverifiedEngine`]($crate::ErrorKind::UnverifiedEngine).
        pub fn on_unverified_engine(mut self) -> Self {
            self.options.on_unverified_engine = true;
            self
        }

        /// Calls this function at each step. The steps go to `tracing` in any case.
        pub fn on_progress(
            mut self,
            callback: impl Fn(&$crate::Progress) + Send + Sync + 'a,
        ) -> Self {
            self.options.progress = Box::new(callback);
            self
        }
    };
}

pub(crate) use shared_setters;
