//! The tools, each called in the way its users call it.

pub mod diesel;
pub mod quart_db;
pub mod refinery;
pub mod sea_orm;
pub mod sqlx;

use std::{
    error::Error,
    path::{Path, PathBuf},
};

/// A tool that has migrated databases so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// diesel_migrations 2.3
    Diesel,
    /// quart-db, in this version
    QuartDb(&'static str),
    /// refinery 0.10
    Refinery,
    /// sea-orm-migration 2.0
    SeaOrm,
    /// sqlx 0.9
    Sqlx,
}

/// The result of a tool's run.
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

impl Tool {
    /// The tools written in Rust. Each keeps a row for each migration.
    pub const RUST: [Self; 4] = [Self::Diesel, Self::Refinery, Self::SeaOrm, Self::Sqlx];

    /// The tools that this run of the tests does not leave out.
    pub fn wanted() -> impl Iterator<Item = Self> {
        let versions = if quart_db::is_wanted() { &quart_db::VERSIONS[..] } else { &[] };
        Self::RUST.into_iter().chain(versions.iter().map(|version| Self::QuartDb(version)))
    }

    /// The table of the migrations it has applied. quart-db's has the name of onerow's own.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Diesel => "__diesel_schema_migrations",
            Self::QuartDb(_) => "schema_migration",
            Self::Refinery => "refinery_schema_history",
            Self::SeaOrm => "seaql_migrations",
            Self::Sqlx => "_sqlx_migrations",
        }
    }

    /// Applies migrations until the first `count` are applied, wherever the database is.
    pub async fn migrate(self, url: &str, count: usize) {
        self.try_migrate(url, count).await.unwrap_or_else(|error| panic!("{self:?}: {error}"));
    }

    /// The same, for a tool that may refuse.
    pub async fn try_migrate(self, url: &str, count: usize) -> Outcome {
        match self {
            Self::Diesel => diesel::migrate(url, count).await,
            Self::QuartDb(version) => quart_db::migrate(version, url, count).await,
            Self::Refinery => refinery::migrate(url, count).await,
            Self::SeaOrm => sea_orm::migrate(url, count).await,
            Self::Sqlx => sqlx::migrate(url, count).await,
        }
    }

    /// Applies all but the third, as if that came later, from another branch.
    pub async fn migrate_with_a_gap(self, url: &str) {
        let outcome = match self {
            Self::Diesel => diesel::migrate_with_a_gap(url).await,
            Self::QuartDb(_) => panic!("quart-db counts, and stops at a gap"),
            Self::Refinery => refinery::migrate_with_a_gap(url).await,
            Self::SeaOrm => sea_orm::migrate_with_a_gap(url).await,
            Self::Sqlx => sqlx::migrate_with_a_gap(url).await,
        };
        outcome.unwrap_or_else(|error| panic!("{self:?}: {error}"));
    }
}

/// The index of the migration that is left out for a gap.
const GAP: usize = 2;

/// The argument of the drivers. Only sqlx takes the URL of an SQLite file as it is.
enum Place<'a> {
    Postgres(&'a str),
    Sqlite(&'a str),
}

impl<'a> Place<'a> {
    fn of(url: &'a str) -> Self {
        match url.strip_prefix("sqlite://") {
            Some(rest) => Self::Sqlite(rest.split('?').next().unwrap_or(rest)),
            None => Self::Postgres(url),
        }
    }
}

/// A file or folder of this package.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
