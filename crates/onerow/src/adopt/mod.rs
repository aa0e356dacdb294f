//! Taking over databases that other tools have migrated, and the migrations of sea-orm-migration.
//!
//! | module | holds |
//! |---|---|
//! | `builders` | [`Adopt`], [`Baseline`]: the options |
//! | `taking_over` | setting the version row; the check that a run has nothing left to adopt |
//! | `source` | which version a database is at, by the old tool's table or by the caller's word |
//! | `history` | what a tool has applied, read from its table |
//! | `prefix` | whether a registry begins with that |
//! | `problem` | [`HistoryProblem`]: why it does not |
//! | `warning` | [`AdoptionWarning`]: what to look at all the same |
//! | `error` | the errors of a database that was not taken over |
//! | `sea_orm_migration` | [`SeaOrmMigration`]: migrations of sea-orm-migration, unchanged |

mod builders;
mod error;
mod history;
mod prefix;
mod problem;
mod sea_orm_migration;
mod source;
mod taking_over;
mod warning;

pub(crate) use self::taking_over::check_adopted;
pub use self::{
    builders::{Adopt, Baseline},
    problem::{HistoryProblem, HistoryProblems},
    sea_orm_migration::SeaOrmMigration,
    warning::AdoptionWarning,
};

use crate::{migration::module_name, tool::Tool};

/// What [`Adopt`] or [`Baseline`] did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adoption {
    /// The old tool and its table, if the database has one.
    pub tool: Option<(Tool, String)>,
    /// The version that the database held before. It is −1 if it had none.
    pub initial: i32,
    /// The version that the database holds now. After a dry run, it is the version that it would
    /// hold.
    pub version: i32,
    /// The migrations that count as applied now, and did not before.
    pub adopted: Vec<Adopted>,
    /// What to look at in those migrations.
    pub warnings: Vec<AdoptionWarning>,
}

/// A migration that counts as applied now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adopted {
    /// Its version.
    pub version: i32,
    /// Its [`description`](crate::MigrationTrait::description).
    pub description: String,
    /// The migrations of the old tool that it [`replaces`](crate::MigrationTrait::replaces).
    pub replaces: Vec<String>,
}

impl Adopted {
    /// The name of its module, such as `m0007`.
    #[must_use]
    pub fn name(&self) -> String {
        module_name(self.version)
    }
}
