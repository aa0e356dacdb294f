//! The rows of all tables, before and after a migration.

use std::collections::BTreeMap;

use sea_orm::{DatabaseBackend, DbErr};

use super::rows::{Selected, select};
use onerow::{Database, is_version_table};

/// The rows of each table.
pub(super) struct Rows(BTreeMap<String, Selected>);

/// How many lines of a table to show.
const SHOWN: usize = 10;

impl Rows {
    pub(super) async fn read(db: &Database) -> Result<Self, DbErr> {
        let pool = db.connection().map_err(|error| DbErr::Custom(error.to_string()))?;
        let mut tables = BTreeMap::new();
        for row in select(pool, tables_of(db)).await?.rows {
            let [name, quoted] = row.as_slice() else { continue };
            let rows = select(pool, &format!("SELECT * FROM {quoted}")).await?;
            if !is_version_table(name, rows.columns.iter().map(String::as_str)) {
                tables.insert(name.clone(), rows);
            }
        }
        Ok(Self(tables))
    }

    /// The rows that are not the same afterwards, a line each; `None` if all are, apart from the
    /// columns and tables that may change.
    pub(super) fn changed(&self, after: &Self, changing: &[String]) -> Option<String> {
        let gone = Selected::default();
        let changes: Vec<_> = self
            .0
            .iter()
            .filter(|(name, _)| !changing.contains(name))
            .filter_map(|(name, before)| {
                let is_changing = |column: &str| changing.contains(&format!("{name}.{column}"));
                let lines = lost(before, after.0.get(name).unwrap_or(&gone), is_changing)?;
                Some(format!("table {name}\n{lines}"))
            })
            .collect();
        (!changes.is_empty()).then(|| changes.join("\n"))
    }
}

/// The names of the tables, and the same quoted.
fn tables_of(db: &Database) -> &'static str {
    match db.get_database_backend() {
        DatabaseBackend::Postgres => {
            "SELECT relname, pg_catalog.format('%I.%I', pg_catalog.current_schema(), relname)
             FROM pg_catalog.pg_class WHERE relkind OPERATOR(pg_catalog.=) ANY ('{r,p}')
                 AND relnamespace OPERATOR(pg_catalog.=)
                     pg_catalog.quote_ident(pg_catalog.current_schema())::pg_catalog.regnamespace"
        }
        _ => {
            r#"SELECT name, '"' || replace(name, '"', '""') || '"' FROM sqlite_schema
               WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'"#
        }
    }
}

fn lost(before: &Selected, after: &Selected, is_changing: impl Fn(&str) -> bool) -> Option<String> {
    let stays = |column: &&String| {
        !is_changing(column) && (after.rows.is_empty() || after.columns.contains(column))
    };
    let columns: Vec<&String> = before.columns.iter().filter(stays).collect();
    let mut counts: BTreeMap<String, isize> = BTreeMap::new();
    for line in lines(before, &columns) {
        *counts.entry(line).or_default() += 1;
    }
    for line in lines(after, &columns) {
        *counts.entry(line).or_default() -= 1;
    }
    counts.values().any(|count| *count > 0).then(|| shown(&counts))
}

/// Each row as one line of these columns.
fn lines(selected: &Selected, columns: &[&String]) -> impl Iterator<Item = String> {
    let place = |name: &&String| selected.columns.iter().position(|column| column == *name);
    let places: Vec<_> = columns.iter().filter_map(|name| Some((*name, place(name)?))).collect();
    selected.rows.iter().map(move |row| {
        let values: Vec<_> =
            places.iter().map(|(name, place)| format!("{name}: {}", row[*place])).collect();
        values.join(", ")
    })
}

fn shown(counts: &BTreeMap<String, isize>) -> String {
    let lost = counts.iter().flat_map(|(line, count)| repeated('-', line, *count));
    let come = counts.iter().flat_map(|(line, count)| repeated('+', line, -count));
    let lines: Vec<_> = lost.take(SHOWN).chain(come.take(SHOWN)).collect();
    lines.join("\n")
}

fn repeated(sign: char, line: &str, count: isize) -> impl Iterator<Item = String> {
    (0..count).map(move |_| format!("{sign} {line}"))
}
