//! The tools that are compared, and the databases.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A migrator, or the bare connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    Onerow,
    SeaOrmMigration,
    Sqlx,
    Refinery,
    Diesel,
    Limit,
}

/// A way of using a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The way of its documentation.
    Usual,
    /// All migrations in one transaction, for the tools that can do that.
    Grouped,
    /// The bare connection reads one row.
    Nothing,
    /// The bare connection applies each migration by itself.
    Each,
    /// The bare connection applies all migrations at once.
    One,
}

/// A tool, used in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subject {
    pub tool: Tool,
    pub mode: Mode,
}

/// A database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Postgres,
    Sqlite,
}

impl Tool {
    pub const ALL: [Self; 6] = [
        Self::Onerow,
        Self::SeaOrmMigration,
        Self::Sqlx,
        Self::Refinery,
        Self::Diesel,
        Self::Limit,
    ];

    /// The tools that are migrators.
    pub const MIGRATORS: [Self; 5] =
        [Self::Onerow, Self::SeaOrmMigration, Self::Sqlx, Self::Refinery, Self::Diesel];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Onerow => "onerow",
            Self::SeaOrmMigration => "sea-orm-migration",
            Self::Sqlx => "sqlx",
            Self::Refinery => "refinery",
            Self::Diesel => "diesel",
            Self::Limit => "bare connection",
        }
    }

    /// The package of its program, and the program's name.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Onerow => "with_onerow",
            Self::SeaOrmMigration => "with_sea_orm_migration",
            Self::Sqlx => "with_sqlx",
            Self::Refinery => "with_refinery",
            Self::Diesel => "with_diesel",
            Self::Limit => "limit",
        }
    }

    /// The crate whose version is the tool's.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Onerow => "onerow",
            Self::SeaOrmMigration => "sea-orm-migration",
            Self::Sqlx | Self::Limit => "sqlx",
            Self::Refinery => "refinery",
            Self::Diesel => "diesel_migrations",
        }
    }

    /// The way of its documentation; for the bare connection, with nothing to do.
    pub const fn usual(self) -> Subject {
        let mode = if matches!(self, Self::Limit) { Mode::Nothing } else { Mode::Usual };
        Subject { tool: self, mode }
    }
}

impl Subject {
    pub const ONEROW: Self = Tool::Onerow.usual();
    pub const EACH: Self = Self { tool: Tool::Limit, mode: Mode::Each };
    pub const ONE: Self = Self { tool: Tool::Limit, mode: Mode::One };

    /// The program's word for it.
    pub const fn argument(self) -> Option<&'static str> {
        match self.mode {
            Mode::Usual => None,
            Mode::Grouped => Some("grouped"),
            Mode::Nothing => Some("nothing"),
            Mode::Each => Some("each"),
            Mode::One => Some("one"),
        }
    }

    pub fn is_limit(self) -> bool {
        self.tool == Tool::Limit
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.tool.name();
        match self.mode {
            Mode::Usual | Mode::Nothing => f.write_str(name),
            Mode::Grouped => write!(f, "{name}, grouped"),
            Mode::Each => write!(f, "{name}, each"),
            Mode::One => write!(f, "{name}, one"),
        }
    }
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Postgres, Self::Sqlite];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        })
    }
}
