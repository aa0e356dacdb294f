//! The errors of a database that was not taken over. None of these has changed anything.

use std::{error::Error as StdError, time::Duration};

use super::problem::{HistoryProblem, HistoryProblems};
use crate::{
    error::{Error, ErrorKind, still_at},
    table::TableName,
    tool::Tool,
};

fn of_tool(kind: ErrorKind, tool: Tool, table: &TableName, message: String) -> Error {
    Error::new(kind, message).of_tool(tool.name()).of_table(table)
}

pub(super) fn no_history(looked_for: &[String]) -> Error {
    let message = format!(
        "there is nothing to adopt: the database has no table {}; nothing was changed",
        looked_for.join(", ")
    );
    Error::new(ErrorKind::NoHistory, message)
}

pub(super) fn several_histories<'a>(tables: impl Iterator<Item = (Tool, &'a TableName)>) -> Error {
    let tables: Vec<_> = tables.map(|(tool, table)| format!("{table} of {tool}")).collect();
    let message =
        format!("there are tables of several tools: {}; nothing was changed", tables.join(", "));
    Error::new(ErrorKind::SeveralHistories, message)
}

pub(super) fn foreign_history(tool: Tool, table: &TableName, column: &str) -> Error {
    let message = format!(
        "the table {table} is not that of {tool}: it has no column \"{column}\"; nothing was \
         changed"
    );
    of_tool(ErrorKind::ForeignHistory, tool, table, message)
}

pub(super) fn history_elsewhere(tool: Tool, table: &TableName, schema: &str) -> Error {
    let message = format!(
        "the table {table} of {tool} is not in the schema {schema} of the version table; nothing \
         was changed"
    );
    of_tool(ErrorKind::HistoryElsewhere, tool, table, message)
}

pub(super) fn unsafe_history(tool: Tool, table: &TableName, reason: &str) -> Error {
    let message = format!(
        "reading the table {table} of {tool} could run its owner's code: {reason}; nothing was \
         changed"
    );
    of_tool(ErrorKind::UnsafeHistory, tool, table, message)
}

pub(super) fn no_tool(table: &TableName) -> Error {
    let message =
        format!("no tool that onerow knows has a table like {table}; nothing was changed");
    Error::new(ErrorKind::NoTool, message).of_table(table)
}

pub(super) fn history_mismatch(
    tool: Tool,
    table: &TableName,
    problems: Vec<HistoryProblem>,
) -> Error {
    let message = format!(
        "the registry does not begin with what {tool} has applied, according to its table {table}; \
         nothing was changed"
    );
    let causes = problems.iter().map(ToString::to_string).collect();
    let error = of_tool(ErrorKind::HistoryMismatch, tool, table, message);
    error.with_causes(causes).because(HistoryProblems(problems))
}

pub(crate) fn history_busy(table: &TableName, waited: Duration) -> Error {
    let message = format!(
        "waited {waited:.0?} for another session, which has the table {table} locked; nothing was \
         changed"
    );
    Error::new(ErrorKind::HistoryBusy, message).of_table(table)
}

pub(super) fn unadopted(tool: Tool, table: &TableName, version: i32) -> Error {
    let message = format!(
        "{tool} has applied migrations that are pending here, according to its table {table}; \
         nothing was changed{}",
        still_at(Some(version))
    );
    of_tool(ErrorKind::Unadopted, tool, table, message).at(version)
}

pub(super) fn beside_history(tool: Tool, table: &TableName, applied: usize) -> Error {
    let message = format!(
        "{tool} has applied {applied} migration(s) to this database, according to its table \
         {table}; nothing was changed"
    );
    of_tool(ErrorKind::BesideHistory, tool, table, message)
}

pub(crate) fn already_versioned(version: i32) -> Error {
    let message = format!("the database is at version {version} already; nothing was changed");
    Error::new(ErrorKind::AlreadyVersioned, message).at(version)
}

impl Error {
    /// The old tool that the error is about, if it is about one.
    #[must_use]
    pub fn tool(&self) -> Option<Tool> {
        let name = self.tool_name()?;
        Tool::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// All that does not fit, for an error of the kind [`ErrorKind::HistoryMismatch`].
    #[must_use]
    pub fn problems(&self) -> &[HistoryProblem] {
        let problems = StdError::source(self).and_then(|source| source.downcast_ref());
        problems.map_or(&[], |HistoryProblems(problems)| problems)
    }
}
