//! What the migrations of an SQLite session have changed since it was last looked at: which rows, which tables, which settings.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use onerow_sql::{Dialect, Kind, tokens};

use crate::failure::Failure;

/// How many rows lack the parent that a foreign key asks for, by table and table of the parent.
pub(crate) type Orphans = BTreeMap<(String, String), usize>;

/// Of one connection, which tells it of each row that is written.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    written: Mutex<Written>,
    seen: Mutex<Seen>,
    stale: AtomicBool,
}

/// What the connection has told.
#[derive(Debug, Default)]
struct Written {
    /// Since the connection was opened.
    rows: i64,
    /// Since the last migration.
    tables: BTreeSet<String>,
}

/// What there was when the session was last looked at.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) facts: Facts,
    /// How many changes the connection has counted, but not told: of tables without a rowid, and of a `DELETE` without a `WHERE`.
    pub(crate) untold: i64,
    /// The `CREATE` statement of each table.
    tables: BTreeMap<String, String>,
    /// The same in lower case, of the tables with a foreign key.
    children: BTreeMap<String, String>,
    /// Of the tables that were looked at since some row was seen to lack its parent.
    pub(crate) orphans: Orphans,
    /// How many migrations were found to have only added to the schema since, of those of which more was to be feared.
    pub(crate) unread: u32,
    /// Whether a table with a foreign key may have been added since.
    pub(crate) has_new_children: bool,
}

/// What SQLite says of the session and its database.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) changes: i64,
    /// Each statement that changes the schema moves it by one.
    pub(crate) schema_version: i64,
    /// The newest row of the schema.
    pub(crate) newest: i64,
    /// What holds for the connection, and not for the database.
    pub(crate) settings: String,
    /// How many are attached, with its own.
    pub(crate) databases: i64,
    /// Whether there is a database for temporary tables; a rename makes an empty one.
    pub(crate) temporary: bool,
}

impl Ledger {
    /// A row was written.
    pub(crate) fn write(&self, database: &str, table: &str) {
        let mut written = lock(&self.written);
        written.rows += 1;
        if database == "main" && !written.tables.contains(table) {
            written.tables.insert(table.to_owned());
        }
    }

    /// How many rows were written, and to which tables since this was asked last.
    pub(crate) fn take(&self) -> (i64, BTreeSet<String>) {
        let mut written = lock(&self.written);
        (written.rows, std::mem::take(&mut written.tables))
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Keeps which rows are known to lack their parent, on a new connection.
    pub(crate) fn take_over(&self, former: &Self) {
        self.seen().orphans = std::mem::take(&mut former.seen().orphans);
    }

    /// Something is left in the session that the next migration must not find.
    pub(crate) fn spoil(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }
}

impl Seen {
    /// `told` is how many of the changes the connection has told of.
    pub(crate) fn of(
        facts: Facts,
        tables: BTreeMap<String, String>,
        told: i64,
        orphans: Orphans,
    ) -> Self {
        let mut seen = Self { untold: facts.changes - told, facts, orphans, ..Self::default() };
        seen.add(tables);
        seen
    }

    pub(crate) fn has(&self, table: &str) -> bool {
        self.tables.keys().any(|known| known.eq_ignore_ascii_case(table))
    }

    /// Takes in tables that were not seen before.
    pub(crate) fn add(&mut self, tables: BTreeMap<String, String>) {
        for (name, sql) in tables {
            let lower = sql.to_ascii_lowercase();
            if lower.contains("references") {
                self.children.insert(name.clone(), lower);
            }
            self.tables.insert(name, sql);
        }
    }

    /// The tables that may hold a row without its parent after these were changed.
    pub(crate) fn children_of(&self, changed: &BTreeSet<String>) -> BTreeSet<String> {
        let lower: Vec<_> = changed.iter().map(|table| table.to_ascii_lowercase()).collect();
        let may_refer = |sql: &str| lower.iter().any(|table| mentions(sql, table));
        let named =
            self.children.iter().filter(|(name, sql)| changed.contains(*name) || may_refer(sql));
        named.map(|(name, _)| name.clone()).collect()
    }

