//! The name of the version table.

use std::fmt::{self, Write};

use onerow_sql::quoted_name;
use sea_orm::DatabaseBackend;

use crate::error::{Error, ErrorKind};

/// The name unless the registry gives another. quart-db has the same.
const NAME: &str = "schema_migration";

/// PostgreSQL cuts off a longer name, in bytes, so that two names may become one
/// (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).
const LONGEST: usize = 63;

/// How many bytes of a session's label may name the table. PostgreSQL cuts a label off after 63.
const LONGEST_LABEL: usize = 32;

/// The name of a table, and of its schema on PostgreSQL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TableName {
    /// `None` for [`NAME`].
    name: Option<String>,
    /// `None` for the first schema in the search path.
    schema: Option<String>,
}

impl TableName {
    pub(crate) fn named(self, name: String) -> Self {
        Self { name: Some(name).filter(|name| name != NAME), ..self }
    }

    pub(crate) fn in_schema(self, schema: String) -> Self {
        Self { schema: Some(schema), ..self }
    }

    /// Reads `name` or `schema.name`.
    pub(crate) fn parse(text: &str) -> Self {
        match text.split_once('.') {
            Some((schema, name)) => Self::default().in_schema(schema.into()).named(name.into()),
            None => Self::default().named(text.into()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(NAME)
    }

    pub(crate) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The name as it is written in statements.
    pub(crate) fn sql(&self) -> String {
        let name = self.name.as_deref().map_or_else(|| NAME.to_owned(), quoted_name);
        self.schema.iter().map(|schema| quoted_name(schema) + ".").chain([name]).collect()
    }

    /// An error if no database can have a table of this name, or if another name may mean the same.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let names = || self.name.iter().chain(&self.schema);
        let reason = if names().any(|name| name.is_empty() || name.contains('\0')) {
            "a name has at least one character, and no NUL".to_owned()
        } else if names().any(|name| name.len() > LONGEST) {
            format!("PostgreSQL cuts names off after {LONGEST} bytes, so that two may become one")
        } else {
            return Ok(());
        };
        let message = format!(
            "{:?} cannot be the version table: {reason}; nothing was changed",
            self.to_string()
        );
        Err(Error::new(ErrorKind::InvalidTable, message).of_table(self))
    }

    /// The name on this backend. SQLite has no schemas, so there the schema becomes a part of the
    /// name.
    pub(crate) fn on(self, backend: DatabaseBackend) -> Self {
        if backend == DatabaseBackend::Sqlite && self.schema.is_some() {
            return Self { name: Some(self.to_string()), schema: None };
        }
        self
    }

    /// The name of the table if it was created by a statement that did not quote it.
    pub(crate) fn folded(&self) -> Self {
        Self {
            name: self.name.as_deref().map(str::to_lowercase),
            schema: self.schema.as_deref().map(str::to_lowercase),
        }
    }

    /// Tells the sessions and lock files of this registry from those of another. It is empty for
    /// the default table.
    pub(crate) fn label(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        let text = self.to_string();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if text.len() <= LONGEST_LABEL && text.bytes().all(plain) {
            return text;
        }
        let mut label: String = text
            .bytes()
            .filter(|byte| plain(*byte))
            .take(LONGEST_LABEL - 9)
            .map(char::from)
            .collect();
        let _ = write!(label, "-{:08x}", hash(&self.sql()));
        label
    }
}

/// The name as messages show it.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.schema.iter().try_for_each(|schema| write!(f, "{schema}."))?;
        f.write_str(self.name())
    }
}

/// Whether a table of this name and these columns holds the version row of a registry.
#[doc(hidden)]
pub fn is_version_table<'a>(name: &str, mut columns: impl Iterator<Item = &'a str>) -> bool {
    name == NAME || columns.any(|column| column == "onerow_id")
}

/// FNV-1a. It is the same in each build and on each machine: two that run at once have to agree.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        TableName::parse(name)
    }

    #[test]
    fn the_seeds_table_is_written_as_the_seed_writes_it() {
        assert_eq!(TableName::default().sql(), "schema_migration");
        assert_eq!(TableName::default().named("schema_migration".into()), TableName::default());
    }

    #[test]
    fn any_name_is_one_identifier() {
        let odd =
            TableName::default().named("order\"; DROP TABLE x".into()).in_schema("a.b".into());
        assert_eq!(odd.sql(), "\"a.b\".\"order\"\"; DROP TABLE x\"");
    }

    #[test]
    fn labels_differ_where_tables_do_and_fit_a_session() {
        let long = "billing_with_a_name_that_is_longer_than_a_label_may_be";
        let labels =
            ["schema_migration", "auth", "a.auth", "größe", "gr__e", long, &format!("{long}2")];
        let labels: std::collections::BTreeSet<_> =
            labels.iter().map(|name| table(name).label()).collect();
        assert_eq!(labels.len(), 7);
        assert!(labels.iter().all(|label| label.len() <= LONGEST_LABEL && label.is_ascii()));
    }

    #[test]
    fn a_name_that_postgres_would_cut_off_or_not_take_is_refused() {
        for wrong in [String::new(), "a\0b".into(), "x".repeat(64)] {
            assert!(table(&wrong).check().is_err(), "{wrong:?}");
        }
        assert!(table(&"x".repeat(63)).check().is_ok());
    }

    #[test]
    fn on_sqlite_the_schema_is_a_part_of_the_name() {
        let on = |text| table(text).on(DatabaseBackend::Sqlite).sql();
        assert_eq!(
            (on("a.m"), on("b.m"), on("m")),
            ("\"a.m\"".into(), "\"b.m\"".into(), "\"m\"".into())
        );
        let default = TableName::default().in_schema("a".into()).on(DatabaseBackend::Sqlite);
        assert_eq!(default.name(), "a.schema_migration");
    }
}
