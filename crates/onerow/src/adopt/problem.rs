//! Why a registry does not begin with what another tool has applied.

use std::{error::Error as StdError, fmt};

use crate::{migration::module_name, tool::Tool};

/// Why a registry does not begin with what another tool has applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryProblem {
    /// A migration of the old tool was not applied, but a later one was.
    #[error(
        "{name} is missing: it was not applied, and {} stands for it",
        module_name(*.migration)
    )]
    Missing {
        /// What the old tool calls it.
        name: String,
        /// The version of the migration that stands for it.
        migration: i32,
    },
    /// A migration of the old tool was applied, and no migration of the registry stands for it.
    #[error("{name} is extra: it was applied, but no migration of the registry stands for it")]
    Extra {
        /// What the old tool calls it.
        name: String,
    },
    /// The old tool has recorded that a migration failed.
    #[error("{name} failed half way")]
    Failed {
        /// What the old tool calls it.
        name: String,
    },
    /// A migration of the old tool was applied later than one that comes after it in the registry.
    #[error(
        "{name} is out of order: it was applied after {after}, but comes before it in the registry"
    )]
    OutOfOrder {
        /// What the old tool calls it.
        name: String,
        /// The migration that was applied earlier, and comes later in the registry.
        after: String,
    },
    /// A migration of the registry does not say what it replaces, but one after it was applied.
    #[error(
        "{} does not say what it replaces, but migrations after it were applied",
        module_name(*.migration)
    )]
    Unnamed {
        /// Its version.
        migration: i32,
    },
    /// A migration of the registry replaces a name that the old tool gives to no migration.
    #[error(
        "{} replaces \"{name}\", which cannot be the name of a migration of {tool}",
        module_name(*.migration)
    )]
    NotAName {
        /// Its version.
        migration: i32,
        /// The name that it replaces.
        name: String,
        /// The old tool.
        tool: Tool,
    },
    /// Two migrations of the registry replace the same one.
    #[error(
        "{name} is replaced by both {} and {}",
        module_name(*.first),
        module_name(*.second)
    )]
    ReplacedTwice {
        /// What the old tool calls it.
        name: String,
        /// The version of the first migration that replaces it.
        first: i32,
        /// The version of the second.
        second: i32,
    },
    /// The old tool has applied another migration under this number, or one that was renamed since.
    #[error("{applied} was applied, but the registry has {name} under that number")]
    Renamed {
        /// What the old tool calls it.
        applied: String,
        /// What the registry calls it.
        name: String,
    },
    /// quart-db's number is not the registry's, and both are kept in the same table.
    #[error(
        "quart-db's {theirs}.py is {} of the registry, and both count in the same table",
        module_name(*.ours)
    )]
    OtherNumber {
        /// The number that quart-db has.
        theirs: i32,
        /// The number that the registry has.
        ours: i32,
    },
    /// The background part of some migrations has not run, as quart-db 0.8 to 0.10 have it.
    #[error("the background migrations after {background}, up to {foreground}, have not run")]
    BackgroundPending {
        /// The last migration whose foreground part has run.
        foreground: i32,
        /// The last migration whose background part has run.
        background: i32,
    },
}

/// All that does not fit: the source of an [`Error`](crate::Error) of the kind
/// [`HistoryMismatch`](crate::ErrorKind::HistoryMismatch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryProblems(pub Vec<HistoryProblem>);

impl fmt::Display for HistoryProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&problems.join("; "))
    }
}

impl StdError for HistoryProblems {}
