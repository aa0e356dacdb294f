//! PRAGMAs that SQLite silently ignores inside a transaction.

use onerow_sql::{Dialect, Kind, Token, tokens};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, QueryResult, Statement,
};

/// The PRAGMAs whose value can be compared with the one that was asked for. `foreign_keys` is
/// ignored too, which does no harm: it is off during a migration, and foreign keys are checked
/// after it.
const IGNORED: [&str; 4] = ["journal_mode", "page_size", "auto_vacuum", "encoding"];

/// A PRAGMA that asks for a value.
#[derive(Debug, PartialEq)]
struct Pragma {
    schema: String,
    name: &'static str,
    value: String,
}

/// An error if this SQL, which has run in the transaction, holds a PRAGMA that had no effect.
pub(crate) async fn check_effect(
    transaction: &DatabaseTransaction,
    sql: &str,
) -> Result<(), DbErr> {
    if ConnectionTrait::get_database_backend(transaction) != DatabaseBackend::Sqlite {
        return Ok(());
    }
    for pragma in pragmas(sql) {
        if let Some(found) = current(transaction, &pragma).await?
            && !pragma.is_met_by(&found)
        {
            return Err(pragma.ineffective(&found));
        }
    }
    Ok(())
}

async fn current(
    transaction: &DatabaseTransaction,
    pragma: &Pragma,
) -> Result<Option<String>, DbErr> {
    let Pragma { schema, name, .. } = pragma;
    let look =
        Statement::from_string(DatabaseBackend::Sqlite, format!("PRAGMA \"{schema}\".{name}"));
    let row = transaction.query_one_raw(look).await?;
    let text = |row: QueryResult| row.try_get_by_index(0).or_else(|_| number(&row));
    row.map(text).transpose()
}

fn number(row: &QueryResult) -> Result<String, DbErr> {
    row.try_get_by_index(0).map(|number: i64| number.to_string())
}

impl Pragma {
    fn is_met_by(&self, found: &str) -> bool {
        let asked = match (self.name, self.value.as_str()) {
            ("auto_vacuum", "none") => "0",
            ("auto_vacuum", "full") => "1",
            ("auto_vacuum", "incremental") => "2",
            (_, other) => other,
        };
        let found = found.to_ascii_lowercase();
        // UTF8 means UTF-8, and UTF-16 means either UTF-16le or UTF-16be.
        let bare = |encoding: &str| encoding.replace('-', "");
        if self.name == "encoding" {
            bare(&found).starts_with(&bare(asked))
        } else {
            found == asked
        }
    }

    fn ineffective(&self, found: &str) -> DbErr {
        let Self { name, value, .. } = self;
        let reason = match *name {
            "encoding" => "a database keeps the encoding that it was made with",
            "journal_mode" => {
                "SQLite ignores it in a transaction; give the migration Mode::Outside"
            }
            _ => {
                "it takes effect with a VACUUM on the same connection; put both into one \
                 migration, and give it Mode::Outside"
            }
        };
        DbErr::Custom(format!(
            "PRAGMA {name} = {value} has no effect, and {name} is still {found}: {reason}"
        ))
    }
}

/// The SQL of a statement if a PRAGMA may be in it, or else an empty text.
pub(crate) fn sql_of(statement: &Statement) -> String {
    if is_in(&statement.sql) { statement.sql.clone() } else { String::new() }
}

/// Whether a PRAGMA may be in this SQL.
pub(crate) fn is_in(sql: &str) -> bool {
    holds(sql, "pragma")
}

/// Whether this SQL may alter or drop anything, make anything temporary, attach or detach a file,
/// or write to the schema.
pub(crate) fn may_alter(sql: &str) -> bool {
    ["alter", "drop", "temp", "tach", "pragma"].into_iter().any(|word| holds(sql, word))
}

/// Whether this SQL may declare a foreign key.
pub(crate) fn may_refer(sql: &str) -> bool {
    holds(sql, "references")
}

fn holds(sql: &str, word: &str) -> bool {
    sql.as_bytes().windows(word.len()).any(|bytes| bytes.eq_ignore_ascii_case(word.as_bytes()))
}

/// The PRAGMAs in a script that ask for a value, in lower case.
fn pragmas(sql: &str) -> Vec<Pragma> {
    let sql = sql.to_ascii_lowercase();
    let code = tokens(&sql, Dialect::Sqlite).filter(|token| token.kind != Kind::Comment);
    let code: Vec<_> = code.collect();
    code.split(|token| token.is_symbol(";")).filter_map(pragma).collect()
}

fn pragma(statement: &[Token]) -> Option<Pragma> {
    let texts: Vec<_> = statement.iter().map(|token| token.text).collect();
    let bare = |index: usize| statement[index].bare().to_owned();
    let (schema, name, value) = match texts[..] {
        ["pragma", _, ".", _, "=" | "(", _, ..] => (bare(1), bare(3), bare(5)),
        ["pragma", _, "=" | "(", _, ..] => ("main".to_owned(), bare(1), bare(3)),
        _ => return None,
    };
    let name = IGNORED.into_iter().find(|known| *known == name)?;
    Some(Pragma { schema, name, value })
}

#[cfg(test)]
mod tests {
    use super::pragmas;

    fn found(sql: &str) -> Vec<String> {
        pragmas(sql)
            .iter()
            .map(|one| format!("{}.{}={}", one.schema, one.name, one.value))
            .collect()
    }

    #[test]
    fn a_pragma_is_found_however_it_is_written() {
        for sql in [
            "PRAGMA journal_mode = WAL",
            "CREATE TABLE t (a); pragma journal_mode('wal');",
            "-- a comment; \nPRAGMA /* why */ main . journal_mode=\"wal\"",
        ] {
            assert_eq!(found(sql), ["main.journal_mode=wal"], "{sql}");
        }
    }

    #[test]
    fn what_only_names_or_asks_for_one_is_none() {
        for sql in [
            "PRAGMA journal_mode",
            "-- PRAGMA journal_mode = WAL",
            "/* PRAGMA journal_mode = WAL; */ SELECT 1",
            "INSERT INTO notes VALUES ('it''s; PRAGMA journal_mode = WAL')",
            "PRAGMA foreign_keys = OFF",
        ] {
            assert!(found(sql).is_empty(), "{sql}");
        }
    }
}
