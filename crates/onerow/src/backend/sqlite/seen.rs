//! What was last seen of a session and its database, to tell what a migration has changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::once,
    mem,
};

use onerow_sql::{Dialect, Kind, standard_literal, tokens};

use super::{
    facts::{Facts, HAS_TEMPORARY, SETTINGS},
    orphans::Orphans,
    refuse_if,
};
use crate::backend::grouping::Doubt;

/// The session and its database, as they were last seen.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    pub(super) facts: Facts,
    /// How many changes the connection has counted, but not told of: those of tables without a
    /// rowid, and of a `DELETE` without a `WHERE`.
    pub(super) untold: i64,
    /// The `CREATE` statement of each table.
    tables: BTreeMap<String, String>,
    /// The same in lower case, of the tables with a foreign key.
    children: BTreeMap<String, String>,
    /// The orphans in the tables that were searched for them.
    pub(super) orphans: Orphans,
    /// How many migrations have only added to the schema since, though they might have done more.
    pub(super) unread: u32,
    /// Whether a table with a foreign key may have been added since.
    pub(super) has_new_children: bool,
}

impl Seen {
    /// `told` is how many changes the connection has told of.
    pub(super) fn of(
        facts: Facts,
        tables: BTreeMap<String, String>,
        told: i64,
        orphans: Orphans,
    ) -> Self {
        let mut seen = Self { untold: facts.changes - told, facts, orphans, ..Self::default() };
        seen.add(tables);
        seen
    }

    pub(super) fn has(&self, table: &str) -> bool {
        self.tables.keys().any(|known| known.eq_ignore_ascii_case(table))
    }

    /// Adds tables that were not seen before.
    pub(super) fn add(&mut self, tables: BTreeMap<String, String>) {
        for (name, sql) in tables {
            let lower = sql.to_ascii_lowercase();
            if lower.contains("references") {
                self.children.insert(name.clone(), lower);
            }
            self.tables.insert(name, sql);
        }
    }

    /// The tables that may hold orphans after these tables were changed.
    pub(super) fn children_of(&self, changed: &BTreeSet<String>) -> BTreeSet<String> {
        let lower: Vec<_> = changed.iter().map(|table| table.to_ascii_lowercase()).collect();
        let may_refer = |sql: &str| lower.iter().any(|table| mentions(sql, table));
        let named =
            self.children.iter().filter(|(name, sql)| changed.contains(*name) || may_refer(sql));
        named.map(|(name, _)| name.clone()).collect()
    }

    /// All tables with a foreign key.
    pub(super) fn all_children(&self) -> BTreeSet<String> {
        self.children.keys().cloned().collect()
    }

    /// The tables that a foreign key refers to.
    pub(super) fn parents(&self) -> BTreeSet<String> {
        let named: BTreeSet<_> = self.children.values().flat_map(|sql| referred_to(sql)).collect();
        let parents = self.tables.keys().filter(|name| named.contains(&name.to_ascii_lowercase()));
        parents.cloned().collect()
    }

    /// Whether the table's key is part of its `CREATE` statement. It is not if the table was made
    /// from a query.
    pub(super) fn has_own_key(&self, table: &str) -> bool {
        let sql = self.tables.get(table).map_or_else(String::new, |sql| sql.to_ascii_lowercase());
        sql.contains("primary") || sql.contains("unique")
    }

    /// The tables that were made, dropped, renamed or altered.
    pub(super) fn differing(&self, tables: &BTreeMap<String, String>) -> BTreeSet<String> {
        let gone = self.tables.iter().filter(|(name, sql)| tables.get(*name) != Some(sql));
        let new = tables.iter().filter(|(name, sql)| self.tables.get(*name) != Some(sql));
        gone.chain(new).map(|(name, _)| name.clone()).collect()
    }

    /// Forgets the orphans of tables that are gone.
    pub(super) fn forget_gone(&mut self) {
        let mut orphans = mem::take(&mut self.orphans);
        orphans.retain(|(child, _), _| self.has(child));
        self.orphans = orphans;
    }

    /// Keeps the orphans that were found in these tables.
    pub(super) fn keep(&mut self, children: &BTreeSet<String>, orphans: Orphans) {
        self.orphans.retain(|(child, _), _| !children.contains(child));
        self.orphans.extend(orphans);
    }

    /// A statement that fails unless a migration only added to the schema, and wrote rows that
    /// SQLite told of and that all have their parents.
    pub(super) fn refusal(&self, told: i64, written: &BTreeSet<String>, doubt: Doubt) -> String {
        let mut conditions = vec![format!("total_changes() <> {}", told + self.untold)];
        // Each of the next two takes a fifth of the time of a small migration.
        if doubt.schema {
            conditions.extend(self.schema_differs());
        }
        if doubt.settings {
            conditions.push(format!("{} <> {}", *SETTINGS, standard_literal(&self.facts.settings)));
        }
        if written.iter().any(|table| is_internal(table)) {
            conditions.push("1".into());
        }
        if !written.is_empty() {
            conditions.extend(self.lacks_parents(written));
        }
        refuse_if(&conditions.join(" OR "))
    }

    /// The conditions that hold if anything was altered, dropped or attached, or is temporary.
    fn schema_differs(&self) -> Vec<String> {
        let Facts { schema_version, newest, databases, temporary, .. } = &self.facts;
        // Each statement that changes the schema moves its version by one. If there are as many new
        // rows, each statement has added one.
        let differs = format!(
            "(SELECT count(*) FROM pragma_database_list) <> {databases}
             OR (SELECT schema_version FROM pragma_schema_version) <> {schema_version} + (
                 SELECT count(*) FROM main.sqlite_schema
                 WHERE rowid > {newest} AND substr(name, 1, 7) <> 'sqlite_')",
        );
        once(differs).chain(temporary.then(|| HAS_TEMPORARY.into())).collect()
    }

    /// The conditions that hold if these changes have left orphans, or if a new table has some.
    fn lacks_parents(&self, written: &BTreeSet<String>) -> Vec<String> {
        let check = |table: &str| format!("pragma_foreign_key_check({table}, 'main')");
        let children = self.children_of(written);
        let known = children
            .iter()
            .map(|child| format!("EXISTS (SELECT 1 FROM {})", check(&standard_literal(child))));
        let new = format!(
            "EXISTS (SELECT 1 FROM main.sqlite_schema s, {}
                     WHERE s.rowid > {} AND s.type = 'table' AND s.sql LIKE '%references%')",
            check("s.name"),
            self.facts.newest
        );
        known.chain(self.has_new_children.then_some(new)).collect()
    }
}

/// The tables that a statement names behind the word `REFERENCES`.
fn referred_to(sql: &str) -> Vec<String> {
    let code = tokens(sql, Dialect::Sqlite).filter(|token| token.kind != Kind::Comment);
    let code: Vec<_> = code.collect();
    let named = code.windows(2).filter(|pair| pair[0].is("references"));
    named.map(|pair| pair[1].bare().to_owned()).collect()
}

/// Whether the statement may name this table. A name that contains a quote counts as named by every
/// statement, because SQL may write that quote twice.
fn mentions(sql: &str, table: &str) -> bool {
    table.contains(['"', '`', '\'', ']']) || sql.contains(table)
}

/// Whether it is one of SQLite's own tables. A migration that writes to those knows what it does.
pub(super) fn is_internal(table: &str) -> bool {
    table.starts_with("sqlite_")
}
