//! Orphans: rows that lack the parent that a foreign key asks for.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{DatabaseTransaction, DbErr};

use super::rows;
use crate::{driver::words, failure::Failure};

/// How many orphans there are, by their table and the table of the parent.
pub(super) type Orphans = BTreeMap<(String, String), usize>;

/// The orphans in these tables, and the tables for which SQLite cannot tell. A foreign key of such
/// a table refers to columns that are not unique, and the migration at hand may be the one to mend
/// that.
pub(super) async fn orphans(
    claim: &DatabaseTransaction,
    children: &BTreeSet<String>,
) -> (Orphans, BTreeSet<String>) {
    let mut found = (Orphans::new(), BTreeSet::new());
    for child in children {
        match orphans_of(claim, child).await {
            Ok(orphans) => found.0.extend(orphans),
            Err(error) if words(&error).starts_with("foreign key mismatch") => {
                found.1.insert(child.clone());
            }
            // There was no such table yet.
            Err(_) => (),
        }
    }
    found
}

async fn orphans_of(claim: &DatabaseTransaction, child: &str) -> Result<Orphans, DbErr> {
    let sql = "SELECT parent, count(*) FROM pragma_foreign_key_check(?, 'main') GROUP BY parent";
    let counted = rows(claim, sql, child).await?;
    let key = |parent| (child.to_owned(), parent);
    let counted = counted.iter().map(|row| {
        let rows: i64 = row.try_get_by_index(1)?;
        Ok((key(row.try_get_by_index(0)?), usize::try_from(rows).unwrap_or(usize::MAX)))
    });
    counted.collect()
}

/// The failure of a migration that leaves more orphans than there were. `has` says which tables
/// there still are.
///
/// Older orphans do not count: Python's sqlite3 does not enforce foreign keys, so a database that
/// is taken over may hold some.
pub(super) fn more(
    before: &Orphans,
    after: &Orphans,
    has: impl Fn(&str) -> bool,
) -> Option<Failure> {
    more_in_a_table(before, after).filter(|_| more_than_gone(before, after, has))
}

fn more_in_a_table(before: &Orphans, after: &Orphans) -> Option<Failure> {
    after.iter().find_map(|(key, rows)| {
        let rows =
            rows.checked_sub(before.get(key).copied().unwrap_or(0)).filter(|rows| *rows > 0)?;
        Some(Failure::ForeignKeys { rows, table: key.0.clone() })
    })
}

/// Whether there are more new orphans than there were in the tables that are gone: those may have
/// been renamed or copied.
fn more_than_gone(before: &Orphans, after: &Orphans, has: impl Fn(&str) -> bool) -> bool {
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
