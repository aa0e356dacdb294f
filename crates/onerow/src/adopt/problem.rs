//! Why a registry does not begin with what another tool has applied.

use std::{error::Error as StdError, fmt};

use crate::{migration::module_name, tool::Tool};

/// Why a registry does not begin with what another tool has applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryProblem {
    /// A migration of the old tool was not applied, but a later one was.
    Missing {
        /// What the old tool calls it.
        name: String,
        /// The version of the migration that stands for it.
        migration: i32,
    },
    /// A migration of the old tool was applied, and no migration of the registry stands for it.
    Extra {
        /// What the old tool calls it.
        name: String,
    },
    /// The old tool has recorded that a migration failed.
    Failed {
        /// What the old tool calls it.
        name: String,
    },
    /// A migration of the old tool was applied later than one that comes after it in the registry.
    OutOfOrder {
        /// What the old tool calls it.
        name: String,
        /// The migration that was applied earlier, and comes later in the registry.
        after: String,
    },
    /// A migration of the registry does not say what it replaces, but one after it was applied.
    Unnamed {
        /// Its version.
        migration: i32,
    },
    /// A migration of the registry replaces a name that the old tool gives to no migration.
    NotAName {
        /// Its version.
        migration: i32,
        /// The name that it replaces.
        name: String,
        /// The old tool.
        tool: Tool,
    },
    /// Two migrations of the registry replace the same one.
    ReplacedTwice {
        /// What the old tool calls it.
        name: String,
        /// The version of the first migration that replaces it.
        first: i32,
        /// The version of the second.
        second: i32,
    },
    /// The old tool has applied another migration under this number, or one that was renamed since.
    Renamed {
        /// What the old tool calls it.
        applied: String,
        /// What the registry calls it.
        name: String,
    },
    /// quart-db's number is not the registry's, and both are kept in the same table.
    OtherNumber {
        /// The number that quart-db has.
        theirs: i32,
        /// The number that the registry has.
        ours: i32,
    },
    /// The background part of some migrations has not run, as quart-db 0.8 to 0.10 have it.
    BackgroundPending {
        /// The last migration whose foreground part has run.
        foreground: i32,
        /// The last migration whose background part has run.
        background: i32,
    },
}

impl fmt::Display for HistoryProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name_of = |version: &i32| module_name(*version);
        match self {
            Self::Missing { name, migration } => {
                let name_here = name_of(migration);
                write!(f, "{name} is missing: it was not applied, and {name_here} stands for it")
            }
            Self::Extra { name } => write!(
                f,
                "{name} is extra: it was applied, but no migration of the registry stands for it"
            ),
            Self::Failed { name } => write!(f, "{name} failed half way"),
            Self::OutOfOrder { name, after } => write!(
                f,
                "{name} is out of order: it was applied after {after}, but comes before it in the \
                 registry"
            ),
            Self::Unnamed { migration } => write!(
                f,
                "{} does not say what it replaces, but migrations after it were applied",
                name_of(migration)
            ),
            Self::NotAName { migration, name, tool } => write!(
                f,
                "{} replaces \"{name}\", which cannot be the name of a migration of {tool}",
                name_of(migration)
            ),
            Self::ReplacedTwice { name, first, second } => {
                write!(f, "{name} is replaced by both {} and {}", name_of(first), name_of(second))
            }
            Self::Renamed { applied, name } => {
                write!(f, "{applied} was applied, but the registry has {name} under that number")
            }
            Self::OtherNumber { theirs, ours } => write!(
                f,
                "quart-db's {theirs}.py is {} of the registry, and both count in the same table",
                name_of(ours)
            ),
            Self::BackgroundPending { foreground, background } => write!(
                f,
                "the background migrations after {background}, up to {foreground}, have not run"
            ),
        }
    }
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
