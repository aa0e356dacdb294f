//! What a run has applied, and how much of it is on disk.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};

use crate::{
    options::Options,
    progress::{Applied, Progress},
};

/// For how long the commits of a row of migrations may go without one that waits for the disk: until then
/// nobody is told of them.
const FLUSH: Duration = Duration::from_millis(500);

/// Only what is on disk counts, and is told, as applied.
pub(super) struct Record {
    applied: Vec<Applied>,
    /// What is committed, and may not be on disk yet.
    unflushed: Vec<Applied>,
    /// When there was nothing of that kind.
    flushed: Instant,
    committing: Arc<Mutex<()>>,
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            applied: Vec::new(),
            unflushed: Vec::new(),
            flushed: Instant::now(),
            committing: Arc::default(),
        }
    }

    /// Whether the next commit has to wait for the disk, though another one follows.
    pub(super) fn is_due(&self) -> bool {
        self.flushed.elapsed() >= FLUSH
    }

    pub(super) fn has_unflushed(&self) -> bool {
        !self.unflushed.is_empty()
    }

    /// Locked in a commit until it is recorded.
    pub(super) fn committing(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.committing)
    }

    pub(super) async fn begin_commit(&self) -> OwnedMutexGuard<()> {
        self.committing().lock_owned().await
    }

    /// These are committed.
    pub(super) fn commit(&mut self, committed: Vec<Applied>) {
        self.unflushed.extend(committed);
    }

    /// All that is committed is on disk.
    pub(super) fn flush(&mut self, options: &Options<'_>) {
        self.flushed = Instant::now();
        for applied in std::mem::take(&mut self.unflushed) {
            options.tell(&Progress::Applied(applied.clone()));
            self.applied.push(applied);
        }
    }

    /// A crash of the server may have taken the last commits along.
    pub(super) fn keep_up_to(&mut self, version: i32) {
        self.applied.retain(|applied| applied.version <= version);
        self.unflushed.retain(|applied| applied.version <= version);
    }

    /// The same, of what is not on disk yet.
    pub(super) fn keep_unflushed_up_to(&mut self, version: i32) {
        self.unflushed.retain(|applied| applied.version <= version);
    }

    pub(super) fn take(&mut self) -> Vec<Applied> {
        std::mem::take(&mut self.applied)
    }
}
