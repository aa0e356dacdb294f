//! What another tool has applied, as its table tells.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement};

use super::{HistoryProblem, Tool, tool::Column};
use crate::{
    Error, Registry,
    backend::{Fault, Session},
    table::Table,
    version::{self, NONE},
};

/// What a tool has applied to a database.
pub(super) struct History {
    pub(super) tool: Tool,
    pub(super) table: Table,
    /// In the order of the table.
    pub(super) entries: Vec<Entry>,
    /// Of the table itself.
    pub(super) problems: Vec<HistoryProblem>,
}

/// A migration of the old tool.
pub(super) struct Entry {
    pub(super) key: String,
    /// As it is shown.
    pub(super) name: String,
    /// Sorts by when it was applied.
    pub(super) position: String,
    pub(super) succeeded: bool,
}

/// Reads the tables of other tools, in a transaction.
pub(super) struct Reader<'a> {
    pub(super) session: &'a Session,
    pub(super) transaction: &'a DatabaseTransaction,
    pub(super) registry: &'a Registry,
    /// The registry's own table, as it is called on this database.
    pub(super) own: &'a Table,
}

impl Reader<'_> {
    /// The one history that there is; `None` if there is none. Tables without a row say nothing where another has some.
    pub(super) async fn find(&self) -> Result<Option<History>, Error> {
        let mut found = self.find_all(false).await?;
        if found.iter().any(|history| !history.entries.is_empty()) {
            found.retain(|history| !history.entries.is_empty());
        }
        if found.len() > 1 {
            let tables = found.iter().map(|history| (history.tool, history.table.to_string())).collect();
            return Err(Error::SeveralHistories { tables });
        }
        Ok(found.pop())
    }

    /// The histories of all tools, where they are by default; a table of such a name that is somebody else's is passed over
    /// or an error.
    pub(super) async fn find_all(&self, pass_over_others: bool) -> Result<Vec<History>, Error> {
        let mut found = Vec::new();
        for tool in Tool::ALL {
            let table = self.registry.former_table(tool);
            let columns = self.columns(&table).await?;
            // Without this column it is a registry's of onerow: quart-db's had it from the first release on.
            let is_tools = tool != Tool::QuartDb || columns.iter().any(|column| column == "data_loaded");
            if columns.is_empty() || !is_tools {
                continue;
            }
            match self.read_with(tool, table, &columns).await {
                Ok(history) => found.push(history),
                Err(Error::ForeignHistory { .. }) if pass_over_others => (),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// The history of this tool in this table; `None` if there is no such table.
    pub(super) async fn read(&self, tool: Tool, table: Table) -> Result<Option<History>, Error> {
        let columns = self.columns(&table).await?;
        if columns.is_empty() {
            return Ok(None);
        }
        self.read_with(tool, table, &columns).await.map(Some)
    }

    async fn columns(&self, table: &Table) -> Result<Vec<String>, Error> {
        let columns = self.session.backend.columns(self.transaction, table).await;
        columns.map_err(|error| self.refused("look for the table", table, error))
    }

    async fn read_with(&self, tool: Tool, table: Table, columns: &[String]) -> Result<History, Error> {
        if tool == Tool::QuartDb {
            return self.read_quart_db(table, columns).await;
        }
        let wanted = tool.columns();
        let is_missing =
            |column: &&Column| !column.name.is_empty() && !columns.iter().any(|name| name == column.name);
        if let Some(missing) = wanted.iter().find(is_missing) {
            return Err(foreign(tool, &table, missing.name));
        }
        let select = wanted.map(|column| column.sql).join(", ");
        let rows = self.select(&table, &format!("SELECT {select} FROM {}", table.sql())).await?;
        let mut entries: Vec<_> = rows.into_iter().filter_map(|row| Entry::of(tool, row)).collect();
        entries.sort_by(|a, b| (&a.position, &a.key).cmp(&(&b.position, &b.key)));
        Ok(History { tool, table, entries, problems: Vec::new() })
    }

    /// One row with a number: `version`, or in releases 0.8 to 0.10 `foreground` and `background`.
    async fn read_quart_db(&self, table: Table, columns: &[String]) -> Result<History, Error> {
        let tool = Tool::QuartDb;
        let has = |name: &str| columns.iter().any(|column| column == name);
        let select = match (has("version"), has("foreground") && has("background")) {
            (true, _) => "CAST(version AS TEXT), CAST(version AS TEXT)",
            (false, true) => "CAST(foreground AS TEXT), CAST(background AS TEXT)",
            (false, false) => return Err(foreign(tool, &table, "version")),
        };
        let rows = self.select(&table, &format!("SELECT {select} FROM {}", table.sql())).await?;
        let [row] = rows.as_slice() else {
            let (table, rows) = (table.to_string(), rows.len());
            return Err(Error::SeveralRows { table, rows });
        };
        let number = |index: usize| row[index].parse::<i32>().unwrap_or(NONE);
        let (foreground, background) = (number(0), number(1));
        let entries = applied_by_number(foreground, self.registry.latest());
        let pending = background < foreground;
        let problems = pending.then_some(HistoryProblem::BackgroundPending { foreground, background });
        Ok(History { tool, table, entries, problems: problems.into_iter().collect() })
    }

    async fn select(&self, table: &Table, sql: &str) -> Result<Vec<Vec<String>>, Error> {
        let statement = Statement::from_string(self.transaction.get_database_backend(), sql);
        let texts = async {
            let rows = self.transaction.query_all_raw(statement).await?;
            let row = |row: &sea_orm::QueryResult| {
                let text = |index| row.try_get_by_index::<Option<String>>(index);
                (0..row.column_names().len()).map(|index| Ok(text(index)?.unwrap_or_default())).collect()
            };
            rows.iter().map(row).collect::<Result<Vec<Vec<_>>, DbErr>>()
        };
        texts.await.map_err(|error| self.refused("read the table", table, error))
    }

    fn refused(&self, operation: &str, table: &Table, error: DbErr) -> Error {
        let fault = self.session.fault(&error);
        version::explain(fault, &format!("{operation} {table}"), None, self.own, error)
    }

    /// Keeps the old tool from applying another migration behind the back of who reads; false if it is at it.
    pub(super) async fn lock_out_writers(&self, history: &History) -> Result<bool, Error> {
        match self.session.backend.lock_out_writers(self.transaction, &history.table).await {
            Ok(()) => Ok(true),
            Err(error) if self.session.fault(&error) == Fault::Held => Ok(false),
            Err(error) => Err(self.refused("lock the table", &history.table, error)),
        }
    }
}

impl Entry {
    fn of(tool: Tool, row: Vec<String>) -> Option<Self> {
        let [key, name, position, succeeded] = <[String; 4]>::try_from(row).ok()?;
        // Refinery's are moments as text, in UTC: `…:07Z` comes before `…:07.5Z`. The others are numbers.
        let position = match tool {
            Tool::Refinery => position.trim_end_matches('Z').to_owned(),
            _ => format!("{position:0>20}"),
        };
        Some(Self { key, name, position, succeeded: succeeded == "yes" })
    }
}

/// `0.py` up to this number; of those that the registry does not have, the last.
fn applied_by_number(last: i32, latest: i32) -> Vec<Entry> {
    let known = 0..=last.min(latest);
    let beyond = (last > latest).then_some(last);
    let entry = |number: i32| Entry {
        key: number.to_string(),
        name: format!("{number}.py"),
        position: format!("{number:0>20}"),
        succeeded: true,
    };
    known.chain(beyond).map(entry).collect()
}

fn foreign(tool: Tool, table: &Table, column: &str) -> Error {
    Error::ForeignHistory { tool, table: table.to_string(), column: column.to_owned() }
}
