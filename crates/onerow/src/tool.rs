//! The tools that onerow takes over from: each one's table, and its names for migrations.

use std::fmt;

use crate::table::TableName;

/// Another program that migrates databases, which [`adopt`](crate::Registry::adopt) takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tool {
    /// sea-orm-migration, whose table is `seaql_migrations`.
    SeaOrmMigration,
    /// sqlx, whose table is `_sqlx_migrations`.
    Sqlx,
    /// refinery, whose table is `refinery_schema_history`.
    Refinery,
    /// diesel, whose table is `__diesel_schema_migrations`.
    Diesel,
    /// quart-db, a library for Python, whose table is `schema_migration`, in each of its layouts.
    QuartDb,
}

impl Tool {
    /// All tools.
    pub const ALL: [Self; 5] =
        [Self::SeaOrmMigration, Self::Sqlx, Self::Refinery, Self::Diesel, Self::QuartDb];

    /// The name that the tool has, such as `sea-orm-migration`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SeaOrmMigration => "sea-orm-migration",
            Self::Sqlx => "sqlx",
            Self::Refinery => "refinery",
            Self::Diesel => "diesel",
            Self::QuartDb => "quart-db",
        }
    }

    /// The table in which it keeps what it has applied, unless it is told otherwise.
    pub(crate) fn table(self) -> TableName {
        TableName::parse(match self {
            Self::SeaOrmMigration => "seaql_migrations",
            Self::Sqlx => "_sqlx_migrations",
            Self::Refinery => "refinery_schema_history",
            Self::Diesel => "__diesel_schema_migrations",
            Self::QuartDb => "schema_migration",
        })
    }

    /// The columns to read from its table: the key, the name to show, the position in the order of
    /// application, and whether the migration succeeded. Migrations of the same moment have the
    /// same position; for most tools a moment is a second. The SQL has yet to go through
    /// [`dialect`](crate::backend::Session::dialect).
    pub(crate) fn columns(self) -> [Column; 4] {
        let column = |name, sql| Column { name, sql };
        match self {
            Self::SeaOrmMigration => [
                column("version", "version"),
                column("version", "version"),
                column(
                    "applied_at",
                    "CAST(pg_catalog.rank() OVER (ORDER BY applied_at) AS pg_catalog.text)",
                ),
                ALWAYS,
            ],
            Self::Sqlx => [
                column("version", "CAST(version AS pg_catalog.text)"),
                column("description", "CAST(version AS pg_catalog.text) || ' ' || description"),
                column(
                    "installed_on",
                    "CAST(pg_catalog.rank() OVER (ORDER BY installed_on) AS pg_catalog.text)",
                ),
                column("success", "CASE WHEN success THEN 'yes' ELSE 'no' END"),
            ],
            Self::Refinery => [
                column("version", "CAST(version AS pg_catalog.text) || '__' || name"),
                column("name", "'V' || CAST(version AS pg_catalog.text) || '__' || name"),
                column("applied_on", "applied_on"),
                ALWAYS,
            ],
            Self::Diesel => [
                column("version", "version"),
                column("version", "version"),
                column(
                    "run_on",
                    "CAST(pg_catalog.rank() OVER (ORDER BY run_on) AS pg_catalog.text)",
                ),
                ALWAYS,
            ],
            // Its table has one row, with a number, so it is read in another way.
            Self::QuartDb => [ALWAYS; 4],
        }
    }

    /// The SQL for the checksum of a script, if the tool keeps one in its column `checksum`.
    pub(crate) fn checksum(self, hexadecimal: impl Fn(&str) -> String) -> Option<String> {
        match self {
            Self::Sqlx => Some(hexadecimal("checksum")),
            Self::Refinery => Some("checksum".into()),
            _ => None,
        }
    }

    /// A column of this tool's table that is not among these.
    pub(crate) fn missing(self, columns: &[String]) -> Option<&'static str> {
        let has = |name: &str| columns.iter().any(|column| column == name);
        match self {
            Self::QuartDb if has("foreground") && has("background") => None,
            Self::QuartDb => (!has("version")).then_some("version"),
            _ => self
                .columns()
                .map(|column| column.name)
                .into_iter()
                .find(|name| !name.is_empty() && !has(name)),
        }
    }

    /// The part that all names of one migration share. `None` if this is no name for the tool.
    pub(crate) fn key(self, name: &str) -> Option<String> {
        match self {
            Self::SeaOrmMigration => Some(name.to_owned()),
            Self::Sqlx => {
                before_underscore(name).parse::<i64>().ok().map(|version| version.to_string())
            }
            Self::Refinery => {
                let stem =
                    name.strip_suffix(".sql").or_else(|| name.strip_suffix(".rs")).unwrap_or(name);
                let (version, name) = stem.strip_prefix(['V', 'U'])?.split_once("__")?;
                Some(format!("{}__{name}", version.parse::<i64>().ok()?))
            }
            // https://docs.rs/migrations_internals: `version_from_string`
            Self::Diesel => {
                Some(before_underscore(name).replace('-', "")).filter(|key| !key.is_empty())
            }
            Self::QuartDb => {
                let number = name.strip_suffix(".py").unwrap_or(name);
                number.parse::<i32>().ok().map(|number| number.to_string())
            }
        }
    }

    /// The part of a name that is not the key, if the tool's table keeps it. `None` if the name is
    /// only the key.
    pub(crate) fn description(self, name: &str) -> Option<String> {
        let (_, description) = name.split_once('_').filter(|_| self == Self::Sqlx)?;
        let description = description.strip_suffix(".sql").unwrap_or(description);
        Some(description.strip_suffix(".up").unwrap_or(description).replace('_', " "))
    }
}

/// The name that the tool has, which `--from` takes.
impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A column that has to be there, and the SQL that selects it.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    /// It is empty if no column is needed.
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

const ALWAYS: Column = Column { name: "", sql: "'yes'" };

fn before_underscore(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_what_the_tool_itself_goes_by() {
        let same = |tool: Tool, names: &[&str], key: &str| {
            for name in names {
                assert_eq!(tool.key(name).as_deref(), Some(key), "{tool} {name}");
            }
        };
        same(
            Tool::SeaOrmMigration,
            &["m20220101_000001_create.up.sql"],
            "m20220101_000001_create.up.sql",
        );
        same(
            Tool::Sqlx,
            &["1", "0001_init", "0001_init.sql", "1_init.up.sql", "1_renamed_since"],
            "1",
        );
        same(Tool::Refinery, &["V1__init", "V01__init.sql", "U1__init.rs"], "1__init");
        same(
            Tool::Diesel,
            &["2022-01-01-000001_create", "20220101000001_create", "20220101000001"],
            "20220101000001",
        );
        same(Tool::QuartDb, &["3", "3.py", "03.py"], "3");
    }

    #[test]
    fn a_name_that_the_tool_would_not_take_is_none() {
        for (tool, name) in [
            (Tool::Sqlx, "init"),
            (Tool::Sqlx, ""),
            (Tool::Refinery, "1_init"),
            (Tool::Refinery, "V1.2__init"),
        ] {
            assert_eq!(tool.key(name), None, "{tool} {name}");
        }
        assert_eq!(Tool::Diesel.key("_init"), None);
        assert_eq!(Tool::QuartDb.key("m0003"), None);
    }
}
