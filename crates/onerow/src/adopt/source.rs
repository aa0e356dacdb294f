//! Where the version of a database comes from that was migrated without onerow until now.

use super::{
    AdoptionWarning, HistoryProblem,
    error::{beside_history, history_mismatch, unadopted},
    history::{History, Reader, Unread},
    prefix, warning,
};
use crate::{
    backend::NONE,
    error::{Error, ErrorKind},
    table::TableName,
    tool::Tool,
};

/// Where the version comes from.
pub(crate) enum Source {
    /// From the old tool's table.
    History {
        tool: Option<Tool>,
        table: Option<TableName>,
        accept_out_of_order: bool,
        if_any: bool,
    },
    /// From the caller.
    Baseline { version: i32, beside_other_tools: bool },
}

/// What a source says.
pub(crate) struct Plan {
    pub(crate) version: i32,
    /// The old tool and its table, if the version comes from there.
    pub(crate) tool: Option<(Tool, String)>,
    /// Warnings of all migrations, those that were taken over before included.
    pub(crate) warnings: Vec<AdoptionWarning>,
}

impl Plan {
    /// Says only the version.
    pub(crate) fn stay(version: i32) -> Self {
        Self { version, tool: None, warnings: Vec::new() }
    }
}

impl Source {
    /// Reads the source in the reader's transaction.
    pub(crate) async fn look(&self, reader: &Reader<'_>) -> Result<Plan, Unread> {
        match self {
            Self::History { if_any, .. } => match self.history(reader).await {
                Ok(history) => self.plan(&history, reader).await,
                Err(Unread::Error(error)) if *if_any && error.kind() == ErrorKind::NoHistory => {
                    Ok(Plan::stay(NONE))
                }
                Err(error) => Err(error),
            },
            Self::Baseline { version, beside_other_tools } => {
                if !beside_other_tools {
                    check_untouched(&reader.find_all(true).await?)?;
                }
                Ok(Plan::stay(*version))
            }
        }
    }

    /// Does the same, and keeps the old tool from writing until the transaction ends.
    pub(crate) async fn look_and_lock(&self, reader: &Reader<'_>) -> Result<Plan, Unread> {
        let Self::History { .. } = self else { return self.look(reader).await };
        let history = self.history(reader).await?;
        reader.lock(&history).await?;
        // It is read once more, now that nobody can write to it.
        let history = reader.read(history.tool, Some(&history.table)).await?;
        self.plan(&history, reader).await
    }

    async fn history(&self, reader: &Reader<'_>) -> Result<History, Unread> {
        match self {
            Self::History { tool: Some(tool), table, .. } => {
                reader.read(*tool, table.as_ref()).await
            }
            Self::History { table: Some(table), .. } => reader.read_any(table).await,
            _ => reader.find().await,
        }
    }

    async fn plan(&self, history: &History, reader: &Reader<'_>) -> Result<Plan, Unread> {
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

/// An error if the old tool's table is also the version table and its number means another version.
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

/// An error if one of these tools has applied anything.
fn check_untouched(histories: &[History]) -> Result<(), Error> {
    let Some(history) = histories.iter().find(|history| !history.entries.is_empty()) else {
        return Ok(());
    };
    Err(beside_history(history.tool, &history.table, history.entries.len()))
}

/// An error if another tool has applied what is pending here: it would be applied a second time.
pub(crate) async fn check_adopted(reader: &Reader<'_>, version: i32) -> Result<(), Unread> {
    let histories = reader.find_all(true).await?;
    let is_unadopted =
        |history: &&History| prefix::is_pending_applied(reader.registry, version, history);
    let Some(history) = histories.iter().find(is_unadopted) else { return Ok(()) };
    Err(unadopted(history.tool, &history.table, version).into())
}