    /// All tables with a foreign key.
    pub(crate) fn all_children(&self) -> BTreeSet<String> {
        self.children.keys().cloned().collect()
    }

    /// The tables that a foreign key refers to.
    pub(crate) fn parents(&self) -> BTreeSet<String> {
        let named: BTreeSet<_> = self.children.values().flat_map(|sql| referred_to(sql)).collect();
        let parents = self.tables.keys().filter(|name| named.contains(&name.to_ascii_lowercase()));
        parents.cloned().collect()
    }

    /// Whether the table's key is part of its `CREATE` statement, as it is not if it was made from a query.
    pub(crate) fn has_own_key(&self, table: &str) -> bool {
        let sql = self.tables.get(table).map_or_else(String::new, |sql| sql.to_ascii_lowercase());
        sql.contains("primary") || sql.contains("unique")
    }

    /// The tables that were made, dropped, renamed or altered.
    pub(crate) fn differing(&self, tables: &BTreeMap<String, String>) -> BTreeSet<String> {
        let gone = self.tables.iter().filter(|(name, sql)| tables.get(*name) != Some(sql));
        let new = tables.iter().filter(|(name, sql)| self.tables.get(*name) != Some(sql));
        gone.chain(new).map(|(name, _)| name.clone()).collect()
    }

    /// Of tables that are gone nothing is known any more.
    pub(crate) fn forget_gone(&mut self) {
        let mut orphans = std::mem::take(&mut self.orphans);
        orphans.retain(|(child, _), _| self.has(child));
        self.orphans = orphans;
    }

    /// Keeps what was found in these tables.
    pub(crate) fn keep(&mut self, children: &BTreeSet<String>, orphans: Orphans) {
        self.orphans.retain(|(child, _), _| !children.contains(child));
        self.orphans.extend(orphans);
    }
}

/// The failure of a migration that leaves more rows without their parent than there were.
///
/// Rows that lacked theirs before do not count: Python's sqlite3 does not enforce foreign keys, so a database that is taken
/// over may hold some.
pub(crate) fn more(before: &Orphans, after: &Orphans) -> Option<Failure> {
    after.iter().find_map(|(key, rows)| {
        let rows =
            rows.checked_sub(before.get(key).copied().unwrap_or(0)).filter(|rows| *rows > 0)?;
        Some(Failure::ForeignKeys { rows, table: key.0.clone() })
    })
}

/// Whether more rows lack their parent than did in the tables that are gone, which may have been renamed or copied.
pub(crate) fn more_elsewhere(
    before: &Orphans,
    after: &Orphans,
    has: impl Fn(&str) -> bool,
) -> bool {
    let stayed = |(child, parent): &(String, String)| has(child) && has(parent);
    let gone: usize = before
        .iter()
        .filter(|(key, _)| !stayed(key) && !after.contains_key(*key))
        .map(|(_, rows)| rows)
        .sum();
    let risen =
        after.iter().map(|(key, rows)| rows.saturating_sub(before.get(key).copied().unwrap_or(0)));
    risen.sum::<usize>() > gone
}

/// The tables that follow the word `REFERENCES`.
fn referred_to(sql: &str) -> Vec<String> {
    let code = tokens(sql, Dialect::Sqlite).filter(|token| token.kind != Kind::Comment);
    let code: Vec<_> = code.collect();
    let named = code.windows(2).filter(|pair| pair[0].is("references"));
    named.map(|pair| pair[1].bare().to_owned()).collect()
}

/// Whether the statement may name this table. A quote within a name is written twice, so such a name is taken to be everywhere.
fn mentions(sql: &str, table: &str) -> bool {
    table.contains(['"', '`', '\'', ']']) || sql.contains(table)
}

/// A panic of another holder leaves nothing half written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
