//! The ledger of an SQLite session: what its migrations have changed since it was last looked at.

use std::{
    collections::BTreeSet,
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::seen::Seen;

/// The ledger of one connection. SQLite tells it of each row that is written.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    written: Mutex<Written>,
    seen: Mutex<Seen>,
    stale: AtomicBool,
}

/// The rows that SQLite has told of.
#[derive(Debug, Default)]
struct Written {
    /// How many rows were written since the connection was opened.
    rows: i64,
    /// The tables that were written to since the last migration.
    tables: BTreeSet<String>,
}

impl Ledger {
    /// Notes that a row was written.
    pub(super) fn write(&self, database: &str, table: &str) {
        let mut written = lock(&self.written);
        written.rows += 1;
        if database == "main" && !written.tables.contains(table) {
            written.tables.insert(table.to_owned());
        }
    }

    /// How many rows were written, and to which tables since the last call.
    pub(super) fn take(&self) -> (i64, BTreeSet<String>) {
        let mut written = lock(&self.written);
        (written.rows, mem::take(&mut written.tables))
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Takes over the known orphans from the former connection.
    pub(super) fn take_over(&self, former: &Self) {
        self.seen().orphans = mem::take(&mut former.seen().orphans);
    }

    /// Notes that the next migration must not find this session.
    pub(super) fn spoil(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }
}

/// Locks, even if another holder has panicked: it leaves nothing half written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
