//! Why what another tool has applied is not where a registry begins.

use std::fmt;

use crate::{migration::module_name, tool::Tool};

/// Why what another tool has applied is not where a registry begins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryProblem {
    /// It was not applied, though what comes later was.
    Missing {
        /// What the old tool calls it.
        name: String,
        /// The version that stands for it.
        migration: i32,
    },
    /// It was applied, and no migration of the registry stands for it.
    Extra {
        /// What the old tool calls it.
        name: String,
    },
    /// The old tool has it as failed.
    Failed {
        /// What the old tool calls it.
        name: String,
    },
    /// It was applied later than one that comes after it in the registry.
    OutOfOrder {
        /// What the old tool calls it.
        name: String,
        /// The one that was applied earlier, and comes later.
        after: String,
    },
    /// A migration that would have to be applied does not say what it stands for.
    Unnamed {
        /// Its version.
        migration: i32,
    },
    /// A migration stands for what the old tool cannot have applied.
    NotAName {
        /// Its version.
        migration: i32,
        /// What it says that it stands for.
        name: String,
        /// The old tool.
        tool: Tool,
    },
    /// Two migrations stand for the same.
    ReplacedTwice {
        /// What the old tool calls it.
        name: String,
        /// The version of the first.
        first: i32,
        /// The version of the second.
        second: i32,
    },
    /// It was applied under the number of another, or has been renamed since.
    Renamed {
        /// What the old tool shows.
        applied: String,
        /// What the registry calls it.
        name: String,
    },
    /// Quart-db's number is not the registry's, and both are kept in the same table.
    OtherNumber {
        /// Quart-db's.
        theirs: i32,
        /// The registry's.
        ours: i32,
    },
    /// Of quart-db 0.8 to 0.10: the part of the migrations that runs in the background has not run.
    BackgroundPending {
        /// The last whose foreground part has run.
        foreground: i32,
        /// The last whose background part has run.
        background: i32,
    },
}

impl fmt::Display for HistoryProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name_of = |version: &i32| module_name(*version);
        match self {
            Self::Missing { name, migration } => {
                write!(
                    f,
                    "{name} is missing: it was not applied, and {} stands for it",
                    name_of(migration)
                )
            }
            Self::Extra { name } => {
                write!(
                    f,
                    "{name} is extra: it was applied, and no migration of the registry stands for it"
                )
            }
            Self::Failed { name } => write!(f, "{name} failed half way"),
            Self::OutOfOrder { name, after } => {
                write!(
                    f,
                    "{name} is out of order: it was applied after {after}, and comes before that in the registry"
                )
            }
            Self::Unnamed { migration } => {
                write!(
                    f,
                    "{} does not say what it replaces, and others behind it were applied",
                    name_of(migration)
                )
            }
            Self::NotAName { migration, name, tool } => {
                write!(
                    f,
                    "{} replaces \"{name}\", which is no name of a migration of {tool}",
                    name_of(migration)
                )
            }
            Self::ReplacedTwice { name, first, second } => {
                write!(f, "{name} is replaced by both {} and {}", name_of(first), name_of(second))
            }
            Self::Renamed { applied, name } => {
                write!(f, "{applied} was applied, and the registry has {name} under that number")
            }
            Self::OtherNumber { theirs, ours } => {
                write!(
                    f,
                    "quart-db's {theirs}.py is {} of the registry, and both count in the same table",
                    name_of(ours)
                )
            }
            Self::BackgroundPending { foreground, background } => {
                write!(
                    f,
                    "the background migrations behind {background}, up to {foreground}, have not run"
                )
            }
        }
    }
}

/// All that does not fit, of [`ErrorKind::HistoryMismatch`](crate::ErrorKind::HistoryMismatch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryProblems(pub Vec<HistoryProblem>);

impl fmt::Display for HistoryProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&problems.join("; "))
    }
}

impl std::error::Error for HistoryProblems {}
