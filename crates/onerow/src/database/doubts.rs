//! What a migration may have done without its handle seeing it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::pragma;
use crate::backend::Doubt;

/// It is noted while the migration runs, and read after that.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Whether a statement has failed, or may have run unseen.
    unsure: AtomicBool,
    /// Whether a PRAGMA may have run.
    sets: AtomicBool,
    /// Whether an SQLite schema may have been changed other than by adding to it.
    alters: AtomicBool,
    /// Whether a foreign key may have been declared.
    refers: AtomicBool,
}

impl Doubts {
    /// Notes that a statement has failed, or that a transaction was begun, whose statements are not
    /// seen.
    pub(super) fn be_unsure(&self) {
        self.unsure.store(true, Ordering::Relaxed);
    }

    /// Notes that the connection was given out, on which statements are not seen.
    pub(super) fn lose_sight(&self) {
        for unseen in [&self.sets, &self.alters, &self.refers] {
            unseen.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that this SQL has run. Returns whether a PRAGMA may be in it.
    pub(super) fn note(&self, sql: &str) -> bool {
        let sets = pragma::is_in(sql);
        self.sets.fetch_or(sets, Ordering::Relaxed);
        self.alters.fetch_or(pragma::may_alter(sql), Ordering::Relaxed);
        self.refers.fetch_or(pragma::may_refer(sql), Ordering::Relaxed);
        sets
    }

    pub(super) fn doubt(&self) -> Doubt {
        let rows = self.unsure.load(Ordering::Relaxed);
        let may = |seen: &AtomicBool| rows || seen.load(Ordering::Relaxed);
        let (settings, schema) = (may(&self.sets), may(&self.alters));
        Doubt { rows, settings, schema, children: may(&self.refers) }
    }
}
