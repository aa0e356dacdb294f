//! Whether what was applied is what a registry begins with.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::history::{Entry, History};
use crate::tool::Tool;
use crate::{Registry, migration, version::NONE};

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
        let name_of = |version: &i32| migration::module_name(*version);
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

/// What each migration of a registry stands for, in the words of a tool.
struct Expected {
    migration: i32,
    /// Key and name.
    replaced: Vec<(String, String)>,
    /// Whether the migration itself says so.
    says_so: bool,
}

/// The version that the history comes to, or why it comes to none.
pub(super) fn version(
    registry: &Registry,
    history: &History,
    accept_out_of_order: bool,
) -> Result<i32, Vec<HistoryProblem>> {
    let mut problems = history.problems.clone();
    let expected = expected(registry, history.tool, &mut problems);
    let applied: BTreeMap<&str, &Entry> = history
        .entries
        .iter()
        .filter(|entry| entry.succeeded)
        .map(|entry| (entry.key.as_str(), entry))
        .collect();
    problems.extend(failed(history));
    problems.extend(extra(history, &expected));
    problems.extend(renamed(history.tool, &expected, &applied));
    let last = last(&expected, &applied);
    problems.extend(missing(&expected, &applied, last));
    if !accept_out_of_order {
        problems.extend(out_of_order(&expected, &applied));
    }
    if problems.is_empty() { Ok(last) } else { Err(problems) }
}

/// Whether anything was applied that is pending here, as far as the registry says what it stands for.
pub(super) fn is_pending_applied(registry: &Registry, version: i32, history: &History) -> bool {
    let told = registry.has_history(history.tool);
    let expected = expected(registry, history.tool, &mut Vec::new());
    let pending = expected.iter().filter(|one| one.migration > version && (told || one.says_so));
    let pending: BTreeMap<_, _> =
        pending.flat_map(|one| &one.replaced).map(|(key, name)| (key.as_str(), name)).collect();
    history.entries.iter().any(|entry| {
        pending.get(entry.key.as_str()).is_some_and(|name| !is_another(history.tool, entry, name))
    })
}

/// Whether it only has the number of the one that the registry calls so.
fn is_another(tool: Tool, entry: &Entry, name: &str) -> bool {
    let described = entry.description.as_ref().zip(tool.description(name));
    described.is_some_and(|(theirs, ours)| *theirs != ours)
}

fn expected(registry: &Registry, tool: Tool, problems: &mut Vec<HistoryProblem>) -> Vec<Expected> {
    // Numbered as here, from 0, where nothing else is said.
    let by_number = tool == Tool::QuartDb && !registry.replaces_any();
    let mut seen = BTreeMap::new();
    let mut all = Vec::new();
    for (migration, found) in registry.migrations() {
        let names = found.replaces();
        let mut one = Expected { migration, replaced: Vec::new(), says_so: !names.is_empty() };
        if by_number {
            one.replaced.push((migration.to_string(), format!("{migration}.py")));
        }
        for name in names.into_iter().map(ToOwned::to_owned) {
            let Some(key) = tool.key(&name) else {
                problems.push(HistoryProblem::NotAName { migration, name, tool });
                continue;
            };
            if let Some(first) = seen.insert(key.clone(), migration) {
                problems.push(HistoryProblem::ReplacedTwice {
                    name: name.clone(),
                    first,
                    second: migration,
                });
            }
            one.replaced.push((key, name));
        }
        all.push(one);
    }
    all
}

fn failed(history: &History) -> impl Iterator<Item = HistoryProblem> {
    let failed = history.entries.iter().filter(|entry| !entry.succeeded);
    failed.map(|entry| HistoryProblem::Failed { name: entry.name.clone() })
}

fn extra(history: &History, expected: &[Expected]) -> impl Iterator<Item = HistoryProblem> {
    let known: BTreeSet<&str> =
        expected.iter().flat_map(|one| &one.replaced).map(|(key, _)| key.as_str()).collect();
    let extra = history.entries.iter().filter(move |entry| !known.contains(entry.key.as_str()));
    extra.map(|entry| HistoryProblem::Extra { name: entry.name.clone() })
}

/// The last migration of which anything was applied.
fn last(expected: &[Expected], applied: &BTreeMap<&str, &Entry>) -> i32 {
    let is_applied =
        |one: &&Expected| one.replaced.iter().any(|(key, _)| applied.contains_key(key.as_str()));
    expected.iter().rev().find(is_applied).map_or(NONE, |one| one.migration)
}

fn missing(
    expected: &[Expected],
    applied: &BTreeMap<&str, &Entry>,
    last: i32,
) -> impl Iterator<Item = HistoryProblem> {
    expected.iter().filter(move |one| one.migration <= last).flat_map(|one| {
        let migration = one.migration;
        let is_unnamed = !one.says_so && one.replaced.is_empty();
        let unnamed = is_unnamed.then_some(HistoryProblem::Unnamed { migration });
        let missing = one.replaced.iter().filter(|(key, _)| !applied.contains_key(key.as_str()));
        let missing =
            missing.map(move |(_, name)| HistoryProblem::Missing { name: name.clone(), migration });
        unnamed.into_iter().chain(missing)
    })
}

fn renamed(
    tool: Tool,
    expected: &[Expected],
    applied: &BTreeMap<&str, &Entry>,
) -> impl Iterator<Item = HistoryProblem> {
    expected.iter().flat_map(|one| &one.replaced).filter_map(move |(key, name)| {
        let entry = applied.get(key.as_str()).filter(|entry| is_another(tool, entry, name))?;
        Some(HistoryProblem::Renamed { applied: entry.name.clone(), name: name.clone() })
    })
}

/// Each that was applied later than one that comes after it, once.
fn out_of_order(expected: &[Expected], applied: &BTreeMap<&str, &Entry>) -> Vec<HistoryProblem> {
    let in_order: Vec<_> = expected
        .iter()
        .flat_map(|one| &one.replaced)
        .filter_map(|(key, name)| Some((applied.get(key.as_str())?, name)))
        .collect();
    let mut problems = Vec::new();
    let mut earliest: Option<(&Entry, &String)> = None;
    for (entry, name) in in_order.into_iter().rev() {
        match earliest {
            Some((other, after)) if entry.position > other.position => {
                problems
                    .push(HistoryProblem::OutOfOrder { name: name.clone(), after: after.clone() });
            }
            _ => earliest = Some((entry, name)),
        }
    }
    problems.reverse();
    problems
}

#[cfg(test)]
mod tests;
