//! Taking over what other tools have migrated, and their migrations.
//!
//! | module | holds |
//! |---|---|
//! | `builders` | [`Adopt`], [`Baseline`]: the options of taking over |
//! | `taking_over` | setting the version row to that |
//! | `source` | which version a database is at, by a history or by somebody's word |
//! | `error` | why a database was not taken over |
//! | `history` | what a tool has applied, read from its table |
//! | `prefix` | [`HistoryProblem`]: whether that is what a registry begins with |
//! | `warning` | [`AdoptionWarning`]: what to look at all the same |
//! | `sea_orm_migration` | [`SeaOrmMigration`]: sea-orm-migration's migrations, unchanged |

mod builders;
mod error;
mod history;
mod prefix;
mod problem;
mod sea_orm_migration;
mod source;
mod taking_over;
mod warning;

pub(crate) use self::taking_over::refuse_unadopted;
pub use self::{
    builders::{Adopt, Baseline},
    problem::{HistoryProblem, HistoryProblems},
    sea_orm_migration::SeaOrmMigration,
    warning::AdoptionWarning,
};

use crate::{migration::module_name, tool::Tool};

/// What [`Adopt`] and [`Baseline`] did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adoption {
    /// The tool, and its table, where there is one.
    pub tool: Option<(Tool, String)>,
    /// The version that the database held before; −1 where it had none.
    pub initial: i32,
    /// The version that it holds now; after a dry run, that it would hold.
    pub version: i32,
    /// The migrations that count as applied now; none where there was nothing to do.
    pub adopted: Vec<Adopted>,
    /// What to look at in those.
    pub warnings: Vec<AdoptionWarning>,
}

/// A migration that counts as applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adopted {
    /// Its version.
    pub version: i32,
    /// Its [`description`](crate::MigrationTrait::description).
    pub description: String,
    /// What it [`replaces`](crate::MigrationTrait::replaces).
    pub replaces: Vec<String>,
}

impl Adopted {
    /// The module's name: `m0007`.
    #[must_use]
    pub fn name(&self) -> String {
        module_name(self.version)
    }
}
