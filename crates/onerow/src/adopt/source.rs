//! Where the version of a database comes from that was migrated without onerow until now.

use super::{
    AdoptionWarning, HistoryProblem,
    error::{beside_history, history_mismatch, unadopted},
    history::{History, Reader, Refusal},
    prefix, warning,
};
use crate::{
    error::{Error, ErrorKind},
    table::TableName,
    tool::Tool,
    version::NONE,
};

/// Where the version comes from.
pub(crate) enum Source {
    History {
        tool: Option<Tool>,
        table: Option<TableName>,
        accept_out_of_order: bool,
        if_any: bool,
    },
    Baseline {
        version: i32,
        beside_other_tools: bool,
    },
}

/// What a source comes to.
pub(crate) struct Plan {
    pub(crate) version: i32,
    /// The tool, and its table, where there is one.
    pub(crate) tool: Option<(Tool, String)>,
    /// Also of what was taken over before.
    pub(crate) warnings: Vec<AdoptionWarning>,
}

impl Plan {
    /// Nothing is to be done.
    pub(crate) fn stay(version: i32) -> Self {
        Self { version, tool: None, warnings: Vec::new() }
    }
}

impl Source {
    /// Looks, in the reader's transaction.
    pub(crate) async fn look(&self, reader: &Reader<'_>) -> Result<Plan, Refusal> {
        match self {
            Self::History { if_any, .. } => match self.history(reader).await {
                Ok(history) => self.plan(&history, reader).await,
                Err(Refusal::Error(error)) if *if_any && error.kind() == ErrorKind::NoHistory => {
                    Ok(Plan::stay(NONE))
                }
                Err(error) => Err(error),
            },
            Self::Baseline { version, beside_other_tools } => {
                if !beside_other_tools {
                    refuse_beside(&reader.find_all(true).await?)?;
                }
                Ok(Plan::stay(*version))
            }
        }
    }

    /// The same, with the old tool kept from writing until the transaction ends.
    pub(crate) async fn look_and_lock(&self, reader: &Reader<'_>) -> Result<Plan, Refusal> {
        let Self::History { .. } = self else { return self.look(reader).await };
        let history = self.history(reader).await?;
        reader.lock(&history).await?;
        // Once more, now that nobody writes to it.
        let history = reader.read(history.tool, Some(&history.table)).await?;
        self.plan(&history, reader).await
    }

    async fn history(&self, reader: &Reader<'_>) -> Result<History, Refusal> {
        match self {
            Self::History { tool: Some(tool), table, .. } => {
                reader.read(*tool, table.as_ref()).await
            }
            Self::History { table: Some(table), .. } => reader.read_any(table).await,
            _ => reader.find().await,
        }
    }

    async fn plan(&self, history: &History, reader: &Reader<'_>) -> Result<Plan, Refusal> {
        let accept_out_of_order = matches!(self, Self::History { accept_out_of_order: true, .. });
        let (tool, table) = (history.tool, history.table.to_string());
        let version = prefix::version(reader.registry, history, accept_out_of_order);
        match version.and_then(|version| counted_alike(version, history, reader.own)) {
            Ok(version) => {
                let mut warnings = warning::edited(reader.registry, history, version);
                warnings.extend(reader.serial_keys(history).await?);
                Ok(Plan { version, tool: Some((tool, table)), warnings })
            }
            Err(problems) => Err(history_mismatch(tool, &history.table, problems).into()),
        }
    }
}

/// In the registry's own table, quart-db's number is taken for the registry's.
fn counted_alike(
    version: i32,
    history: &History,
    own: &TableName,
) -> Result<i32, Vec<HistoryProblem>> {
    let theirs = i32::try_from(history.entries.len()).unwrap_or(i32::MAX) - 1;
    if history.table != *own || version == theirs {
        return Ok(version);
    }
    Err(vec![HistoryProblem::OtherNumber { theirs, ours: version }])
}

fn refuse_beside(histories: &[History]) -> Result<(), Error> {
    let Some(history) = histories.iter().find(|history| !history.entries.is_empty()) else {
        return Ok(());
    };
    Err(beside_history(history.tool, &history.table, history.entries.len()))
}

/// Refuses what is pending, and was applied by another tool: it would be applied a second time.
pub(crate) async fn refuse_unadopted(reader: &Reader<'_>, version: i32) -> Result<(), Refusal> {
    let histories = reader.find_all(true).await?;
    let is_unadopted =
        |history: &&History| prefix::is_pending_applied(reader.registry, version, history);
    let Some(history) = histories.iter().find(is_unadopted) else { return Ok(()) };
    Err(unadopted(history.tool, &history.table, version).into())
}
