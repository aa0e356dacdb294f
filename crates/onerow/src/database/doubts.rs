//! What a migration may have done on its handle unseen.

use std::sync::atomic::{AtomicBool, Ordering};

use super::pragma;
use crate::backend::Doubt;

/// Noted while the migration runs, and asked about when it has.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Whether a statement has failed, or what runs was not seen.
    unsure: AtomicBool,
    /// Whether a PRAGMA may have been run.
    sets: AtomicBool,
    /// Whether more may have been done to an SQLite schema than to add to it.
    alters: AtomicBool,
    /// Whether a foreign key may have been declared.
    refers: AtomicBool,
}

impl Doubts {
    /// A statement has failed, or a transaction was begun, in which statements are not seen.
    pub(super) fn be_unsure(&self) {
        self.unsure.store(true, Ordering::Relaxed);
    }

    /// Statements are sent on a connection that is given out.
    pub(super) fn lose_sight(&self) {
        for unseen in [&self.sets, &self.alters, &self.refers] {
            unseen.store(true, Ordering::Relaxed);
        }
    }

    /// This was run. Whether a PRAGMA may be in it.
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
