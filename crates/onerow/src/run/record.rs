//! The migrations that a run has applied, and how many of them are on disk.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};

use crate::{
    options::Options,
    progress::{Applied, Progress},
};

/// The longest time without a commit that waits for the disk. Until then nobody is told of the
/// commits that do not wait.
const FLUSH: Duration = Duration::from_millis(500);

/// Only a migration that is on disk counts, and is told, as applied.
pub(super) struct Record {
    applied: Vec<Applied>,
    /// The migrations that are committed, and may not be on disk yet.
    unflushed: Vec<Applied>,
    /// When all that was committed was on disk.
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

    /// Whether the next commit has to wait for the disk, even if another one follows.
    pub(super) fn is_due(&self) -> bool {
        self.flushed.elapsed() >= FLUSH
    }

    pub(super) fn has_unflushed(&self) -> bool {
        !self.unflushed.is_empty()
    }

    /// The mutex that is locked from the beginning of a commit until it is recorded.
    pub(super) fn committing(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.committing)
    }

    pub(super) async fn begin_commit(&self) -> OwnedMutexGuard<()> {
        self.committing().lock_owned().await
    }

    /// Records migrations that are committed.
    pub(super) fn commit(&mut self, committed: Vec<Applied>) {
        self.unflushed.extend(committed);
    }

    /// Records that all that is committed is on disk, and tells it.
    pub(super) fn flush(&mut self, options: &Options<'_>) {
        self.flushed = Instant::now();
        for applied in std::mem::take(&mut self.unflushed) {
            options.tell(&Progress::Applied(applied.clone()));
            self.applied.push(applied);
        }
    }

    /// Forgets what a crash of the server has undone.
    pub(super) fn keep_up_to(&mut self, version: i32) {
        self.applied.retain(|applied| applied.version <= version);
        self.unflushed.retain(|applied| applied.version <= version);
    }

    /// Forgets what a crash of the server has undone, of what was not on disk yet.
    pub(super) fn keep_unflushed_up_to(&mut self, version: i32) {
        self.unflushed.retain(|applied| applied.version <= version);
    }

    pub(super) fn take(&mut self) -> Vec<Applied> {
        std::mem::take(&mut self.applied)
    }
}
