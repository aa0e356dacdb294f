//! Whether a registry begins with what was applied.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    history::{Entry, History},
    problem::HistoryProblem,
};
use crate::{backend::NONE, registry::Registry, tool::Tool};

/// The migrations of the old tool that a migration of the registry stands for.
struct Expected {
    migration: i32,
    /// The key and the name of each.
    replaced: Vec<(String, String)>,
    /// Whether the migration names them itself.
    says_so: bool,
}

/// The version that the history amounts to, or why it amounts to none.
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

/// Whether the old tool has applied a migration that is pending here, as far as the registry tells.
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

/// Whether the entry only shares its number with the migration that the registry calls by this
/// name.
fn is_another(tool: Tool, entry: &Entry, name: &str) -> bool {
    let described = entry.description.as_ref().zip(tool.description(name));
    described.is_some_and(|(theirs, ours)| *theirs != ours)
}

fn expected(registry: &Registry, tool: Tool, problems: &mut Vec<HistoryProblem>) -> Vec<Expected> {
    // The numbers of quart-db begin at 0 like those of the registry, unless a migration says
    // otherwise.
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

/// The last migration of the registry of which anything was applied.
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

/// Each migration that was applied later than one that comes after it in the registry.
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
